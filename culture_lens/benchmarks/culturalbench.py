"""CulturalBench: 1,227 questions on 45 countries, with four options or as true-or-false items.

Chiu et al. 2024, arXiv 2410.02677. Rows are used as follows:

1. Easy: four options, ordered by a hash of the question's id, since more than half of the gold
   letters are A. Questions with an option such as "None of the above" keep the published order.
2. Hard: each option of a question is an item of its own, true or false. 86 questions have two or
   three true options. Three of four items are false.
3. Rows are dropped whose options are equal or refer to letters ("A and B"), and rows that repeat
   another; in Hard also options that refer to others, which are not shown ("None of the above").

A question has one group in both subsets, its ``question_idx``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.rows import cell_text, need_columns
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.benchmarks.reading.text_rows import TextRow, empty_cell, text_questions
from culture_lens.benchmarks.reading.wordings import four_wordings
from culture_lens.errors import unknown, warn
from culture_lens.questions.question import Question

if TYPE_CHECKING:
    import pandas as pd

SHARED_COLUMNS = ("data_idx", "question_idx", "prompt_question", "answer", "country")
OPTIONS = tuple(f"prompt_option_{letter}" for letter in "abcd")
SUBSET_ROWS = {
    "easy": Part(
        "CulturalBench-Easy*", columns=(*SHARED_COLUMNS, *OPTIONS), config="CulturalBench-Easy"
    ),
    "hard": Part(
        "CulturalBench-Hard*",
        columns=(*SHARED_COLUMNS, "prompt_option"),
        config="CulturalBench-Hard",
    ),
}
VERDICTS = ("True", "False")
BY_LETTER = re.compile(r"(options? )?[A-D] (and|or|&) [A-D]\.?", re.IGNORECASE)
OTHERS = re.compile(r"(all|none|both|neither)( of)?( the| these)? (above|options)\b", re.IGNORECASE)
EASY_WORDINGS = four_wordings(
    (
        "Pick the option that holds in the country the question is about. Fill in its letter "
        'alone: {"answer_choice":""}',
        "People who grew up there would agree on one option. Fill in its number: "
        '{"answer_choice":""}',
        "The question is about the customs of a country, and one option answers it. Its letter "
        'belongs here: {"answer_choice":""}',
        'Complete {"answer_choice":""} with the number of the option that answers the question '
        "best.",
    ),
    (
        "Answer in a few words.",
        "What would people who grew up there say? A few words will do.",
        "Give a short answer.",
        "Answer as briefly as you can.",
    ),
)
HARD_WORDINGS = four_wordings(
    (
        "Is the proposed answer right? Fill in the letter of your verdict alone: "
        '{"answer_choice":""}',
        "Somebody answered a question about a country. Judge the answer and fill in the number of "
        'your verdict: {"answer_choice":""}',
        "Decide whether people of that country would accept the proposed answer. The letter of "
        'your decision belongs here: {"answer_choice":""}',
        'Complete {"answer_choice":""} with the number of the word that fits the proposed answer.',
    ),
    (
        "Is the proposed answer true or false?",
        "True or false? Judge the answer.",
        "Would people of that country accept it? Say true or false.",
        "Say in one word whether it is true or false.",
    ),
)


def culturalbench_questions(rows: pd.DataFrame, *, subset: str = "easy") -> list[Question]:
    """Make questions of CulturalBench's rows.

    Args:
        rows: The hub's columns data_idx, question_idx, prompt_question, answer, country, and
            prompt_option_a to prompt_option_d (Easy) or prompt_option (Hard).
        subset: ``"easy"`` or ``"hard"``.

    Raises:
        InputError: An unknown subset, or a missing column.

    Warns:
        CultureLensWarning: Rows were dropped, options kept the published order, or questions of
            Hard have several true options: how many.

    Example:
        ``culturalbench_questions(read_rows("CulturalBench-Easy.csv"))``
    """
    check_subset(subset)
    need_columns(rows, SUBSET_ROWS[subset].columns)
    records = rows.to_dict("records")
    if subset == "easy":
        read = [easy_row(row) for row in records]
        say_kept_in_order(read)
        return text_questions("culturalbench", read, EASY_WORDINGS[0])
    read = [hard_row(row) for row in records]
    say_several_true(read)
    return text_questions("culturalbench", read, HARD_WORDINGS[0])


def check_subset(subset: str) -> None:
    """Refuse an unknown subset."""
    if subset not in SUBSET_ROWS:
        raise unknown("subset of CulturalBench", subset, SUBSET_ROWS)


def easy_row(row: Mapping[Any, Any]) -> TextRow:
    """Read one row of Easy."""
    options = tuple(cell_text(row[column]) for column in OPTIONS)
    letter = cell_text(row["answer"]).strip().upper()
    bad = empty_cell(row, SHARED_COLUMNS)
    if any(BY_LETTER.fullmatch(option.strip()) for option in options):
        bad = bad or "with an option that refers to others by letter"
    return TextRow(
        id=f"easy/{cell_text(row['data_idx']).strip()}",
        culture=cell_text(row["country"]).strip(),
        text=cell_text(row["prompt_question"]).strip(),
        options=options,
        gold="ABCD".index(letter) if letter in ("A", "B", "C", "D") else None,
        group=cell_text(row["question_idx"]).strip(),
        metadata={"subset": "easy"},
        bad=bad,
        shuffle=not any(OTHERS.match(option.strip()) for option in options),
    )


def hard_row(row: Mapping[Any, Any]) -> TextRow:
    """Read one row of Hard: an option and whether it is right, as a word or as a boolean."""
    option, verdict = cell_text(row["prompt_option"]).strip(), cell_text(row["answer"]).strip()
    bad = empty_cell(row, (*SHARED_COLUMNS, "prompt_option"))
    if BY_LETTER.fullmatch(option) or OTHERS.match(option):
        bad = bad or "whose option refers to options that are not shown"
    return TextRow(
        id=f"hard/{cell_text(row['data_idx']).strip()}",
        culture=cell_text(row["country"]).strip(),
        text=f"Question: {cell_text(row['prompt_question']).strip()}\nProposed answer: {option}",
        options=VERDICTS,
        gold=VERDICTS.index(verdict.capitalize()) if verdict.capitalize() in VERDICTS else None,
        group=cell_text(row["question_idx"]).strip(),
        metadata={"subset": "hard"},
        bad=bad,
    )


def say_kept_in_order(rows: Sequence[TextRow]) -> None:
    """Warn of questions that keep the published order of their options."""
    kept = sum(not row.shuffle and not row.bad for row in rows)
    if kept:
        warn(
            f"culturalbench: {kept} of {len(rows)} rows have an option that refers to others, such "
            "as 'None of the above'; their options keep the published order."
        )


def say_several_true(rows: Sequence[TextRow]) -> None:
    """Warn of questions of Hard with more than one true option, or none."""
    true = Counter({row.group: 0 for row in rows})
    true.update(row.group for row in rows if row.gold == VERDICTS.index("True"))
    several, none = sum(n > 1 for n in true.values()), sum(n == 0 for n in true.values())
    lacking = f", and {none} have none" if none else ""
    if several or none:
        warn(
            f"culturalbench: {several} of {len(true)} questions have more than one true option"
            f"{lacking}; every option is a true-or-false item of its own, so all are kept."
        )


def load(read: Read, *, subset: str = "easy") -> list[Question]:
    """Read the rows, from the hub or from a local copy.

    Args:
        read: Reads a part of the benchmark.
        subset: See ``culturalbench_questions``.
    """
    check_subset(subset)
    return culturalbench_questions(read(SUBSET_ROWS[subset]), subset=subset)


BENCHMARK = Benchmark(
    name="culturalbench",
    summary="customs of 45 countries, four-choice or true-or-false (arXiv 2410.02677)",
    source="kellycyy/CulturalBench",
    licence="CC-BY-4.0",
    rows=load,
    wordings=(EASY_WORDINGS, HARD_WORDINGS),
)
