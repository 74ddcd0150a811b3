"""The answers of an ablation matrix side by side: one row per question, one column per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from culture_lens.errors import InputError, unknown
from culture_lens.experiments.matrix import UNMODIFIED, AblationMatrix

if TYPE_CHECKING:
    import pandas as pd

UNMASKED = (UNMODIFIED, "", 0)
Run = tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class PairedAnswers:
    """Right answers of a matrix, question by question.

    Attributes:
        right: 1 where a question was answered right, question x run.
        runs: The runs, ``(condition, mask, seed)``.
        items: Culture and question group of each question, by id.
    """

    right: Int[np.ndarray, "item run"]
    runs: tuple[Run, ...]
    items: pd.DataFrame

    @classmethod
    def of(cls, matrix: AblationMatrix) -> PairedAnswers:
        """Lay a matrix's records out side by side.

        Raises:
            InputError: A mask was not asked every question, or was asked one twice.
        """
        run = ["condition", "mask", "seed"]
        twice = matrix.frame[matrix.frame.duplicated([*run, "id"])]
        if len(twice):
            condition, mask, seed, name = twice.iloc[0][[*run, "id"]]
            raise InputError(
                f"question {name!r} is recorded twice under mask {mask!r} (condition "
                f"{condition}, seed {seed}): pairs need one answer per question and run."
            )
        right = matrix.frame.pivot(index="id", columns=run, values="correct")
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
    def _places(self) -> dict[Run, int]:
        return {run: place for place, run in enumerate(self.runs)}

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        return {str(c): rows for c, rows in self.items.groupby("culture").indices.items()}

    @cached_property
    def _groups(self) -> dict[str, tuple[list[str], Int[np.ndarray, "group run"]]]:
        found, groups = {}, self.items["group"].to_numpy(dtype=str)
        for culture, rows in self._rows.items():
            names, index = np.unique(groups[rows], return_inverse=True)
            sums = np.zeros((len(names), len(self.runs)), dtype=int)
            np.add.at(sums, index, self.right[rows])
            found[culture] = [str(name) for name in names], sums
        return found

    def of_items(self, culture: str, runs: Sequence[Run]) -> Int[np.ndarray, "item run"]:
        """Give the answers to a culture's questions in some runs."""
        found: np.ndarray = self.right[self._rows[culture]][:, [self._places[run] for run in runs]]
        return found

    def of_groups(self, culture: str, runs: Sequence[Run]) -> Int[np.ndarray, "group run"]:
        """Count right answers to a culture's questions, per question group, in some runs."""
        return self._groups[culture][1][:, [self._places[run] for run in runs]]

    def group_names(self, culture: str) -> list[str]:
        """Name the question groups of a culture, in the order of ``of_groups``."""
        return self._groups[culture][0]

    def runs_of(self, condition: str, mask: str) -> list[Run]:
        """List the runs of a mask, one per seed."""
        return [run for run in self.runs if run[:2] == (condition, mask)]


def cells_of(matrix: AblationMatrix, mask: str | None) -> list[tuple[str, str]]:
    """Pair every culture with its own mask, or with one mask.

    Raises:
        InputError: No such mask, or no culture is ablated and evaluated.
    """
    if mask is not None:
        if mask not in matrix.masks:
            raise unknown("mask", mask, matrix.masks)
        return [(mask, culture) for culture in matrix.cultures]
    both = [(culture, culture) for culture in matrix.masks if culture in matrix.cultures]
    if not both:
        raise InputError(
            f"no culture was both ablated ({', '.join(matrix.masks)}) and evaluated "
            f"({', '.join(matrix.cultures)}): give mask= one of those ablated."
        )
    return both
