"""PairedAnswers: the answers of an ablation matrix, one row per question, one column per mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from culture_lens.errors import InputError, unknown
from culture_lens.experiments.conditions import UNMODIFIED
from culture_lens.experiments.matrix import AblationMatrix

if TYPE_CHECKING:
    import pandas as pd

MaskKey = tuple[str, str, int]
"""Condition, mask and seed, which name the answers under one mask."""
UNMASKED: MaskKey = (UNMODIFIED, "", 0)


@dataclass(frozen=True, eq=False)
class PairedAnswers:
    """The right answers of a matrix, question by question.

    Attributes:
        right: 1 where a question was answered right, question x mask.
        masks: The masks, in order.
        items: Culture and question group of each question, by id.
    """

    right: Int[np.ndarray, "item mask"]
    masks: tuple[MaskKey, ...]
    items: pd.DataFrame

    @classmethod
    def of(cls, matrix: AblationMatrix) -> PairedAnswers:
        """Pair the answers of a matrix.

        Raises:
            InputError: Under some mask a question was not asked, or asked twice.
        """
        key = ["condition", "mask", "seed"]
        twice = matrix.frame[matrix.frame.duplicated([*key, "id"])]
        if len(twice):
            condition, mask, seed, name = twice.iloc[0][[*key, "id"]]
            raise InputError(
                f"question {name!r} is recorded twice under mask {mask!r} (condition "
                f"{condition}, seed {seed}): pairs need one answer per question and mask."
            )
        right = matrix.frame.pivot(index="id", columns=key, values="correct")
        lacking = right.isna().sum()
        if lacking.any():
            condition, mask, seed = lacking.idxmax()
            raise InputError(
                f"mask {mask!r} (condition {condition}, seed {seed}) lacks {lacking.max()} of the "
                f"{len(right)} questions: pairs need every question under every mask."
            )
        if UNMASKED not in right.columns:
            raise InputError("there are no answers of the unmodified model to compare with.")
        items = matrix.frame.drop_duplicates("id").set_index("id")[["culture", "group"]]
        return cls(right.to_numpy(dtype=int), tuple(right.columns), items.loc[right.index])

    @cached_property
    def _places(self) -> dict[MaskKey, int]:
        return {mask: place for place, mask in enumerate(self.masks)}

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        return {str(c): rows for c, rows in self.items.groupby("culture").indices.items()}

    @cached_property
    def _groups(self) -> dict[str, tuple[list[str], Int[np.ndarray, "group mask"]]]:
        found, groups = {}, self.items["group"].to_numpy(dtype=str)
        for culture, rows in self._rows.items():
            names, index = np.unique(groups[rows], return_inverse=True)
            sums = np.zeros((len(names), len(self.masks)), dtype=int)
            np.add.at(sums, index, self.right[rows])
            found[culture] = [str(name) for name in names], sums
        return found

    def of_items(self, culture: str, masks: Sequence[MaskKey]) -> Int[np.ndarray, "item mask"]:
        """Give the answers to a culture's questions under some masks."""
        columns = [self._places[mask] for mask in masks]
        found: np.ndarray = self.right[self._rows[culture]][:, columns]
        return found

    def of_groups(self, culture: str, masks: Sequence[MaskKey]) -> Int[np.ndarray, "group mask"]:
        """Count right answers to a culture's questions, per question group, under some masks."""
        return self._groups[culture][1][:, [self._places[mask] for mask in masks]]

    def group_names(self, culture: str) -> list[str]:
        """List the question groups of a culture, in the order of ``of_groups``."""
        return self._groups[culture][0]

    def seeds_of(self, condition: str, mask: str) -> list[MaskKey]:
        """List the masks of a condition and culture, one per seed."""
        return [key for key in self.masks if key[:2] == (condition, mask)]


def cells_of(matrix: AblationMatrix, mask: str | None) -> list[tuple[str, str]]:
    """Pair every culture with its own mask, or with one mask.

    Raises:
        InputError: No such mask, or no culture was both ablated and evaluated.
    """
    if mask is not None:
        if mask not in matrix.masks:
            raise unknown("mask", mask, matrix.masks)
        return [(mask, culture) for culture in matrix.cultures]
    if not matrix.both:
        raise InputError(
            f"no culture was both ablated ({', '.join(matrix.masks)}) and evaluated "
            f"({', '.join(matrix.cultures)}): give mask= one of those ablated."
        )
    return [(culture, culture) for culture in matrix.both]
