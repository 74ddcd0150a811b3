"""Answer prompts under several conditions, with every saving that ``Speed`` allows.

For every batch of prompt trees: the layers below a condition's first ablated neuron are not run
again; an ablation to zero is in the weights, any other is hooks; what is read stays on the device
until all batches are done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from culture_lens.errors import warn
from culture_lens.evaluation.scoring import Answer, Read, Scoring
from culture_lens.evaluation.tree_work import Placed, TreeWork, first_layer
from culture_lens.interventions.folding import can_fold, folded
from culture_lens.interventions.hooks import Value, ablation_hooks
from culture_lens.models.lens_model import LensModel
from culture_lens.models.skipped_layers import catching, from_layer
from culture_lens.models.trees import TreeReads, joined, read_trees, repeated
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.run_batches import out_of_memory
from culture_lens.prompts.speed import Speed
from culture_lens.prompts.trees import options_of

NO_NEURONS = Neurons.of({})


def tree_answers(
    work: TreeWork,
    scoring: Scoring,
    masks: Sequence[Neurons | None],
    *,
    value: Value = "zero",
    label: str = "",
    progress: bool = True,
) -> list[dict[str, Answer]]:
    """Answer prompts under one condition, or under several as rows of the same batches.

    Args:
        work: The prompts.
        scoring: How answers are read.
        masks: The neurons that are ablated; None for the unmodified model.
        value: What they are set to.
        label: Label of the progress bar.
        progress: Whether to show it.

    Returns:
        For each condition, the answer to every question by its id.

    Raises:
        InputError: The model gives NaN or infinite logits or scores.
    """
    model, found = work.model, []
    prompts: list[Prompt] = []
    with (
        tqdm(total=work.total, desc=label, unit="item", disable=not progress, leave=False) as bar,
        whole_pass(model, masks, value, work.speed) as inside,
        model.vision.ahead(work.images(), work.speed.picture_threads),
    ):
        for placed in work.batches():
            for part in run_or_halve(work, placed, masks, None if inside else value):
                found.append(part[1])
                prompts += part[0].batch.prompts
                bar.update(len(part[0].batch.prompts))
    of_masks = [joined([reads.part(at, len(masks)) for reads in found]) for at in range(len(masks))]
    return [answers_of(scoring, prompts, reads) for reads in of_masks]


@contextmanager
def whole_pass(
    model: LensModel, masks: Sequence[Neurons | None], value: Value, speed: Speed
) -> Iterator[bool]:
    """Ablate what is ablated in all rows alike; say whether anything is left to be done."""
    if len(masks) > 1:
        yield False
        return
    (neurons,) = masks
    if neurons is None:
        yield True
        return
    hooks = ablation_hooks(model, neurons, value)  # refuses neurons of another model
    fold = speed.fold and can_fold(model, neurons, value)
    with folded(model, neurons) if fold else model.hooks(hooks):
        yield True


def run_or_halve(
    work: TreeWork, placed: Placed, masks: Sequence[Neurons | None], value: Value | None
) -> Iterator[tuple[Placed, TreeReads]]:
    """Run a batch; where memory runs out, warn, halve it and go on."""
    stack = [placed]
    while stack:
        one, failed = stack.pop(), False
        try:
            reads = run(work, one, masks, value)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or len(one.batch.prompts) == 1:
                raise
            failed = True  # leave the handler first: the traceback holds the tensors
        if not failed:
            yield one, reads
            continue
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warn(
            f"out of memory at {len(one.batch.prompts)} questions in {one.batch.input_ids.numel()} "
            "tokens: going on with half as many."
        )
        stack += reversed(work.split(one))


@torch.inference_mode()
def run(
    work: TreeWork, placed: Placed, masks: Sequence[Neurons | None], value: Value | None
) -> TreeReads:
    """Run a batch, from the first ablated layer on where the stream that enters it is kept."""
    model, number, times = work.model, placed.number, len(masks)
    tree = repeated(placed.batch, times) if times > 1 else placed.batch
    first = min(first_layer(model, neurons) for neurons in masks)
    start = work.kept.deepest(number, first)
    stream = work.kept.streams[number, start].repeat(times, 1, 1) if start else None
    wanted = [at for at in work.layers if start < at <= first]

    def keep(layer: int, entered: Tensor) -> None:
        work.kept.keep(number, layer, entered[: placed.batch.rows])

    edits: Any = nullcontext()
    if value is not None:
        rows = [neurons or NO_NEURONS for neurons in masks for _ in range(placed.batch.rows)]
        edits = model.hooks(ablation_hooks(model, rows, value))
    blocks = model.bridge.blocks
    with edits, from_layer(blocks, start, stream), catching(blocks, wanted, keep):
        return read_trees(model.tree_logits(tree), tree)


def answers_of(scoring: Scoring, prompts: Sequence[Prompt], reads: TreeReads) -> dict[str, Answer]:
    """Make the answers of what was read, prompt by prompt."""
    logs, at, answers = reads.log_probs.double(), 0, {}
    for prompt, best, highest in zip(
        prompts, reads.next_tokens.tolist(), reads.highest.tolist(), strict=True
    ):
        options = options_of(prompt)
        starts = [at]
        for option in options:
            starts.append(starts[-1] + len(option))
        parts = [logs[a:b] for a, b in zip(starts, starts[1:])]
        read = Read(options, reads.logits[starts[:-1]], parts, best, highest)
        answers[prompt.question.id] = scoring.read(prompt, read)
        at = starts[-1]
    return answers


__all__ = ["tree_answers"]
