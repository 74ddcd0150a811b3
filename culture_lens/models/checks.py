"""Checks before results are kept: finite logits and scores, no hooks around the call."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import instance
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


PARTS_OF_MODELS = ("culture_lens", "transformer_lens", "transformers", "accelerate", "torch")
"""Packages whose own hooks belong to a model; those of TransformerLens that change activations are
attached to hook points, which are looked at by themselves."""

MODEL = instance(LensModel, remedy="a model that load_model gives")
"""The check of an argument that takes a model."""
MODEL_OR_NAME = instance(LensModel, str, Path, remedy="a model, or a name for load_model")


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


def check_highest(highest: float, prompt: Prompt) -> None:
    """Raise an error for a prompt after which nothing can be read; see ``check_logits``.

    Raises:
        NotFinite: With the question.

    Example:
        ``check_highest(float(logits.max()), prompt)``
    """
    if not math.isfinite(highest):
        raise NotFinite(
            f"the model gives NaN or infinite logits on question {prompt.question.id!r}: {REMEDY}"
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


def check_unhooked(
    model: LensModel, who: str = "results kept in a run folder", option: str = "run="
) -> None:
    """Raise an error where results would be kept, or computed elsewhere, while hooks are attached.

    The key of a kept result names the model and the neurons that the call ablates, but not hooks
    around the call; nor do other processes have them.

    Args:
        model: The model.
        who: Who would not know of the hooks.
        option: The option that makes them know nothing.

    Raises:
        InputError: A hook is attached, to a hook point or as a hook of plain torch to a module.
    """
    for place, hook in foreign_hooks(model.bridge):
        raise InputError(
            f"the torch hook {named(hook)} is attached to {place} of {model.name!r}, and {who} "
            f"would not know of it: take it off, or leave out {option}."
        )
    if model.is_hooked:
        raise InputError(
            f"hooks are attached to {model.name!r}, and {who} would not know of them: give the "
            f"neurons to the call itself, or leave out {option}."
        )


def foreign_hooks(bridge: Any) -> Iterator[tuple[str, Any]]:
    """Give the hooks of plain torch that neither this package nor the model's own has attached.

    Yields:
        The module's name, or that it is every module, and the hook.
    """
    everywhere = torch.nn.modules.module
    tables = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    for table in tables:
        for hook in getattr(everywhere, f"_global_{table}").values():
            if is_foreign(hook):
                yield "every module", hook
    within = (bridge.original_model.named_modules(), bridge.named_modules())
    for name, module in chain(*within, bridge.hook_dict.items()):
        for table in tables:
            for hook in getattr(module, f"_{table}").values():
                if is_foreign(hook):
                    yield name.replace("._original_component", "") or "the model", hook


def is_foreign(hook: Any) -> bool:
    """Say whether a hook is of a package that is no part of models."""
    while isinstance(hook, partial):
        hook = hook.func
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return home.partition(".")[0] not in PARTS_OF_MODELS


def named(hook: Any) -> str:
    """Name a hook in a message."""
    return getattr(hook, "__qualname__", None) or type(hook).__name__
