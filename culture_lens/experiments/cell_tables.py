"""The tables of an ablation matrix: means per mask and culture, with influences or draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.errors import InputError, warn
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.means import Means, cell_means, means_of
from culture_lens.statistics.bootstrap import value_and_draws
from culture_lens.statistics.estimates import (
    CHANGES,
    FEWEST_GROUPS,
    SHARES,
    UNBOUNDED,
    Bounds,
)

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, MatrixTable

ANSWER_COLUMNS = ("prediction", "correct", "p_gold")
"""The columns of an Evaluation that tables are made of."""
TABLES: dict[MatrixTable, tuple[str, Bounds]] = {
    "accuracy": ("correct", SHARES),
    "change": ("change", CHANGES),
    "flips": ("flipped", SHARES),
    "p_gold": ("p_gold", UNBOUNDED),
    "p_change": ("p_change", UNBOUNDED),
}
"""Table -> its column, and the bounds of counted answers."""
UNCOMPARED = ("accuracy", "p_gold")
"""The tables that do not compare with the unmodified model, and so exist for it too."""
Draws = Float[np.ndarray, "draw mask culture"]


@dataclass(frozen=True, eq=False)
class CellTables:
    """Tables masks x cultures of the records of an ablation matrix, each made when it is asked for.

    Attributes:
        frame: The records of the matrix.
        masks: The cultures whose neurons were ablated.
        cultures: The cultures that were evaluated.
    """

    frame: pd.DataFrame
    masks: tuple[str, ...]
    cultures: tuple[str, ...]

    @cached_property
    def too_few_groups(self) -> dict[str, int]:
        """The cultures that have too few question groups for intervals, and how many."""
        groups = self.frame.groupby("culture")["group"].nunique()
        return {str(name): int(n) for name, n in groups.items() if n < FEWEST_GROUPS}

    @cached_property
    def groups(self) -> list[str]:
        """The question groups."""
        return sorted(self.frame["group"].unique())

    @cached_property
    def paired(self) -> pd.DataFrame:
        """What the tables need of the records, and how they differ from the unmodified model."""
        base = self.frame[self.frame["condition"] == UNMODIFIED].set_index("id")
        before = {name: self.frame["id"].map(base[name]) for name in ANSWER_COLUMNS}
        held = self.frame[["condition", "seed", "correct", "p_gold"]].assign(
            **{name: self.frame[name].astype("category") for name in ("mask", "culture", "group")}
        )
        return held.assign(
            flipped=self.frame["prediction"] != before["prediction"],
            change=self.frame["correct"].astype(float) - before["correct"].astype(float),
            p_change=self.frame["p_gold"] - before["p_gold"],
        )

    def records(
        self, what: MatrixTable, condition: Condition, seed: int | None
    ) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
        """Give the records of a table, and its axes.

        Raises:
            InputError: No such table.
        """
        held = {c for c in (FOUND, RANDOM) if (self.frame["condition"] == c).any()}
        known = [(UNMODIFIED, name) for name in UNCOMPARED]
        known += [(c, name) for c in (FOUND, RANDOM) if c in held for name in TABLES]
        if (condition, what) not in known:
            raise InputError(
                f"no table {what!r} under condition {condition!r}; there are: "
                f"{', '.join(f'{name} of {c}' for c, name in known)}."
            )
        frame = self.paired[self.paired["condition"] == condition]
        if seed is not None:
            frame = frame[frame["seed"] == seed]
        masks = ("",) if condition == UNMODIFIED else self.masks
        return frame, {"mask": masks, "culture": self.cultures}

    @cached_property
    def _means(self) -> dict[tuple[str, str, int | None], Means]:
        return {}

    def means(self, what: MatrixTable, condition: Condition, seed: int | None) -> Means:
        """Give a table with the influence of every question group; see ``AblationMatrix.means``."""
        key = condition, what, seed
        if not self._means and self.too_few_groups:
            warn(f"{few_in_words(self.too_few_groups)}.")
        if key not in self._means:
            frame, axes = self.records(what, condition, seed)
            column, bounds = TABLES[what]
            self._means[key] = means_of(frame, column, axes, self.groups, bounds)
        return self._means[key]

    @cached_property
    def _draws(self) -> dict[tuple[str, str], Draws]:
        return {}

    def draws(self, what: MatrixTable, condition: Condition) -> Draws:
        """Give a table with bootstrap draws, the value first; see ``AblationMatrix.draws``."""
        key = condition, what
        if key not in self._draws:
            frame, axes = self.records(what, condition, None)
            weights = value_and_draws(len(self.groups))
            self._draws[key] = cell_means(frame, TABLES[what][0], axes, self.groups, weights)
        return self._draws[key]


def few_in_words(groups: Mapping[str, int]) -> str:
    """Write which cultures have no intervals, and why.

    Example:
        >>> few_in_words({"Japan": 3, "Iran": 1})
        'too few question groups for intervals, which take 4: Japan (3), Iran (1)'
    """
    named = ", ".join(f"{name} ({number})" for name, number in groups.items())
    return f"too few question groups for intervals, which take {FEWEST_GROUPS}: {named}"
