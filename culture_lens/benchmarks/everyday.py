"""The bundled set: 60 everyday questions, each asked of eight countries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from culture_lens.benchmarks.reading.rows import cell_text, place_of
from culture_lens.benchmarks.reading.source import BUNDLED, Benchmark, Part, Read
from culture_lens.benchmarks.reading.text_rows import N_OPTIONS
from culture_lens.errors import InputError
from culture_lens.questions.question import Question, shuffled

if TYPE_CHECKING:
    import pandas as pd

ROWS = Part("questions", columns=("group", "topic", "culture", "question", "answer", "source"))


def everyday_questions(rows: pd.DataFrame) -> list[Question]:
    """Make a four-choice question of every row.

    The wrong options are the answers of three other cultures to the same question, chosen and
    ordered by hashes of the item's id: the same on every machine.

    Args:
        rows: A table with the columns group, topic, culture, question, answer and source.

    Raises:
        InputError: A group with fewer than four cultures, or with answers that collide.

    Example:
        ``everyday_questions(read_rows("data/everyday/questions.csv"))[0].options``
    """
    cells = [
        {str(name): cell_text(value).strip() for name, value in row.items()}
        for row in rows.to_dict("records")
    ]
    answers = answers_of(cells, place_of(rows))
    return [row_question(row, answers[row["group"]], place_of(rows)) for row in cells]


def answers_of(cells: Sequence[Mapping[str, str]], place: str) -> dict[str, dict[str, str]]:
    """Give each group's answer of every culture.

    Raises:
        InputError: A group asks a culture twice.
    """
    groups: dict[str, dict[str, str]] = {}
    for row in cells:
        answers = groups.setdefault(row["group"], {})
        if row["culture"] in answers:
            raise InputError(
                f"{place}: group {row['group']!r} asks {row['culture']!r} twice; ids are made of "
                "group and culture, so one of the two rows must go."
            )
        answers[row["culture"]] = row["answer"]
    return groups


def row_question(row: Mapping[str, str], answers: Mapping[str, str], place: str) -> Question:
    """Make a question of a row, given the answers of its group by culture."""
    group, culture = row["group"], row["culture"]
    item = f"{group}/{culture}"
    if len(answers) < N_OPTIONS:
        raise InputError(
            f"{place}: group {group!r} has {len(answers)} cultures, at least {N_OPTIONS} are "
            f"needed to make {N_OPTIONS} options; add rows or drop the group."
        )
    # Wrong options are drawn by the hash of the culture, all four ordered by the hash of the
    # answer: one hash for both would put the gold answer last more often than first.
    others = shuffled([name for name in answers if name != culture], key=item)[: N_OPTIONS - 1]
    owner = {answers[name]: name for name in (culture, *others)}
    if len(owner) < N_OPTIONS:
        raise InputError(
            f"{place}: {item!r} would get an option twice; the answers of one group must differ."
        )
    options = shuffled(list(owner), key=item)
    return Question(
        id=item,
        culture=culture,
        text=row["question"],
        options=tuple(options),
        answer=options.index(row["answer"]),
        category=row["topic"],
        group=group,
        benchmark="everyday",
        metadata={
            "source": row["source"],
            "option_cultures": tuple(owner[option] for option in options),
        },
    )


def load(read: Read) -> list[Question]:
    """Read the bundled file, or a local one of the same layout."""
    return everyday_questions(read(ROWS))


BENCHMARK = Benchmark(
    name="everyday",
    summary="480 bundled four-choice items: 60 everyday questions asked of 8 countries",
    source=BUNDLED,
    licence="CC0-1.0",
    rows=load,
)
