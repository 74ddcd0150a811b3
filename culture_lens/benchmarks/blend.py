"""BLEnD: everyday knowledge of 16 countries and regions, multiple choice.

Myung et al. 2024, arXiv 2406.09948. Rows are used as in CULNIG (arXiv 2510.08284):

1. Keep the first five rows of each (country, ID), in file order.
2. Drop rows whose gold option is ``not-applicable``, and rows whose options are empty or equal
   after stripping space. CULNIG keeps the former, which are no knowledge;
   ``keep_inapplicable=True`` keeps them, too, for comparison.
3. Topics Food, Sport and Work life identify neurons, the other three evaluate.

The cap comes first, as in CULNIG's code, so that every question here is one of CULNIG's rows;
dropping first would replace dropped rows by rows that CULNIG never used. ``not-applicable`` stays
among the wrong options, as published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.rows import (
    cell_text,
    need_columns,
    place_of,
    read_rows,
    say_dropped,
)
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.benchmarks.reading.wordings import four_wordings
from culture_lens.errors import InputError, unknown
from culture_lens.questions.question import LABELS, PromptFormat, Question

if TYPE_CHECKING:
    import pandas as pd

ROWS = Part(
    "mc_questions*",
    columns=("MCQID", "ID", "country", "prompt", "choices", "choice_countries", "answer_idx"),
    config="multiple-choice-questions",
    split="test",
)
TOPICS = Part(
    "US_questions",
    columns=("ID", "Topic"),
    config="short-answer-questions",
    split="US",
    beside=True,
)
SPLITS = {
    "Food": "identify",
    "Sport": "identify",
    "Work life": "identify",
    "Education": "evaluate",
    "Family": "evaluate",
    "Holidays/Celebration/Leisure": "evaluate",
}
NOT_APPLICABLE = "not-applicable"
PROMPT = PromptFormat(
    instruction=(
        "Without any explanation, choose only one from the given alphabet choices(e.g., A, B, C). "
        'Provide as JSON format: {"answer_choice":""}'
    ),
    layout="{question} {instruction}\n\n{options}\n\nAnswer:",
    answer_prefix='{"answer_choice":"',
)
WORDINGS = four_wordings(
    (
        "Think of everyday life in the place that the question names. Give the number of the "
        'option that most people there would give, as {"answer_choice":""}',
        "Which option is the usual answer there? Nothing but its letter belongs in "
        '{"answer_choice":""}',
        'Complete {"answer_choice":""} with the number of the option that is true of the place '
        "asked about.",
    ),
    (
        "Give the usual answer in a few words.",
        "What would most people there say? A few words will do.",
        "Name it, in as few words as you can.",
    ),
    first=PROMPT,
)
"""The published prompt, and three in our own words."""


def blend_questions(
    rows: pd.DataFrame,
    topics: Mapping[str, str],
    *,
    split: str | None = None,
    rows_per_id: int | None = 5,
    keep_inapplicable: bool = False,
) -> list[Question]:
    """Make questions of BLEnD's multiple-choice rows.

    Args:
        rows: The hub's columns MCQID, ID, country, prompt, choices, choice_countries, answer_idx.
        topics: The topic of each ID.
        split: ``"identify"`` or ``"evaluate"`` for the topics of one of them, None for all.
        rows_per_id: Largest number of rows per (country, ID), in file order; None for all.
        keep_inapplicable: Keep rows whose gold option is ``not-applicable``.

    Raises:
        InputError: An ID without topic, an unknown topic or split, or a row of another shape than
            the published one.

    Example:
        ``blend_questions(rows, {"Al-en-01": "Food"}, split="identify")``
    """
    if split not in (None, "identify", "evaluate"):
        raise unknown("split of BLEnD", split, ("identify", "evaluate"), "None gives both.")
    if rows_per_id is not None and rows_per_id < 1:
        raise InputError(f"rows_per_id={rows_per_id}: must be at least 1, or None for all rows.")
    need_columns(rows, ROWS.columns)
    check_topics(rows, topics)
    if split is not None:
        rows = rows[[SPLITS[topics[item]] == split for item in rows["ID"]]]
    capped = rows
    if rows_per_id is not None:
        capped = rows[rows.groupby(["country", "ID"], sort=False).cumcount() < rows_per_id]
    questions, inapplicable, colliding = [], 0, 0
    for row in capped.to_dict("records"):
        options, answer = row_options(row)
        stripped = [option.strip() for option in options]
        if stripped[answer] == NOT_APPLICABLE and not keep_inapplicable:
            inapplicable += 1
        elif len(set(stripped)) < len(stripped) or not all(stripped):
            colliding += 1
        else:
            questions.append(row_question(row, options, answer, topics[row["ID"]]))
    say_dropped(
        "blend",
        len(rows),
        {
            f"beyond the first {rows_per_id} of their (country, ID)": len(rows) - len(capped),
            f"whose gold answer is {NOT_APPLICABLE!r}": inapplicable,
            "whose options are empty or collide": colliding,
        },
    )
    return questions


def check_topics(rows: pd.DataFrame, topics: Mapping[str, str]) -> None:
    """Refuse rows without a known topic, which decides their split."""
    ids = dict.fromkeys(rows["ID"])
    without = [item for item in ids if item not in topics]
    if without:
        raise InputError(
            f"{place_of(rows)}: {len(without)} of {len(ids)} question IDs have no topic (first "
            f"{without[0]!r}); give topics= a mapping or BLEnD's US_questions.csv, which lists all."
        )
    for item in ids:
        if topics[item] not in SPLITS:
            raise unknown("topic", topics[item], SPLITS, f"It is given for BLEnD ID {item!r}.")


def row_options(row: Mapping[Any, Any]) -> tuple[list[str], int]:
    """Read a row's options as published and find the gold one."""
    where = f"BLEnD row {row['MCQID']!r}"
    choices, letter = letter_mapping(row, "choices"), cell_text(row["answer_idx"]).strip()
    if letter not in choices:
        raise InputError(
            f"{where}: the gold answer {letter!r} is out of range for the choices "
            f"{', '.join(choices)}; correct or remove the row."
        )
    return list(choices.values()), list(choices).index(letter)


