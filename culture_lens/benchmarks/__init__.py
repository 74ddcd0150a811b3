"""Benchmarks: rows -> Questions, by name. ``BENCHMARKS`` is the one place where one is added.

To add a benchmark ``mine``:

1. Write ``benchmarks/mine.py`` with a function ``load(read, *, options...)`` that returns
   Questions, and a ``Benchmark`` record that names it. ``read(Part(...))`` gives a table of its
   rows, from the hub or from a local copy. See ``commonsenseqa.py`` for a short one; ``reading``
   has what benchmarks share: reading files, dropping bad rows, grouping rows that share a text or
   an image, wordings.
2. Add its record to ``BENCHMARKS``. ``load_benchmark`` and the command line then know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from culture_lens.benchmarks import (
    blend,
    commonsenseqa,
    countryrc,
    culturalbench,
    cvqa,
    everyday,
    glue,
    k_viscuit,
    normad,
    organism,
    table,
)
from culture_lens.benchmarks.reading.rows import read_rows
from culture_lens.benchmarks.reading.source import Benchmark, Part, read_part
from culture_lens.benchmarks.reading.wordings import check_wording, in_wording
from culture_lens.benchmarks.table import questions_from_table
from culture_lens.checks import check_arguments, file_path, names, optional, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.questions.question import QUESTIONS, Question, check_questions
from culture_lens.questions.splits import at_most

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Part",
    "benchmark_names",
    "in_every_wording",
    "load_benchmark",
    "questions_from_table",
    "read_rows",
]

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        everyday.BENCHMARK,
        blend.BENCHMARK,
        cvqa.BENCHMARK,
        k_viscuit.BENCHMARK,
        culturalbench.BENCHMARK,
        normad.BENCHMARK,
        countryrc.BENCHMARK,
        commonsenseqa.BENCHMARK,
        glue.QNLI,
        glue.MRPC,
        organism.BENCHMARK,
        table.BENCHMARK,
    )
}


def benchmark_names() -> tuple[str, ...]:
    """List the benchmarks that can be loaded by name.

    Example:
        >>> "everyday" in benchmark_names()
        True
    """
    return tuple(BENCHMARKS)


@check_arguments(
    name=text,
    path=optional(file_path),
    cultures=optional(names),
    categories=optional(names),
    limit=optional(whole()),
    wording=optional(whole()),
)
def load_benchmark(
    name: str,
    path: str | Path | None = None,
    *,
    cultures: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    limit: int | None = None,
    wording: int | None = None,
    **options: Any,
) -> list[Question]:
    """Load a benchmark's questions.

    Args:
        name: One of ``benchmark_names()``.
        path: A local copy, a file or the folder that holds it, in the layout of the hub's copy;
            without it the questions come from the package or from the Hugging Face hub.
        cultures: Keep these cultures only.
        categories: Keep these categories (topics) only.
        limit: At most so many questions per culture, chosen by a hash of their ids: the same
            ones every time.
        wording: Number of the benchmark's instruction wording, 0 to 3, kept as
            ``metadata["wording"]``. Without it wording 0, or, for CountryRC, all four, each as a
            question of its own. ``organism`` has only wording 0.
        options: The benchmark's own options, such as ``split="identify"`` for ``"blend"``.

    Returns:
        The questions in the benchmark's order, with unique ids, of at least two cultures unless
        ``cultures`` names one or the benchmark has only one. Images are not decoded; see
        ``readable``.

    Raises:
        InputError: An unknown name, option, culture or category, no question left, or rows that
            cannot be used.

    Warns:
        CultureLensWarning: Rows were left out: how many of how many, and why.

    Example:
        >>> len(load_benchmark("everyday", cultures=["Japan", "Italy"], limit=10))
        20
    """
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: must be at least 1, or None for all questions.")
    benchmark = BENCHMARKS[name]
    check_options(benchmark, {**options, "wording": wording})
    questions = benchmark.rows(partial(read_part, benchmark, path), **options)
    if wording is not None:
        questions = asked_in(benchmark, questions, wording)
    if cultures is not None:
        questions = having(questions, "culture", cultures)
    if categories is not None:
        questions = having(questions, "category", categories)
    left = {question.culture for question in questions}
    lost = [culture for culture in cultures or () if culture not in left]
    if lost:
        raise InputError(
            f"no question of culture {', '.join(map(repr, lost))} is in the categories asked for; "
            f"they have questions of {', '.join(sorted(left))}."
        )
    questions = at_most(questions, limit)
    one = cultures is not None and len(set(cultures)) == 1
    check_questions(questions, min_cultures=1 if one else benchmark.min_cultures)
    return questions


def check_options(benchmark: Benchmark, options: dict[str, Any]) -> None:
    """Refuse options that a benchmark does not have, and a wording that it does not have."""
    known = [*benchmark.options, "wording"]
    for option in options:
        if option not in known:
            raise unknown(f"option of benchmark {benchmark.name!r}:", option, known)
    if options.get("wording") is not None:
        if options.get("wordings") is not None:
            raise InputError("wording= is the number of a benchmark's own wording: leave it out.")
        check_wording(options["wording"], benchmark.name, benchmark.wordings)


def asked_in(benchmark: Benchmark, questions: Sequence[Question], wording: int) -> list[Question]:
    """Give a benchmark's questions in one of its wordings."""
    if benchmark.each_wording:
        forms = [kind[wording] for kind in benchmark.wordings]
        questions = [question for question in questions if question.prompt in forms]
    return in_wording(questions, wording, benchmark.wordings)


