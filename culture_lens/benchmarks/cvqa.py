"""CVQA: questions on photographs from some thirty countries, in the local language and in English.

Romero et al. 2024, arXiv 2406.05967. Rows are used as follows:

1. ``Subset``, the text of a (language, country) pair, gives the culture: the country, or both.
2. Question and options are in one language, from the translated or the native columns.
3. Rows without an image, a question, a right answer, or different options are dropped.
4. Questions on one image are one group. An ID is that of an image, an underscore and a number; the
   image's part names the group, and groups with byte-identical images are joined.

Early releases withhold the answers: every label is -1. The 5 GB of images stay in the dataset's
memory-mapped files, and an image is decoded when it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.image_rows import (
    WITHHELD,
    ImageRow,
    image_questions,
    listed,
    literal,
    whole_number,
)
from culture_lens.benchmarks.reading.rows import cell_text, need_columns, place_of
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.errors import InputError, unknown, warn
from culture_lens.questions.question import Question

if TYPE_CHECKING:
    import pandas as pd

ROWS = Part("*", columns=("image", "ID", "Subset", "Label"))
LANGUAGE_COLUMNS = {
    "english": ("Translated Question", "Translated Options"),
    "native": ("Question", "Options"),
}
GROUPINGS = ("country", "language_country")


def cvqa_questions(
    rows: pd.DataFrame,
    *,
    language: str = "english",
    grouping: str = "country",
    min_items: int = 1,
) -> list[Question]:
    """Make questions of CVQA's rows.

    Args:
        rows: The hub's columns image, ID, Subset, Question, Translated Question, Options,
            Translated Options, Label, Category, Image Type, Image Source, License; the image as a
            function that gives bytes, a mapping with bytes or path, or a path relative to the file.
        language: ``"english"`` for the translated questions and options, ``"native"`` for those
            in the language of the subset.
        grouping: Culture label: ``"country"`` as published, such as ``South_Korea``, or
            ``"language_country"``, such as ``India (Tamil)``.
        min_items: Cultures with fewer questions are left out.

    Raises:
        InputError: An unknown language or grouping, a subset that is no pair, options that are no
            list, an image file that is not there, or a release without answers.

    Warns:
        CultureLensWarning: Rows or cultures were left out, or ids occur twice.

    Example:
        ``cvqa_questions(read_rows("test-00000-of-00010.parquet"), language="native")``
    """
    if language not in LANGUAGE_COLUMNS:
        raise unknown("language of CVQA", language, LANGUAGE_COLUMNS)
    if grouping not in GROUPINGS:
        raise unknown("grouping of CVQA", grouping, GROUPINGS)
    if min_items < 1:
        raise InputError(f"min_items={min_items}: must be at least 1, which keeps all cultures.")
    need_columns(rows, (*ROWS.columns, *LANGUAGE_COLUMNS[language]))
    read = [image_row(row, language, grouping) for row in rows.to_dict("records")]
    if all(row.label == WITHHELD for row in read):
        raise InputError(
            f"{place_of(rows)}: every label is {WITHHELD}, so this release of CVQA withholds the "
            "answers; take a later one, or write the right indexes into its column 'Label'."
        )
    questions = image_questions("cvqa", read, root=rows.attrs.get("root"))
    return of_enough(questions, min_items)


def image_row(row: Mapping[Any, Any], language: str, grouping: str) -> ImageRow:
    """Read one row's cells."""
    name = cell_text(row["ID"]).strip()
    where = f"CVQA row {name!r}"
    if not name:
        raise InputError("CVQA: a row has no ID; take the rows as published.")
    spoken, country = pair(row["Subset"], where)
    question, options = LANGUAGE_COLUMNS[language]
    return ImageRow(
        id=name,
        culture=country if grouping == "country" else f"{country} ({spoken})",
        text=cell_text(row[question]),
        options=listed(row[options], options, where),
        label=whole_number(row["Label"]),
        image=row["image"],
        picture=picture_of(name),
        category=cell_text(row.get("Category")).strip(),
        metadata={
            "language": spoken,
            "country": country,
            "image_type": cell_text(row.get("Image Type")),
            "image_source": cell_text(row.get("Image Source")),
            "license": cell_text(row.get("License")),
        },
    )


def pair(subset: Any, where: str) -> tuple[str, str]:
    """Read a subset, the text of a (language, country) pair or the pair itself.

    Example:
        >>> pair("('Spanish', 'Mexico')", "row 1")
        ('Spanish', 'Mexico')
    """
    value = literal(subset) if isinstance(subset, str) else subset
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        parts = [cell_text(part).strip() for part in value]
        if len(parts) == 2 and all(parts):
            return parts[0], parts[1]
    raise InputError(
        f"{where}: Subset is {subset!r}, not a pair such as \"('Spanish', 'Mexico')\"; take the "
        "rows as published."
    )


def picture_of(name: str) -> str:
    """Give the image's part of a question's ID.

    Example:
        >>> picture_of("5919991144272485961_0")
        '5919991144272485961'
    """
    stem, _, number = name.rpartition("_")
    return stem if stem and number.isdecimal() else name


def of_enough(questions: Sequence[Question], min_items: int) -> list[Question]:
    """Leave out the cultures with too few questions, with a warning that names them."""
    counts = Counter(question.culture for question in questions)
    few = {culture: n for culture, n in sorted(counts.items()) if n < min_items}
    if few:
        listing = ", ".join(f"{culture} ({n})" for culture, n in few.items())
        warn(
            f"cvqa: left out {len(few)} of {len(counts)} cultures, {sum(few.values())} of "
            f"{len(questions)} questions, for having fewer than min_items={min_items}: {listing}."
        )
    return [question for question in questions if question.culture not in few]


def load(
    read: Read,
    *,
    language: str = "english",
    grouping: str = "country",
    min_items: int = 1,
) -> list[Question]:
    """Read the rows, from the hub or from a local copy.

    Args:
        read: Reads a part of the benchmark.
        language: See ``cvqa_questions``.
        grouping: See ``cvqa_questions``.
        min_items: See ``cvqa_questions``.
    """
    return cvqa_questions(read(ROWS), language=language, grouping=grouping, min_items=min_items)


BENCHMARK = Benchmark(
    name="cvqa",
    summary="questions on photographs of some 30 countries, four-choice (arXiv 2406.05967)",
    source="afaji/cvqa",
    licence="each row its own",
    rows=load,
)
