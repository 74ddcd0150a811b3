"""NormAd: whether behaviour in a story is acceptable in one of 75 countries: yes, no or neutral.

Rao et al. 2024, arXiv 2404.12464. Four conditions decide what the prompt shows beside the story:

1. ``none``: the story only.
2. ``country``: where it happens.
3. ``value``: the country and a value that is held there.
4. ``rule``: the rule of thumb that decides the case.

A row is neutral where its rule does not apply to its story. Without the rule nothing in the prompt
tells a neutral story from the others: report accuracy by label, ``metadata["label"]``.

Countries are written as names (``saudi_arabia`` is Saudi Arabia). Options are ordered by a hash of
the question's id, which is the same under every condition. All stories but one end by asking
whether it was acceptable; the wordings ask it, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.linked_groups import linked_groups
from culture_lens.benchmarks.reading.rows import cell_text, need_columns, place_of
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.benchmarks.reading.text_rows import TextRow, empty_cell, text_questions
from culture_lens.benchmarks.reading.wordings import four_wordings
from culture_lens.errors import InputError, unknown
from culture_lens.questions.question import Question

if TYPE_CHECKING:
    import pandas as pd

COUNTRY_COLUMN, STORY, RULE, VALUE, LABEL = (
    "Country",
    "Story",
    "Rule-of-Thumb",
    "Value",
    "Gold Label",
)
ROWS = Part("normad*", columns=(COUNTRY_COLUMN, STORY, LABEL), split="train")
ID_COLUMNS = ("ID", "row")
CONDITION_COLUMNS: dict[str, tuple[str, ...]] = {
    "none": (),
    "rule": (RULE,),
    "country": (COUNTRY_COLUMN,),
    "value": (COUNTRY_COLUMN, VALUE),
}
"""The columns that each condition shows before the story."""
LINE_NAMES = {COUNTRY_COLUMN: "Country", VALUE: "Value held there", RULE: "Rule of thumb"}
VERDICTS = ("yes", "no", "neutral")
SMALL_WORDS = re.compile(r"\b(And|Of|The)\b")
WORDINGS = four_wordings(
    (
        "Judge what the person in the story does: yes if it is acceptable, no if it is not, "
        "neutral if nothing speaks for either. Fill in the letter alone: "
        '{"answer_choice":""}',
        "Somebody does something in a story. Is it good manners (yes), bad manners (no), or "
        'neither (neutral)? Fill in the number of the verdict: {"answer_choice":""}',
        "You decide whether behaviour is accepted by the people around. Choose neutral where it "
        "is neither welcome nor unwelcome. The letter of your choice belongs here: "
        '{"answer_choice":""}',
        'Complete {"answer_choice":""} with the number of the word that says whether the '
        "behaviour in the story is accepted; neutral means that the matter is open.",
    ),
    (
        "Answer yes, no or neutral.",
        "Say yes, no, or neutral where it is neither.",
        "One word: yes, no or neutral.",
        "Is the answer yes, no or neutral?",
    ),
)


def normad_questions(rows: pd.DataFrame, *, condition: str = "none") -> list[Question]:
    """Make questions of NormAd's rows.

    Rows that share a story or a rule are one group.

    Args:
        rows: The hub's columns Country, Rule-of-Thumb, Value, Story, Gold Label; the third and
            second only for the conditions that show them. ``ID`` or ``row`` gives the id where
            it exists, else the row's number, counted from 1; ``Subaxis`` the category.
        condition: ``"none"``, ``"rule"``, ``"country"`` or ``"value"``; see the top of this file.

    Raises:
        InputError: An unknown condition, or a missing column that it shows.

    Warns:
        CultureLensWarning: Rows were dropped: how many, and why.

    Example:
        ``normad_questions(read_rows("normad.csv"), condition="rule")``
    """
    if condition not in CONDITION_COLUMNS:
        raise unknown("condition of NormAd", condition, CONDITION_COLUMNS)
    need_columns(rows, ROWS.columns)
    missing = [column for column in CONDITION_COLUMNS[condition] if column not in rows.columns]
    if missing:
        possible = [
            name for name, shown in CONDITION_COLUMNS.items() if set(shown) <= set(rows.columns)
        ]
        raise InputError(
            f"{place_of(rows)}: condition {condition!r} shows column "
            f"{', '.join(map(repr, missing))}, which is missing here; use a copy that has it, such "
            f"as the hub's {BENCHMARK.source}, or one of the conditions {', '.join(possible)}."
        )
    records = rows.to_dict("records")
    name = next((column for column in ID_COLUMNS if column in rows.columns), None)
    ids = [
        (cell_text(row[name]).strip() if name else "") or str(number)
        for number, row in enumerate(records, 1)
    ]
    rules = [cell_text(row.get(RULE)).strip() for row in records]
    groups = linked_groups(ids, [cell_text(row[STORY]).strip() for row in records], rules)
    read = [
        text_row(row, condition, name, group)
        for row, name, group in zip(records, ids, groups, strict=True)
    ]
    return text_questions("normad", read, WORDINGS[0])


def text_row(row: Mapping[Any, Any], condition: str, name: str, group: str) -> TextRow:
    """Read one row's cells."""
    label = cell_text(row[LABEL]).strip().lower()
    country = country_name(cell_text(row[COUNTRY_COLUMN]))
    told = {COUNTRY_COLUMN: country, VALUE: row.get(VALUE), RULE: row.get(RULE), STORY: row[STORY]}
    lines = [
        f"{LINE_NAMES.get(column, column)}: {cell_text(told[column]).strip()}"
        for column in (*CONDITION_COLUMNS[condition], STORY)
    ]
    return TextRow(
        id=name,
        culture=country,
        text="\n".join(lines),
        options=VERDICTS,
        gold=VERDICTS.index(label) if label in VERDICTS else None,
        category=cell_text(row.get("Subaxis")).strip(),
        group=group,
        metadata={"condition": condition, "label": label},
        bad=empty_cell(row, (*ROWS.columns, *CONDITION_COLUMNS[condition])),
    )


def country_name(cell: str) -> str:
    """Write a country as a name; a name that has capital letters already is kept.

    Example:
        >>> country_name("bosnia_and_herzegovina"), country_name("timor-leste")
        ('Bosnia and Herzegovina', 'Timor-Leste')
    """
    name = " ".join(cell.replace("_", " ").split())
    return SMALL_WORDS.sub(lambda word: word[0].lower(), name.title()) if name.islower() else name


def load(read: Read, *, condition: str = "none") -> list[Question]:
    """Read the rows, from the hub or from a local copy.

    Args:
        read: Reads a part of the benchmark.
        condition: See ``normad_questions``.
    """
    return normad_questions(read(ROWS), condition=condition)


BENCHMARK = Benchmark(
    name="normad",
    summary="what is acceptable in 75 countries: yes, no or neutral (arXiv 2404.12464)",
    source="akhilayerukola/NormAd",
    licence="CC-BY-4.0",
    rows=load,
    wordings=(WORDINGS,),
)
