"""Prompts: one BOS where the model has one, a role for every token, labels, twins."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from culture_lens.errors import InputError
from culture_lens.prompts.answers import continuation_ids, joined, label_ids
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.questions.question import PromptFormat, Question, control_twin, with_format
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import ARCHITECTURES, tiny_tokenizer

HAS_BOS = ("llama", "gemma3", "phi3", "mistral")
LETTERS = PromptFormat(answer_prefix='{"answer_choice":"')


def without_template(architecture):
    tokenizer = tiny_tokenizer(architecture)
    tokenizer.chat_template = None
    return tokenizer


def tokens_of(prompt, tokenizer, role):
    ids = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == role]
    return tokenizer.decode(ids, skip_special_tokens=False)


def squeezed(text):
    return "".join(text.split())


# ------------------------------------------------------------------ BOS


@pytest.mark.parametrize("style", ["choices", "cloze"])
@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exactly_one_bos_where_there_is_one(architecture, template, style):
    tokenizer = tiny_tokenizer(architecture) if template else without_template(architecture)
    for question in toy_questions():
        ids = build_prompt(question, tokenizer, style).ids
        if architecture in HAS_BOS:
            assert ids[0] == tokenizer.bos_token_id
            assert ids.count(tokenizer.bos_token_id) == 1
        else:
            marks = {tokenizer.convert_tokens_to_ids("<|im_start|>")} if template else set()
            assert ids[0] not in set(tokenizer.all_special_ids) - marks
            assert tokenizer.bos_token_id is None or tokenizer.bos_token_id not in ids


def test_a_bos_that_only_the_template_writes_is_kept_once():
    tokenizer = tiny_tokenizer("qwen2")  # adds no BOS to plain text
    tokenizer.add_special_tokens({"bos_token": "<|endoftext|>"})
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    ids = build_prompt(toy_questions()[0], tokenizer).ids
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1


def test_a_bos_that_a_template_doubles_is_written_once():
    tokenizer = tiny_tokenizer("llama")
    expected = build_prompt(toy_questions()[0], tokenizer)
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    prompt = build_prompt(toy_questions()[0], tokenizer)
    assert prompt.ids == expected.ids and prompt.roles == expected.roles


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ids_are_those_of_the_chat_template(architecture):
    tokenizer = tiny_tokenizer(architecture)
    if tokenizer.chat_template is None or architecture == "phi3":
        return  # phi3's template leaves out the BOS that its tokenizer adds
    prompt = build_prompt(toy_questions()[0], tokenizer)
    content = prompt.text[prompt.text.index("Which food") : prompt.text.index("answer only.") + 12]
    direct = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        return_dict=False,
        **({"enable_thinking": False} if architecture == "qwen3" else {}),
    )
    assert list(prompt.ids) == direct


def test_thinking_is_switched_off():
    prompt = build_prompt(toy_questions()[0], tiny_tokenizer("qwen3"))
    assert prompt.text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


# ------------------------------------------------------------------ roles


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_roles_cover_question_and_options_and_nothing_else(architecture, template):
    tokenizer = tiny_tokenizer(architecture) if template else without_template(architecture)
    for question in toy_questions():
        prompt = build_prompt(question, tokenizer)
        assert len(prompt.roles) == len(prompt.ids)
        assert tokens_of(prompt, tokenizer, Role.QUESTION).strip() == question.text
        options = tokens_of(prompt, tokenizer, Role.OPTIONS)
        assert squeezed(options) == squeezed("".join(question.options))
        rest = tokens_of(prompt, tokenizer, Role.TEMPLATE)
        assert question.prompt.instruction in rest
        assert not any(option in rest for option in question.options)
        assert {Role.PADDING, Role.IMAGE, Role.ANSWER_PREFIX}.isdisjoint(prompt.roles)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cloze_hides_the_options(architecture):
    tokenizer = tiny_tokenizer(architecture)
    question = toy_questions()[1]
    prompt = build_prompt(question, tokenizer, "cloze")
    assert Role.OPTIONS not in prompt.roles
    assert not any(option in prompt.text for option in question.options)
    assert tokens_of(prompt, tokenizer, Role.QUESTION).strip() == question.text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answer_prefix_ends_the_prompt_and_has_its_role(architecture):
    tokenizer = tiny_tokenizer(architecture)
    (question,) = with_format(toy_questions()[:1], LETTERS)
    prompt = build_prompt(question, tokenizer)
    assert prompt.text.endswith('{"answer_choice":"')
    assert tokens_of(prompt, tokenizer, Role.ANSWER_PREFIX) == '{"answer_choice":"'
    assert Role.ANSWER_PREFIX not in build_prompt(question, tokenizer, "cloze").roles


def test_roles_where_the_question_repeats_the_options_and_the_template():
    asked = Question(
        id="1",
        culture="Japan",
        text="A. rice\nuser assistant {options} {instruction} rice",
        options=("rice", "A. rice"),
        answer=0,
    )
    tokenizer = tiny_tokenizer("qwen2")
    prompt = build_prompt(asked, tokenizer)
    assert tokens_of(prompt, tokenizer, Role.QUESTION).strip() == asked.text
    assert squeezed(tokens_of(prompt, tokenizer, Role.OPTIONS)) == "riceA.rice"
    assert prompt.text.count(asked.prompt.instruction) == 1


def test_layouts_decide_the_order_and_leading_space_does_not_shift_roles():
    form = PromptFormat(layout="\n  {options}\n\nNow: {question}  ", instruction="unused")
    (question,) = with_format(toy_questions()[:1], form)
    tokenizer = tiny_tokenizer("llama")
    prompt = build_prompt(question, tokenizer)
    assert tokens_of(prompt, tokenizer, Role.QUESTION).strip() == question.text
    options = tokens_of(prompt, tokenizer, Role.OPTIONS)
    assert squeezed(options) == squeezed("".join(question.options))
    assert prompt.text.index("A. ") < prompt.text.index("Now:")
    assert "unused" not in prompt.text


def test_characters_of_many_bytes_keep_their_roles():
    asked = Question(
        id="1",
        culture="Japan",
        text="日本の正月に食べる料理は?",
        options=("雑煮", "ラーメン"),
        answer=0,
    )
    for architecture in ("llama", "gpt2"):
        tokenizer = tiny_tokenizer(architecture)
        prompt = build_prompt(asked, tokenizer)
        assert tokens_of(prompt, tokenizer, Role.QUESTION).strip() == asked.text
        assert squeezed(tokens_of(prompt, tokenizer, Role.OPTIONS)) == "雑煮ラーメン"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_control_twin_asks_nothing_and_offers_the_same(architecture):
    tokenizer = tiny_tokenizer(architecture)
    question = toy_questions()[0]
    twin, prompt = (
        build_prompt(control_twin(question), tokenizer),
        build_prompt(question, tokenizer),
    )
    assert Role.QUESTION not in twin.roles
    assert tokens_of(twin, tokenizer, Role.OPTIONS) == tokens_of(prompt, tokenizer, Role.OPTIONS)
    assert question.prompt.instruction in twin.text and question.text not in twin.text
    assert twin.question.answer == question.answer


# ------------------------------------------------------------------ labels and continuations


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_are_the_tokens_that_would_follow(architecture):
    tokenizer = tiny_tokenizer(architecture)
    for form in (PromptFormat(), LETTERS):
        (question,) = with_format(toy_questions()[:1], form)
        prompt = build_prompt(question, tokenizer)
        ids = label_ids(prompt, tokenizer)
        words = [tokenizer.decode([i]) for i in ids]
        assert len(ids) == 4 and [word.strip() for word in words] == list("ABCD")
        if form is LETTERS:
            assert words == list("ABCD")


def test_space_before_an_answer():
    def ending(text):
        return Prompt(toy_questions()[0], text, (), (), "choices")

    assert joined(ending("Answer:"), "tea") == " tea"
    assert joined(ending("[/INST]"), "tea") == " tea"
    for end in ("assistant\n", '{"answer_choice":"', "Answer: ", "<|assistant|>"):
        assert joined(ending(end), "tea") == "tea"
    assert joined(ending("Answer:"), "tea", "bare") == "tea"
    assert joined(ending("Answer:\n"), "tea", "space") == " tea"


def test_label_form_is_obeyed():
    tokenizer = tiny_tokenizer("llama")
    for form, word in (("bare", "A"), ("space", " A")):
        (question,) = with_format(toy_questions()[:1], PromptFormat(label_form=form))
        ids = label_ids(build_prompt(question, tokenizer), tokenizer)
        assert tokenizer.decode([ids[0]]) == word


def test_a_label_that_is_not_one_token_is_refused():
    # The tiny tokenizers have merged " A" to " E", and not " F".
    options = tuple(f"option {i}" for i in range(6))
    asked = Question(
        id="six",
        culture="Japan",
        text="Which?",
        options=options,
        answer=0,
        prompt=PromptFormat(label_form="space"),
    )
    tokenizer = tiny_tokenizer("llama")
    with pytest.raises(InputError) as caught:
        label_ids(build_prompt(asked, tokenizer), tokenizer)
    words = ("question 'six'", "label 'F' is not one token", "but 2", "option_likelihood")
    assert all(word in str(caught.value) for word in words)


def test_labels_that_share_a_token_are_refused():
    inner = Tokenizer(models.WordLevel({"[UNK]": 0, "Answer:": 1}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    with pytest.raises(InputError, match="two labels share one token.*option_likelihood"):
        label_ids(build_prompt(toy_questions()[0], tokenizer), tokenizer)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_continuation_leaves_the_prompt_alone(architecture):
    tokenizer = tiny_tokenizer(architecture)
    prompt = build_prompt(toy_questions()[0], tokenizer, "cloze")
    for text in (" Japan", "Japan", " coffee with sugar", "é", "\n"):
        ids = continuation_ids(prompt, text, tokenizer)
        assert tokenizer.decode(list(ids)) == text
        assert tokenizer.bos_token_id is None or tokenizer.bos_token_id not in ids


# ------------------------------------------------------------------ what is refused


def test_unknown_style():
    with pytest.raises(InputError, match="style 'chat': use 'choices' or 'cloze'"):
        build_prompt(toy_questions()[0], tiny_tokenizer("llama"), "chat")


def test_a_template_that_rewrites_the_message_is_refused():
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = "{{ messages[0].content | upper }}"
    with pytest.raises(InputError, match="question 'food/Japan'.*rewrites the message.*tokenizer"):
        build_prompt(toy_questions()[0], tokenizer)


def test_a_slow_tokenizer_is_refused():
    slow = SimpleNamespace(is_fast=False, chat_template=None, apply_chat_template=None)
    with pytest.raises(InputError, match="slow tokenizer.*use_fast=True"):
        build_prompt(toy_questions()[0], slow)


def test_the_tokenizer_is_not_changed():
    for architecture in ARCHITECTURES:
        tokenizer = tiny_tokenizer(architecture)
        before = copy.deepcopy(tokenizer)
        build_prompt(toy_questions()[0], tokenizer)
        assert tokenizer("Answer").input_ids == before("Answer").input_ids
        assert tokenizer.padding_side == before.padding_side
        assert tokenizer.pad_token == before.pad_token


def test_digits_label_the_options_of_a_format_that_asks_for_them():
    form = PromptFormat(layout="{question}\n{options}", labels="1234", answer_prefix='{"answer":"')
    asked = replace(toy_questions()[0], prompt=form)
    for architecture in ARCHITECTURES:
        tokenizer = tiny_tokenizer(architecture)
        prompt = build_prompt(asked, tokenizer)
        assert f"1. {asked.options[0]}\n2. {asked.options[1]}" in prompt.text
        assert tokenizer.convert_ids_to_tokens(list(label_ids(prompt, tokenizer))) == list("1234")


def test_space_around_an_option_is_shown_but_not_scored():
    asked = replace(toy_questions()[0], options=("rice ", " bread"), answer=0)
    tokenizer = tiny_tokenizer("llama")
    assert "A. rice \nB.  bread" in build_prompt(asked, tokenizer).text
    cloze = build_prompt(asked, tokenizer, "cloze")
    plain = build_prompt(replace(asked, options=("rice", "bread")), tokenizer, "cloze")
    assert cloze.continuations == plain.continuations
