"""The user's message: line breaks that end it, and system prompts, in templates of every habit."""

import pytest

from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.layout import fill_layout
from culture_lens.prompts.prompt import Role
from culture_lens.questions.question import PromptFormat, Question, control_twin
from tests.helpers.tiny import tiny_tokenizer

ENDING = PromptFormat(instruction="Pick.", layout="{instruction}\n\n{question}\n{options}\n")
KEEPS = "<s>{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}[assistant]"
TRIMS = KEEPS.replace("m.content }}", "m.content | trim }}")
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + KEEPS
DROPS = KEEPS.replace("messages %}", "messages if m.role == 'user' %}")


def coin(form=ENDING, text="Coin?"):
    return Question("1", "Japan", text, ("yen", "won"), 0, prompt=form)


def tokenizer_with(template):
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("{question}\n{options}\n", "Coin?\nA. yen\nB. won\n"),
        ("{question}\n{options}\n\n", "Coin?\nA. yen\nB. won\n\n"),
        ("{question}\n{options} \n", "Coin?\nA. yen\nB. won\n"),
        ("\n{question}\n{options}  ", "Coin?\nA. yen\nB. won"),
        ("{question}\n{options}\n\n{instruction}", "Coin?\nA. yen\nB. won"),
        ("{instruction}\n\n{question}\n{options}\n", "Coin?\nA. yen\nB. won\n"),
    ],
)
def test_line_breaks_that_end_a_layout_stay(layout, message):
    """Space beside an empty field goes, at either end."""
    question = coin(PromptFormat(instruction="", layout=layout))
    found, spans = fill_layout(question, "choices")
    assert found == message
    assert [found[a:b] for a, b, _ in spans] == ["Coin?", "yen", "won"]
    twin = control_twin(coin(PromptFormat(layout="{question}\n{options}\n")))
    assert fill_layout(twin, "choices")[0] == "A. yen\nB. won\n"


@pytest.mark.parametrize(
    ("template", "end"), [(KEEPS, "won\n[end][assistant]"), (TRIMS, "won[end][assistant]")]
)
def test_the_break_reaches_the_prompt_unless_the_template_trims(template, end):
    tokenizer = tokenizer_with(template)
    prompt = build_prompt(coin(), tokenizer)
    assert prompt.text.endswith(end)
    kinds = {role: "" for role in (Role.QUESTION, Role.OPTIONS)}
    for token, role in zip(prompt.ids, prompt.roles, strict=True):
        if role in kinds:
            kinds[Role(role)] += tokenizer.decode([token])
    assert kinds[Role.QUESTION].strip() == "Coin?" and kinds[Role.OPTIONS].split() == ["yen", "won"]


def test_without_a_template_the_break_is_not_doubled():
    tokenizer = tokenizer_with(None)
    assert build_prompt(coin(), tokenizer).text == "Pick.\n\nCoin?\nA. yen\nB. won\nAnswer:"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (KEEPS, "<s>[system]Be kind.[end][user]Coin?[end][assistant]"),
        (TRIMS, "<s>[system]Be kind.[end][user]Coin?[end][assistant]"),
        (REFUSES, "<s>[user]Be kind.\n\nCoin?[end][assistant]"),
        (DROPS, "<s>[user]Be kind.\n\nCoin?[end][assistant]"),
        (None, "Be kind.\n\nCoin?\nAnswer:"),
    ],
)
def test_a_system_prompt_stands_before_the_message(template, expected):
    """In its own turn where the template has one, else in the user's message."""
    form = PromptFormat(system="Be kind.", cloze="{question}")
    tokenizer = tokenizer_with(template)
    prompt = build_prompt(coin(form), tokenizer, "cloze")
    assert prompt.text == expected
    counted = [i for i, role in zip(prompt.ids, prompt.roles, strict=True) if role == Role.QUESTION]
    assert tokenizer.decode(counted).strip() == "Coin?"
    plain = build_prompt(coin(PromptFormat(cloze="{question}")), tokenizer, "cloze")
    assert "kind" not in plain.text
