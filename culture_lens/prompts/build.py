"""Question -> Prompt: layout, chat template, answer prefix and the role of every token.

The steps:
1. Fill the layout; remember which characters are question and which are options.
2. Put the message through the chat template where there is one, with the image tokens of a picture
   in the place of the template's placeholder, then append the answer prefix.
3. Tokenise once, with exactly one BOS where the model has one.
4. An image token has the role ``IMAGE``; any other that of its first character that is no space.
5. Refuse, leave out or truncate prompts that are longer than the model's context.

Nothing here runs a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from culture_lens.checks import check_arguments, flag, optional, text, whole
from culture_lens.errors import InputError, warn
from culture_lens.prompts.answers import joined
from culture_lens.prompts.layout import Span, fill_layout, token_roles
from culture_lens.prompts.packed import PackedPrompts
from culture_lens.prompts.prompt import STYLES, Prompt, Role, Style
from culture_lens.prompts.reader import Reader, Rendered
from culture_lens.prompts.running import TOO_LONG
from culture_lens.prompts.text_reader import as_reader
from culture_lens.prompts.tokens import encode
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.storage.progress import progress_bar


@check_arguments(
    questions=QUESTIONS,
    style=text,
    context=optional(whole(1)),
    reserve=whole(0),
    too_long=text,
    progress=flag,
)
def build_prompts(
    questions: Sequence[Question],
    processor: Any,
    *,
    style: Style = "choices",
    context: int | None = None,
    reserve: int = 0,
    too_long: str = "error",
    progress: bool = True,
) -> PackedPrompts:
    """Turn questions into prompts and deal with those longer than the model's context.

    Args:
        questions: What to ask.
        processor: What the model reads with, ``model.processor``; or a bare fast tokenizer.
        style: ``"choices"`` or ``"cloze"``.
        context: The model's context in tokens; no check where ``None``.
        reserve: Tokens to keep free after every prompt; the options of a cloze prompt always
            have room kept for them.
        too_long: ``"error"`` refuses, ``"skip"`` leaves those questions out, ``"truncate"`` drops
            tokens from the start of the question; the last two warn and count them.
        progress: Show a progress bar where there are pictures, each of which is read.

    Returns:
        The prompts, packed: a sequence that makes each prompt when it is asked for.

    Raises:
        InputError: Prompts too long under ``"error"``, an unknown policy, or a picture that
            cannot be read.

    Example:
        ``prompts = build_prompts(questions, model.processor, context=model.context)``
    """
    if too_long not in TOO_LONG:
        raise InputError(f"too_long={too_long!r}: use one of {', '.join(TOO_LONG)}.")
    reader = as_reader(processor)
    quiet = not progress or all(question.image is None for question in questions)
    asked = progress_bar(
        questions, desc="reading pictures", unit="item", progress=not quiet, leave=False
    )
    prompts = PackedPrompts(build_prompt(question, reader, style) for question in asked)
    return prompts if context is None else fitted(prompts, context, reserve, too_long)


def build_prompt(question: Question, processor: Any, style: Style = "choices") -> Prompt:
    """Turn a question into token ids and token roles for one model.

    Args:
        question: What to ask; its ``prompt`` says in which words.
        processor: What the model reads with, ``model.processor``; or a bare fast tokenizer, with
            or without a chat template.
        style: ``"choices"`` shows the options; ``"cloze"`` does not, and the options are scored
            as continuations.

    Raises:
        InputError: An unknown style, a slow tokenizer, a template that rewrites the message, an
            answer prefix that would be written twice, or a picture that cannot be read or that the
            model cannot take.

    Example:
        ``build_prompt(questions[0], model.processor).text`` shows what the model sees.
    """
    if style not in STYLES:
        raise InputError(f"prompt style {style!r}: use 'choices' or 'cloze'.")
    reader = as_reader(processor)
    rendered, spans = render(question, reader, style)
    ids, offsets = encode(rendered.text, reader.tokenizer)
    roles = token_roles(rendered.text, offsets, spans)
    prompt = Prompt(question, rendered.text, tuple(ids), tuple(roles), style, tail=rendered.tail)
    prompt = reader.finish(prompt)
    if style == "choices":
        return prompt
    options = (joined(prompt, option.strip()) for option in question.options)
    ids_of = (reader.continuation_ids(prompt, option) for option in options)
    return replace(prompt, continuations=tuple(ids_of))


def render(question: Question, reader: Reader, style: Style) -> tuple[Rendered, list[Span]]:
    """Write the whole prompt with special tokens; tell question, options and answer prefix apart.

    Raises:
        InputError: The chat template changed or dropped the message, the answer prefix is there
            already, or the question has a picture and the model reads text only.
    """
    if question.image is not None and not reader.takes_pictures:
        raise InputError(
            f"question {question.id!r} has an image, but this model reads text only: load a "
            "vision-language model, or ask questions without images."
        )
    message, inside = fill_layout(question, style)
    rendered = reader.render(question, message)
    text, start = rendered.text, rendered.start
    spans = [(start + a, start + b, role) for a, b, role in inside]
    prefix = question.prompt.answer_prefix if style == "choices" and reader.prefix_in_text else ""
    if prefix:
        check_not_twice(question, text)
        spans.append((len(text), len(text) + len(prefix), Role.ANSWER_PREFIX))
    return rendered._replace(text=text + prefix), spans


def check_not_twice(question: Question, text: str) -> None:
    """Refuse an answer prefix that the prompt ends with already: written twice, it misleads.

    Raises:
        InputError: The layout or the chat template has written it.
    """
    prefix = question.prompt.answer_prefix.strip()
    if prefix and text.rstrip().endswith(prefix):
        raise InputError(
            f"question {question.id!r}: its prompt ends with {prefix!r} before "
            f"answer_prefix={question.prompt.answer_prefix!r} is added, which would write it twice "
            "and mislead the model: leave answer_prefix empty, or take it out of the layout or the "
            "chat template."
        )


def fitted(prompts: PackedPrompts, context: int, reserve: int, too_long: str) -> PackedPrompts:
    """Refuse, leave out or truncate the prompts that do not fit a context; see ``build_prompts``.

    Raises:
        InputError: Prompts too long under ``"error"``, or too long even without their question.
    """

    def excess(prompt: Prompt) -> int:
        return len(prompt.ids) + max(prompt.longest_answer, reserve) - context

    long = [prompt for prompt in prompts if excess(prompt) > 0]
    if not long:
        return prompts
    longest = max(long, key=excess)
    said = (
        f"{len(long)} of {len(prompts)} prompts do not fit the context of {context} tokens (the "
        f"longest, {longest.question.id!r}, has {len(longest.ids)} and needs "
        f"{max(longest.longest_answer, reserve)} more for an answer)"
    )
    if too_long == "error":
        raise InputError(f"{said}; pass too_long='skip' or 'truncate', or shorten them.")
    verb = "left out" if too_long == "skip" else "truncated at the question's start"
    warn(f"{said}: {verb}.")
    if too_long == "skip":
        return PackedPrompts(prompt for prompt in prompts if excess(prompt) <= 0)
    return PackedPrompts(truncated(prompt, len(prompt.ids) - excess(prompt)) for prompt in prompts)


def truncated(prompt: Prompt, room: int) -> Prompt:
    """Drop question tokens from the front until the prompt fits.

    Raises:
        InputError: The prompt does not fit even without its question.
    """
    excess = len(prompt.ids) - room
    if excess <= 0:
        return prompt
    places = [i for i, role in enumerate(prompt.roles) if role == Role.QUESTION]
    if len(places) < excess:
        raise InputError(
            f"question {prompt.question.id!r}: even without its question the prompt is longer "
            f"than {room} tokens; leave it out with too_long='skip'."
        )
    dropped = set(places[:excess])
    keep = [i for i in range(len(prompt.ids)) if i not in dropped]
    return replace(
        prompt,
        ids=tuple(prompt.ids[i] for i in keep),
        roles=tuple(prompt.roles[i] for i in keep),
    )
