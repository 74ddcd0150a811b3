"""K-Viscuit: questions on photographs of Korean culture.

Baek et al. 2024, arXiv 2406.16469. All rows are of one culture, South Korea. Questions on one image
are one group. ``id_`` is not unique in the published rows: later rows of one id are numbered in
their order, such as ``Beverage.4.2/2``, and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.image_rows import (
    ImageRow,
    image_questions,
    listed,
    whole_number,
)
from culture_lens.benchmarks.reading.rows import cell_text, need_columns
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.errors import unknown
from culture_lens.questions.question import Question

if TYPE_CHECKING:
    import pandas as pd

ROWS = Part(
    "annotations", columns=("question", "options", "answer", "category", "id_", "image_path")
)
SOUTH_KOREA = "South Korea"
GROUPINGS = ("country", "category")


def k_viscuit_questions(rows: pd.DataFrame, *, grouping: str = "country") -> list[Question]:
    """Make questions of K-Viscuit's rows.

    Args:
        rows: The published columns question, options, answer, category, id_, question_type,
            image_url, image_path, and on the hub image. Without the last, ``image_path`` starts
            from the folder ``images`` beside the file, or from the file's own folder.
        grouping: Culture label: ``"country"`` for South Korea, ``"category"`` for the topic, so
            that topics can be compared as cultures are.

    Raises:
        InputError: An unknown grouping, options that are no list, or an image that is not there.

    Warns:
        CultureLensWarning: Rows were dropped.

    Example:
        ``k_viscuit_questions(read_rows("k_viscuit/annotations.jsonl"), grouping="category")``
    """
    if grouping not in GROUPINGS:
        raise unknown("grouping of K-Viscuit", grouping, GROUPINGS)
    need_columns(rows, ROWS.columns)
    root = rows.attrs.get("root")
    if root is not None and Path(root, "images").is_dir():
        root = Path(root, "images")
    read = [image_row(row, grouping) for row in rows.to_dict("records")]
    return image_questions("k_viscuit", read, root=root, say_twice=False)


def image_row(row: Mapping[Any, Any], grouping: str) -> ImageRow:
    """Read one row's cells."""
    name, category = cell_text(row["id_"]).strip(), cell_text(row["category"]).strip()
    path = cell_text(row["image_path"]).strip()
    return ImageRow(
        id=name,
        culture=SOUTH_KOREA if grouping == "country" else category,
        text=cell_text(row["question"]),
        options=listed(row["options"], "options", f"K-Viscuit row {name!r}"),
        label=whole_number(row["answer"]),
        image=row["image"] if "image" in row else path,
        picture=path or name,
        category=category,
        metadata={
            "country": SOUTH_KOREA,
            "question_type": whole_number(row.get("question_type")),
            "image_source": cell_text(row.get("image_url")),
        },
    )


def load(read: Read, *, grouping: str = "country") -> list[Question]:
    """Read the rows, from the hub or from a local copy.

    Args:
        read: Reads a part of the benchmark.
        grouping: See ``k_viscuit_questions``.
    """
    return k_viscuit_questions(read(ROWS), grouping=grouping)


BENCHMARK = Benchmark(
    name="k_viscuit",
    summary="questions on photographs of Korean culture, four-choice (arXiv 2406.16469)",
    source="ddehun/k-viscuit",
    licence="CC-BY-4.0; each image its own",
    rows=load,
    min_cultures=1,
)
