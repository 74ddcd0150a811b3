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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.errors import unknown
from culture_lens.models.checks import check_highest, check_options
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import NO_OPTION, label_ids
from culture_lens.prompts.prompt import Batch, Prompt, Style

ScoringName = Literal[
    "letter", "letter_options", "option_likelihood", "option_likelihood_sum", "number"
]


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
class Read:
    """What a model was read after one prompt; every scoring makes its answer of this.

    Attributes:
        options: Token ids of each option, or of its label.
        logits: The logit of each option's first token, ``option``; empty where only the options
            were run.
        log_probs: For each option, the log-probability of each of its tokens, float64.
        next_token: The most probable token.
        highest: Its logit.
    """

    options: Sequence[Sequence[int]]
    logits: Float[Tensor, " first"]
    log_probs: Sequence[Tensor]
    next_token: int = NO_OPTION
    highest: float = math.nan


@dataclass(frozen=True, slots=True)
class Scoring:
    """A scoring: its name, the style of its prompts, and how an answer is made.

    Attributes:
        name: Its name.
        style: The style of its prompts.
        read: Makes the answer of what was read after a prompt.
        answers: Runs a batch and gives its answers.
    """

    name: ScoringName
    style: Style
    read: Callable[[Prompt, Read], Answer]
    answers: Callable[[LensModel, Batch], list[Answer]]


def read_letter(prompt: Prompt, read: Read, *, among_options: bool) -> Answer:
    """Read the next token as the letter of an option.

    Args:
        prompt: A prompt of style ``"choices"``.
        read: What was read after it.
        among_options: Compare the labels only, instead of the whole vocabulary.

    Raises:
        InputError: The logits are NaN or infinite.
    """
    check_highest(read.highest, prompt)
    check_options(read.logits, prompt)
    best, gold = int(read.logits.argmax()), prompt.question.answer
    scores = tuple(read.logits.tolist())
    if among_options:
        return Answer(best, float(read.logits.softmax(-1)[gold]), scores)
    prediction = best if read.next_token == read.options[best][0] else NO_OPTION
    return Answer(prediction, float(read.log_probs[gold][0].exp()), scores)


def read_likelihood(prompt: Prompt, read: Read, *, normalised: bool) -> Answer:
    """Compare options as continuations of a prompt.

    The score is sum_i log P(o_i | prompt, o_<i), divided by the number of tokens where
    normalised.

    Raises:
        InputError: A score is NaN or infinite, as all are where one logit is.
    """
    logs = read.log_probs
    scores = torch.stack([log.mean() if normalised else log.sum() for log in logs])
    check_options(scores, prompt)
    p_gold = scores.softmax(-1)[prompt.question.answer]
    return Answer(int(scores.argmax()), float(p_gold), tuple(scores.tolist()))


def read_number(prompt: Prompt, read: Read) -> Answer:
    """Read the number that the model writes next.

    The most probable next token must begin an option. Where it begins several, as 1 begins 1 and 10
    with a tokenizer of single digits, the most probable of these is the answer; see ``exactly``.

    Args:
        prompt: A prompt of style ``"cloze"`` that asks for a number; the options are numbers.
        read: What was read after it.

    Raises:
        InputError: Logits or scores are NaN or infinite.
    """
    check_highest(read.highest, prompt)
    written = torch.stack([log.sum() for log in read.log_probs])
    check_options(written, prompt)
    scores = exactly(written, read.options)
    begun = torch.tensor([ids[0] == read.next_token for ids in read.options])
    best = int(torch.where(begun, scores, float("-inf")).argmax())
    prediction = best if begun.any() else NO_OPTION
    p_gold = float(scores[prompt.question.answer].exp())
    return Answer(prediction, p_gold, tuple(scores.tolist()))


def answers_of_logits(
    model: LensModel, batch: Batch, read: Callable[[Prompt, Read], Answer]
) -> list[Answer]:
    """Run a batch of prompts with labels, and read the next token.

    Raises:
        InputError: A label is not a single token after its prompt.
    """
    return [
        read(prompt, next_read(row, [(label,) for label in label_ids(prompt, model.processor)]))
        for row, prompt in zip(next_logits(model, batch), batch.prompts, strict=True)
    ]


def answers_of_options(
    model: LensModel, batch: Batch, read: Callable[[Prompt, Read], Answer], *, number: bool = False
) -> list[Answer]:
    """Run a batch of prompts once, and their options after them.

    Args:
        model: The model.
        batch: Prompts of style ``"cloze"``.
        read: Makes an answer.
        number: Whether the next token is read as well.
    """
    prompts = batch.prompts
    options = [prompt.continuations for prompt in prompts]
    split = not number or any(len(ids) > 1 for some in options for ids in some)
    found = model.continuation_log_probs(batch) if split else [[]] * len(prompts)
    if number:
        first = next_logits(model, batch)
        reads = [next_read(*given) for given in zip(first, options, found, strict=True)]
    else:
        reads = [Read(*given) for given in zip(options, [torch.empty(0)] * len(prompts), found)]
    return [read(prompt, one) for prompt, one in zip(prompts, reads, strict=True)]


def next_logits(model: LensModel, batch: Batch) -> Float[Tensor, "batch vocab"]:
    """Run a batch and give the logits after it on the CPU, in float32 or wider."""
    logits = model.logits(batch).cpu()
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def next_read(
    row: Float[Tensor, " vocab"],
    options: Sequence[Sequence[int]],
    logs: Sequence[Tensor] = (),
) -> Read:
    """Read the next token, and all options of one token, which need no pass of their own."""
    firsts = [ids[0] for ids in options]
    if not any(len(ids) > 1 for ids in options):
        logs = list(row.log_softmax(-1).double()[firsts, None])
    return Read(options, row[firsts], logs, int(row.argmax()), float(row.max()))


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


def scoring(name: ScoringName, style: Style, read: Any, **how: Any) -> Scoring:
    """Make a scoring of how an answer is read."""
    run = answers_of_logits if style == "choices" else partial(answers_of_options, **how)
    return Scoring(name, style, read, partial(run, read=read))


SCORINGS: Mapping[str, Scoring] = {
    made.name: made
    for made in (
        scoring("letter", "choices", partial(read_letter, among_options=False)),
        scoring("letter_options", "choices", partial(read_letter, among_options=True)),
        scoring("option_likelihood", "cloze", partial(read_likelihood, normalised=True)),
        scoring("option_likelihood_sum", "cloze", partial(read_likelihood, normalised=False)),
        scoring("number", "cloze", read_number, number=True),
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
