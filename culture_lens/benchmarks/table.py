"""Your own multiple-choice questions, from a file, a DataFrame, a Dataset or dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from typing_extensions import Unpack

from culture_lens.benchmarks.reading.answers import (
    ANSWER_FORMS,
    TableRow,
    choose_form,
    gold_index,
    no_such_answer,
    read_row,
)
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
from culture_lens.checks import (
    check_arguments,
    check_fields,
    either,
    flag,
    instance,
    names,
    optional,
    text,
)
from culture_lens.errors import InputError, unknown
from culture_lens.questions.images import LazyImage, as_image
from culture_lens.questions.question import PromptFormat, Question, check_questions, shuffled

if TYPE_CHECKING:
    from culture_lens.benchmarks.reading.answers import AnswerForm

    OnBad = Literal["error", "skip"]

ON_BAD: tuple[OnBad, ...] = ("error", "skip")


class ColumnOptions(TypedDict, total=False):
    """The fields of ``Columns`` as keyword arguments."""

    id: str | None
    culture: str
    question: str
    options: str | Sequence[str]
    answer: str
    category: str | None
    group: str | None
    image: str | None


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what.

    Attributes:
        id: Column with a unique id; without it the row's number, counted from 1.
        culture: Column with the culture.
        question: Column with the question.
        options: Column with a list, or with a JSON list or object of the options; or several
            columns with one option each. Blank options at the end of a row are left out.
        answer: Column with the answer.
        category: Column with a topic.
        group: Column shared by variants of one question; without it each row is its own group, or
            where rows have images, the rows on one image are a group.
        image: Column with an image: a path, relative to the folder of the table's file (to the
            working folder where the rows come from no file) or absolute, bytes, a PIL image, or
            the cell of a Hugging Face dataset. Blank cells are questions without an image. Nothing
            is decoded here; ``readable`` finds images that cannot be.

    Raises:
        InputError: A field that it does not have.

    Example:
        >>> Columns(culture="country", options=["a", "b"]).needed
        ['country', 'question', 'a', 'b', 'answer']
    """

    id: str | None = None
    culture: str = "culture"
    question: str = "question"
    options: str | Sequence[str] = "options"
    answer: str = "answer"
    category: str | None = None
    group: str | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        """Check that columns are named."""
        check_fields(self, **dict.fromkeys(("culture", "question", "answer"), text))
        check_fields(self, **dict.fromkeys(("id", "category", "group", "image"), optional(text)))
        check_fields(self, options=either(text, names, remedy="the name of a column, or several"))

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Columns:
        """Make the record from keyword arguments."""
        for name in columns:
            if name not in COLUMN_NAMES:
                raise unknown("option", name, COLUMN_NAMES)
        return cls(**columns)

    @property
    def needed(self) -> list[str]:
        """The columns that a table must have."""
        options = [self.options] if isinstance(self.options, str) else list(self.options)
        named = (self.id, self.category, self.group, self.image)
        return [
            *(self.culture, self.question, *options, self.answer),
            *(name for name in named if name is not None),
        ]


COLUMN_NAMES = tuple(field.name for field in fields(Columns))


