"""Edits of kinds of units at their size: k units, or as many as reach a norm of change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.errors import InputError, warn
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.equal_norm import ChangeOfStream, matched_factor, matched_number
from culture_lens.experiments.masks import AblationMask
from culture_lens.experiments.unit_edits import Edits, Place, RankedUnits, ScaledDirection
from culture_lens.models.transformer_lens import HookList

if TYPE_CHECKING:
    from culture_lens.experiments.conditions import Condition

FAR = 0.1
"""Norms further apart than this share are warned of."""


@dataclass(frozen=True, eq=False)
class SizedEdit:
    """An edit that is run: whose, its size and its hooks."""

    mask: AblationMask
    hooks: HookList
    number: int
    asked: int
    scale: float
    norm: float
    places: Sequence[Place] = ()

    def record(self) -> dict[str, Any]:
        """Give what the metadata keep of it."""
        size = {"number": self.number, "norm": self.norm}
        scale = None if np.isnan(self.scale) else self.scale
        return {**self.mask.columns, **size, "scale": scale, "places": list(map(list, self.places))}


def sized(
    stream: ChangeOfStream,
    name: str,
    edits: Edits,
    k: int,
    norms: Mapping[str, float] | None,
    *,
    condition: Condition = FOUND,
    seed: int = 0,
) -> list[SizedEdit]:
    """Give one kind of every culture its size: k units, or as many as reach the culture's norm."""
    found = []
    for culture, own in edits.items():
        mask = AblationMask(condition, culture, seed, facts={"units": name})
        norm = None if norms is None else norms[culture]
        if isinstance(own, ScaledDirection):
            found.append(sized_direction(stream, mask, own, norm))
        else:
            found.append(sized_units(stream, mask, own, k, norm))
    return found


def sized_units(
    stream: ChangeOfStream, mask: AblationMask, own: RankedUnits, k: int, norm: float | None
) -> SizedEdit:
    """Ablate the first k units, or as many as come nearest to a norm."""

    @cache
    def norm_of(number: int) -> float:
        return stream.norm(own.hooks(stream.model, number), mask.name)

    most = len(own.members)
    number = min(k, most) if norm is None or not most else matched_number(norm_of, norm, most)
    asked = k if norm is None else number
    hooks, places = own.hooks(stream.model, number), own.members[:number]
    return SizedEdit(mask, hooks, number, asked, float("nan"), norm_of(number), places)


def sized_direction(
    stream: ChangeOfStream, mask: AblationMask, own: ScaledDirection, norm: float | None
) -> SizedEdit:
    """Project a direction out, or subtract it as often as a norm takes."""

    @cache
    def norm_of(scale: float | None) -> float:
        return stream.norm(own.hooks(stream.model, scale), mask.name)

    scale = None if norm is None else matched_factor(norm_of, norm)
    times = float("nan") if scale is None else scale
    return SizedEdit(mask, own.hooks(stream.model, scale), 1, 1, times, norm_of(scale))


def smallest(
    stream: ChangeOfStream, found: Mapping[str, Edits], k: int
) -> tuple[str, dict[str, float]]:
    """Find the kind whose k units change the stream least, mean over cultures; give its norms.

    Raises:
        InputError: It changes nothing for some culture.
    """
    norms = {
        name: {edit.mask.name: edit.norm for edit in sized(stream, name, edits, k, None)}
        for name, edits in found.items()
        if all(isinstance(own, RankedUnits) for own in edits.values())
    }
    reference = min(norms, key=lambda name: np.mean(list(norms[name].values())))
    for culture, norm in norms[reference].items():
        if norm == 0:
            raise InputError(
                f"the {k} units of {reference!r} change nothing for {culture}, so no other kind "
                "can be made as small: give a larger k, or leave this kind out."
            )
    return reference, norms[reference]


def warn_of_sizes(edits: Sequence[SizedEdit], norms: Mapping[str, float] | None) -> None:
    """Warn of kinds that are fewer than asked for, or not as large."""
    told = {}
    for kind in dict.fromkeys((edit.mask.facts["units"], edit.mask.condition) for edit in edits):
        own = [e for e in edits if (e.mask.facts["units"], e.mask.condition) == kind]
        name = f"random {kind[0]}" if kind[1] == RANDOM else kind[0]
        if norms is not None:
            wanted = np.mean([norms[edit.mask.name] for edit in own])
            norm = np.mean([edit.norm for edit in own])
            if abs(norm / wanted - 1) > FAR:
                told[name] = f"{norm:.3g} of |x|, not {wanted:.3g}"
        elif any(edit.number < edit.asked for edit in own):
            told[name] = f"{min(edit.number for edit in own)} units, not {own[0].asked}"
    if told:
        some = "; ".join(f"{name} {what}" for name, what in told.items())
        warn(f"not every kind can be made as large as asked for: {some}.")


__all__ = ["SizedEdit", "sized", "smallest", "warn_of_sizes"]
