"""Your own multiple-choice questions, from a file, a DataFrame, a Dataset or dicts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

from culture_lens.benchmarks.reading.image_rows import image_groups, no_image
from culture_lens.benchmarks.reading.rows import (
    Rows,
    as_frame,
    cell_text,
    need_columns,
    place_of,
    say_dropped,
)
from culture_lens.benchmarks.reading.source import LOCAL, Benchmark, Part, Read
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.images import as_image
from culture_lens.questions.question import (
    LABELS,
    PromptFormat,
    Question,
    check_questions,
    shuffled,
)

ANSWER_FORMS = ("text", "letter", "index")
ON_BAD = ("error", "skip")


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its options found and its answer not yet read."""

    number: int
    cells: Mapping[Any, Any]
    options: tuple[str, ...]
    labels: tuple[str, ...]
    answer: Any


def questions_from_table(
    rows: Rows,
    *,
    id: str | None = None,
    culture: str = "culture",
    question: str = "question",
    options: str | Sequence[str] = "options",
    answer: str = "answer",
    answer_as: str = "auto",
    category: str | None = None,
    group: str | None = None,
    image: str | None = None,
    allow_urls: bool = False,
    shuffle: bool = False,
    benchmark: str = "table",
    prompt: PromptFormat = PromptFormat(),
    on_bad: str = "error",
) -> list[Question]:
    """Make questions of any table with a culture, a question, options and an answer per row.

    An answer is the text of an option, a letter (or, where options are an object, its key), or an
    index counted from 0. The whole column is read one way, the way that fits most rows; where
    ways fit equally, text goes before letter and letter before index, and a warning says so if
    that matters for any row (options that are themselves numbers or letters).

    Args:
        rows: Path to a csv, tsv, json, jsonl or parquet file, a pandas DataFrame, a
            ``datasets.Dataset``, or dicts.
        id: Column with a unique id; without it the row's number, counted from 1.
        culture: Column with the culture.
        question: Column with the question.
        options: Column with a list, or with a JSON list or object of the options; or several
            columns with one option each. Blank options at the end of a row are left out.
        answer: Column with the answer.
        answer_as: How to read it: ``"text"``, ``"letter"``, ``"index"``, or ``"auto"`` to find out.
        category: Column with a topic.
        group: Column shared by variants of one question; without it each row is its own group, or
            where rows have images, the rows on one image are a group.
        image: Column with an image: a path, relative to the folder of the table's file (to the
            working folder where the rows come from no file) or absolute, bytes, a PIL image, or
            what a Hugging Face dataset has. Blank cells are questions without an image. Nothing is
            decoded here; ``readable`` finds what cannot be.
        allow_urls: Allow web addresses in the image column; see ``as_image``.
        shuffle: Order each row's options by a hash of its id, for data whose answers lean to
            one letter.
        benchmark: Name written into the questions.
        prompt: How the questions are put to a model.
        on_bad: ``"error"`` stops at a row that makes no question and names it; ``"skip"`` leaves
            such rows out and says how many in one warning.

    Returns:
        The questions in the order of the rows.

    Raises:
        InputError: A missing file or column, or a bad row: no such answer, options that collide
            or are empty, a blank culture, an id that occurred before, an image that is not there.

    Example:
        >>> rows = [{"culture": "Japan", "question": "Which coin?", "options": ["yen", "won"],
        ...          "answer": "A"}]
        >>> questions_from_table(rows)[0].answer
        0
    """
    if on_bad not in ON_BAD:
        raise InputError(f"on_bad={on_bad!r}: use 'error' or 'skip'.")
    if answer_as not in ("auto", *ANSWER_FORMS):
        raise InputError(f"answer_as={answer_as!r}: use 'auto', 'text', 'letter' or 'index'.")
    frame = as_frame(rows)
    place = place_of(frame)
    columns = [options] if isinstance(options, str) else list(options)
    named = [name for name in (id, category, group, image) if name is not None]
    need_columns(frame, [culture, question, *columns, answer, *named])

    problems: list[str] = []
    read: list[Row] = []
    for number, row in enumerate(frame.to_dict("records"), 1):
        try:
            read.append(read_row(number, row, options, answer))
        except InputError as error:
            problems.append(refuse(f"{place}, row {number}: {error}", on_bad))
    form = choose_reading(read, place, answer) if answer_as == "auto" else answer_as

    questions: list[Question] = []
    first_row: dict[str, int] = {}
    for item in read:
        row = item.cells
        name = str(item.number) if id is None else cell_text(row[id]).strip()
        try:
            gold = gold_index(item, form)
            if gold is None:
                raise InputError(no_such_answer(item, form, answer))
            if name in first_row:
                raise InputError(
                    f"id {name!r} occurs twice, first in row {first_row[name]}; ids must be unique."
                )
            picture = None
            if image is not None and not no_image(row[image]):
                where, root = f"question {name!r} of {benchmark}", frame.attrs.get("root")
                picture = as_image(row[image], where=where, root=root, allow_urls=allow_urls)
            made = Question(
                id=name,
                culture=cell_text(row[culture]).strip(),
                text=cell_text(row[question]),
                options=item.options,
                answer=gold,
                category=cell_text(row[category]) if category else "",
                group=cell_text(row[group]) if group else "",
                image=picture,
                benchmark=benchmark,
                prompt=prompt,
            )
        except InputError as error:
            problems.append(refuse(f"{place}, row {item.number}: {error}", on_bad))
            continue
        first_row[name] = item.number
        questions.append(reordered(made) if shuffle else made)
    if problems:
        reason = f"that make no question, one of them: {problems[0]}"
        say_dropped(benchmark, len(frame), {reason: len(problems)})
    if group is None:
        questions = grouped_by_image(questions)
    # One culture is enough here: a held-out table may have one. Whoever compares asks for two.
    check_questions(questions, min_cultures=1)
    return questions


