"""transfer_matrix: find neurons on each of several benchmarks and ablate them on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.checks import (
    OPTIONS,
    check_arguments,
    mapping,
    optional,
    real,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.transfer import TransferMatrix
from culture_lens.find import find_culture_neurons
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import jaccard
from culture_lens.neurons.overlap import expected_shared
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.culture_names import align_questions
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.questions.splits import split_questions
from culture_lens.questions.unseen import joined, looked_at
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    from culture_lens.evaluation.scoring import ScoringName


def same_labels(
    benchmarks: Mapping[str, Sequence[Question]], labels: Mapping[str, str]
) -> dict[str, list[Question]]:
    """Give all benchmarks the same culture labels, and question ids and groups of their own.

    Ids become ``NAME/id``. Groups become ``BENCHMARK/group``: two languages or subsets of one
    benchmark share its groups, so that a question that identifies in one is not asked in the other.

    Args:
        benchmarks: Questions by name.
        labels: Other labels for some cultures, such as ``{"Northern_Nigeria": "Nigeria"}``.
            Underscores count as spaces: BLEnD writes ``South_Korea``. Remaining labels that mean
            the same, such as UK and United Kingdom, become those of the first benchmark; see
            ``culture_names``.

    Returns:
        The questions of the cultures that every benchmark has.

    Raises:
        InputError: Fewer than two benchmarks, a name that no file can have, or fewer than two
            cultures in common.

    Warns:
        CultureLensWarning: Which labels were replaced by which others.
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

    def renamed(name: str, question: Question) -> Question:
        return replace(
            question,
            culture=labels.get(question.culture, question.culture.replace("_", " ")),
            id=f"{name}/{question.id}",
            group=f"{question.benchmark}/{question.group}",
        )

    named = {name: [renamed(name, q) for q in asked] for name, asked in benchmarks.items()}
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
    """Compare the neurons of each culture between every two benchmarks; see ``overlap``."""
    names = list(found)
    rows = []
    for position, one in enumerate(names):
        for other in names[position + 1 :]:
            for culture in found[one]:
                ours, theirs = found[one][culture], found[other][culture]
                facts = found[one].metadata
                by_chance = expected_shared([ours, theirs], found[one].shapes, "site", facts)
                rows.append(
                    {
                        "one": one,
                        "other": other,
                        "culture": culture,
                        "jaccard": jaccard(ours.members(), theirs.members()),
                        "shared": len(ours.members() & theirs.members()),
                        "by_chance": by_chance,
                    }
                )
    return rows


@check_arguments(
    model=MODEL,
    benchmarks=mapping(QUESTIONS, "{name: questions}"),
    method=text,
    identify_share=real,
    labels=optional(mapping(text)),
    find_options=optional(OPTIONS),
    random_seeds=whole(0),
    scoring=optional(text),
)
def transfer_matrix(
    model: LensModel,
    benchmarks: Mapping[str, Sequence[Question]],
    *,
    method: str = "conact",
    identify_share: float = 0.5,
    labels: Mapping[str, str] | None = None,
    find_options: Mapping[str, Any] | None = None,
    random_seeds: int = 5,
    scoring: ScoringName | None = None,
    **running: Unpack[RunningOptions],
) -> TransferMatrix:
    """Find neurons on each of several benchmarks and ablate them on all of them.

    Args:
        model: The model; it must read images if a benchmark has some.
        benchmarks: Questions by name, such as ``{"text": ..., "images": ...}``. Only the cultures
            that all of them have are used.
        method: The selector.
        identify_share: Share of each benchmark's question groups that identify, where it has no
            split of its own; the rest evaluates.
        labels: Other labels for cultures that benchmarks call differently; see ``same_labels``.
        find_options: Further options of ``find_culture_neurons``, such as ``{"share": 0.01}``.
        random_seeds: Sets of random neurons beside each culture's.
        scoring: How answers are read; the model's own scoring by default.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``. The
            neurons of each benchmark, their matrix on its own questions, and the whole result are
            written to the run folder as well.

    Raises:
        InputError: Fewer than two benchmarks or common cultures, an unknown option, or anything
            that ``find_culture_neurons`` and ``ablation_matrix`` refuse.

    Example:
        ``transfer_matrix(model, {"text": everyday, "images": cvqa}).table("gap")``
    """
    import pandas as pd

    folder = Running.of(running).folder
    asked = same_labels(benchmarks, labels or {})
    held_out = held_out_of(asked, identify_share)
    found = {
        name: find_culture_neurons(
            model,
            questions,
            method=method,
            identify_share=identify_share,
            **{**running, **(find_options or {})},
        )
        for name, questions in asked.items()
    }
    frames, pairs = [], {source: dict[str, Any]() for source in found}
    for source, neurons in found.items():
        for target, questions in held_out.items():
            matrix = ablation_matrix(
                model, neurons, questions, random_seeds=random_seeds, scoring=scoring, **running
            )
            frames.append(matrix.frame.assign(source=source, target=target))
            pairs[source][target] = dict(matrix.metadata)
            if folder is not None and source == target:
                identify, _ = split_questions(asked[source], identify_share)
                neurons = with_own_names(neurons, source, identify)
                write_own(folder, f"{method}-{source}", matrix, neurons)
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


def held_out_of(
    asked: Mapping[str, Sequence[Question]], identify_share: float
) -> dict[str, list[Question]]:
    """Give the held-out questions of every benchmark.

    Raises:
        InputError: A benchmark has none. All are checked before the model runs.
    """
    held_out = {name: split_questions(qs, identify_share)[1] for name, qs in asked.items()}
    for name, questions in held_out.items():
        if not questions:
            raise InputError(
                f"benchmark {name!r} has no questions left to ask beside those that identify: "
                "lower identify_share, or give more."
            )
    return held_out


def with_own_names(found: NeuronSet, name: str, identify: Sequence[Question]) -> NeuronSet:
    """Record what was looked at by the names in the benchmark too, for later evaluations."""
    own = [
        replace(
            question,
            id=question.id.removeprefix(f"{name}/"),
            group=question.group.removeprefix(f"{question.benchmark}/"),
        )
        for question in identify
    ]
    return replace(found, metadata={**found.metadata, **joined(found.metadata, looked_at(own))})


def write_own(run: Run, name: str, matrix: AblationMatrix, neurons: NeuronSet) -> None:
    """Write a benchmark's neurons, and their matrix on its own questions, into a run folder."""
    matrix.to_parquet(run.named("matrix", name, ".parquet"))
    neurons.save(run.named("neurons", name, ".safetensors"))
