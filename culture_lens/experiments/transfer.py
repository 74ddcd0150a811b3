"""transfer_matrix: neurons found on one benchmark, ablated on another, such as text and images.

For benchmarks s and t, N_s(c) the neurons of culture c found on s, and A[s,t][m,e] the accuracy on
the questions of culture e in t with N_s(m) ablated:

    self(s,t)  = mean over c of A[s,t][c,c] - base[t][c]
    gap(s,t)   = self(s,t) - mean over c, e != c of A[s,t][c,e] - base[t][e]

and beside them the same for random neurons, as many in each layer. On the diagonal the neurons are
asked about held-out questions of the benchmark they come from; off it, knowledge that holds for
both kinds of question shows as a fall of the same kind. Nobody's paper has this table;
the metrics are those of ConAct's paper, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.errors import InputError, unknown
from culture_lens.experiments.matrix import AblationMatrix, ablation_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet, jaccard
from culture_lens.neurons.overlap import expected_shared
from culture_lens.questions.culture_names import align_questions
from culture_lens.questions.question import Question
from culture_lens.questions.splits import split_questions
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.records import ResultRecord
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    import pandas as pd


class TransferMatrix(ResultRecord):
    """The records of every pair of benchmarks, and what is read off them.

    Attributes:
        frame: The columns of an ``AblationMatrix``, with ``source`` (where the neurons were found)
            and ``target`` (what was asked) before them.
        metadata: Model, selector, cultures, the overlaps, and ``pairs``: the metadata of the
            matrix of each source and target.

    Example:
        ``transfer_matrix(model, {"text": texts, "images": pictured}).table("gap")``
    """

    what = "a transfer table"

    @property
    def names(self) -> tuple[str, ...]:
        """The benchmarks, in the order in which they were given."""
        return tuple(self.metadata["benchmarks"])

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that all benchmarks have."""
        return tuple(self.metadata["cultures"])

    @cached_property
    def _matrices(self) -> dict[tuple[str, str], AblationMatrix]:
        return {
            (source, target): AblationMatrix(
                part.drop(columns=["source", "target"]).reset_index(drop=True),
                self.metadata["pairs"][source][target],
            )
            for (source, target), part in self.frame.groupby(["source", "target"], sort=False)
        }

    def matrix(self, source: str, target: str) -> AblationMatrix:
        """Give the ablation matrix of the neurons of one benchmark on another's questions.

        Raises:
            InputError: No such benchmark.

        Example:
            ``result.matrix("text", "images").summary()``
        """
        for name in (source, target):
            if name not in self.names:
                raise unknown("benchmark", name, self.names)
        return self._matrices[source, target]

    def cell(
        self, source: str, target: str, metric: str = "self", condition: str = "found"
    ) -> Estimate:
        """Give one metric, the mean over cultures, with its interval.

        Args:
            source: Where the neurons were found.
            target: What was asked.
            metric: ``"base"``, ``"self"``, ``"cross"``, ``"gap"`` or ``"flips"``; see
                ``AblationMatrix.overall``.
            condition: ``"found"``, ``"random"``, or ``"beyond"`` for the difference of the two.

        Example:
            ``result.cell("text", "images", "gap")``
        """
        matrix = self.matrix(source, target)
        if condition == "beyond":
            return matrix.beyond_random(metric)
        return matrix.overall(metric, condition)

    def table(self, metric: str = "self", condition: str = "found") -> pd.DataFrame:
        """Lay a metric out, sources x targets, each cell an Estimate.

        Example:
            ``result.table("self", condition="beyond")``
        """
        import pandas as pd

        rows = [[self.cell(s, t, metric, condition) for t in self.names] for s in self.names]
        return pd.DataFrame(rows, index=list(self.names), columns=list(self.names))

    def overlap(self) -> pd.DataFrame:
        """Say how much the neurons of each culture have in common between benchmarks.

        Returns:
            One row per pair of benchmarks and culture: ``jaccard``, ``shared`` (neurons in both)
            and ``by_chance`` (how many two random sets of these sizes would share).
        """
        import pandas as pd

        return pd.DataFrame(self.metadata["overlap"])


