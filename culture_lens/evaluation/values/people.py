"""The answers that people gave to value questions, counted by culture.

The answers of the World Values Survey may not be redistributed, so users supply them, in one of two
layouts:

    one row per person    a column per question, such as full_value_qa.tsv of WorldValuesBench, and
                          a column of countries, here or in a second table that shares D_INTERVIEW
    one row per answer    columns question, culture, answer and, where rows are counts, count

The survey writes codes below 0 where there is no answer (-1 does not know, -2 gave none, -4 was not
asked, -5 missing); the benchmark leaves these cells empty. Both are counted and left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.benchmarks.reading.rows import Rows, as_frame, is_blank, place_of
from culture_lens.errors import InputError, unknown, warn
from culture_lens.evaluation.values.questions import ValueQuestion

if TYPE_CHECKING:
    import pandas as pd

PERSON_COLUMN, PERSON_COUNTRY = "D_INTERVIEW", "B_COUNTRY"
QUESTION_ID = re.compile(r"Q\d+[A-Z]?$")
LONG_COLUMNS = ("question", "culture", "answer")


@dataclass(frozen=True, eq=False)
class HumanValues:
    """How many people of each culture chose each point of each question's scale.

    Attributes:
        votes: By culture and question ID, one count per point of the scale, from its low end.
        seen: The same way, indices of the points in the order in which the table has them; from
            the low end where not given.
        left_out: The number of answers left out, by reason.

    Example:
        >>> HumanValues({"Peru": {"Q1": (0, 2, 5, 1)}}).majority("Peru", "Q1")
        2
    """

    votes: Mapping[str, Mapping[str, tuple[int, ...]]]
    seen: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures, in alphabetical order."""
        return tuple(sorted(self.votes))

    def majority(self, culture: str, question: str) -> int:
        """Index of the point that most people chose; of a tie, the one seen first (CULNIG)."""
        votes = self.votes[culture][question]
        order = self.seen.get(culture, {}).get(question, range(len(votes)))
        return max(order, key=lambda point: votes[point])

    def is_tied(self, culture: str, question: str) -> bool:
        """Say whether several points have the most votes."""
        votes = self.votes[culture][question]
        return votes.count(max(votes)) > 1


def read_human_values(
    answers: Rows,
    questions: Sequence[ValueQuestion],
    *,
    people: Rows | None = None,
    country: str = PERSON_COUNTRY,
    known: Collection[str] = (),
) -> HumanValues:
    """Count people's answers by culture and question.

    Args:
        answers: A file or table in one of the two layouts that this module describes.
        questions: The questions.
        people: Where ``answers`` has one row per person and no country: a table with columns
            ``D_INTERVIEW`` and ``country``, such as full_demographic_qa.tsv.
        country: The column of countries, in ``answers`` or ``people``.
        known: IDs of the survey's other questions; answers to them are ignored.

    Raises:
        InputError: A missing column, an unknown question, an answer that is no whole number or
            outside its scale, people who are listed twice or not at all, or no answers.

    Example:
        ``read_human_values("full_value_qa.tsv", questions, people="full_demographic_qa.tsv")``
    """
    table = as_frame(answers)
    asked = {question.id: question for question in questions}
    place = place_of(table)
    if is_long(table):
        check_known(table["question"].map(str), {*asked, *known}, place)
        cut = long_answers(with_culture(table, "culture"), asked)
    else:
        own = [str(name) for name in table.columns if QUESTION_ID.match(str(name))]
        check_known(own, {*asked, *known}, place)
        if people is not None:
            table = with_country(table, as_frame(people), country)
        check_wide(table, asked, country)
        cut = wide_answers(with_culture(table, country), asked, country)
    left_out: Counter[str] = Counter()
    votes: dict[str, dict[str, tuple[int, ...]]] = {}
    seen: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, culture, cells, counts in cut:
        question = asked[name]
        numbers, why = answer_numbers(cells, counts, f"{place}, question {name!r}")
        left_out.update(why)
        used = counts * (numbers >= 0)
        beyond = (used > 0) & ((numbers < question.low) | (numbers > question.high))
        if beyond.any():
            raise InputError(
                f"{place}, question {name!r} ({culture}): {int(used[beyond].sum())} answers beyond "
                f"its scale of {question.low} to {question.high}, such as "
                f"{int(numbers[beyond][0])}; give answers on the benchmark's scales (it renumbers "
                "some of the survey's own codes), or correct them."
            )
        tally = [int(used[numbers == point].sum()) for point in question.points]
        if sum(tally):
            votes.setdefault(culture, {})[name] = tuple(tally)
            order = dict.fromkeys((numbers[used > 0] - question.low).tolist())
            seen.setdefault(culture, {})[name] = tuple(order)
    say_left_out(place, left_out)
    if not votes:
        raise InputError(f"{place}: holds no answer to any of the {len(asked)} questions.")
    return HumanValues(votes, seen, dict(left_out))


Cells = tuple[str, str, list[Any], np.ndarray]
"""A question, a culture, the cells of its answers, and how many people gave each."""


def is_long(table: pd.DataFrame) -> bool:
    """Say whether a table has one row per answer."""
    return all(name in table.columns for name in LONG_COLUMNS)


