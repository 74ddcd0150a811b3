"""Passes: what the package's own forwards over some prompts run, counted without running them.

Prompts are cut into trees and batches by the functions that the runs themselves use, so that
shared beginnings, padding and options behind one context are counted as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.evaluation.tree_work import GPU_TOKENS, first_tokens, row_tokens
from culture_lens.experiments.planning.operations import Counted
from culture_lens.experiments.planning.shape import ModelShape
from culture_lens.models.trees import takes_trees
from culture_lens.prompts.batches import batches
from culture_lens.prompts.options import option_passes
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.running import BATCH_SIZE, Running
from culture_lens.prompts.trees import groups_of_trees, prompt_trees

GROWN = 4
"""On a GPU forwards grow as memory allows; so many times the first one is assumed."""


def tree_pass(
    shape: ModelShape, prompts: Sequence[Prompt], running: Running, on_gpu: bool
) -> Counted:
    """Count a pass over prompt trees; see ``evaluation.tree_answers``.

    Args:
        shape: The model.
        prompts: Prompts with their options or labels.
        running: Batch size and speed.
        on_gpu: Whether it runs on a GPU, where forwards are larger.
    """
    trees = prompt_trees(prompts, row_tokens(shape.decoder.d_model), running.batch_size)
    tokens = first_tokens(on_gpu, running.speed, running.batch_size)
    if on_gpu and tokens == GPU_TOKENS:
        tokens *= GROWN
    found = Counted()
    for group in groups_of_trees(trees, tokens, running.batch_size):
        width = max(len(tree.tokens) for tree in group)
        last = max(len(tree.read) for tree in group)
        found = found.plus(one_forward(len(group), width, width, len(group) * last))
    return found


def one_forward(rows: int, width: int, attended: int, read: int) -> Counted:
    """Count a forward of so many rows and columns, each attending to so many columns."""
    tokens, pairs = rows * width, rows * width * attended
    return Counted(
        *(tokens, pairs, read), forwards=1, most_tokens=tokens, most_pairs=pairs, most_read=read
    )


def batch_pass(
    shape: ModelShape, prompts: Sequence[Prompt], size: int, *, share: bool, options: bool
) -> Counted:
    """Count a pass over batches; see ``LensModel.logits`` and ``continuation_log_probs``.

    Args:
        shape: The model.
        prompts: The prompts.
        size: Prompts of a batch.
        share: Whether shared beginnings are run once.
        options: Whether options are run behind their prompts.
    """
    share = share and can_share(shape, prompts)
    found = Counted()
    for batch in batches(prompts, size, 0, share_prefix=share):
        rows, width = batch.input_ids.shape
        if shape.encoder is not None:
            found = found.plus(both_stacks(batch))
        elif batch.prefixes is None:
            found = found.plus(one_forward(rows, width, width, rows))
        else:
            held, first = batch.prefixes.input_ids.shape
            found = found.plus(one_forward(held, first, first, held))
            found = found.plus(one_forward(rows, width - first, width, rows))
        if options:
            found = found.plus(options_after(shape, batch))
    return found


def both_stacks(batch: Batch) -> Counted:
    """Count a forward of an encoder-decoder."""
    rows, width = batch.input_ids.shape
    begun = max(len(prompt.decoder_ids) for prompt in batch.prompts)
    run = one_forward(rows, begun, begun + width, rows * begun)
    tokens, pairs = rows * width, rows * width * width
    encoder = Counted(
        encoder_tokens=tokens, encoder_pairs=pairs, most_tokens=tokens, most_pairs=pairs
    )
    return run.plus(encoder)


def options_after(shape: ModelShape, batch: Batch) -> Counted:
    """Count the options of a batch, which run behind its prompts' keys and values."""
    found, width = Counted(), batch.input_ids.shape[1]
    if shape.encoder is not None:
        width += max(len(prompt.decoder_ids) for prompt in batch.prompts)
    for some in option_passes(batch.prompts):
        longest = max(len(batch.prompts[row].continuations[option]) for row, option in some) - 1
        run = one_forward(len(some), longest, width + longest, len(some) * longest)
        found = found.plus(run)
    return found


def can_share(shape: ModelShape, prompts: Sequence[Prompt]) -> bool:
    """Say whether shared beginnings can be run once; see ``LensModel.can_share_prefix``."""
    from culture_lens.models.load import attention_window

    if shape.encoder is not None:
        return False
    window = attention_window(shape.config.get_text_config())
    longest = max((len(p.ids) + p.longest_answer for p in prompts), default=0)
    return not window or longest <= window


def answering_pass(
    shape: ModelShape, prompts: Sequence[Prompt], running: Running, on_gpu: bool
) -> Counted:
    """Count a pass that answers questions: over trees where that is exact, else over batches."""
    if running.speed.trees and takes_trees(shape.config) and can_share(shape, prompts):
        return tree_pass(shape, prompts, running, on_gpu)
    options = bool(prompts and prompts[0].continuations)
    return batch_pass(shape, prompts, running.rows(BATCH_SIZE), share=True, options=options)


def writing_pass(
    shape: ModelShape, prompts: Sequence[Prompt], size: int, new_tokens: int
) -> Counted:
    """Count a pass in which the model writes so many tokens after every prompt, greedily."""
    found = batch_pass(shape, prompts, size, share=False, options=False)
    for batch in batches(prompts, size, 0):
        rows, width = batch.input_ids.shape
        for step in range(1, new_tokens):
            found = found.plus(one_forward(rows, 1, width + step, rows))
    return found


__all__ = ["answering_pass", "batch_pass", "tree_pass", "writing_pass"]
