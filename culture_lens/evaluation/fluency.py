r"""How fluent written answers are, whatever they say: perplexity, repetition, empty answers.

    perplexity   exp(- mean over all tokens t of log p(t | prompt, tokens before t))
                 p being that of the unmodified model on the same prompt
    repetition   1 - different 3-grams / 3-grams of the written tokens
                 (seq-rep-n of Welleck et al. 2020, arXiv 1908.04319)
    empty        no word is left of the answer once punctuation is dropped

The unmodified model writes greedily, so its own answers are close to the least perplexity it can
have; what another model writes is measured against that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from culture_lens.models.checks import under
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running

GRAM = 3
"""Tokens of a phrase whose repetition is counted."""


def repetition(tokens: Sequence[int], gram: int = GRAM) -> float:
    """Give the share of phrases of so many tokens that stood in the text before.

    Example:
        >>> repetition([1, 2, 3, 1, 2, 3]), repetition([1, 2])
        (0.25, 0.0)
    """
    phrases = [tuple(tokens[at : at + gram]) for at in range(len(tokens) - gram + 1)]
    return 1 - len(set(phrases)) / len(phrases) if phrases else 0.0


def surprisals(
    model: LensModel,
    prompts: Sequence[Prompt],
    written: Mapping[str, Sequence[int]],
    *,
    label: str = "perplexity",
    running: Running = Running(),
) -> dict[str, float]:
    """Give minus the log-probability of what was written after each prompt, in nats.

    Args:
        model: The model as it is; no hooks may be attached.
        prompts: The prompts.
        written: The tokens written after each, by question id; of no tokens the sum is 0.
        label: Label of the progress bar.
        running: Batch size and progress.

    Returns:
        The sum over an answer's tokens, by question id.

    Example:
        ``surprisals(model, prompts, written_tokens(model, prompts, hooks))``
    """
    found = {prompt.question.id: 0.0 for prompt in prompts}
    asked = [
        replace(prompt, continuations=(tuple(written[prompt.question.id]),))
        for prompt in prompts
        if len(written[prompt.question.id])
    ]
    with under(label):
        for batch, rows in run_batches(
            batches(asked, running.rows(), model.pad_id),
            model.continuation_log_probs,
            pad_id=model.pad_id,
            progress=running.progress,
            label=label,
        ):
            for prompt, (own,) in zip(batch.prompts, rows, strict=True):
                found[prompt.question.id] = -float(own.sum())
    return found
