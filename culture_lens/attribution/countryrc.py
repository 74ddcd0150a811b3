"""CountryRC for a task: which countries it asks about, in which wordings, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from culture_lens.attribution.sums import AttributionSums
from culture_lens.benchmarks import BENCHMARKS, load_benchmark
from culture_lens.benchmarks.countryrc import COUNTRIES
from culture_lens.benchmarks.reading.text_rows import N_OPTIONS
from culture_lens.errors import InputError
from culture_lens.neurons.scores import NeuronScores
from culture_lens.questions.culture_names import align_questions, match_cultures
from culture_lens.questions.question import PromptFormat, Question, check_questions

Wordings: TypeAlias = "Sequence[PromptFormat] | str | Path"
"""Own wordings of CountryRC: prompt formats, or a JSON file of them."""


def countryrc_questions_for(
    questions: Sequence[Question],
    countries: Sequence[str] | Mapping[str, str] | None,
    countryrc: str | Path | Sequence[Question] | None,
    wordings: Wordings | None,
) -> list[Question]:
    """Give CountryRC's questions for a task, whatever a user gave for them; see ``culnig_scores``.

    Raises:
        InputError: Questions together with wordings, or about cultures that the task lacks.
    """
    if countryrc is None or isinstance(countryrc, (str, Path)):
        asked = countryrc_for(questions, countries, countryrc, wordings)
    elif wordings is not None:
        raise InputError(
            "countryrc= gives questions, which have wordings of their own: leave out "
            "countryrc_wordings."
        )
    else:
        check_questions(countryrc, min_cultures=1)
        cultures = {question.culture for question in questions}
        asked = align_questions(countryrc, cultures, "CountryRC's questions")
    check_countries(asked, questions)
    return asked


def countryrc_for(
    questions: Sequence[Question],
    countries: Sequence[str] | Mapping[str, str] | None = None,
    source: str | Path | None = None,
    wordings: Wordings | None = None,
) -> list[Question]:
    """Give the CountryRC questions that identify, about the cultures of other questions.

    Args:
        questions: Questions of the task.
        countries: See ``culnig_scores``.
        source: A file of templates instead of the bundled one, or a benchmark that has its own
            CountryRC.
        wordings: See ``culnig_scores``.

    Raises:
        InputError: Wordings for a benchmark's own CountryRC, which has only its own.

    Example:
        ``countryrc_for(load_benchmark("everyday"), ["Japan", "Italy"])``
    """
    cultures = sorted({question.culture for question in questions})
    if own := own_countryrc(questions, source):
        if wordings is not None:
            raise InputError(f"CountryRC of {own!r} has one wording: leave out countryrc_wordings.")
        named = None if countries is None else list(countries)
        asked = load_benchmark(own, cultures=named, **(BENCHMARKS[own].own_countryrc or {}))
        return [question for question in asked if named or question.culture in cultures]
    if countries is None:
        countries = COUNTRIES if set(COUNTRIES) <= set(cultures) else cultures
    elif names := match_cultures(countries, cultures, "countries="):
        if isinstance(countries, Mapping):
            countries = {names.get(label, label): name for label, name in countries.items()}
        else:
            countries = [names.get(label, label) for label in countries]
    # Wrong options from the task's own cultures; of fewer than four, from CountryRC's as well.
    pool = cultures if len(cultures) >= N_OPTIONS else None
    return load_benchmark(
        "countryrc",
        source,
        cultures=list(countries),
        split="identify",
        countries=countries,
        pool=pool,
        wordings=wordings,
    )


def own_countryrc(questions: Sequence[Question], source: str | Path | None) -> str | None:
    """Name the benchmark whose own CountryRC is asked for; None for a file or the bundled one."""
    named = {question.benchmark for question in questions} if source is None else {str(source)}
    own = [name for name in named if name in BENCHMARKS and BENCHMARKS[name].own_countryrc]
    return own[0] if own and len(named) == 1 else None


def check_countries(countryrc_questions: Sequence[Question], questions: Sequence[Question]) -> None:
    """Refuse CountryRC questions about cultures that the task lacks, before anything runs."""
    cultures = {question.culture for question in questions}
    lacking = sorted({question.culture for question in countryrc_questions} - cultures)
    if lacking:
        raise InputError(
            f"CountryRC asks about {', '.join(lacking)}, which the questions lack (they have "
            f"{', '.join(sorted(cultures))}): give countries= with labels of the questions."
        )


def score_wordings(
    questions: Sequence[Question], score: Callable[[Sequence[Question]], NeuronScores]
) -> tuple[NeuronScores, tuple[NeuronScores, ...]]:
    """Score each wording of CountryRC by itself and add them up: no more items than at once.

    Returns:
        The sums of all items, and those of each wording where every wording asks about every
        culture and there are at least two.
    """
    by_wording: dict[Any, list[Question]] = {}
    for question in questions:
        key = (question.metadata.get("wording"), question.prompt)
        by_wording.setdefault(key, []).append(question)
    cultures = [{question.culture for question in own} for own in by_wording.values()]
    if len(by_wording) < 2 or any(own != cultures[0] for own in cultures):
        return score(questions), ()
    wordings = tuple(score(own) for own in by_wording.values())
    sums = AttributionSums()
    for one in wordings:
        sums.merge(one)
    return sums.scores(wordings[0].metadata), wordings