def having(questions: Sequence[Question], field: str, wanted: Sequence[str]) -> list[Question]:
    """Keep the questions whose culture or category is wanted."""
    known = {getattr(question, field) for question in questions}
    for name in wanted:
        if name not in known:
            raise unknown(field, name, known - {""} or {"(none)"}, "The other filters leave these.")
    return [question for question in questions if getattr(question, field) in wanted]


@check_arguments(questions=QUESTIONS)
def in_every_wording(questions: Sequence[Question]) -> list[list[Question]]:
    """Give the same questions in each wording of their benchmarks.

    CountryRC's questions already come in four wordings, with different wrong options; give those of
    ``load_benchmark("countryrc", wording=0)``. Questions of no known benchmark in the default
    format get ``DEFAULT_WORDINGS``.

    Args:
        questions: As ``load_benchmark`` gives them, of one benchmark or of several.

    Returns:
        One list per wording, number 0 first, each with the same ids, options and answers in the
        same order. The number is in ``metadata["wording"]``. A benchmark that has one wording only,
        such as ``organism``, gives one list.

    Raises:
        InputError: No questions, questions in a format of the user's own, or benchmarks with
            different numbers of wordings.

    Example:
        >>> lists = in_every_wording(load_benchmark("everyday", limit=1))
        >>> [same[0].prompt.labels[:4] for same in lists]
        ['ABCD', '1234', 'ABCD', '1234']
        >>> len({same[0].id for same in lists})
        1
    """
    if not questions:
        raise InputError("there are no questions to put in other wordings.")
    kinds = {
        question.benchmark: BENCHMARKS.get(question.benchmark, BENCHMARKS["table"]).wordings
        for question in questions
    }
    counts = {name: min(len(forms) for forms in kinds[name]) for name in sorted(kinds)}
    if len(set(counts.values())) > 1:
        having = ", ".join(f"{name or 'no benchmark'} {count}" for name, count in counts.items())
        raise InputError(
            f"the questions' benchmarks have different numbers of wordings ({having}): give the "
            "questions of one benchmark at a time."
        )
    return [
        [
            worded
            for question in questions
            for worded in in_wording([question], number, kinds[question.benchmark])
        ]
        for number in range(next(iter(counts.values())))
    ]
