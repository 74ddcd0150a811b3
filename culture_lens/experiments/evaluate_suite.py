"""evaluate_suite: evaluate a model on several benchmarks, with found and random neurons ablated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.benchmarks import in_every_wording, load_benchmark
from culture_lens.checks import (
    any_names,
    check_arguments,
    each,
    either,
    file_path,
    flag,
    instance,
    mapping,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.evaluation.short_answers import ShortQuestion, evaluate_short_answers
from culture_lens.evaluation.values import evaluate_values
from culture_lens.experiments.masks import AblationMask, RandomMasks, found_and_random, labelled
from culture_lens.experiments.suite import SUITE_COLUMNS, Suite
from culture_lens.interventions.hooks import Value, ablation_value
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import NEURONS, Neurons
from culture_lens.prompts.running import Running, RunningOptions, read_options
from culture_lens.questions.question import Question
from culture_lens.questions.splits import at_most
from culture_lens.questions.unseen import unseen
from culture_lens.storage.progress import progress_bar
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.activations.summary import ActivationSummary
    from culture_lens.evaluation.scoring import ScoringName
    from culture_lens.experiments.conditions import RandomMatch

SuiteQuestions = Sequence[Question] | Sequence[ShortQuestion]


def suite_source(name: str, value: Any) -> Any:
    """Check for a local copy, or for questions of any kind, of which there are some."""
    asked = each(instance(Question, ShortQuestion, remedy="a question"), "a path, or questions")
    held = file_path(name, value) if isinstance(value, (str, Path)) else asked(name, value)
    if not held:
        raise InputError(f"{name} is empty: give its questions, or leave it out.")
    return held


class SuiteOptions(RunningOptions, total=False):
    """The fields of ``RandomMasks`` and ``Running`` as keyword arguments."""

    random_seeds: int
    random_match: RandomMatch
    random_summary: ActivationSummary | None


@check_arguments(
    model=MODEL,
    neurons=either(FOUND_SET, mapping(NEURONS), remedy="a NeuronSet, or {name: neurons}"),
    benchmarks=either(
        any_names, mapping(suite_source), remedy="names, or {name: path or questions}"
    ),
    every_wording=flag,
    limit=optional(whole(1)),
    scoring=optional(text),
    value=ablation_value,
    seen=flag,
)
def evaluate_suite(
    model: LensModel,
    neurons: Mapping[str, Neurons] | NeuronSet,
    benchmarks: Sequence[str] | Mapping[str, str | Path | SuiteQuestions],
    *,
    every_wording: bool = False,
    limit: int | None = None,
    scoring: ScoringName | None = None,
    value: Value = "zero",
    seen: bool = False,
    **options: Unpack[SuiteOptions],
) -> Suite:
    """Evaluate a model on several benchmarks, unmodified and with found or random neurons ablated.

    Args:
        model: The model.
        neurons: Name -> neurons to ablate. The questions that were given to find a NeuronSet are
            left out of every benchmark, with their groups; see ``unseen``.
        benchmarks: Names for ``load_benchmark``, or name -> local copy, or name -> questions, also
            those of ``load_values`` and ``load_short_answers``. Where a benchmark has a held-out
            half, only that is asked.
        every_wording: Ask every question in each of its benchmark's wordings.
        limit: The most questions of each culture, of benchmarks that are loaded by name.
        scoring: How answers are read; the model's own scoring by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        seen: Ask the questions that found the neurons too, with a warning.
        **options: ``random_seeds`` (10 by default, as in CULNIG; 0 for none) and ``random_match``,
            see ``RandomMasks``; batch size, progress, run folder and prompts that are too long, see
            ``Running``.

    Raises:
        InputError: No neurons, an unknown benchmark or option, or questions that cannot be asked.

    Example:
        ``evaluate_suite(model, found, {"culturalbench": "data/CulturalBench-Easy.csv"}).table()``
    """
    import pandas as pd

    given: dict[str, Any] = {"random_seeds": 10, **options}
    running, random = read_options(given, Running, RandomMasks)
    found = as_set(model, neurons)
    asked = {name: opened(name, source, limit) for name, source in named(benchmarks).items()}
    masks = found_and_random(model, found, random)
    # All at once: a benchmark that cannot be asked is refused before the others are run.
    parts = {name: list(worded(found, held, every_wording, seen)) for name, held in asked.items()}
    frames = []
    for name, worded_parts in progress_bar(
        parts.items(), desc="benchmarks", progress=running.progress
    ):
        for wording, part in worded_parts:
            answered = values_of(model, part, masks, scoring, value, running)
            for mask, frame in zip(masks, answered, strict=True):
                known = {"condition": mask.condition, "name": mask.name, "seed": mask.seed}
                told = frame.assign(**known, benchmark=name, wording=wording)
                frames.append(told.reindex(columns=list(SUITE_COLUMNS)))
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "neurons": {name: len(found[name]) for name in found},
        "selector": found.method,
        "random_seeds": random.random_seeds,
        "random_match": random.random_match,
        "items": {name: len(wordings[0][1]) for name, wordings in parts.items()},
        "versions": versions(),
    }
    return Suite(pd.concat(frames, ignore_index=True), metadata)


def as_set(model: LensModel, neurons: Mapping[str, Neurons] | NeuronSet) -> NeuronSet:
    """Make a NeuronSet of named neurons of this model."""
    if not len(neurons):
        raise InputError("no neurons to ablate: give {name: neurons} or what a selector found.")
    if isinstance(neurons, NeuronSet):
        neurons.check_model(model)
        return neurons
    sites = {site for chosen in neurons.values() for site in chosen.places}
    return NeuronSet(dict(neurons), {site: model.shape(site) for site in sorted(sites)})


def named(
    benchmarks: Sequence[str] | Mapping[str, str | Path | SuiteQuestions],
) -> dict[str, str | Path | SuiteQuestions | None]:
    """Give every benchmark's name and source."""
    if isinstance(benchmarks, str):
        benchmarks = [benchmarks]
    if not len(benchmarks):
        raise InputError("no benchmarks: give names, or {name: questions}.")
    return dict(benchmarks) if isinstance(benchmarks, Mapping) else dict.fromkeys(benchmarks)


