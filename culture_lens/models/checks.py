"""Checks before results are kept: finite logits and scores, no hooks around the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Batch, Prompt

REMEDY = (
    "load it in bfloat16 or float32 (float16 overflows), check its weights, and take smaller "
    "values where neurons are ablated or steered."
)


class NotFinite(InputError):
    """A model gave NaN or infinite numbers, from which no answer can be read."""


@contextmanager
def under(condition: str) -> Iterator[None]:
    """Name the condition in errors about numbers that are not finite.

    Example:
        ``with under("the mask of Japan"): model.logits(batch)``
    """
    try:
        yield
    except NotFinite as error:
        raise NotFinite(f"{condition}: {error}") from error


def state_of(model: LensModel) -> str:
    """Say whether hooks are attached around a call, for errors.

    Example:
        ``with under(state_of(model)): model.logits(batch)``
    """
    return "hooks attached around the call" if model.is_hooked else "unmodified model"


def check_logits(logits: Float[Tensor, "item vocab"], batch: Batch) -> None:
    """Raise an error for logits from which nothing can be read.

    A model may give -inf to single tokens that it never writes, such as those that only fill up
    its vocabulary: their probability is 0. So the largest logit of an item is looked at, which is
    finite unless a logit is NaN, one is +inf, or all are -inf.

    Raises:
        NotFinite: With the question.

    Example:
        ``check_logits(model.logits(batch), batch)``
    """
    bad = ~torch.isfinite(logits.amax(-1))
    if bad.any():
        question = batch.prompts[int(bad.nonzero()[0])].question
        raise NotFinite(
            f"the model gives NaN or infinite logits on question {question.id!r}: {REMEDY}"
        )


def check_options(scores: Float[Tensor, " option"], prompt: Prompt) -> None:
    """Raise an error for options whose scores cannot be compared.

    -inf is refused here: the model can never write a token of that option.

    Raises:
        NotFinite: With the question and the option.

    Example:
        ``check_options(logits[label_ids(prompt, model.processor)], prompt)``
    """
    bad = ~torch.isfinite(scores)
    if bad.any():
        at, question = int(bad.nonzero()[0]), prompt.question
        raise NotFinite(
            f"the model's score of option {question.options[at]!r} is {float(scores[at])} on "
            f"question {question.id!r}: {REMEDY} A score of -inf means that the model never writes "
            "a token of this option: give the prompt format other labels, or change the option."
        )


def check_unhooked(model: LensModel) -> None:
    """Raise an error where results would be kept while hooks are attached.

    The key of a kept result names the model and the neurons that the call ablates, but not hooks
    around the call.

    Raises:
        InputError: A hook is attached.
    """
    if model.is_hooked:
        raise InputError(
            f"hooks are attached to {model.name!r}, and results kept in a run folder would not "
            "know of them: give the neurons to the call itself, or leave out run=."
        )
