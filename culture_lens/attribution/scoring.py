"""How an attribution reads the options of an item: by letter, or by each option's likelihood.

=================  ================================  ===========================================
scoring            prompts                           score of an option
=================  ================================  ===========================================
letter             show the options (``choices``)    logit of its label after the last token
option_likelihood  do not (``cloze``); the options   mean log-probability of its tokens behind
                   follow them                       the prompt, which is run once for all
=================  ================================  ===========================================

The names are those of ``evaluation.scoring``, whose answers are the same without gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from culture_lens.attribution.objectives import NO_SCORE, OptionScores
from culture_lens.errors import InputError, unknown
from culture_lens.models.checks import check_logits, check_options
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import NO_OPTION, label_ids
from culture_lens.prompts.prompt import Batch, Prompt, Style

if TYPE_CHECKING:
    AttributionScoring = Literal["letter", "option_likelihood"]
else:
    AttributionScoring = str  # a wrong name reaches the check that lists the right ones


def by_letter(model: LensModel, batch: Batch) -> OptionScores:
    """Score options by the logits of their labels.

    Raises:
        InputError: A label is not a single token, or the logits are NaN or infinite.
    """
    logits = model.differentiable_logits(batch)
    check_logits(logits.detach(), batch)
    logits = wide(logits)
    labels = [label_ids(prompt, model.processor) for prompt in batch.prompts]
    rows = [logits[row, list(ids)] for row, ids in enumerate(labels)]
    gold = gold_options(batch, logits.device)
    scores = padded(rows)
    best = scores.detach().argmax(1)
    tokens = torch.tensor([ids[at] for ids, at in zip(labels, best.tolist(), strict=True)])
    prediction = best.where(logits.detach().argmax(-1) == tokens.to(logits.device), NO_OPTION)
    return OptionScores(scores, logits.logsumexp(-1), gold, prediction)


def by_likelihood(model: LensModel, batch: Batch) -> OptionScores:
    """Score options by the mean log-probability of their tokens.

    Raises:
        InputError: An option without tokens, or scores that are NaN or infinite.
    """
    check_tokens(batch.prompts)
    found = model.differentiable_log_probs(batch)
    rows = [torch.stack([own.mean() for own in options]) for options in found]
    for row, prompt in zip(rows, batch.prompts, strict=True):
        check_options(row.detach(), prompt)
    scores = padded(rows)
    gold = gold_options(batch, scores.device)
    return OptionScores(scores, scores.logsumexp(1), gold, scores.detach().argmax(1))


def check_tokens(prompts: Sequence[Prompt]) -> None:
    """Refuse options without tokens, such as those of characters that a tokenizer leaves out.

    Raises:
        InputError: Names the first question and its option.
    """
    for prompt in prompts:
        for option, ids in zip(prompt.question.options, prompt.continuations, strict=True):
            if not ids:
                raise InputError(
                    f"question {prompt.question.id!r}: the option {option!r} has no tokens, so it "
                    "has no likelihood; change the option, or score by letter."
                )


def gold_options(batch: Batch, device: torch.device) -> Tensor:
    """Give the index of each item's right option."""
    return torch.tensor([prompt.question.answer for prompt in batch.prompts], device=device)


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Stack scores of items with different numbers of options, ``item option``."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), True, NO_SCORE)


@dataclass(frozen=True, slots=True)
class OptionScoring:
    """A scoring: its name, the style of its prompts, and a function from a batch to scores."""

    name: AttributionScoring
    style: Style
    scores: Callable[[LensModel, Batch], OptionScores]


ATTRIBUTION_SCORINGS: Mapping[str, OptionScoring] = {
    "letter": OptionScoring("letter", "choices", by_letter),
    "option_likelihood": OptionScoring("option_likelihood", "cloze", by_likelihood),
}


def get_attribution_scoring(name: str) -> OptionScoring:
    """Find a scoring by name.

    Raises:
        InputError: No such scoring.

    Example:
        >>> get_attribution_scoring("letter").style
        'choices'
    """
    if name not in ATTRIBUTION_SCORINGS:
        raise unknown("scoring of attributions", name, ATTRIBUTION_SCORINGS)
    return ATTRIBUTION_SCORINGS[name]
