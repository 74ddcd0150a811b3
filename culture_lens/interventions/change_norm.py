r"""How much an intervention changes the residual stream, so that two can be compared at equal size.

    change = E over items, of the mean over an item's counted tokens, of |x' - x|

x being the residual stream after a layer (or the activation at a site) of the unmodified model, x'
the same under the intervention. Adding a direction v at that layer s times changes it by |s| |v| at
every token, so s = change / |v| makes the direction as large as another intervention there.

Only what lies at or before that layer counts: hooks of later layers change nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.activations.directions import LAST, STREAM, last_token, prompts_of
from culture_lens.checks import check_arguments, each, finite, text, whole
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL, check_logits, state_of, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.models.transformer_lens import HookList
from culture_lens.neurons.direction_hooks import addition_hooks
from culture_lens.neurons.directions import DIRECTION, Direction
from culture_lens.prompts.batches import batches
from culture_lens.prompts.packed import questions_of
from culture_lens.prompts.prompt import CONTENT_ROLES, Batch, Prompt, roles_of
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, check_questions
from culture_lens.statistics.estimates import UNBOUNDED, Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

HOOKS = each(tuple, "(name, function) pairs, such as ablation_hooks gives")
"""The check of an argument that takes hooks."""


@dataclass(frozen=True, slots=True, repr=False)
class MatchedScale(Shown):
    """The scale at which a direction changes an activation as much as another intervention.

    Attributes:
        scale: How many times the direction is added; subtract it with ``-scale``.
        change: The change that the other intervention makes; see ``change_norm``.
        norm: The length of the direction.
        layer: The layer at which both are compared.
        later: Layers after it at which the intervention has hooks, which do not count.

    Example:
        ``direction_added(model, directions["Japan"], -matched.scale)``
    """

    scale: float
    change: Estimate
    norm: float
    layer: int
    later: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("scale", "norm"):
            finite(name, getattr(self, name))

    def to_pandas(self) -> pd.DataFrame:
        """Give one row: scale, change with its interval, norm, layer, later layers."""
        import pandas as pd

        row = {"scale": self.scale, "change": self.change, "norm": self.norm, "layer": self.layer}
        return numeric(pd.DataFrame([{**row, "later": len(self.later)}]))

    def _headline(self) -> str:
        told = f"MatchedScale {self.scale:.4g}: a change of {self.change} after layer {self.layer}"
        return told + (f"; later layers not counted: {len(self.later)}" if self.later else "")


@check_arguments(model=MODEL, hooks=HOOKS, questions=QUESTIONS, layer=whole(0), site=text)
def change_norm(
    model: LensModel,
    hooks: HookList,
    questions: Sequence[Question],
    *,
    layer: int,
    site: str = STREAM,
    position: str | Sequence[int] = "content",
    **running: Unpack[RunningOptions],
) -> Estimate:
    """Measure how far an intervention moves the residual stream after a layer, per token.

    Args:
        model: The model.
        hooks: The intervention: what ``ablation_hooks``, ``steering_hooks``, ``addition_hooks`` or
            ``removal_hooks`` gives.
        questions: What is read.
        layer: The layer.
        site: ``"resid"``, or another site of ``fit_directions``.
        position: The tokens that count: ``"content"``, ``"text"``, ``"image"``, roles, or
            ``"last"``.
        **running: Batch size, progress, prompts that are too long; see ``Running``.

    Returns:
        The mean length of the change in units of the activation, clustered by question group.

    Raises:
        InputError: No such site, layer or role, or a question without a token of these roles.

    Example:
        ``change_norm(model, ablation_hooks(model, found["Japan"]), questions, layer=12)``
    """
    values, groups = item_changes(
        model, hooks, questions, layer=layer, site=site, position=position, **running
    )
    return mean_estimate(values, groups, bounds=UNBOUNDED)


def item_changes(
    model: LensModel,
    hooks: HookList,
    questions: Sequence[Question],
    *,
    layer: int,
    site: str = STREAM,
    position: str | Sequence[int] = "content",
    **running: Unpack[RunningOptions],
) -> tuple[list[float], list[str]]:
    """Give the change of every item, and its question group; see ``change_norm``."""
    how = Running.of(running)
    check_questions(questions, min_cultures=1)
    check_sites(site, model.sites)
    name = model.hook_name(site, layer)
    roles = None if position == LAST else roles_of(position)
    step = partial(changes, model, hooks, name, site, roles)
    values: list[float] = []
    groups: list[str] = []
    prompts, tokens = prompts_of(model, questions, how), model.unit_tokens()
    work = batches(prompts, how.rows(), model.pad_id, tokens=tokens)
    with under(state_of(model)):
        for batch, found in run_batches(
            work, step, pad_id=model.pad_id, progress=how.progress, label="change of activations"
        ):
            values += found.tolist()
            groups += [prompt.question.group for prompt in batch.prompts]
    return values, groups


@torch.inference_mode()
def changes(
    model: LensModel,
    hooks: HookList,
    name: str,
    site: str,
    roles: Sequence[int] | None,
    batch: Batch,
) -> Tensor:
    """Give the mean length of the change over each item's counted tokens, in float64."""
    before, after = (activation_under(model, edits, name, batch) for edits in ([], hooks))
    mask = (
        last_token(model, batch, site=site)
        if roles is None
        else model.counted(batch, [site], roles)
    ).double()
    check_counted(mask)
    moved = (after.double() - before.double()).norm(dim=-1).cpu()
    mean: Tensor = (moved * mask).sum(1) / mask.sum(1)
    return mean


