"""`culture-lens suite`: the main table, several benchmarks under every set of neurons."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import (
    check_names,
    log_once,
    named_values,
    open_model,
    open_questions,
    parse_benchmarks,
    remembered,
)
from culture_lens.cli.neurons import check_means, chosen_masks, named_sets
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AblationValue,
    BatchSize,
    Benchmarks,
    EngineFlags,
    LoadingFlags,
    Methods,
    RandomSeeds,
    RunFolder,
    ScoringFlag,
    Seen,
    SubsetFlags,
    UnionMask,
    WhoseCultures,
    with_value,
)
from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    from culture_lens.experiments.suite import Suite
    from culture_lens.neurons.neuron_set import NeuronSet


PEOPLE = {"values": "values=FOLDER,answers=FILE", "answers": "answers=FOLDER,asked=english"}
"""Benchmarks of the commands `values` and `answers` -> how they are written here."""
WITHOUT_CULTURES = ("commonsenseqa", "qnli", "mrpc")
"""Tasks without cultures, of which --culture leaves nothing out."""


@dataclass(frozen=True)
class MaskFlags:
    """Which neurons of the run folder are ablated."""

    panel: ClassVar[str] = "Ablated neurons"

    method: Methods = None
    whose: WhoseCultures = None
    union: UnionMask = None


@dataclass(frozen=True)
class SuiteFlags:
    """How the benchmarks are asked and the neurons ablated; see ``evaluate_suite``."""

    panel: ClassVar[str] = "Evaluation"

    random_seeds: RandomSeeds = None
    random_match: Annotated[
        str | None, typer.Option(help="How random neurons match: layer or pool.")
    ] = None
    every_wording: Annotated[
        bool | None, typer.Option("--every-wording", help="Ask in each of the four wordings.")
    ] = None
    scoring: ScoringFlag = None
    value: AblationValue = None
    seen: Seen = None
    batch_size: BatchSize = None


@flags
def suite(
    *,
    benchmark: Benchmarks,
    run: RunFolder = DEFAULT_RUN,
    correction: Annotated[
        str | None, typer.Option(help="Of p, over all cells: holm or benjamini-hochberg.")
    ] = None,
    masks: MaskFlags,
    subset: SubsetFlags,
    loading: LoadingFlags,
    evaluating: SuiteFlags,
    engine: EngineFlags,
) -> None:
    """Evaluate several benchmarks: unmodified, with each culture's neurons ablated, and random.

    The neurons and the model are those of `find` in the run folder. Held-out halves are asked
    where a benchmark has them, and no question that identified the neurons. Beside the benchmarks
    of `culture-lens benchmarks` there are values=FOLDER,answers=FILE and answers=FOLDER, see the
    commands of these names. Tasks without cultures are asked whatever --culture says.

    Example: `culture-lens suite --run runs/first --benchmark everyday
    --benchmark culturalbench=data/CulturalBench-Easy.csv --union --every-wording`
    """
    from culture_lens.experiments.evaluate_suite import evaluate_suite
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run, create=False)
    sets = {
        name: chosen_masks(found, masks.whose, masks.union)
        for name, found in named_sets(folder, masks.method).items()
    }
    options, both = {**given(evaluating), **engine.chosen}, given(subset)
    check_choices(evaluating, correction)
    check_sets(sets, options)
    asked = {
        name: open_for_suite(name, own, **both) for name, own in parse_benchmarks(benchmark).items()
    }
    for name, questions in asked.items():
        check_left(sets, name, questions, options)
    opened = remembered(folder, loading)
    lens = open_model(opened)
    # In a record of its own: what `find` asked stays what `ablate` asks in this folder.
    told = given(masks, benchmark=benchmark, method=list(sets), **both)
    step: dict[str, Any] = {**opened, "suite": {**told, **options}}
    for name, found in sets.items():
        result = evaluate_suite(lens, found, asked, run=folder, **options)
        label = with_value(f"{name}-union" if masks.union else name, evaluating.value)
        where = result.to_parquet(folder.named("suite", label, ".parquet"))
        step = log_once(folder, "suite", step, began)
        typer.echo(f"{label}: {where}")
        say_suite(result, given(correction=correction))
    folder.finish("suite", lens.device)


def check_choices(evaluating: SuiteFlags, correction: Any) -> None:
    """Refuse unknown names before the model is loaded.

    Raises:
        InputError: An unknown value, scoring or correction.
    """
    import numpy as np

    from culture_lens.statistics.permutation import corrected

    check_names(evaluating.value, evaluating.scoring)
    known: Any = correction or "holm"  # checked by the call
    corrected(np.ones(1), known)


def check_sets(sets: dict[str, NeuronSet], options: dict[str, Any]) -> None:
    """Refuse masks and options on which the suite would fail after the model has run.

    Raises:
        InputError: No such match, a negative number of seeds, or means that were not recorded.
    """
    from culture_lens.selectors.random import matched_random

    seeds, value = options.get("random_seeds", 1), options.get("value")
    if seeds < 0:
        raise InputError(f"--random-seeds {seeds}: give 0 or more.")
    if value == "mean" and seeds:
        raise InputError("--value mean: random neurons have no means; add --random-seeds 0.")
    match = options.get("random_match", "layer")
    if match == "activity":
        raise InputError("--random-match activity needs a summary of firing rates: use Python.")
    for found in sets.values():
        check_means(found, value)
        matched_random(found, match=match)


def open_for_suite(
    name: str, own: dict[str, Any], culture: list[str] | None = None, limit: int | None = None
) -> list[Any]:
    """Open a benchmark as ``evaluate_suite`` does by name.

    Raises:
        InputError: An unknown benchmark or option, or a file that cannot be used.
    """
    from culture_lens.evaluation.short_answers.answers import as_question
    from culture_lens.experiments.evaluate_suite import ASKED_WITH, held_out
    from culture_lens.questions.splits import at_most

    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: must be at least 1.")
    if name in PEOPLE:
        asked = by_people(name, own, culture)
        plain = [q if name == "values" else as_question(q) for q in asked]
        kept = {q.id for q in at_most(plain, limit)}
        return [q for q in asked if q.id in kept]
    usual = [f"{option}={value}" for option, value in ASKED_WITH.get(name, {}).items()]
    own = {**own, "benchmark_option": [*usual, *own.get("benchmark_option", [])]}
    whose = None if name in WITHOUT_CULTURES else culture
    questions = open_questions({"benchmark": name, **own, **given(culture=whose)})
    return held_out(questions, limit)


def by_people(name: str, own: dict[str, Any], culture: list[str] | None) -> list[Any]:
    """Read the questions of `values` or `answers`, which people's answers come with.

    Raises:
        InputError: No folder, an option that the reader does not have, or files that it refuses.
    """
    from culture_lens.evaluation.short_answers import load_short_answers
    from culture_lens.evaluation.values import load_values

    load: Any = load_values if name == "values" else load_short_answers
    options = named_values(own.get("benchmark_option", []), "--benchmark", PEOPLE[name])
    known = list(inspect.signature(load).parameters)[1:]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}:", option, known)
    if "path" not in own or (name == "values" and "answers" not in options):
        raise InputError(f"--benchmark {name}: write it as {PEOPLE[name]}.")
    labels = "cultures" if name == "values" else "regions"
    asked: list[Any] = load(own["path"], **options, **given(**{labels: culture}))
    return asked


def check_left(
    sets: dict[str, NeuronSet], name: str, questions: list[Any], options: dict[str, Any]
) -> None:
    """Refuse a benchmark of which nothing is left to ask, or that lacks the wordings asked for.

    Raises:
        InputError: Names the benchmark and the neurons.
    """
    from culture_lens.experiments.evaluate_suite import worded

    for label, found in {} if options.get("seen") else sets.items():
        try:
            list(worded(found, questions, options.get("every_wording", False), False))
        except InputError as error:
            raise InputError(f"--benchmark {name}, neurons {label}: {error}") from None


def say_suite(result: Suite, options: dict[str, Any]) -> None:
    """Print the main table, the tests of its cells, and every wording by itself."""
    from culture_lens.experiments.conditions import RANDOM, UNMODIFIED
    from culture_lens.storage.display import format_table

    typer.echo(f"\n{result.table(**options).to_string()}")
    typer.echo("* differs from the unmodified model, ** from random neurons too")
    for against in (UNMODIFIED, RANDOM):
        if against in set(result.frame["condition"]):
            tests = format_table(result.tests(against, **options)).to_string(index=False)
            typer.echo(f"\nchange against {against}\n{tests}")
    if result.frame["wording"].nunique() > 1:
        typer.echo(f"\nwording by wording\n{result.wordings().to_string(index=False)}")
    typer.echo("")
