"""Prompts -> Batches: checked against the context, sorted by length, padded on the left.

What rows have in common at their start, a system message or a picture, can be run once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.questions.question import Question

Result = TypeVar("Result")
TOO_LONG = ("error", "skip", "truncate")
SHORTEST_PREFIX = 8
"""Below so many tokens, running a common start apart costs more than it saves."""


def build_prompts(
    questions: Sequence[Question],
    processor: Any,
    *,
    style: str = "choices",
    context: int | None = None,
    reserve: int = 0,
    too_long: str = "error",
    progress: bool = True,
) -> list[Prompt]:
    """Turn questions into prompts and deal with those longer than the model's context.

    Args:
        questions: What to ask.
        processor: What the model reads with, ``model.processor``: a fast tokenizer, a
            ``VisionProcessor``, or the ``Seq2SeqReader`` of an encoder-decoder.
        style: ``"choices"`` or ``"cloze"``.
        context: The model's context in tokens; no check where ``None``.
        reserve: Tokens to keep free behind every prompt; the options of a cloze prompt always
            have room kept for them.
        too_long: ``"error"`` refuses, ``"skip"`` leaves those questions out, ``"truncate"`` drops
            tokens from the start of the question; the last two say how many.
        progress: Show a progress bar where there are pictures, each of which is read.

    Raises:
        InputError: Prompts too long under ``"error"``, an unknown policy, or a picture that
            cannot be read.

    Example:
        ``prompts = build_prompts(questions, model.processor, context=model.context)``
    """
    if too_long not in TOO_LONG:
        raise InputError(f"too_long={too_long!r}: use one of {', '.join(TOO_LONG)}.")
    quiet = not progress or all(question.image is None for question in questions)
    asked = tqdm(questions, desc="reading pictures", unit="item", disable=quiet, leave=False)
    prompts = [build_prompt(question, processor, style) for question in asked]
    if context is None:
        return prompts

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
    warnings.warn(f"{said}: {verb}.", CultureLensWarning, stacklevel=2)
    if too_long == "skip":
        return [prompt for prompt in prompts if excess(prompt) <= 0]
    return [truncated(prompt, len(prompt.ids) - excess(prompt)) for prompt in prompts]


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


def shared_prefix_length(prompts: Sequence[Prompt]) -> int:
    """Count the tokens, the same in id and role, that all prompts begin with.

    Never a whole prompt: each keeps a token of its own to be answered behind. Never a part of a
    picture, which a model must see whole.

    Example:
        ``shared_prefix_length(prompts)`` is the length of the chat template's system message.
    """
    if not prompts:
        return 0
    shortest = min(prompts, key=lambda prompt: len(prompt.ids))
    length = len(shortest.ids) - 1
    for prompt in prompts:
        pairs = zip(
            zip(prompt.ids, prompt.roles, strict=True),
            zip(shortest.ids[:length], shortest.roles[:length], strict=True),
            strict=False,
        )
        length = next((i for i, (one, other) in enumerate(pairs) if one != other), length)
    pictures = {picture_key(prompt) for prompt in prompts}
    places = [i for i, role in enumerate(shortest.roles) if role == Role.IMAGE]
    if places and (len(pictures) > 1 or length <= places[-1]):
        length = min(length, places[0])
    return max(length, 0)


def picture_key(prompt: Prompt) -> str:
    """Name the picture of a prompt by its content; empty where it has none."""
    image = prompt.question.image
    return "" if image is None else str(image.key)


def collate(prompts: Sequence[Prompt], pad_id: int, prefix_lengths: Sequence[int] = ()) -> Batch:
    """Pad prompts on the left into one batch.

    Args:
        prompts: The prompts.
        pad_id: Token id of the padding.
        prefix_lengths: For each prompt, how many of its first tokens are run before the rest; rows
            that begin alike share them. Empty: nothing is run apart.

    Example:
        ``collate(prompts[:8], model.pad_id).input_ids.shape``
    """
    if not prefix_lengths:
        return padded(prompts, pad_id)
    alike: dict[tuple[str, tuple[int, ...]], int] = {}
    cut: list[Prompt] = []
    prefix_of_row = []
    for prompt, start in zip(prompts, prefix_lengths, strict=True):
        key = (picture_key(prompt), prompt.ids[:start])
        if key not in alike:
            alike[key] = len(cut)
            cut.append(part(prompt, 0, start))
        prefix_of_row.append(alike[key])
    rests = [
        part(prompt, start, None) for prompt, start in zip(prompts, prefix_lengths, strict=True)
    ]
    prefixes, rest = padded(cut, pad_id), padded(rests, pad_id)
    rows = torch.tensor(prefix_of_row)
    return Batch(
        tuple(prompts),
        torch.cat([prefixes.input_ids[rows], rest.input_ids], 1),
        torch.cat([prefixes.attention_mask[rows], rest.attention_mask], 1),
        torch.cat([prefixes.roles[rows], rest.roles], 1),
        prefixes,
        tuple(prefix_of_row),
    )


def part(prompt: Prompt, start: int, end: int | None) -> Prompt:
    """Cut some of a prompt's tokens out."""
    return replace(prompt, ids=prompt.ids[start:end], roles=prompt.roles[start:end])


