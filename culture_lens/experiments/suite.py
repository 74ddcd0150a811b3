"""The papers' main table: several benchmarks, unmodified, with neurons ablated, and random ones.

Every cell has its interval, clustered by question group, and is compared item by item with the
unmodified model and with random neurons of the same number. Several wordings of one question are
items of one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from culture_lens.benchmarks import in_every_wording, load_benchmark
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.evaluation.short_answers import ShortQuestion, evaluate_short_answers
from culture_lens.evaluation.values import evaluate_values
from culture_lens.experiments.matrix import unseen
from culture_lens.interventions.hooks import Value
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.questions.question import Question
from culture_lens.questions.splits import at_most
from culture_lens.selectors.random import matched_random
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.statistics.permutation import corrected, weighted_p
from culture_lens.storage.records import ResultRecord
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    import pandas as pd

UNMODIFIED, FOUND, RANDOM = "unmodified", "found", "random"
LEVEL = 0.05
Asked = Sequence[Question] | Sequence[ShortQuestion]


class Suite(ResultRecord):
    """One record per condition, benchmark, wording and item.

    Attributes:
        frame: Columns condition (``"unmodified"``, ``"found"`` or ``"random"``), name (of the
            neurons), seed, benchmark, wording, id, culture, group, value (1 where the answer is
            right; of values the alignment).
        metadata: Model, numbers of neurons, versions.

    Example:
        ``evaluate_suite(model, {"Japan": found["Japan"]}, ["culturalbench", "mrpc"]).table()``
    """

    what = "a suite of evaluations"

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks, in order."""
        return tuple(dict.fromkeys(self.frame["benchmark"]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the ablated neurons, in order."""
        return tuple(dict.fromkeys(self.frame.loc[self.frame["condition"] == FOUND, "name"]))

    def _items(self, condition: str, name: str, benchmark: str) -> pd.DataFrame:
        """Mean value of each item and wording, over seeds of random neurons."""
        part = self.frame
        part = part[(part["condition"] == condition) & (part["benchmark"] == benchmark)]
        if condition != UNMODIFIED:
            part = part[part["name"] == name]
        whole = part.groupby(["id", "wording"], sort=True)
        return whole.agg(value=("value", "mean"), group=("group", "first"))

    def score(self, condition: str, name: str, benchmark: str) -> Estimate:
        """Mean value of one cell; for random neurons over their seeds.

        Raises:
            InputError: No such condition, name or benchmark.
        """
        self._check(condition, name, benchmark)
        items = self._items(condition, name, benchmark)
        return mean_estimate(items["value"].tolist(), items["group"].tolist())

    def change(self, name: str, benchmark: str, against: str = UNMODIFIED) -> Estimate:
        """Change that ablating makes, item by item, against the unmodified model or random ones.

        Raises:
            InputError: No such name or benchmark, or nothing to compare with.
        """
        moved = self._moved(name, benchmark, against)
        return mean_estimate(moved["value"].tolist(), moved["group"].tolist())

    def _moved(self, name: str, benchmark: str, against: str) -> pd.DataFrame:
        self._check(FOUND, name, benchmark)
        self._check(against, name, benchmark)
        found = self._items(FOUND, name, benchmark)
        base = self._items(against, name, benchmark)
        return found.assign(value=found["value"] - base["value"])

    def _check(self, condition: str, name: str, benchmark: str) -> None:
        held = tuple(dict.fromkeys(self.frame["condition"]))
        if condition not in held:
            raise unknown("condition", condition, held)
        if condition != UNMODIFIED and name not in self.names:
            raise unknown("set of neurons", name, self.names)
        if benchmark not in self.benchmarks:
            raise unknown("benchmark", benchmark, self.benchmarks)

    def tests(self, against: str = UNMODIFIED, *, correction: str = "holm") -> pd.DataFrame:
        """Test every cell of ablated neurons: sign flips of whole question groups, two-sided.

        Returns:
            One row per name and benchmark: change, p, corrected p, and whether that is at most
            0.05.

        Raises:
            InputError: Nothing to compare with, or an unknown correction.

        Example:
            ``suite.tests("random")``
        """
        import pandas as pd

        rows = []
        for name in self.names:
            for benchmark in self.benchmarks:
                moved = self._moved(name, benchmark, against)
                sums = moved.groupby("group", sort=True)["value"].sum().to_numpy(dtype=float)
                p, _, _ = weighted_p(np.stack([sums, -sums], axis=1))
                change = self.change(name, benchmark, against)
                rows.append({"name": name, "benchmark": benchmark, "change": change, "p": p})
        table = pd.DataFrame(rows)
        table["corrected_p"] = corrected(table["p"].to_numpy(dtype=float), correction)
        return table.assign(significant=table["corrected_p"] <= LEVEL)

    def table(self, *, correction: str = "holm") -> pd.DataFrame:
        """Give the main table as text: conditions x benchmarks, each cell with its interval.

        A star marks ablated neurons whose change against the unmodified model is significant, a
        second one those that also differ significantly from random ones; all cells are corrected
        together.
        """
        import pandas as pd

        starred: dict[tuple[str, str], int] = {}
        for against in (UNMODIFIED, RANDOM):
            if against in set(self.frame["condition"]):
                for row in self.tests(against, correction=correction).itertuples():
                    at = (row.name, row.benchmark)
                    starred[at] = starred.get(at, 0) + int(row.significant)
        rows: dict[str, dict[str, str]] = {
            UNMODIFIED: {b: str(self.score(UNMODIFIED, "", b)) for b in self.benchmarks}
        }
        conditions = [
            condition for condition in (FOUND, RANDOM) if condition in set(self.frame["condition"])
        ]
        for name in self.names:
            for condition in conditions:
                label = name if condition == FOUND else f"random as {name}"
                rows[label] = {
                    benchmark: f"{self.score(condition, name, benchmark)}"
                    + "*" * (starred.get((name, benchmark), 0) if condition == FOUND else 0)
                    for benchmark in self.benchmarks
                }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(self.benchmarks))

    def wordings(self) -> pd.DataFrame:
        """Score every wording by itself: how far a result hangs on how the question is put.

        Returns:
            One row per condition, benchmark: mean value in each wording, and ``sd``, their
            standard deviation (NaN where there is one wording).
        """
        import pandas as pd

        rows = []
        for (condition, name, benchmark), part in self.frame.groupby(
            ["condition", "name", "benchmark"], sort=False
        ):
            means = part.groupby("wording", sort=True)["value"].mean()
            named = {f"wording {wording}": value for wording, value in means.items()}
            rows.append(
                {
                    "condition": condition,
                    "name": name,
                    "benchmark": benchmark,
                    **named,
                    "sd": means.std(),
                }
            )
        return pd.DataFrame(rows)


def evaluate_suite(
    model: LensModel,
    neurons: Mapping[str, Neurons] | NeuronSet,
    benchmarks: Sequence[str] | Mapping[str, str | Path | Asked],
    *,
    random_seeds: int = 10,
    random_match: str = "layer",
    every_wording: bool = False,
    limit: int | None = None,
    scoring: str | None = None,
    value: Value = "zero",
    seen: bool = False,
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> Suite:
    """Evaluate a model on several benchmarks, unmodified, ablated, and with random neurons ablated.

    Args:
        model: The model.
        neurons: Name -> neurons to ablate; of a NeuronSet the questions that identified it are
            left out.
        benchmarks: Names for ``load_benchmark``, or name -> local copy, or name -> questions, which
            may be those of ``load_values`` and ``load_short_answers``. Held-out halves are asked
            where a benchmark has them.
        random_seeds: Sets of random neurons beside each; 10 as in CULNIG, 0 for none.
        random_match: See ``matched_random``.
        every_wording: Ask every question in each of its benchmark's wordings.
        limit: At most so many questions of each culture of a benchmark that is loaded by name.
        scoring: How answers are read; the model's own way by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        seen: Ask the questions that identified the neurons too, and say so.
        batch_size: Questions per forward; halved where memory runs out.
        progress: Show progress bars.
        run: A run folder; what is finished is kept and found again.

    Raises:
        InputError: No neurons, an unknown benchmark, or questions that cannot be asked.

    Example:
        ``evaluate_suite(model, found, {"culturalbench": "data/CulturalBench-Easy.csv"}).table()``
    """
    import pandas as pd

    found = as_set(model, neurons)
    asked = {name: opened(name, source, limit) for name, source in named(benchmarks).items()}
    folder = Run.open(run) if run is not None else None
    masks: list[tuple[str, str, int, Neurons | None]] = [(UNMODIFIED, "", 0, None)]
    masks += [(FOUND, name, 0, found[name]) for name in found]
    for seed in range(random_seeds):
        drawn = matched_random(found, seed, match=random_match)
        masks += [(RANDOM, name, seed, drawn[name]) for name in drawn]
    options: dict[str, Any] = {
        "value": value,
        "batch_size": batch_size,
        "progress": progress,
        "run": folder,
    }
    # All at once: a benchmark that cannot be asked is refused before hours are spent on others.
    parts = {name: list(worded(found, held, every_wording, seen)) for name, held in asked.items()}
    frames = []
    for name, worded_parts in tqdm(parts.items(), desc="benchmarks", disable=not progress):
        for wording, part in worded_parts:
            answered = values_of(model, part, [mask for *_, mask in masks], scoring, options)
            for (condition, label, seed, _), frame in zip(masks, answered, strict=True):
                known = {"condition": condition, "name": label, "seed": seed}
                frames.append(frame.assign(**known, benchmark=name, wording=wording))
    columns = [
        "condition",
        "name",
        "seed",
        "benchmark",
        "wording",
        "id",
        "culture",
        "group",
        "value",
    ]
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "neurons": {name: len(found[name]) for name in found},
        "selector": found.method,
        "random_seeds": random_seeds,
        "random_match": random_match,
        "items": {name: len(questions) for name, questions in asked.items()},
        "versions": versions(),
    }
    return Suite(pd.concat(frames, ignore_index=True)[columns], metadata)


def as_set(model: LensModel, neurons: Mapping[str, Neurons] | NeuronSet) -> NeuronSet:
    """Take named neurons as a set of this model."""
    if not len(neurons):
        raise InputError("no neurons to ablate: give {name: neurons} or what a selector found.")
    if isinstance(neurons, NeuronSet):
        neurons.check_model(model)
        return neurons
    sites = {site for chosen in neurons.values() for site in chosen.places}
    return NeuronSet(dict(neurons), {site: model.shape(site) for site in sorted(sites)})


def named(
    benchmarks: Sequence[str] | Mapping[str, str | Path | Asked],
) -> dict[str, str | Path | Asked | None]:
    """Name every benchmark and say where it comes from."""
    if isinstance(benchmarks, str):
        benchmarks = [benchmarks]
    if not len(benchmarks):
        raise InputError("no benchmarks: give names, or {name: questions}.")
    return dict(benchmarks) if isinstance(benchmarks, Mapping) else dict.fromkeys(benchmarks)


ASKED_WITH: Mapping[str, Mapping[str, Any]] = {"countryrc": {"wording": 0}}
"""Options where nothing else is said: CountryRC would ask everything in all its wordings."""


def held_out(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """Keep the half that does not identify, where there is one, and so many of each culture."""
    return at_most([q for q in questions if q.split != "identify"] or questions, limit)


def opened(name: str, source: str | Path | Asked | None, limit: int | None) -> Asked:
    """Give a benchmark's held-out questions: its own half where it has one."""
    if source is None or isinstance(source, (str, Path)):
        return held_out(load_benchmark(name, source, **ASKED_WITH.get(name, {})), limit)
    return source


def worded(
    found: NeuronSet, questions: Asked, every_wording: bool, seen: bool
) -> Iterator[tuple[int, Asked]]:
    """Give the questions that may be asked, in one wording after the other."""
    ordinary = [question for question in questions if isinstance(question, Question)]
    if len(ordinary) < len(questions) or any("votes" in q.metadata for q in ordinary):
        yield 0, questions  # values and short answers bring their wordings along
        return
    fresh = unseen(found, ordinary, seen)
    if not every_wording:
        yield 0, fresh
        return
    yield from enumerate(in_every_wording(fresh))


def values_of(
    model: LensModel,
    questions: Asked,
    masks: Sequence[Neurons | None],
    scoring: str | None,
    options: Mapping[str, Any],
) -> list[pd.DataFrame]:
    """Ask under every mask; give the value of each item: right, or how well aligned."""
    if isinstance(questions[0], ShortQuestion):
        short = [q for q in questions if isinstance(q, ShortQuestion)]
        return [
            written.assign(value=written["exact"].astype(float))
            for mask in masks
            for written in [evaluate_short_answers(model, short, mask, **options).frame]
        ]
    asked = [question for question in questions if isinstance(question, Question)]
    if "votes" in asked[0].metadata:
        return [
            held.assign(value=held["alignment"].astype(float))
            for mask in masks
            for held in [evaluate_values(model, asked, mask, scoring=scoring, **options).frame]
        ]
    prompts, way = prepare(model, asked, scoring, progress=bool(options["progress"]))
    labels = [(f"mask {number}", mask) for number, mask in enumerate(masks)]
    frames = answer_masks(model, prompts, way, labels, **options)
    return [frame.assign(value=frame["correct"].astype(float)) for frame in frames]


__all__ = ["Suite", "evaluate_suite"]
