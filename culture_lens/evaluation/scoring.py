"""Scorings: how to read off which option a model chooses.

======================  ==============================================  ========================
name                    the answer is                                   probability of the gold
======================  ==============================================  ========================
letter                  argmax over the whole vocabulary (CULNIG); a    softmax over the
                        token that is no label counts as wrong          vocabulary
letter_options          argmax among the options' label tokens          softmax over the labels
option_likelihood       highest mean log-probability of the option's    softmax over the options'
                        tokens; the options are not shown               scores
option_likelihood_sum   highest sum of log-probabilities                the same
number                  the number that the model writes; argmax over   softmax over the
                        the whole vocabulary must begin one of the      vocabulary
                        options, which are not shown (CULNIG, for the
                        value questions of WorldValuesBench)
======================  ==============================================  ========================

Letters need a model that understands lettered options; small models are at chance there, and
answer better by likelihood. Ties go to the first option. Probabilities of the gold answer by letter
and by likelihood are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.errors import unknown
from culture_lens.models.checks import check_logits, check_options
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.prompt import Batch, Style

ScoringName = Literal[
    "letter", "letter_options", "option_likelihood", "option_likelihood_sum", "number"
]
NO_OPTION = -1
"""The prediction of an answer that is none of the options."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    Attributes:
        prediction: Index of the option, -1 where the answer was none of them.
        p_gold: Probability of the right option.
        scores: One per option: label logits, or log-likelihoods.
    """

    prediction: int
    p_gold: float
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scoring:
    """A scoring: its name, the style of its prompts, and a function from a batch to answers."""

    name: ScoringName
    style: Style
    answers: Callable[[LensModel, Batch], list[Answer]]


def letter_answers(model: LensModel, batch: Batch, *, among_options: bool) -> list[Answer]:
    """Read the next token as the letter of an option.

    Args:
        model: The model.
        batch: Prompts of style ``"choices"``.
        among_options: Compare the labels only, instead of the whole vocabulary.

    Raises:
        InputError: A label is not a single token after its prompt, or the logits are NaN or
            infinite.
    """
    logits = model.logits(batch)
    check_logits(logits, batch)
    logits = logits.cpu()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    answers = []
    for row, prompt in zip(logits, batch.prompts, strict=True):
        labels = torch.tensor(label_ids(prompt, model.processor))
        scores = row[labels]
        check_options(scores, prompt)
        best = int(scores.argmax())
        if among_options:
            p_gold, prediction = scores.softmax(-1)[prompt.question.answer], best
        else:
            p_gold = row.softmax(-1)[labels[prompt.question.answer]]
            prediction = best if int(row.argmax()) == int(labels[best]) else NO_OPTION
        answers.append(Answer(prediction, float(p_gold), tuple(scores.tolist())))
    return answers


def likelihood_answers(model: LensModel, batch: Batch, *, normalised: bool) -> list[Answer]:
    """Score each option as a continuation of the prompt; the prompt is run once.

    The score is sum_i log P(o_i | prompt, o_<i), divided by the number of tokens where
    normalised.

    Raises:
        InputError: A score is NaN or infinite, as all are where one logit is.
    """
    answers = []
    found = model.continuation_log_probs(batch)
    for prompt, logs in zip(batch.prompts, found, strict=True):
        scores = torch.stack([log.mean() if normalised else log.sum() for log in logs])
        check_options(scores, prompt)
        p_gold = scores.softmax(-1)[prompt.question.answer]
        answers.append(Answer(int(scores.argmax()), float(p_gold), tuple(scores.tolist())))
    return answers


def number_answers(model: LensModel, batch: Batch) -> list[Answer]:
    """Read the number that the model writes next.

    The most probable next token must begin an option. Where it begins several, as 1 begins 1 and 10
    with a tokenizer of single digits, the most probable of these is the answer; see ``exactly``.

    Args:
        model: The model.
        batch: Prompts of style ``"cloze"`` that ask for a number; the options are numbers.

    Raises:
        InputError: Logits or scores are NaN or infinite.
    """
    logits = model.logits(batch)
    check_logits(logits, batch)
    logits = logits.cpu()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    split = any(len(ids) > 1 for prompt in batch.prompts for ids in prompt.continuations)
    found = model.continuation_log_probs(batch) if split else [[]] * len(batch.prompts)
    answers = []
    for row, prompt, logs in zip(logits, batch.prompts, found, strict=True):
        options, first = prompt.continuations, row.log_softmax(-1).double()
        if any(len(ids) > 1 for ids in options):
            written = torch.stack([log.double().sum() for log in logs])
        else:
            written = first[[ids[0] for ids in options]]
        check_options(written, prompt)
        scores = exactly(written, options)
        begun = torch.tensor([ids[0] == int(row.argmax()) for ids in options])
        best = int(torch.where(begun, scores, float("-inf")).argmax())
        prediction = best if begun.any() else NO_OPTION
        p_gold = float(scores[prompt.question.answer].exp())
        answers.append(Answer(prediction, p_gold, tuple(scores.tolist())))
    return answers


def exactly(
    written: Float[Tensor, " option"], options: Sequence[Sequence[int]]
) -> Float[Tensor, " option"]:
    """Turn log P(option's tokens come next) into log P(the option and no longer one is written).

    The probability of every option that goes on from another is taken from that other.

    Example:
        >>> exactly(torch.tensor([0.6, 0.5]).log(), [(1,), (1, 0)]).exp()
        tensor([0.1000, 0.5000])
    """
    exact = written.exp()
    for at in sorted(range(len(options)), key=lambda at: -len(options[at])):
        for longer, ids in enumerate(options):
            if len(ids) > len(options[at]) and tuple(ids[: len(options[at])]) == tuple(options[at]):
                exact[at] -= exact[longer]
    return exact.clamp(min=torch.finfo(exact.dtype).tiny).log()


SCORINGS: Mapping[str, Scoring] = {
    scoring.name: scoring
    for scoring in (
        Scoring("letter", "choices", partial(letter_answers, among_options=False)),
        Scoring("letter_options", "choices", partial(letter_answers, among_options=True)),
        Scoring("option_likelihood", "cloze", partial(likelihood_answers, normalised=True)),
        Scoring("option_likelihood_sum", "cloze", partial(likelihood_answers, normalised=False)),
        Scoring("number", "cloze", number_answers),
    )
}


def get_scoring(name: str) -> Scoring:
    """Find a scoring by name.

    Raises:
        InputError: No such scoring.

    Example:
        >>> get_scoring("letter").style
        'choices'
    """
    if name not in SCORINGS:
        raise unknown("scoring", name, SCORINGS)
    return SCORINGS[name]
