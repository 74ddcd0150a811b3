"""ablation_matrix: every culture's neurons ablated in turn, every culture's questions asked.

From the accuracy A[m,e] under the mask of culture m on the questions of culture e, and the
unmasked base[e] (ConAct's paper, section 4):

    self(c)        = A[c,c] - base[c]
    cross(c)       = mean over e != c of A[c,e] - base[e]      one mask, other cultures
    cross_masks(c) = mean over m != c of A[m,c] - base[c]      other masks, one culture
    gap(c)         = self(c) - cross(c)        gap_masks(c) = self(c) - cross_masks(c)

and the flip rate F[m,e], the share of items whose answer changes. Random neurons, the same number
in each layer, stand beside them. All intervals come from one clustered bootstrap, so a difference
of two cells is paired.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.interventions.hooks import Value
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.weight_norms import outgoing_norms, writes
from culture_lens.questions.question import Question, benchmarks_of
from culture_lens.selectors import matched_random
from culture_lens.statistics.estimates import Estimate, interval, value_and_draws
from culture_lens.storage.records import ResultRecord
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    import pandas as pd

UNMODIFIED, FOUND, RANDOM = "unmodified", "found", "random"
METRICS = ("base", "self", "cross", "cross_masks", "gap", "gap_masks", "flips")
Draws = Float[np.ndarray, "draw mask culture"]


class AblationMatrix(ResultRecord):
    """Records of every mask, and the tables that are read off them.

    Attributes:
        frame: The columns of an Evaluation, with ``condition`` (``"unmodified"``, ``"found"`` or
            ``"random"``), ``mask`` (the culture ablated) and ``seed`` before them.
        metadata: Model, selector, scoring, and whether items used to identify were left out.

    Example:
        ``matrix.table("change")``, ``matrix.summary()``, ``matrix.overall("gap")``
    """

    what = "an ablation matrix"

    @cached_property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that were evaluated."""
        return tuple(sorted(self.frame["culture"].unique()))

    @cached_property
    def masks(self) -> tuple[str, ...]:
        """The cultures whose neurons were ablated."""
        found = self.frame.loc[self.frame["condition"] == FOUND, "mask"]
        return tuple(sorted(found.unique()))

    @property
    def has_random(self) -> bool:
        """Whether random masks were run."""
        return bool((self.frame["condition"] == RANDOM).any())

    @cached_property
    def _weights(self) -> Float[np.ndarray, "draw group"]:
        return value_and_draws(len(self._groups))

    @cached_property
    def _groups(self) -> list[str]:
        return sorted(self.frame["group"].unique())

    @cached_property
    def _alone(self) -> set[str]:
        """Cultures with one question group, of which nothing says how much it would vary."""
        groups = self.frame.groupby("culture")["group"].nunique()
        return {str(culture) for culture in groups.index[groups == 1]}

    def _estimate(self, draws: Float[np.ndarray, " draw"], culture: str) -> Estimate:
        unknown_interval = Estimate(float(draws[0]), math.nan, math.nan)
        return unknown_interval if culture in self._alone else interval(draws[0], draws[1:])

    @cached_property
    def _with_flips(self) -> pd.DataFrame:
        base = self.frame[self.frame["condition"] == UNMODIFIED].set_index("id")["prediction"]
        frame = self.frame.assign(base=self.frame["id"].map(base))
        return frame.assign(flipped=frame["prediction"] != frame["base"])

    def _cells(self, condition: str, column: str) -> Draws:
        """Mean of a column for every mask and culture: the value first, then its draws."""
        frame = self._with_flips
        frame = frame[frame["condition"] == condition]
        masks = (
            {name: i for i, name in enumerate(self.masks)} if condition != UNMODIFIED else {"": 0}
        )
        cultures = {name: i for i, name in enumerate(self.cultures)}
        groups = {name: i for i, name in enumerate(self._groups)}
        shape = (len(groups), len(masks), len(cultures))
        where = tuple(
            frame[name].map(places)
            for name, places in (("group", groups), ("mask", masks), ("culture", cultures))
        )
        sums, sizes = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, where, frame[column].to_numpy(dtype=float))
        np.add.at(sizes, where, 1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            cells: Draws = np.tensordot(self._weights, sums, 1) / np.tensordot(
                self._weights, sizes, 1
            )
        return cells

    @cached_property
    def _tables(self) -> dict[tuple[str, str], Draws]:
        tables = {
            (UNMODIFIED, "accuracy"): self._cells(UNMODIFIED, "correct"),
            (UNMODIFIED, "p_gold"): self._cells(UNMODIFIED, "p_gold"),
        }
        for condition in (FOUND, RANDOM) if self.has_random else (FOUND,):
            for table, column in (("accuracy", "correct"), ("p_gold", "p_gold")):
                tables[condition, table] = self._cells(condition, column)
            tables[condition, "change"] = (
                tables[condition, "accuracy"] - tables[UNMODIFIED, "accuracy"]
            )
            tables[condition, "p_change"] = (
                tables[condition, "p_gold"] - tables[UNMODIFIED, "p_gold"]
            )
            tables[condition, "flips"] = self._cells(condition, "flipped")
        return tables

    def draws(self, what: str, condition: str = FOUND) -> Draws:
        """Give a table with its bootstrap draws, the value itself first.

        Args:
            what: ``"accuracy"``, ``"change"`` of accuracy, ``"flips"``, ``"p_gold"`` (mean
                probability of the right answer) or ``"p_change"``.
            condition: ``"found"``, ``"random"`` (the mean over seeds) or ``"unmodified"``.

        Raises:
            InputError: No such table.
        """
        if (condition, what) not in self._tables:
            known = ", ".join(f"{w} of {k}" for k, w in self._tables)
            raise InputError(
                f"no table {what!r} under condition {condition!r}; there are: {known}."
            )
        return self._tables[condition, what]

    def cell(
        self, mask: str, culture: str, what: str = "change", condition: str = FOUND
    ) -> Estimate:
        """Give one cell with its interval.

        Example:
            ``matrix.cell("Japan", "Japan")``
        """
        draws = self.draws(what, condition)[:, self.masks.index(mask), self.cultures.index(culture)]
        return self._estimate(draws, culture)

    def table(self, what: str = "change", condition: str = FOUND) -> pd.DataFrame:
        """Lay out a table, masks x evaluated cultures, values only.

        Example:
            ``matrix.table("accuracy")``
        """
        import pandas as pd

        masks = self.masks if condition != UNMODIFIED else (UNMODIFIED,)
        return pd.DataFrame(
            self.draws(what, condition)[0], index=list(masks), columns=list(self.cultures)
        )

    def metrics(self, condition: str = FOUND) -> dict[str, Float[np.ndarray, "draw mask"]]:
        """Give base, self, cross, gap and flips of every mask, with draws, the value first.

        Only masks of cultures that were evaluated have them.
        """
        change = self.draws("change", condition)
        flips = self.draws("flips", condition)
        both = [culture for culture in self.masks if culture in self.cultures]
        if len(both) < 2 or len(self.cultures) < 2:
            raise InputError(
                "self and cross need at least two cultures that are both ablated and evaluated; "
                f"ablated {self.masks}, evaluated {self.cultures}."
            )
        rows = [self.masks.index(culture) for culture in both]
        columns = [self.cultures.index(culture) for culture in both]
        own = change[:, rows, columns]
        others = change.copy()
        others[:, rows, columns] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a draw may leave no other culture
            cross = np.nanmean(others[:, rows], 2)
            cross_masks = np.nanmean(others[:, :, columns], 1)
        return {
            "base": self.draws("accuracy", UNMODIFIED)[:, 0, columns],
            "self": own,
            "cross": cross,
            "cross_masks": cross_masks,
            "gap": own - cross,
            "gap_masks": own - cross_masks,
            "flips": flips[:, rows, columns],
        }

    def summary(self, condition: str = FOUND) -> pd.DataFrame:
        """Lay out base, self, cross, gap and flips of every culture, each as an Estimate.

        Example:
            ``matrix.summary()``
        """
        import pandas as pd

        both = [culture for culture in self.masks if culture in self.cultures]
        return pd.DataFrame(
            {
                name: [self._estimate(draws[:, i], culture) for i, culture in enumerate(both)]
                for name, draws in self.metrics(condition).items()
            },
            index=both,
        )

    def overall(self, metric: str = "gap", condition: str = FOUND) -> Estimate:
        """Give the mean of a metric over cultures, with its interval.

        Example:
            ``matrix.overall("self")``, ``matrix.overall("self", condition="random")``
        """
        if metric not in METRICS:
            raise InputError(f"no metric {metric!r}; there are: {', '.join(METRICS)}.")
        draws = np.nanmean(self.metrics(condition)[metric], 1)
        return interval(draws[0], draws[1:])

    def beyond_random(self, metric: str = "self") -> Estimate:
        """Give the mean over cultures of found minus random neurons, a paired difference.

        Raises:
            InputError: No random masks were run.
        """
        difference = self.metrics(FOUND)[metric] - self.metrics(RANDOM)[metric]
        draws = np.nanmean(difference, 1)
        return interval(draws[0], draws[1:])

    @property
    def has_metrics(self) -> bool:
        """Whether self and cross can be read: two cultures both ablated and evaluated.

        Not so for culture-general neurons, which belong to no culture; see ``effects``.
        """
        return len(set(self.masks) & set(self.cultures)) > 1

    def effects(self, mask: str) -> pd.DataFrame:
        """Lay out what one mask does to every culture and on average, each as an Estimate.

        Returns:
            Cultures x base, change, flips, and random (the change under random neurons, where they
            were run); the last row, ``"mean"``, is the mean over cultures.

        Raises:
            InputError: No such mask.

        Example:
            ``matrix.effects("general")``
        """
        import pandas as pd

        if mask not in self.masks:
            raise unknown("mask", mask, self.masks)
        row, rows = self.masks.index(mask), [*self.cultures, "mean"]
        columns = {"base": self.draws("accuracy", UNMODIFIED)[:, 0]}
        columns |= {name: self.draws(name)[:, row] for name in ("change", "flips")}
        if self.has_random:
            columns["random"] = self.draws("change", RANDOM)[:, row]
        table = {}
        for name, draws in columns.items():
            with_mean = np.concatenate([draws, np.nanmean(draws, 1, keepdims=True)], 1)
            named = zip(with_mean.T, rows, strict=True)
            table[name] = [self._estimate(cell, culture) for cell, culture in named]
        return pd.DataFrame(table, index=rows)

    def effect_beyond_random(self, mask: str) -> Estimate:
        """Give the mean change over cultures under a mask minus that under random neurons.

        Raises:
            InputError: No such mask, or no random masks were run.
        """
        if mask not in self.masks:
            raise unknown("mask", mask, self.masks)
        row = self.masks.index(mask)
        difference = self.draws("change")[:, row] - self.draws("change", RANDOM)[:, row]
        draws = np.nanmean(difference, 1)
        return interval(draws[0], draws[1:])


def unseen(found: NeuronSet, questions: Sequence[Question], seen: bool) -> list[Question]:
    """Leave out the questions whose group identified the neurons.

    Args:
        found: The neurons; their metadata names the groups.
        questions: All questions.
        seen: Keep them all the same, and warn.

    Raises:
        InputError: Nothing is left.

    Example:
        ``unseen(found, questions, seen=False)``
    """
    groups = set(found.metadata.get("groups", []))
    fresh = [question for question in questions if question.group not in groups]
    used = len(questions) - len(fresh)
    identified = found.metadata.get("benchmark", "")
    known = {"", *identified.split(", ")}
    strange = [q for q in questions if q.group in groups and q.benchmark not in known]
    if strange and identified and not seen:
        warnings.warn(
            f"{len(strange)} questions of {benchmarks_of(strange)} are left out as if they had "
            f"found the neurons, for their groups have the names of groups of {identified}: where "
            "these are other questions, give them other groups.",
            CultureLensWarning,
            stacklevel=3,
        )
    if seen and used:
        warnings.warn(
            f"{used} of the {len(questions)} items evaluated were used to find the neurons, or "
            "share a question group with one that was: the effects are too large.",
            CultureLensWarning,
            stacklevel=3,
        )
        return list(questions)
    if not fresh:
        raise InputError(
            "every question was used to find these neurons: give other questions, find the "
            "neurons with identify_share below 1, or pass seen=True and say so in your results."
        )
    return fresh


def ablation_matrix(
    model: LensModel,
    found: NeuronSet,
    questions: Sequence[Question],
    *,
    random_seeds: int = 5,
    random_match: str = "layer",
    random_summary: ActivationSummary | None = None,
    scoring: str | None = None,
    value: Value = "zero",
    seen: bool = False,
    too_long: str = "error",
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> AblationMatrix:
    """Ablate each culture's neurons in turn and ask every culture's questions (ConAct's paper).

    Args:
        model: The model that the neurons were found on.
        found: The neurons. Cultures that the questions name otherwise take the questions' names.
        questions: What to ask. Questions whose group identified the neurons are left out.
        random_seeds: Sets of random neurons beside each culture's; CULNIG takes 10.
        random_match: ``"layer"``: as many random neurons in each layer; ``"pool"``: as many in
            all; ``"activity"``: of the same layer, firing rate and norm of outgoing weights; see
            ``matched_random``.
        random_summary: For ``"activity"``, a summary of the sites at which the neurons are.
        scoring: How answers are read; the model's own way by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        seen: Evaluate on the questions used to identify too, and say so.
        too_long: What to do with prompts longer than the context.
        batch_size: Questions per forward; halved where memory runs out.
        progress: Show progress bars.
        run: A run folder; finished masks are kept and found again.

    Raises:
        InputError: The neurons are of another model, or every question was used to identify.

    Example:
        ``matrix = ablation_matrix(model, found, questions); matrix.summary()``
    """
    import pandas as pd

    found.check_model(model)
    asked = unseen(found, questions, seen)
    found = align_cultures(found, asked)
    prompts, way = prepare(model, asked, scoring, too_long=too_long, progress=progress)
    folder = Run.open(run) if run is not None else None
    masks: list[tuple[str, str, int, Neurons | None]] = [(UNMODIFIED, "", 0, None)]
    masks += [(FOUND, culture, 0, found[culture]) for culture in found]
    norms = None
    if random_match == "activity":
        norms = {site: outgoing_norms(model, site) for site in found.shapes if writes(site)}
    for seed in range(random_seeds):
        drawn = matched_random(found, seed, match=random_match, summary=random_summary, norms=norms)
        masks += [(RANDOM, culture, seed, drawn[culture]) for culture in drawn]
    records = answer_masks(
        model,
        prompts,
        way,
        [(f"{condition} {mask}", neurons) for condition, mask, _, neurons in masks],
        value=value,
        batch_size=batch_size,
        progress=progress,
        label=f"{found.method or 'found'} masks",
        run=folder,
    )
    frames = [
        frame.assign(condition=condition, mask=mask, seed=seed)
        for (condition, mask, seed, _), frame in zip(masks, records, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    first = ["condition", "mask", "seed"]
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "benchmark": benchmarks_of(asked),
        "selector": found.method,
        "share": found.metadata.get("share"),
        "k": found.metadata.get("k"),
        "neurons": {culture: len(found[culture]) for culture in found},
        "scoring": way.name,
        "value": value if isinstance(value, (str, float, int)) else "tensors",
        "random_seeds": random_seeds,
        "random_match": random_match,
        "seen": seen,
        "items": len(prompts),
        "left_out": len(questions) - len(prompts),
        "versions": versions(),
    }
    return AblationMatrix(frame[first + [c for c in frame if c not in first]], metadata)