def check_known(names: Iterable[str], known: Collection[str], place: str) -> None:
    """Refuse answers to unknown questions: a misspelt ID would leave its question out."""
    for name in dict.fromkeys(names):
        if name not in known:
            raise unknown("value question", name, known, f"It stands in {place}.")


def long_answers(table: pd.DataFrame, asked: Mapping[str, ValueQuestion]) -> list[Cells]:
    """Group a table of one row per answer by question and culture."""
    place = place_of(table)
    names = table["question"].map(str)
    if "count" in table.columns:
        counts, _ = answer_numbers(list(table["count"]), None, f"{place}, column 'count'")
        if (counts < 0).any():
            raise InputError(f"{place}, column 'count': counts must be 0 or more and none missing.")
    else:
        counts = np.ones(len(table), dtype=np.int64)
    return by_culture(table, "culture", list(names), table["answer"], counts, asked)


def check_wide(table: pd.DataFrame, asked: Mapping[str, ValueQuestion], country: str) -> None:
    """Refuse a table of neither layout."""
    if country not in table.columns or not any(name in asked for name in table.columns):
        raise InputError(
            f"{place_of(table)}: needs the columns question, culture and answer, or a column per "
            f"question ({', '.join(list(asked)[:3])}, ...) and one of countries ({country!r}; say "
            "country= or give people= the table that has it). It has "
            f"{', '.join(repr(str(name)) for name in list(table.columns)[:12])}."
        )


def wide_answers(
    table: pd.DataFrame, asked: Mapping[str, ValueQuestion], country: str
) -> list[Cells]:
    """Group a table of one row per person by question and culture."""
    ones = np.ones(len(table), dtype=np.int64)
    found: list[Cells] = []
    for name in (name for name in table.columns if name in asked):
        found += by_culture(table, country, [name] * len(table), table[name], ones, asked)
    return found


def with_culture(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Leave out rows without a culture, and warn of their number."""
    blank = table[column].map(is_blank)
    if blank.any():
        warn(
            f"{place_of(table)}: {int(blank.sum())} of {len(table)} rows have no {column} and are "
            "left out."
        )
    return table[~blank.astype(bool)]


def with_country(table: pd.DataFrame, people: pd.DataFrame, country: str) -> pd.DataFrame:
    """Add every person's country.

    Raises:
        InputError: A missing column, a person twice, or a person who is not listed.
    """
    for frame, needed in ((table, (PERSON_COLUMN,)), (people, (PERSON_COLUMN, country))):
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            raise InputError(f"{place_of(frame)}: column {missing[0]!r} is missing.")
        listed = frame[PERSON_COLUMN].map(str)
        twice = listed.duplicated()
        if twice.any():
            raise InputError(
                f"{place_of(frame)}: {PERSON_COLUMN} {frame[PERSON_COLUMN][twice].iloc[0]!r} "
                f"occurs twice (in all {int(twice.sum())} rows do); a person needs one row."
            )
    known = dict(zip(people[PERSON_COLUMN].map(str), people[country], strict=True))
    persons = list(table[PERSON_COLUMN].map(str))
    unlisted = [person for person in persons if person not in known]
    if unlisted:
        raise InputError(
            f"{place_of(people)}: {len(unlisted)} people with answers are not listed, such as "
            f"{unlisted[0]!r}."
        )
    return table.assign(**{country: [known[person] for person in persons]})


def by_culture(
    table: pd.DataFrame,
    column: str,
    names: list[str],
    cells: pd.Series,
    counts: np.ndarray,
    asked: Mapping[str, ValueQuestion],
) -> list[Cells]:
    """Group answers by question and culture."""
    import pandas as pd

    rows = pd.DataFrame(
        {"question": names, "culture": table[column].map(str), "cell": cells, "count": counts},
        dtype=object,
    )
    groups = rows[[name in asked for name in names]].groupby(["question", "culture"], sort=True)
    return [
        (name, culture, part["cell"].tolist(), part["count"].to_numpy(dtype=np.int64))
        for (name, culture), part in groups
    ]


def answer_numbers(
    cells: Sequence[Any], counts: np.ndarray | None, where: str
) -> tuple[np.ndarray, Counter[str]]:
    """Read cells as whole numbers: -1 where there is no answer, with a count of the reasons.

    Raises:
        InputError: A cell that is no whole number.
    """
    numbers = np.full(len(cells), -1, dtype=np.int64)
    why: Counter[str] = Counter()
    for row, cell in enumerate(cells):
        weight = 1 if counts is None else int(counts[row])
        if is_blank(cell):
            why["empty"] += weight
            continue
        try:
            number = float(cell)
            whole = int(number)
        except (TypeError, ValueError, OverflowError):
            whole, number = 0, 0.5
        if whole != number:
            raise InputError(
                f"{where}: {cell!r} is no whole number; give the point of the scale that was "
                "chosen, a code below 0 or nothing."
            )
        if whole < 0:
            why[f"code {whole}"] += weight
        numbers[row] = max(whole, -1)
    return numbers, why


def say_left_out(place: str, left_out: Mapping[str, int]) -> None:
    """Warn of cells without an answer."""
    if left_out:
        detail = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
        warn(f"{place}: {sum(left_out.values())} cells hold no answer and are left out: {detail}.")