def letter_mapping(row: Mapping[Any, Any], column: str) -> dict[str, str]:
    """Read a cell that maps letters to strings, as JSON or as a dict."""
    value = row[column]
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, Mapping) or "".join(value) != LABELS[: len(value)]:
        raise InputError(
            f"BLEnD row {row['MCQID']!r}: {column} is not a JSON object with the keys A, B, "
            "C, ...; take the rows as published."
        )
    return {str(letter): cell_text(text) for letter, text in value.items()}


def row_question(row: Mapping[Any, Any], options: list[str], answer: int, topic: str) -> Question:
    """Take the question out of the published prompt; its parts give the same prompt again."""
    shown = "\n".join(f"{label}. {option}" for label, option in zip(LABELS, options))
    tail = PROMPT.layout.replace("{question}", "")
    tail = tail.replace("{options}", shown).replace("{instruction}", PROMPT.instruction)
    prompt = cell_text(row["prompt"]).strip()
    if not prompt.endswith(tail):
        raise InputError(
            f"BLEnD row {row['MCQID']!r}: the prompt is not the question, BLEnD's instruction, the "
            "choices and 'Answer:'; take the rows as published, or load your own wording with "
            "questions_from_table."
        )
    return Question(
        id=cell_text(row["MCQID"]),
        culture=cell_text(row["country"]),
        text=prompt.removesuffix(tail),
        options=tuple(options),
        answer=answer,
        category=topic,
        group=cell_text(row["ID"]),
        split=SPLITS[topic],
        benchmark="blend",
        prompt=PROMPT,
        metadata={"option_cultures": tuple(letter_mapping(row, "choice_countries").values())},
    )


def load(
    read: Read,
    *,
    split: str | None = None,
    rows_per_id: int | None = 5,
    keep_inapplicable: bool = False,
    topics: Mapping[str, str] | str | Path | None = None,
) -> list[Question]:
    """Read the rows and the topics, from the hub or from a local copy.

    Args:
        read: Reads a part of the benchmark.
        split: See ``blend_questions``.
        rows_per_id: See ``blend_questions``.
        keep_inapplicable: See ``blend_questions``.
        topics: The topic of each ID, or a file with columns ID and Topic; without it BLEnD's
            ``US_questions``, beside the rows or on the hub.
    """
    rows = read(ROWS)
    if not isinstance(topics, Mapping):
        table = read(TOPICS) if topics is None else read_rows(topics)
        need_columns(table, TOPICS.columns)
        topics = dict(zip(table["ID"], table["Topic"], strict=True))
    return blend_questions(
        rows,
        topics,
        split=split,
        rows_per_id=rows_per_id,
        keep_inapplicable=keep_inapplicable,
    )


BENCHMARK = Benchmark(
    name="blend",
    summary="everyday knowledge of 16 countries and regions, four-choice (arXiv 2406.09948)",
    source="nayeon212/BLEnD",
    licence="CC-BY-SA-4.0",
    rows=load,
    wordings=(WORDINGS,),
)
