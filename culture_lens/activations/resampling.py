"""Item weights per permutation and bootstrap sample, drawn before the model runs.

* **Data**: weight 1 for the item's own culture, or the weight that balances strata (``strata.py``).
* **Permutation**: culture labels are exchanged, which gives the null distribution: what would be
  seen if labels meant nothing; see ``permutations``.
* **Bootstrap sample**: the weight is multiplied by how often the item's question group is drawn, a
  Poisson number of mean 1.

The draws depend on seed, ids and groups only: not on the order of items, batches or the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.activations.permutations import draw_permutations, exchange_sets, seed_of
from culture_lens.errors import InputError, warn
from culture_lens.questions.question import Question
from culture_lens.questions.strata import strata_of
from culture_lens.storage.runs import content_key

PERMUTATIONS = BOOTSTRAPS = 20
"""Number of each, where inference is asked for."""


@dataclass(frozen=True, eq=False)
class Design:
    """The item weights of a pass, its permutations and its bootstrap samples; see ``make_design``.

    Attributes:
        cultures: Labels, sorted.
        rows: Id -> position of each item.
        labels: Index of each item's culture, ``item``.
        weight: Weight of each item for its own culture, ``item``; all 1 without strata.
        permuted: Index of each item's culture in each permutation, ``permutation item``.
        permuted_weight: Its weight there, ``permutation item``.
        drawn: How often it is drawn in each bootstrap sample, ``bootstrap item``.
    """

    cultures: tuple[str, ...]
    rows: Mapping[str, int]
    labels: Int[np.ndarray, " item"]
    weight: Float[np.ndarray, " item"]
    permuted: Int[np.ndarray, "permutation item"]
    permuted_weight: Float[np.ndarray, "permutation item"]
    drawn: Int[np.ndarray, "bootstrap item"]

    @property
    def weighted(self) -> bool:
        """Whether items have weights of strata, which are not whole numbers."""
        return bool((self.weight != 1).any())

    @cached_property
    def key(self) -> str:
        """A hash of the whole design."""
        arrays = (self.weight, self.permuted, self.permuted_weight, self.drawn)
        lists = ((row.tolist() for row in array) for array in arrays)
        return content_key(self.cultures, dict(self.rows), *lists)

    def positions(self, ids: Sequence[str]) -> list[int]:
        """Find items.

        Raises:
            InputError: An item that is not in the design.
        """
        for name in ids:
            if name not in self.rows:
                raise InputError(f"item {name!r} is not among those that the design was made for.")
        return [self.rows[name] for name in ids]

    def own(self, ids: Sequence[str]) -> Float[Tensor, " item"]:
        """Give the weights of items for their own culture."""
        return torch.from_numpy(self.weight[self.positions(ids)])

    def replicated(self, ids: Sequence[str]) -> Float[Tensor, "replicate culture item"]:
        """Give the weights of items for each culture in each replicate, permutations first."""
        at = self.positions(ids)
        cultures = np.arange(len(self.cultures))[None, :, None]
        null = (self.permuted[:, None, at] == cultures) * self.permuted_weight[:, None, at]
        own = (self.labels[None, None, at] == cultures) * self.weight[at]
        return torch.from_numpy(np.concatenate([null, own * self.drawn[:, None, at]]))


def make_design(
    questions: Sequence[Question],
    *,
    permutations: int = PERMUTATIONS,
    bootstraps: int = BOOTSTRAPS,
    strata: Sequence[str] | None = None,
    seed: int = 0,
) -> Design:
    """Draw the weights of all questions in all replicates.

    Args:
        questions: All questions of the pass.
        permutations: Number of permutations.
        bootstraps: Number of bootstrap samples.
        strata: The stratum of each question; see ``strata_of``.
        seed: The seed.

    Raises:
        InputError: Numbers below 0, or labels that have fewer arrangements than permutations are
            asked for: too few question groups, or cells of unequal size.

    Example:
        ``make_design(questions, permutations=99).permuted.shape``
    """
    if permutations < 0 or bootstraps < 0:
        raise InputError(
            f"permutations={permutations}, bootstraps={bootstraps}: give 0 or more of each."
        )
    if permutations or bootstraps:
        say_if_repeated(questions)
    cultures = tuple(sorted({question.culture for question in questions}))
    labels = np.array([cultures.index(question.culture) for question in questions])
    within = list(strata) if strata is not None else [""] * len(questions)
    counted = balancing_weights(labels, within) > 0
    sets = exchange_sets(questions, within, counted)
    permuted = draw_permutations(labels, counted, sets, permutations, seed)
    weights = np.stack([balancing_weights(row, within) for row in (labels, *permuted)])
    drawn = {
        group: np.random.RandomState(seed_of(f"{seed}/draw/{group}")).poisson(1, bootstraps)
        for group in {question.group for question in questions}
    }
    return Design(
        cultures=cultures,
        rows={question.id: row for row, question in enumerate(questions)},
        labels=labels,
        weight=weights[0],
        permuted=permuted,
        permuted_weight=weights[1:],
        drawn=np.stack([drawn[question.group] for question in questions], axis=1),
    )


def say_if_repeated(questions: Sequence[Question]) -> None:
    """Warn of questions that one culture is asked in several question groups."""
    groups: dict[tuple[str, str], set[str]] = {}
    for question in questions:
        if question.text and question.image is None:
            groups.setdefault((question.culture, question.text), set()).add(question.group)
    repeated = [text for (_, text), held in groups.items() if len(held) > 1]
    if repeated:
        warn(
            f"{len(repeated)} questions are asked of one culture in several question groups, one "
            f"of them {repeated[0][:60]!r}. Tests and intervals take groups to be independent, "
            "and items that share their text are not: give them one group (group= of a table)."
        )


def balancing_weights(
    labels: Int[np.ndarray, " item"], strata: Sequence[str]
) -> Float[np.ndarray, " item"]:
    """Weight items so that every culture has every stratum in the same proportion.

    An item of culture c in stratum s has the weight (n_s / n) (n_c / n_cs), with n numbers of
    items: direct standardisation to the strata of all cultures together. A stratum that one
    culture lacks has weight 0 for all; ``strata_of`` warns of it.

    Example:
        >>> weights = balancing_weights(np.array([0, 0, 0, 1, 1]), ["a", "a", "b", "a", "b"])
        >>> weights.round(9).tolist()
        [0.9, 0.9, 1.2, 1.2, 0.8]
    """
    names, at = np.unique(np.asarray(strata), return_inverse=True)
    if len(names) == 1:
        return np.ones(len(labels))
    table = np.zeros((labels.max() + 1, len(names)))
    np.add.at(table, (labels, at), 1)
    common = np.all(table > 0, axis=0)
    table = table * common
    with np.errstate(divide="ignore", invalid="ignore"):
        share = table.sum(0) / table.sum()
        weight = share[None] * table.sum(1, keepdims=True) / table
    held: np.ndarray = np.where(common[at], weight[labels, at], 0.0)
    return held


__all__ = ["BOOTSTRAPS", "PERMUTATIONS", "Design", "balancing_weights", "make_design"]


def design_of(
    questions: Sequence[Question],
    replicates: int,
    strata: str | Sequence[str] | None,
    seed: int,
) -> Design | None:
    """Draw item weights and replicates of a pass; None where every item counts once and no more."""
    if not replicates and not strata:
        return None
    cells = strata_of(questions, strata) if strata else None
    return make_design(
        questions, permutations=replicates, bootstraps=replicates, strata=cells, seed=seed
    )