ASKED_WITH: Mapping[str, Mapping[str, Any]] = {"countryrc": {"wording": 0}}
"""Options of a benchmark that is loaded by name: CountryRC would come in all its wordings."""


def held_out(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """Keep the half that does not identify, where there is one, up to a limit per culture."""
    return at_most([q for q in questions if q.split != "identify"] or questions, limit)


def opened(
    name: str, source: str | Path | SuiteQuestions | None, limit: int | None
) -> SuiteQuestions:
    """Give a benchmark's held-out questions, or the questions that were given."""
    if source is None or isinstance(source, (str, Path)):
        return held_out(load_benchmark(name, source, **ASKED_WITH.get(name, {})), limit)
    return source


def worded(
    found: NeuronSet, questions: SuiteQuestions, every_wording: bool, seen: bool
) -> Iterator[tuple[int, SuiteQuestions]]:
    """Give the questions that did not identify the neurons, wording by wording."""
    fresh: Any = unseen(found, questions, seen)  # of the same kind as the questions
    ordinary = [q for q in fresh if isinstance(q, Question) and "votes" not in q.metadata]
    # Value questions and short answers have their wordings already.
    if not every_wording or len(ordinary) < len(fresh):
        yield 0, fresh
        return
    yield from enumerate(in_every_wording(ordinary))


def values_of(
    model: LensModel,
    questions: SuiteQuestions,
    masks: Sequence[AblationMask],
    scoring: ScoringName | None,
    value: Value,
    running: Running,
) -> list[pd.DataFrame]:
    """Ask questions under every mask and give each item's value: right or not, or its alignment."""
    if isinstance(questions[0], ShortQuestion):
        short = [question for question in questions if isinstance(question, ShortQuestion)]
        return [
            written.assign(value=written["exact"].astype(float))
            for mask in masks
            for written in [
                evaluate_short_answers(
                    model, short, mask.neurons, value=value, **vars(running)
                ).frame
            ]
        ]
    asked = [question for question in questions if isinstance(question, Question)]
    if "votes" in asked[0].metadata:
        return [
            held.assign(value=held["alignment"].astype(float))
            for mask in masks
            for held in [
                evaluate_values(
                    model, asked, mask.neurons, scoring=scoring, value=value, **vars(running)
                ).frame
            ]
        ]
    prompts, chosen = prepare(model, asked, scoring, running)
    frames = answer_masks(model, prompts, chosen, labelled(masks), value=value, running=running)
    return [frame.assign(value=frame["correct"].astype(float)) for frame in frames]
