"""Prompts -> Batches: checked against the context, sorted by length, padded on the left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.items import Batch, Prompt, Question, Role
from culture_lens.prompts import build_prompt

Result = TypeVar("Result")
TOO_LONG = ("error", "skip", "truncate")


def build_prompts(
    questions: Sequence[Question],
    tokenizer: Any,
    *,
    style: str = "choices",
    context: int | None = None,
    reserve: int = 0,
    too_long: str = "error",
) -> list[Prompt]:
    """Turn questions into prompts and deal with those longer than the model's context.

    Args:
        questions: What to ask.
        tokenizer: A fast tokenizer.
        style: ``"choices"`` or ``"cloze"``.
        context: The model's context in tokens; no check where ``None``.
        reserve: Tokens to keep free behind every prompt; the options of a cloze prompt always
            have room kept for them.
        too_long: ``"error"`` refuses, ``"skip"`` leaves those questions out, ``"truncate"`` drops
            tokens from the start of the question; the last two say how many.

    Raises:
        InputError: Prompts too long under ``"error"``, or an unknown policy.

    Example:
        ``prompts = build_prompts(questions, model.tokenizer, context=model.context)``
    """
    if too_long not in TOO_LONG:
        raise InputError(f"too_long={too_long!r}: use one of {', '.join(TOO_LONG)}.")
    prompts = [build_prompt(question, tokenizer, style) for question in questions]
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


def common_prefix(prompts: Sequence[Prompt]) -> int:
    """Count the tokens that all prompts begin with and that no statistic counts.

    Only template tokens, and never a whole prompt: each row keeps a token of its own.

    Example:
        ``common_prefix(prompts)`` is the length of the chat template's system message.
    """
    if not prompts:
        return 0
    first = prompts[0]
    length = min(len(prompt.ids) for prompt in prompts) - 1
    for position in range(length):
        token = first.ids[position]
        if first.roles[position] != Role.TEMPLATE or any(
            prompt.ids[position] != token or prompt.roles[position] != Role.TEMPLATE
            for prompt in prompts
        ):
            return position
    return max(length, 0)


def collate(prompts: Sequence[Prompt], pad_id: int, prefix: int = 0) -> Batch:
    """Pad prompts on the left into one batch.

    Args:
        prompts: The prompts.
        pad_id: Token id of the padding.
        prefix: Leading tokens, the same in all, to put before the padding.

    Example:
        ``collate(prompts[:8], model.pad_id).input_ids.shape``
    """
    width = max(len(prompt.ids) for prompt in prompts)
    rows = len(prompts)
    ids = torch.full((rows, width), pad_id, dtype=torch.long)
    mask = torch.zeros((rows, width), dtype=torch.long)
    roles = torch.full((rows, width), int(Role.PADDING), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        start = width - len(prompt.ids)
        places = torch.cat([torch.arange(prefix), torch.arange(start + prefix, width)])
        ids[row, places] = torch.tensor(prompt.ids)
        mask[row, places] = 1
        roles[row, places] = torch.tensor(prompt.roles)
    return Batch(tuple(prompts), ids, mask, roles, prefix)


def check_batch_size(batch_size: int) -> None:
    """Refuse batches without a row.

    Raises:
        InputError: The size is below 1.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}.")


def batches(
    prompts: Sequence[Prompt], batch_size: int, pad_id: int, prefix: int = 0
) -> list[Batch]:
    """Cut prompts into batches of like length, longest first so that memory fails early.

    Example:
        ``for batch in batches(prompts, 16, model.pad_id): ...``
    """
    check_batch_size(batch_size)
    ordered = sorted(prompts, key=lambda prompt: (-len(prompt.ids), prompt.question.id))
    return [
        collate(ordered[start : start + batch_size], pad_id, prefix)
        for start in range(0, len(ordered), batch_size)
    ]


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
                half = (rows + 1) // 2
                stack.append(collate(batch.prompts[half:], pad_id, batch.prefix))
                stack.append(collate(batch.prompts[:half], pad_id, batch.prefix))
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
