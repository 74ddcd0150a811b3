"""Question -> Prompt: layout, chat template, answer prefix and the role of every token.

The steps:
1. Fill the layout; remember which characters are question and which are options.
2. Put the message through the chat template where there is one, then append the answer prefix.
3. Write the image tokens of a picture in the place of the template's placeholder.
4. Tokenise once, with exactly one BOS where the model has one.
5. An image token has the role ``IMAGE``; any other that of its first character that is no space.

Nothing here runs a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from culture_lens.errors import InputError
from culture_lens.prompts.encoder_decoder import Seq2SeqReader, answer_ids, for_both_sides
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.vision_processor import VisionProcessor, image_token
from culture_lens.questions.question import Question

Span = tuple[int, int, Role]
FIELD = re.compile(r"\{(question|instruction|options)\}")


def fill_layout(question: Question, style: str) -> tuple[str, list[Span]]:
    r"""Write the user's message and say which characters are question or options.

    Args:
        question: What to ask.
        style: ``"choices"`` or ``"cloze"``.

    Returns:
        The message and spans ``(start, end, role)``; characters in no span are template.

    Example:
        >>> q = Question(id="1", culture="Japan", text="Coin?", options=("yen", "won"), answer=0,
        ...              prompt=PromptFormat(layout="{question} {options}"))
        >>> fill_layout(q, "choices")[0]
        'Coin? A. yen\nB. won'
    """
    form = question.prompt
    layout = form.layout if style == "choices" else form.cloze
    instruction = form.instruction if style == "choices" else form.cloze_instruction
    message, spans, position = "", [], 0
    for found in FIELD.finditer(layout):
        message += layout[position : found.start()]
        position = found.end()
        if found[1] == "instruction":
            message += instruction
        elif found[1] == "question":
            spans.append((len(message), len(message) + len(question.text), Role.QUESTION))
            message += question.text
        else:
            for index, (label, option) in enumerate(
                zip(question.labels, question.options, strict=True)
            ):
                message += f"{label}. " if index == 0 else f"\n{label}. "
                spans.append((len(message), len(message) + len(option), Role.OPTIONS))
                message += option
    message += layout[position:]
    lead = len(message) - len(message.lstrip())
    spans = [(start - lead, end - lead, role) for start, end, role in spans]
    return message.strip(), spans


def tokenizer_of(processor: Any) -> Any:
    """Give the tokenizer of what a model reads with: itself, or that of what wraps it."""
    wrapped = isinstance(processor, (VisionProcessor, Seq2SeqReader))
    return processor.tokenizer if wrapped else processor


def render(question: Question, processor: Any, style: str) -> tuple[str, list[Span]]:
    """Write the whole prompt with special tokens, a picture still as its placeholder.

    Raises:
        InputError: The chat template changed or dropped the message, the question has a picture
            and the model reads text only, or a text holds the placeholder of a picture.
    """
    message, spans = fill_layout(question, style)
    # An encoder-decoder is given it on the other side.
    begun = style == "choices" and not isinstance(processor, Seq2SeqReader)
    prefix = question.prompt.answer_prefix if begun else ""
    vision = processor if isinstance(processor, VisionProcessor) else None
    pictured = question.image is not None
    if pictured and vision is None:
        raise InputError(
            f"question {question.id!r} has an image, but this model reads text only: load a "
            "vision-language model, or ask questions without images."
        )
    marks = (vision.placeholder, image_token(vision.processor)) if vision is not None else ()
    if found := next((mark for mark in marks if mark in message), None):
        raise InputError(
            f"question {question.id!r}: its text holds {found!r}, which stands for a "
            "picture in this model's prompts: take it out of the question and its options."
        )
    if processor.chat_template:
        options = no_thinking(processor)
        if vision is not None:
            text = vision.apply_chat_template(message, pictured, **options)
        else:
            text = tokenizer_of(processor).apply_chat_template(
                [{"role": "user", "content": message}],
                tokenize=False,
                add_generation_prompt=True,
                **options,
            )
        start = text.rfind(message)
        if start < 0:
            raise InputError(
                f"question {question.id!r}: the chat template of this tokenizer rewrites the "
                "message, so token roles cannot be told; give load_model a tokenizer with a "
                "template that keeps it."
            )
    else:
        before = f"{vision.placeholder}\n" if vision is not None and pictured else ""
        asks = message.endswith("Answer:")
        text, start = before + (message if asks else f"{message}\nAnswer:"), len(before)
    spans = [(start + a, start + b, role) for a, b, role in spans]
    if prefix:
        spans.append((len(text), len(text) + len(prefix), Role.ANSWER_PREFIX))
    return text + prefix, spans


def with_picture(
    text: str, spans: list[Span], question: Question, vision: VisionProcessor
) -> tuple[str, list[Span], int]:
    """Write the image tokens of a question's picture in the place of the placeholder.

    Returns:
        The text, its spans, and where the picture ends in it.

    Raises:
        InputError: The prompt has no placeholder, or more than one.
    """
    count = text.count(vision.placeholder)
    if count != 1:
        raise InputError(
            f"question {question.id!r}: its prompt has {count} image tokens "
            f"({vision.placeholder!r}) for one picture; the chat template must write exactly one: "
            "give load_model a processor whose template does."
        )
    place = text.index(vision.placeholder)
    behind = place + len(vision.placeholder)
    written = vision.written(question.image)
    more = len(written) - len(vision.placeholder)
    spans = [(a + more, b + more, role) if a >= behind else (a, b, role) for a, b, role in spans]
    return text[:place] + written + text[behind:], spans, place + len(written)


def no_thinking(processor: Any) -> dict[str, bool]:
    """Switch off the thinking mode of templates that have one, so that the answer comes next."""
    return {"enable_thinking": False} if "enable_thinking" in processor.chat_template else {}


def adds_bos(tokenizer: Any) -> bool:
    """Say whether this tokenizer puts a BOS before plain text.

    Example:
        ``adds_bos(model.tokenizer)`` is true for Llama 3 and false for Qwen3.
    """
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("a").input_ids[:1] == [bos]


def encode(text: str, tokenizer: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokenise a rendered prompt with exactly one BOS where the model has one, none where not.

    The model has a BOS if its tokenizer adds one to plain text or its chat template begins with
    one; a doubled BOS changes the logits of every later token.

    Returns:
        Token ids and, for each, the characters ``(start, end)`` that it covers; an empty span for
        a BOS that is not written in the text.

    Raises:
        InputError: The tokenizer cannot say which characters a token covers.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} is a slow tokenizer without character offsets, which "
            "token roles need; load the fast version (use_fast=True)."
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(encoded.input_ids), [tuple(o) for o in encoded.offset_mapping]
    bos = tokenizer.bos_token_id
    if bos is not None:
        doubled = len(ids) > 1 and ids[0] == ids[1] == bos
        if doubled:
            ids, offsets = ids[1:], offsets[1:]
        elif adds_bos(tokenizer) and ids[:1] != [bos]:
            ids, offsets = [bos, *ids], [(0, 0), *offsets]
    return ids, offsets


def token_roles(text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[int]:
    """Give each token the role of its first character that is not a space.

    Example:
        >>> token_roles("ab cd", [(0, 2), (2, 5)], [(3, 5, Role.QUESTION)])
        [1, 3]
    """
    roles = []
    for start, end in offsets:
        if start == end:  # a BOS that the text does not show
            roles.append(int(Role.TEMPLATE))
            continue
        letters = text[start:end]
        first = start + len(letters) - len(letters.lstrip())
        first = min(first, max(end - 1, start))
        inside = [role for a, b, role in spans if a <= first < b]
        roles.append(int(inside[0] if inside else Role.TEMPLATE))
    return roles


def build_prompt(question: Question, processor: Any, style: str = "choices") -> Prompt:
    """Turn a question into token ids and token roles for one model.

    Args:
        question: What to ask; its ``prompt`` says in which words.
        processor: What the model reads with, ``model.processor``: a fast Hugging Face tokenizer,
            with or without a chat template, a ``VisionProcessor``, or a ``Seq2SeqReader``.
        style: ``"choices"`` shows the options; ``"cloze"`` does not, and the options are scored
            as continuations.

    Raises:
        InputError: An unknown style, a slow tokenizer, a template that rewrites the message, or a
            picture that cannot be read or that the model cannot take.

    Example:
        ``build_prompt(questions[0], model.processor).text`` shows what the model sees.
    """
    if style not in ("choices", "cloze"):
        raise InputError(f"prompt style {style!r}: use 'choices' or 'cloze'.")
    tokenizer = tokenizer_of(processor)
    text, spans = render(question, processor, style)
    tail = 0
    if question.image is not None:
        text, spans, tail = with_picture(text, spans, question, processor)
    ids, offsets = encode(text, tokenizer)
    roles = token_roles(text, offsets, spans)
    if question.image is not None:
        picture = processor.image_token_id
        roles = [int(Role.IMAGE) if i == picture else r for i, r in zip(ids, roles, strict=True)]
        check_picture(roles, question, processor)
    prompt = Prompt(question, text, tuple(ids), tuple(roles), style, tail=tail)
    if isinstance(processor, Seq2SeqReader):
        prompt = for_both_sides(prompt, processor)
    if style == "choices":
        return prompt
    options = (joined(prompt, option.strip()) for option in question.options)
    ids_of = (continuation_ids(prompt, option, tokenizer) for option in options)
    return replace(prompt, continuations=tuple(ids_of))


def check_picture(roles: Sequence[int], question: Question, vision: VisionProcessor) -> None:
    """Refuse a prompt in which the model would not see the picture.

    Raises:
        InputError: The processor writes other image tokens than the model looks for.
    """
    if Role.IMAGE not in roles:
        raise InputError(
            f"question {question.id!r}: no token of its prompt is the model's image token "
            f"({vision.image_token_id}), although {type(vision.processor).__name__} wrote a "
            "picture: this processor does not belong to the model."
        )


def continuation_ids(prompt: Prompt, continuation: str, tokenizer: Any) -> tuple[int, ...]:
    """Tokenise a text that follows the prompt, without touching the prompt's own tokens.

    The continuation is tokenised in place; where its first characters would merge with the
    prompt's last token it is tokenised by itself.

    Example:
        ``continuation_ids(prompt, "Tokyo", model.tokenizer)``
    """
    if prompt.decoder_ids:
        return answer_ids(prompt, continuation, tokenizer)
    if prompt.tail:  # thousands of image tokens need not be written out again for every option
        own = tokenizer(prompt.text[prompt.tail :], add_special_tokens=False).input_ids
        text = prompt.text[prompt.tail :] + continuation
        whole = tokenizer(text, add_special_tokens=False).input_ids
        same = tuple(own) == prompt.ids[len(prompt.ids) - len(own) :]
        if own and same and whole[: len(own)] == own and len(whole) > len(own):
            return tuple(whole[len(own) :])
    whole, _ = encode(prompt.text + continuation, tokenizer)
    known = len(prompt.ids)
    if tuple(whole[:known]) == prompt.ids and len(whole) > known:
        return tuple(whole[known:])
    return tuple(tokenizer(continuation, add_special_tokens=False).input_ids)


def joined(prompt: Prompt, answer: str, form: str = "auto") -> str:
    """Put a space before an answer where the end of the prompt asks for one.

    Example:
        After ``Answer:`` comes ``" A"``; after a line break or a quotation mark ``"A"``.
    """
    if form == "auto":
        form = "bare" if prompt.before_answer[-1:] in {"", "\n", '"', "'", " ", ">"} else "space"
    return answer if form == "bare" else f" {answer}"


def label_ids(prompt: Prompt, tokenizer: Any) -> tuple[int, ...]:
    """Find the single token of each option's letter as it would follow this prompt.

    Raises:
        InputError: A letter is not one token after this prompt.

    Example:
        ``label_ids(prompt, model.tokenizer)`` gives four ids for four options.
    """
    form = prompt.question.prompt.label_form
    ids = []
    for label in prompt.question.labels:
        tokens = continuation_ids(prompt, joined(prompt, label, form), tokenizer)
        if len(tokens) != 1:
            pieces = tokenizer.convert_ids_to_tokens(list(tokens))
            raise InputError(
                f"question {prompt.question.id!r}: the label {label!r} is not one token after "
                f"{prompt.before_answer[-20:]!r} but {len(tokens)} ({pieces}); set the prompt "
                "format's label_form or answer_prefix, or score by option_likelihood."
            )
        ids.append(tokens[0])
    if len(set(ids)) < len(ids):
        raise InputError(
            f"question {prompt.question.id!r}: two labels share one token; score by "
            "option_likelihood, or use a tokenizer that tells letters apart."
        )
    return tuple(ids)