def padded(prompts: Sequence[Prompt], pad_id: int) -> Batch:
    """Pad prompts on the left to the longest."""
    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    roles = torch.full_like(ids, int(Role.PADDING))
    for row, prompt in enumerate(prompts):
        start = width - len(prompt.ids)
        ids[row, start:] = torch.tensor(prompt.ids)
        mask[row, start:] = 1
        roles[row, start:] = torch.tensor(prompt.roles)
    return Batch(tuple(prompts), ids, mask, roles)


def shared_prefix_lengths(prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """Say how many first tokens of each prompt of a batch are worth running apart.

    Prompts on one picture share what comes up to and with it; prompts without one share their
    system message. Empty where nothing is shared or too little.

    Example:
        ``collate(prompts, model.pad_id, shared_prefix_lengths(prompts))``
    """
    groups: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault(picture_key(prompt), []).append(prompt)
    if len(groups) == len(prompts):
        return ()
    lengths = {key: shared_prefix_length(group) for key, group in groups.items()}
    if min(lengths.values()) < SHORTEST_PREFIX:
        return ()
    return tuple(lengths[picture_key(prompt)] for prompt in prompts)


def check_batch_size(batch_size: int) -> None:
    """Refuse batches without a row.

    Raises:
        InputError: The size is below 1.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}.")


def batches(
    prompts: Sequence[Prompt], batch_size: int, pad_id: int, *, share_prefix: bool = False
) -> list[Batch]:
    """Cut prompts into batches of like length, longest first so that memory fails early.

    Prompts on one picture stay together.

    Args:
        prompts: The prompts.
        batch_size: Rows of a batch.
        pad_id: Token id of the padding.
        share_prefix: Run what rows have in common at their start once; see
            ``shared_prefix_lengths``.

    Example:
        ``for batch in batches(prompts, 16, model.pad_id): ...``
    """
    check_batch_size(batch_size)
    longest: dict[str, int] = {}
    for prompt in prompts:
        key = picture_key(prompt)
        longest[key] = max(longest.get(key, 0), len(prompt.ids))

    def place(prompt: Prompt) -> tuple[Any, ...]:
        own, key = len(prompt.ids), picture_key(prompt)
        return (-longest[key] if key else -own, key, -own, prompt.question.id)

    rows: list[list[Prompt]] = [[]]
    groups = groupby(sorted(prompts, key=place), key=lambda p: picture_key(p) or p.question.id)
    for group in (list(members) for _, members in groups):
        if rows[-1] and len(rows[-1]) + len(group) > batch_size:
            rows.append([])
        for prompt in group:
            if len(rows[-1]) == batch_size:
                rows.append([])
            rows[-1].append(prompt)
    return [
        collate(some, pad_id, shared_prefix_lengths(some) if share_prefix else ())
        for some in rows
        if some
    ]


def halves(batch: Batch, pad_id: int) -> tuple[Batch, Batch]:
    """Cut a batch in two, padded anew."""
    middle = (len(batch.prompts) + 1) // 2
    parts = (batch.prompts[:middle], batch.prompts[middle:])
    share_prefix = batch.prefixes is not None
    one, other = (
        collate(some, pad_id, shared_prefix_lengths(some) if share_prefix else ()) for some in parts
    )
    return one, other


def out_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory, on any device, from other errors."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("out of memory", "can't allocate memory"))
    )


def run_batches(
    work: Sequence[Batch],
    step: Callable[[Batch], Result],
    *,
    pad_id: int,
    progress: bool = True,
    label: str = "",
) -> Iterator[tuple[Batch, Result]]:
    """Run a step over batches; where memory runs out, halve the batch, say so, and go on.

    Args:
        work: The batches.
        step: What to do with each; it must have no effect until it returns.
        pad_id: Token id for padding the halves anew.
        progress: Show a progress bar over items.
        label: Its label.

    Yields:
        Each batch that ran, with the step's result.

    Raises:
        RuntimeError: Memory runs out even for a single row.

    Example:
        ``for batch, logits in run_batches(work, model.logits, pad_id=model.pad_id): ...``
    """
    total = sum(len(batch.prompts) for batch in work)
    stack, limit = list(reversed(work)), max((len(b.prompts) for b in work), default=1)
    with tqdm(total=total, desc=label, unit="item", disable=not progress, leave=False) as bar:
        while stack:
            batch = stack.pop()
            rows = len(batch.prompts)
            if rows > limit:
                stack += reversed(halves(batch, pad_id))
                continue
            failed = False
            try:
                result = step(batch)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or rows == 1:
                    raise
                failed = True  # leave the handler first: the traceback holds the tensors
            if failed:
                limit = (rows + 1) // 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                warnings.warn(
                    f"out of memory at {rows} rows of {batch.input_ids.shape[1]} tokens: going on "
                    f"with {limit} rows a batch.",
                    CultureLensWarning,
                    stacklevel=2,
                )
                stack.append(batch)
                continue
            bar.update(rows)
            yield batch, result
