"""Options and answers of a table's rows: an answer is a text, a letter or an index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from culture_lens.benchmarks.reading.rows import cell_text
from culture_lens.errors import InputError, warn
from culture_lens.questions.question import LABELS

if TYPE_CHECKING:
    AnswerForm = Literal["text", "letter", "index"]

ANSWER_FORMS: tuple[AnswerForm, ...] = ("text", "letter", "index")


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row whose options have been read, and whose answer has not."""

    number: int
    cells: Mapping[Any, Any]
    options: tuple[str, ...]
    labels: tuple[str, ...]
    answer: Any


def read_row(
    number: int, cells: Mapping[Any, Any], columns: str | Sequence[str], answer: str
) -> TableRow:
    """Read a row's options and the labels by which an answer may name them."""
    if isinstance(columns, str):
        options, labels = listed_options(cells[columns], columns)
    else:
        options, labels = [cells[name] for name in columns], list(LABELS)
    texts = [cell_text(option).strip() for option in options]
    # Tables with a fixed number of option columns leave the last ones blank where a row has fewer.
    while texts and not texts[-1]:
        texts.pop()
    return TableRow(number, cells, tuple(texts), tuple(labels[: len(texts)]), cells[answer])


def listed_options(value: Any, column: str) -> tuple[list[Any], list[str]]:
    """Read a cell that holds all options: a list, an object, or either as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (RecursionError, ValueError):  # no JSON, or nested too deep
            value = None
    if isinstance(value, Mapping):
        return list(value.values()), [str(key).strip().upper() for key in value]
    # Parquet gives arrays, which are neither lists nor tuples.
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return list(value), list(LABELS)
    raise InputError(
        f"column {column!r} does not hold a list or a JSON list or object of options; give "
        "options= a list of column names if each option has a column."
    )


def gold_index(row: TableRow, form: AnswerForm) -> int | None:
    """Read an answer in one form; None where it does not fit.

    Example:
        >>> gold_index(TableRow(1, {}, ("yen", "won"), ("A", "B"), "b"), "letter")
        1
    """
    text = cell_text(row.answer).strip()
    if form == "text":
        return row.options.index(text) if text in row.options else None
    if form == "letter":
        return row.labels.index(text.upper()) if text.upper() in row.labels else None
    # A gap elsewhere in a column of whole numbers makes pandas write 1 as 1.0.
    if text.endswith(".0") and isinstance(row.answer, float):
        text = text[:-2]
    return int(text) if text.isdecimal() and int(text) < len(row.options) else None


def choose_form(rows: Sequence[TableRow], place: str, column: str) -> AnswerForm:
    """Find the form of the answer column that fits most rows; of equals the first.

    One form for the whole column: decided row by row, a number would be an index in one row, and a
    text in the next, where an option happens to be that number.
    """
    golds = {name: [gold_index(row, name) for row in rows] for name in ANSWER_FORMS}
    fits = {name: sum(gold is not None for gold in golds[name]) for name in ANSWER_FORMS}
    best = max(ANSWER_FORMS, key=lambda name: fits[name])
    for other in ANSWER_FORMS:
        if other == best or fits[other] < fits[best]:
            continue
        differ = sum(a != b for a, b in zip(golds[best], golds[other], strict=True))
        if differ:
            warn(
                f"{place}: column {column!r} can be read as {best} or as {other} of the options, "
                f"and in {differ} of {len(rows)} rows the answer differs; read as {best}. Give "
                f"answer_as={best!r} or {other!r} to settle it."
            )
    return best


def no_such_answer(row: TableRow, form: AnswerForm, column: str) -> str:
    """Write the error for an answer that does not fit, with the answers that would."""
    last = len(row.options) - 1
    wanted: dict[AnswerForm, str] = {
        "text": f"the text of an option ({', '.join(map(repr, row.options))})",
        "letter": f"one of {', '.join(row.labels)}",
        "index": f"an index from 0 to {last}",
    }
    others = ", ".join(wanted[name] for name in ANSWER_FORMS if name != form)
    return (
        f"the answer {row.answer!r} in column {column!r} is out of range: it is not "
        f"{wanted[form]}. The column is read as {form}; answer_as= would allow {others}."
    )
