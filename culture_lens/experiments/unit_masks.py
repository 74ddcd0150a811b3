"""Ask questions under edits of units: each edit is a mask of units, directions included.

A direction that is projected out is the unit of its projection, set to 0; one that is subtracted
is a unit that is always 1 and stands for the scaled vector (see ``direction_units``). So every edit
is answered, kept and sent to workers as masks of neurons are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from culture_lens.evaluation.evaluate import answer_masks
from culture_lens.evaluation.scoring import Scoring
from culture_lens.experiments.comparison.result import KEPT_COLUMNS
from culture_lens.experiments.conditions import UNMODIFIED
from culture_lens.experiments.masks import AblationMask, joined, labelled
from culture_lens.experiments.unit_edits import RankedUnits, ScaledDirection
from culture_lens.experiments.unit_sizes import UnitEdit
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import part_of
from culture_lens.neurons.direction_units import vector_units
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running

if TYPE_CHECKING:
    import pandas as pd


def answered(
    model: LensModel,
    prompts: Sequence[Prompt],
    read_by: Scoring,
    edits: Sequence[UnitEdit],
    running: Running,
) -> pd.DataFrame:
    """Ask the questions unmodified and under every edit; give the records of all."""
    units = [AblationMask(UNMODIFIED, facts={"units": ""})]
    units += [
        mask_of(edit, edit.own.first(edit.sized.number))
        for edit in edits
        if isinstance(edit.own, RankedUnits)
    ]
    turned, directions = direction_masks(model, edits)
    records: list[pd.DataFrame] = []
    for its_model, some in ((model, units), (turned, directions)):
        if some:
            frames = answer_masks(
                its_model, prompts, read_by, labelled(some), label="units", running=running
            )
            records += [frame[list(KEPT_COLUMNS)] for frame in frames]
    return joined([*units, *directions], records)


def direction_masks(
    model: LensModel, edits: Sequence[UnitEdit]
) -> tuple[LensModel, list[AblationMask]]:
    """Give a model the directions of some edits as units, and the masks that ablate them."""
    places: dict[tuple[str, int], list[tuple[UnitEdit, ScaledDirection]]] = {}
    for edit in edits:
        if isinstance(edit.own, ScaledDirection):
            one = edit.own.direction
            places.setdefault((one.site, one.layer), []).append((edit, edit.own))
    masks = []
    for number, ((site, layer), members) in enumerate(places.items()):
        name = f"{site[: -len(part_of(site))]}compared_{number}"
        vectors = [own.direction for _, own in members]
        # All are subtracted, each so many times, or all are projected out.
        scales = [edit.sized.scale for edit, _ in members if edit.sized.scale is not None]
        model = model.with_units(name, vector_units(model, vectors, scales or None))
        masks += [
            mask_of(edit, Neurons.of({name: [(layer, row)]}))
            for row, (edit, _) in enumerate(members)
        ]
    return model, masks


def mask_of(edit: UnitEdit, neurons: Neurons) -> AblationMask:
    """Give the mask of an edit."""
    facts = {"units": edit.units}
    return AblationMask(edit.condition, edit.culture, edit.seed, neurons, facts)


__all__ = ["answered"]
