"""QNLI and MRPC, two yes-or-no tasks of GLUE on pairs of texts: controls that need no culture.

Wang et al. 2018, arXiv 1804.07461; the validation split, which has labels. In CULNIG (arXiv
2510.08284) their accuracy hardly falls when culture neurons are ablated. The hub's layout and that
of the published tsv files are both read; in the latter quotation marks are ordinary characters.

Options are ordered by a hash of the question's id. Rows that share a text are one group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from culture_lens.benchmarks.reading.image_rows import WITHHELD, whole_number
from culture_lens.benchmarks.reading.linked_groups import linked_groups
from culture_lens.benchmarks.reading.rows import cell_text, place_of
from culture_lens.benchmarks.reading.source import Benchmark, Part, Read
from culture_lens.benchmarks.reading.text_rows import TextRow, empty_cell, text_questions
from culture_lens.benchmarks.reading.wordings import Wordings, four_wordings
from culture_lens.errors import InputError
from culture_lens.questions.question import Question

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = ("Yes", "No")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one published layout of a task: two texts, the label, and those of the id."""

    first: str
    second: str
    label: str
    ids: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.ids, self.first, self.second, self.label)


@dataclass(frozen=True, slots=True)
class Task:
    """A task of GLUE.

    Attributes:
        name: The hub's configuration, and the benchmark's name.
        culture: The one group label of its questions.
        shown: What the prompt calls the two texts.
        layouts: The layouts in which it is published.
        golds: Index in ``VERDICTS`` of each label.
        wordings: Its wordings.
    """

    name: str
    culture: str
    shown: tuple[str, str]
    layouts: tuple[Layout, ...]
    golds: Mapping[str, int]
    wordings: Wordings


QNLI_TASK = Task(
    name="qnli",
    culture="inference",
    shown=("Question", "Sentence"),
    layouts=(
        Layout("question", "sentence", "label", ("idx",)),
        Layout("question", "sentence", "label", ("index",)),
    ),
    golds={"0": 0, "entailment": 0, "1": 1, "not_entailment": 1},
    wordings=four_wordings(
        (
            "Can the question be answered from the sentence? Fill in the letter of your verdict "
            'alone: {"answer_choice":""}',
            "Look for the answer in the sentence. Is it there? Fill in the number of your verdict: "
            '{"answer_choice":""}',
            "A reader knows nothing but the sentence. Does it tell what the question asks? The "
            'letter of your verdict belongs here: {"answer_choice":""}',
            'Complete {"answer_choice":""} with the number of Yes if the sentence holds what is '
            "asked for, else with that of No.",
        ),
        (
            "Can the question be answered from the sentence, yes or no?",
            "Is the answer in the sentence? Say yes or no.",
            "Does the sentence tell what the question asks? Yes or no.",
            "Say yes if the sentence holds the answer, else no.",
        ),
    ),
)
MRPC_TASK = Task(
    name="mrpc",
    culture="paraphrase",
    shown=("First sentence", "Second sentence"),
    layouts=(
        Layout("sentence1", "sentence2", "label", ("idx",)),
        Layout("#1 String", "#2 String", "Quality", ("#1 ID", "#2 ID")),
    ),
    golds={"1": 0, "equivalent": 0, "0": 1, "not_equivalent": 1},
    wordings=four_wordings(
        (
            "Do both sentences say the same? Fill in the letter of your verdict alone: "
            '{"answer_choice":""}',
            "Compare the meaning of the two sentences. Is it one and the same? Fill in the number "
            'of your verdict: {"answer_choice":""}',
            "Could the second sentence stand in the place of the first? The letter of your verdict "
            'belongs here: {"answer_choice":""}',
            'Complete {"answer_choice":""} with the number of Yes if the sentences agree in '
            "meaning, else with that of No.",
        ),
        (
            "Do both sentences say the same, yes or no?",
            "Is the meaning one and the same? Say yes or no.",
            "Could one stand in the place of the other? Yes or no.",
            "Say yes if the sentences agree in meaning, else no.",
        ),
    ),
)


def glue_questions(rows: pd.DataFrame, task: Task) -> list[Question]:
    """Make yes-or-no questions of a task's rows.

    Args:
        rows: The hub's columns, or those of the published tsv file.
        task: ``QNLI_TASK`` or ``MRPC_TASK``.

    Raises:
        InputError: The columns are those of neither layout.

    Warns:
        CultureLensWarning: Rows were dropped: how many, and why.

    Example:
        ``glue_questions(read_rows("qnli/dev.tsv", quotes=False), QNLI_TASK)``
    """
    layout = layout_of(rows, task)
    records = rows.to_dict("records")
    ids = ["-".join(cell_text(row[column]).strip() for column in layout.ids) for row in records]
    first, second = (
        [cell_text(row[column]).strip() for row in records]
        for column in (layout.first, layout.second)
    )
    # Both texts in one column: a sentence may be the first of one pair and the second of another.
    groups = linked_groups([*ids, *ids], [*first, *second], [*ids, *ids])[: len(ids)]
    read = [
        text_row(row, task, layout, name, group)
        for row, name, group in zip(records, ids, groups, strict=True)
    ]
    return text_questions(task.name, read, task.wordings[0])


def layout_of(rows: pd.DataFrame, task: Task) -> Layout:
    """Find the layout whose columns a table has."""
    for layout in task.layouts:
        if set(layout.columns) <= set(rows.columns):
            return layout
    known = "; or ".join(", ".join(map(repr, layout.columns)) for layout in task.layouts)
    raise InputError(
        f"{place_of(rows)}: {task.name} needs the columns {known}; it has "
        f"{', '.join(repr(str(name)) for name in rows.columns)}."
    )


def text_row(row: Mapping[Any, Any], task: Task, layout: Layout, name: str, group: str) -> TextRow:
    """Read one row's cells."""
    number = whole_number(row[layout.label])
    label = cell_text(row[layout.label]).strip() if number is None else str(number)
    texts = zip(task.shown, (layout.first, layout.second), strict=True)
    bad = empty_cell(row, layout.columns)
    return TextRow(
        id=name,
        culture=task.culture,
        text="\n".join(f"{shown}: {cell_text(row[column]).strip()}" for shown, column in texts),
        options=VERDICTS,
        gold=task.golds.get(label),
        group=group,
        bad=bad or ("whose label is withheld" if label == str(WITHHELD) else ""),
    )


def benchmark(task: Task, summary: str, licence: str) -> Benchmark:
    """Make the benchmark of a task."""

    def load(read: Read) -> list[Question]:
        part = Part("dev", config=task.name, split="validation", quotes=False)
        return glue_questions(read(part), task)

    return Benchmark(
        name=task.name,
        summary=summary,
        source="nyu-mll/glue",
        licence=licence,
        rows=load,
        min_cultures=1,
        wordings=(task.wordings,),
    )


QNLI = benchmark(
    QNLI_TASK,
    "control: does the sentence answer the question? yes or no (arXiv 1804.07461)",
    licence="CC-BY-SA-4.0",
)
MRPC = benchmark(
    MRPC_TASK,
    "control: do two sentences say the same? yes or no (arXiv 1804.07461)",
    licence="MSR-SSLA, non-commercial",
)