def grouped_by_image(questions: Sequence[Question]) -> list[Question]:
    """Give questions on one image one group, named by the first of them."""
    pictured = [question for question in questions if question.image is not None]
    first: dict[Any, str] = {}
    names = [
        # One path, one address or one object is one picture, without any being read.
        first.setdefault(source if isinstance(source, (Path, str)) else id(source), question.id)
        for question in pictured
        for source in [question.image.source]
    ]
    groups = image_groups([question.image for question in pictured], names)
    of = {question.id: group for question, group in zip(pictured, groups, strict=True)}
    return [replace(question, group=of.get(question.id, question.group)) for question in questions]


def refuse(problem: str, on_bad: str) -> str:
    """Raise a bad row's problem, or hand it back where bad rows are skipped."""
    if on_bad == "error":
        raise InputError(f"{problem} Correct the row, or leave such rows out with on_bad='skip'.")
    return problem


def read_row(
    number: int, cells: Mapping[Any, Any], columns: str | Sequence[str], answer: str
) -> Row:
    """Find a row's options and the labels that an answer may name them by."""
    if isinstance(columns, str):
        options, labels = listed_options(cells[columns], columns)
    else:
        options, labels = [cells[name] for name in columns], list(LABELS)
    texts = [cell_text(option).strip() for option in options]
    # Tables with a fixed number of option columns leave the last ones blank for short questions.
    while texts and not texts[-1]:
        texts.pop()
    return Row(number, cells, tuple(texts), tuple(labels[: len(texts)]), cells[answer])


def listed_options(value: Any, column: str) -> tuple[list[Any], list[str]]:
    """Read a cell that holds all options: a list, an object, or either as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
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


def gold_index(row: Row, form: str) -> int | None:
    """Read an answer one way; None where it does not fit.

    Example:
        >>> gold_index(Row(1, {}, ("yen", "won"), ("A", "B"), "b"), "letter")
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


def choose_reading(rows: Sequence[Row], place: str, column: str) -> str:
    """Find the form of the answer column that fits most rows; the first of equals.

    One form for the whole column: row by row, a number would be an index in one row and in the
    next, where an option happens to be that number, a text.
    """
    golds = {name: [gold_index(row, name) for row in rows] for name in ANSWER_FORMS}
    fits = {name: sum(gold is not None for gold in golds[name]) for name in ANSWER_FORMS}
    best = max(ANSWER_FORMS, key=lambda name: fits[name])
    for other in ANSWER_FORMS:
        if other == best or fits[other] < fits[best]:
            continue
        differ = sum(a != b for a, b in zip(golds[best], golds[other], strict=True))
        if differ:
            warnings.warn(
                f"{place}: column {column!r} can be read as {best} or as {other} of the options, "
                f"and in {differ} of {len(rows)} rows the answer differs; read as {best}. Give "
                f"answer_as={best!r} or {other!r} to settle it.",
                CultureLensWarning,
                stacklevel=3,
            )
    return best


def no_such_answer(row: Row, form: str, column: str) -> str:
    """Say what an answer should have been."""
    last = len(row.options) - 1
    wanted = {
        "text": f"the text of an option ({', '.join(map(repr, row.options))})",
        "letter": f"one of {', '.join(row.labels)}",
        "index": f"an index from 0 to {last}",
    }
    others = ", ".join(wanted[name] for name in ANSWER_FORMS if name != form)
    return (
        f"the answer {row.answer!r} in column {column!r} is out of range: it is not "
        f"{wanted[form]}. The column is read as {form}; answer_as= would allow {others}."
    )


def reordered(question: Question) -> Question:
    """Order a question's options by a hash of its id; the gold answer follows."""
    options = tuple(shuffled(question.options, key=question.id))
    gold = question.options[question.answer]
    return replace(question, options=options, answer=options.index(gold))


@wraps(questions_from_table)  # so that the options are the same, by name too
def load(read: Read, **options: Any) -> list[Question]:
    """Read the file and pass the options on to ``questions_from_table``."""
    return questions_from_table(read(Part("*")), **options)


BENCHMARK = Benchmark(
    name="table",
    summary="your own csv, tsv, json, jsonl or parquet file, with images or without",
    source=LOCAL,
    licence="yours",
    rows=load,
)