def same_labels(
    benchmarks: Mapping[str, Sequence[Question]], labels: Mapping[str, str]
) -> dict[str, list[Question]]:
    """Bring benchmarks to one set of culture labels, their question ids and groups kept apart.

    Args:
        benchmarks: Questions by name.
        labels: Other labels for some cultures, such as ``{"Northern_Nigeria": "Nigeria"}``.
            Underscores count as spaces: BLEnD writes ``South_Korea``. Of the labels that then
            still differ, those that mean the same, such as UK and United Kingdom, become the
            first benchmark's; see ``naming``.

    Returns:
        The questions of the cultures that every benchmark has.

    Raises:
        InputError: Fewer than two benchmarks, a name that no file can have, or fewer than two
            cultures in common.

    Warns:
        CultureLensWarning: Which labels are taken for which others.
    """
    if len(benchmarks) < 2:
        raise InputError("transfer needs at least two benchmarks, such as one of text and images.")
    for name in benchmarks:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"benchmark name {name!r}: use letters, digits, '-' and '_'.")
    known = {question.culture for questions in benchmarks.values() for question in questions}
    for label in labels:
        if label not in known:
            raise unknown(
                "culture", label, known, "No benchmark has it, so labels= cannot name it."
            )

    def told_apart(name: str, question: Question) -> Question:
        return replace(
            question,
            culture=labels.get(question.culture, question.culture.replace("_", " ")),
            id=f"{name}/{question.id}",
            group=f"{name}/{question.group}",
        )

    named = {name: [told_apart(name, q) for q in asked] for name, asked in benchmarks.items()}
    first, *others = named
    labelled = {question.culture for question in named[first]}
    for name in others:
        named[name] = align_questions(named[name], labelled, f"benchmark {name!r}")
    common = set.intersection(*({q.culture for q in asked} for asked in named.values()))
    if len(common) < 2:
        have = "; ".join(
            f"{name}: {', '.join(sorted({q.culture for q in asked}))}"
            for name, asked in named.items()
        )
        raise InputError(
            f"the benchmarks have {len(common)} cultures in common, two are needed ({have}): map "
            "their labels with labels={'Northern_Nigeria': 'Nigeria'}, or choose other benchmarks."
        )
    return {name: [q for q in asked if q.culture in common] for name, asked in named.items()}


def overlaps(found: Mapping[str, NeuronSet]) -> list[dict[str, Any]]:
    """Compare the neurons of each culture between every two benchmarks."""
    names = list(found)
    rows = []
    for position, one in enumerate(names):
        for other in names[position + 1 :]:
            for culture in found[one]:
                ours, theirs = found[one][culture], found[other][culture]
                rows.append(
                    {
                        "one": one,
                        "other": other,
                        "culture": culture,
                        "jaccard": jaccard(ours.members(), theirs.members()),
                        "shared": len(ours.members() & theirs.members()),
                        "by_chance": expected_shared(
                            [ours, theirs], found[one].shapes, match="site"
                        ),
                    }
                )
    return rows


def transfer_matrix(
    model: LensModel,
    benchmarks: Mapping[str, Sequence[Question]],
    *,
    method: str = "conact",
    identify_share: float = 0.5,
    labels: Mapping[str, str] | None = None,
    find_options: Mapping[str, Any] | None = None,
    random_seeds: int = 5,
    scoring: str | None = None,
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> TransferMatrix:
    """Find neurons on each of some benchmarks and ablate them on every one of them.

    Args:
        model: The model; one that reads images where a benchmark has some.
        benchmarks: Questions by name, such as ``{"text": ..., "images": ...}``. Only the cultures
            that all of them have are used.
        method: The selector.
        identify_share: Share of each benchmark's question groups that identify, where it has no
            split of its own; the rest is asked.
        labels: Other labels for cultures that benchmarks call differently; see ``same_labels``.
        find_options: Further options of ``find_culture_neurons``, such as ``{"share": 0.01}``.
        random_seeds: Sets of random neurons beside each culture's.
        scoring: How answers are read; the model's own way by default.
        batch_size: Questions per forward.
        progress: Show progress bars.
        run: A run folder; finished pieces are kept and found again, and the neurons of each
            benchmark, their matrix on its own questions, and the whole are written to it.

    Raises:
        InputError: Fewer than two benchmarks or common cultures, or anything that the stages
            refuse.

    Example:
        ``transfer_matrix(model, {"text": everyday, "images": cvqa}).table("gap")``
    """
    import pandas as pd

    asked = same_labels(benchmarks, labels or {})
    # Anything that is wrong with a later benchmark is said before the first one is run.
    held_out = {name: split_questions(qs, identify_share)[1] for name, qs in asked.items()}
    for name, questions in held_out.items():
        if not questions:
            raise InputError(
                f"benchmark {name!r} has no questions left to ask beside those that identify: "
                "lower identify_share, or give more."
            )
    folder = Run.open(run) if run is not None else None
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress, "run": folder}
    found = {
        name: find_culture_neurons(
            model,
            questions,
            method=method,
            identify_share=identify_share,
            **{**options, **(find_options or {})},
        )
        for name, questions in asked.items()
    }
    frames, pairs = [], {source: dict[str, Any]() for source in found}
    for source, neurons in found.items():
        for target, questions in held_out.items():
            matrix = ablation_matrix(
                model, neurons, questions, random_seeds=random_seeds, scoring=scoring, **options
            )
            frames.append(matrix.frame.assign(source=source, target=target))
            pairs[source][target] = dict(matrix.metadata)
            if folder is not None and source == target:
                matrix.to_parquet(folder.named("matrix", f"{method}-{source}", ".parquet"))
        if folder is not None:
            neurons.save(folder.named("neurons", f"{method}-{source}", ".safetensors"))
    frame = pd.concat(frames, ignore_index=True)
    first = ["source", "target"]
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "selector": method,
        "benchmarks": list(found),
        "cultures": sorted({q.culture for qs in asked.values() for q in qs}),
        "random_seeds": random_seeds,
        "items": sum(len(questions) for questions in held_out.values()),
        "pairs": pairs,
        "overlap": overlaps(found),
        "versions": versions(),
    }
    result = TransferMatrix(frame[first + [c for c in frame if c not in first]], metadata)
    if folder is not None:
        result.to_parquet(folder.named("transfer", method, ".parquet"))
    return result