@check_arguments(
    answer_as=text,
    allow_urls=flag,
    shuffle=flag,
    benchmark=text,
    prompt=instance(PromptFormat),
    on_bad=text,
)
def questions_from_table(
    rows: Rows,
    *,
    answer_as: AnswerForm | Literal["auto"] = "auto",
    allow_urls: bool = False,
    shuffle: bool = False,
    benchmark: str = "table",
    prompt: PromptFormat = PromptFormat(),
    on_bad: OnBad = "error",
    **columns: Unpack[ColumnOptions],
) -> list[Question]:
    """Make questions of any table with a culture, a question, options and an answer per row.

    An answer is the text of an option, a letter (or, where options are an object, its key), or an
    index counted from 0. The whole column is read in one form, the one that fits most rows; where
    forms fit equally, text goes before letter and letter before index, and a warning says so if
    that matters for any row (options that are themselves numbers or letters).

    Args:
        rows: Path to a csv, tsv, json, jsonl or parquet file, a pandas DataFrame, a
            ``datasets.Dataset``, or dicts.
        answer_as: The form of answers: ``"text"``, ``"letter"``, ``"index"``, or ``"auto"`` to find
            out.
        allow_urls: Allow web addresses in the image column; see ``as_image``.
        shuffle: Order each row's options by a hash of its id, for tables in which most answers
            have the same letter.
        benchmark: Name written into the questions.
        prompt: Prompt format of the questions.
        on_bad: ``"error"`` stops at a row that makes no question and names it; ``"skip"`` leaves
            such rows out and says how many in one warning.
        **columns: Names of the columns: ``id``, ``culture``, ``question``, ``options``, ``answer``,
            ``category``, ``group``, ``image``; see ``Columns``.

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
    at, frame = Columns.of(columns), as_frame(rows)
    need_columns(frame, at.needed)
    place = place_of(frame)
    problems: list[str] = []
    read: list[TableRow] = []
    for number, cells in enumerate(frame.to_dict("records"), 1):
        try:
            read.append(read_row(number, cells, at.options, at.answer))
        except InputError as error:
            problems.append(refuse(f"{place}, row {number}: {error}", on_bad))
    form = choose_form(read, place, at.answer) if answer_as == "auto" else answer_as
    picture = partial(
        picture_of, column=at.image, root=frame.attrs.get("root"), allow_urls=allow_urls
    )
    questions: dict[str, Question] = {}
    first_row: dict[str, int] = {}
    for row in read:
        name = str(row.number) if at.id is None else cell_text(row.cells[at.id]).strip()
        try:
            gold = gold_index(row, form)
            if gold is None:
                raise InputError(no_such_answer(row, form, at.answer))
            if name in first_row:
                raise InputError(
                    f"id {name!r} occurs twice, first in row {first_row[name]}; ids must be unique."
                )
            image = picture(row, f"question {name!r} of {benchmark}")
            questions[name] = row_question(row, name, gold, image, at, benchmark, prompt)
            first_row[name] = row.number
        except InputError as error:
            problems.append(refuse(f"{place}, row {row.number}: {error}", on_bad))
    if problems:
        reason = f"that make no question, one of them: {problems[0]}"
        say_dropped(benchmark, len(frame), {reason: len(problems)})
    made = [reordered(question) if shuffle else question for question in questions.values()]
    if at.group is None:
        made = grouped_by_image(made)
    # One culture is enough here: a held-out table may have one. Whatever compares cultures checks.
    check_questions(made, min_cultures=1)
    return made


def row_question(
    row: TableRow,
    name: str,
    gold: int,
    image: LazyImage | None,
    at: Columns,
    benchmark: str,
    prompt: PromptFormat,
) -> Question:
    """Make the question of a row."""
    cells = row.cells
    return Question(
        id=name,
        culture=cell_text(cells[at.culture]).strip(),
        text=cell_text(cells[at.question]),
        options=row.options,
        answer=gold,
        category=cell_text(cells[at.category]) if at.category else "",
        group=cell_text(cells[at.group]) if at.group else "",
        image=image,
        benchmark=benchmark,
        prompt=prompt,
    )


def picture_of(
    row: TableRow, where: str, *, column: str | None, root: str | Path | None, allow_urls: bool
) -> LazyImage | None:
    """Take a row's image, not decoded; None where it has none."""
    if column is None or no_image(row.cells[column]):
        return None
    return as_image(row.cells[column], where=where, root=root, allow_urls=allow_urls)


def grouped_by_image(questions: Sequence[Question]) -> list[Question]:
    """Group questions by their image; a group is named by its first question."""
    pictured = [question for question in questions if question.image is not None]
    first: dict[Any, str] = {}
    names = [
        # The same path, address or object is the same image; nothing is read for that.
        first.setdefault(source if isinstance(source, (Path, str)) else id(source), question.id)
        for question in pictured
        for source in [question.image.source]
    ]
    groups = image_groups([question.image for question in pictured], names)
    of = {question.id: group for question, group in zip(pictured, groups, strict=True)}
    return [replace(question, group=of.get(question.id, question.group)) for question in questions]


def refuse(problem: str, on_bad: OnBad) -> str:
    """Raise the problem of a bad row, or return it where bad rows are skipped."""
    if on_bad == "error":
        raise InputError(f"{problem} Correct the row, or leave such rows out with on_bad='skip'.")
    return problem


def reordered(question: Question) -> Question:
    """Order a question's options by a hash of its id; the gold answer follows."""
    options = tuple(shuffled(question.options, key=question.id))
    gold = question.options[question.answer]
    return replace(question, options=options, answer=options.index(gold))


@wraps(questions_from_table)  # so that its options are known
def load(read: Read, **options: Any) -> list[Question]:
    """Read the file and pass the options on to ``questions_from_table``."""
    return questions_from_table(read(Part("*")), **options)


BENCHMARK = Benchmark(
    name="table",
    summary="your own csv, tsv, json, jsonl or parquet file, with images or without",
    source=LOCAL,
    licence="yours",
    rows=load,
    further_options=COLUMN_NAMES,
)
