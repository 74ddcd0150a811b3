"""CommonsenseQA: five-choice questions that need no culture, a control.

Talmor et al. 2019, arXiv 1811.00937; the validation split, which has answers. All questions have
one culture label, ``commonsense``. Options keep the published order, whose gold letters are evenly
distributed. Rows with two equal options are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.image_rows import literal
from culture_lens.benchmarks.reading.rows import cell_text, need_columns
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.benchmarks.reading.text_rows import TextRow, empty_cell, text_questions
from culture_lens.benchmarks.reading.wordings import four_wordings
from culture_lens.errors import InputError
from culture_lens.questions.question import Question

if TYPE_CHECKING:
    import pandas as pd

COMMONSENSE = "commonsense"
ROWS = Part("dev*", columns=("id", "question", "choices", "answerKey"), split="validation")
WORDINGS = four_wordings(
    (
        "Use what everybody knows about the world. Fill in the letter of the likeliest option: "
        '{"answer_choice":""}',
        "One option makes more sense than the rest. Which number does it have? "
        '{"answer_choice":""}',
        "Which of the options would most people choose? Its letter belongs here: "
        '{"answer_choice":""}',
        'Complete {"answer_choice":""} with the number of the option that fits the question best.',
    ),
    (
        "Answer in a word or two.",
        "What makes sense here? A word or two will do.",
        "What would most people say? Be brief.",
        "Give the answer that fits best, as briefly as you can.",
    ),
)


def commonsenseqa_questions(rows: pd.DataFrame) -> list[Question]:
    """Make questions of CommonsenseQA's rows.

    Args:
        rows: The hub's columns id, question, choices, answerKey, and question_concept, which
            becomes the category. Choices are an object with the lists ``label`` and ``text``, or
            that written as JSON.

    Raises:
        InputError: A missing column, or choices of another shape.

    Warns:
        CultureLensWarning: Rows were dropped: how many, and why.

    Example:
        ``commonsenseqa_questions(read_rows("dev_rand_split.jsonl"))``
    """
    need_columns(rows, ROWS.columns)
    read = [text_row(row) for row in rows.to_dict("records")]
    return text_questions("commonsenseqa", read, WORDINGS[0])


def text_row(row: Mapping[Any, Any]) -> TextRow:
    """Read one row's cells."""
    name, key = cell_text(row["id"]).strip(), cell_text(row["answerKey"]).strip()
    labels, texts = labelled(row["choices"], name)
    bad = empty_cell(row, ("id", "question"))
    return TextRow(
        id=name,
        culture=COMMONSENSE,
        text=cell_text(row["question"]).strip(),
        options=texts,
        gold=labels.index(key) if key in labels else None,
        category=cell_text(row.get("question_concept")).strip(),
        bad=bad or ("" if key else "whose answer is withheld"),
        shuffle=False,
    )


def labelled(value: Any, name: str) -> tuple[list[str], tuple[str, ...]]:
    """Read labels and texts from a cell of choices.

    Example:
        >>> labelled({"label": ["A", "B"], "text": ["bank", "mall"]}, "q1")
        (['A', 'B'], ('bank', 'mall'))
    """
    if isinstance(value, str):
        value = literal(value)
    if isinstance(value, Mapping):
        labels, texts = (cells(value.get(part)) for part in ("label", "text"))
        if labels is not None and texts is not None and len(labels) == len(texts):
            return labels, tuple(texts)
    raise InputError(
        f"CommonsenseQA row {name!r}: choices is not an object with two lists of one length, "
        "'label' and 'text'; take the rows as published on the hub."
    )


def cells(value: Any) -> list[str] | None:
    """Read a list of cells, or the array that parquet gives; None where it is neither."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return [cell_text(cell).strip() for cell in value]
    return None


def load(read: Read) -> list[Question]:
    """Read the rows, from the hub or from a local copy."""
    return commonsenseqa_questions(read(ROWS))


BENCHMARK = Benchmark(
    name="commonsenseqa",
    summary="control: five-choice common sense, of no culture (arXiv 1811.00937)",
    source="tau/commonsense_qa",
    licence="MIT",
    rows=load,
    min_cultures=1,
    wordings=(WORDINGS,),
)