@torch.inference_mode()
def activation_under(
    model: LensModel, hooks: HookList, name: str, batch: Batch
) -> Float[Tensor, "batch pos d"]:
    """Run a batch under hooks and give the activation at a hook point, heads joined."""
    seen: list[Tensor] = []

    def keep(activation: Tensor, hook: Any) -> None:
        seen.append(activation.flatten(2).clone())

    with model.hooks([*hooks, (name, keep)]):
        check_logits(model.logits(batch), batch)
    return seen[0]


def check_counted(mask: Tensor) -> None:
    """Refuse items without a counted token.

    Raises:
        InputError: There is one.
    """
    if not mask.sum(1).all():
        raise InputError("a question has no token of these roles: give other roles as position=.")


def counted_activations(
    model: LensModel,
    hooks: HookList,
    prompts: Sequence[Prompt],
    *,
    layer: int,
    site: str,
    rows: int,
) -> list[Float[Tensor, "_ d"]]:
    """Give the activations of each item's content tokens under hooks, in the order of prompts.

    Raises:
        InputError: An item has no content token.
    """
    name = model.hook_name(site, layer)

    def step(batch: Batch) -> list[Tensor]:
        activation = activation_under(model, hooks, name, batch)
        mask = model.counted(batch, [site], CONTENT_ROLES).bool()
        check_counted(mask)
        pairs = zip(activation, mask.to(activation.device), strict=True)
        return [vectors[counted].cpu() for vectors, counted in pairs]

    found: dict[str, Tensor] = {}
    with under(state_of(model)):
        work = batches(prompts, rows, model.pad_id, tokens=model.unit_tokens())
        for batch, parts in run_batches(work, step, pad_id=model.pad_id, progress=False):
            ids = (prompt.question.id for prompt in batch.prompts)
            found.update(zip(ids, parts, strict=True))
    return [found[question.id] for question in questions_of(prompts)]


@check_arguments(model=MODEL, direction=DIRECTION, hooks=HOOKS, questions=QUESTIONS)
def matched_scale(
    model: LensModel,
    direction: Direction,
    hooks: HookList,
    questions: Sequence[Question],
    *,
    position: str | Sequence[int] = "content",
    **running: Unpack[RunningOptions],
) -> MatchedScale:
    """Find the scale at which adding a direction changes its site as much as an intervention does.

    Args:
        model: The model.
        direction: ``directions["Japan"]``.
        hooks: The intervention to match, such as ``ablation_hooks(model, found["Japan"])``.
        questions: What is read.
        position: The tokens that count; see ``change_norm``.
        **running: Batch size, progress, prompts that are too long; see ``Running``.

    Raises:
        InputError: The direction is of another model, or the intervention changes nothing at its
            layer.

    Example:
        ``matched_scale(model, directions["Japan"], hooks, questions).scale``
    """
    addition_hooks(model, direction)  # refuses one of another model before it runs
    change = change_norm(
        model,
        hooks,
        questions,
        layer=direction.layer,
        site=direction.site,
        position=position,
        **running,
    )
    if change.value == 0:
        raise InputError(
            f"these hooks change nothing at {direction.site!r} of layer {direction.layer}: fit the "
            "direction at a layer that is not before them."
        )
    later = {layer for name, _ in hooks if (layer := layer_of(name)) > direction.layer}
    return MatchedScale(
        change.value / direction.norm,
        change,
        direction.norm,
        direction.layer,
        tuple(sorted(later)),
    )


def layer_of(name: str) -> int:
    """Read the layer from the name of a hook point.

    Example:
        >>> layer_of("encoder_blocks.12.mlp.hook_act")
        12
    """
    found = re.search(r"blocks\.(\d+)\.", name)
    return int(found[1]) if found else -1


__all__ = ["MatchedScale", "change_norm", "matched_scale"]
