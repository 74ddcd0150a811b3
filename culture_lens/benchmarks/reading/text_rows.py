"""Rows with options -> Questions, for all benchmarks of text.

Rows that cannot be used are dropped, with a warning that counts them by reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from culture_lens.benchmarks.reading.image_rows import numbered
from culture_lens.benchmarks.reading.rows import is_blank, say_dropped
from culture_lens.errors import warn
from culture_lens.questions.question import PromptFormat, Question, shuffled

N_OPTIONS = 4
"""Options of the questions whose wrong options are drawn here."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row of a benchmark: its cells are read, but not yet checked.

    Attributes:
        id: The published id, unique or not.
        culture: The group label.
        text: The question as asked.
        options: Its options as published.
        gold: Index of the right option; None where the cell names none of them.
        category: Topic.
        group: The question group.
        metadata: Anything else worth keeping.
        bad: Why the row makes no question, as far as its cells show; else empty.
        shuffle: Order the options by a hash of the id.
    """

    id: str
    culture: str
    text: str
    options: tuple[str, ...]
    gold: int | None
    category: str = ""
    group: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    bad: str = ""
    shuffle: bool = True


def text_questions(benchmark: str, rows: Sequence[TextRow], prompt: PromptFormat) -> list[Question]:
    """Make questions of the rows that can be used, in their order.

    Args:
        benchmark: Name written into the questions.
        rows: The rows.
        prompt: Their prompt format.

    Warns:
        CultureLensWarning: Rows were dropped, or ids that occur twice were numbered.

    Example:
        >>> row = TextRow("1", "Japan", "Which coin?", ("won", "yen"), 1)
        >>> question = text_questions("mine", [row], PromptFormat())[0]
        >>> question.options[question.answer]
        'yen'
    """
    reasons = reasons_to_drop(rows)
    say_dropped(benchmark, len(rows), Counter(reason for reason in reasons if reason))
    # Numbered before any is dropped, so that a question has the same id under every condition.
    ids = numbered([row.id for row in rows])
    kept = [(n, row) for n, row, why in zip(ids, rows, reasons, strict=True) if not why]
    again = [name for name, row in kept if name != row.id]
    if again:
        warn(
            f"{benchmark}: {len(again)} of {len(kept)} questions have an id that occurred before; "
            f"they are kept and numbered, the first as {again[0]!r}."
        )
    return [as_question(benchmark, name, row, prompt) for name, row in kept]


def as_question(benchmark: str, name: str, row: TextRow, prompt: PromptFormat) -> Question:
    """Make a question of a row that can be used."""
    gold = row.options[row.gold or 0]
    options = shuffled(row.options, key=name) if row.shuffle else list(row.options)
    return Question(
        id=name,
        culture=row.culture,
        text=row.text,
        options=tuple(options),
        answer=options.index(gold),
        category=row.category,
        group=row.group,
        benchmark=benchmark,
        prompt=prompt,
        metadata=row.metadata,
    )


def reasons_to_drop(rows: Sequence[TextRow]) -> list[str]:
    """Say of every row why it makes no question; an empty string where it does.

    Of rows with the same culture, text and options the first is kept, or none where their answers
    differ, since either may be wrong.
    """
    reasons = [unusable(row) for row in rows]
    same: dict[tuple[str, str, frozenset[str]], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if not reasons[place]:
            same[row.culture, row.text, stripped(row)].append(place)
    for places in same.values():
        if len({rows[place].options[rows[place].gold or 0].strip() for place in places}) > 1:
            for place in places:
                reasons[place] = "asking the same as another with a different answer"
        else:
            for place in places[1:]:
                reasons[place] = "repeating an earlier one"
    return reasons


def unusable(row: TextRow) -> str:
    """Say why a row by itself makes no question; an empty string where it does."""
    if row.bad:
        return row.bad
    if len(stripped(row)) < max(2, len(row.options)) or "" in stripped(row):
        return "whose options are empty or collide"
    if row.gold is None or not 0 <= row.gold < len(row.options):
        return "whose gold answer is out of range"
    return ""


def stripped(row: TextRow) -> frozenset[str]:
    """Give a row's options without the space around them."""
    return frozenset(option.strip() for option in row.options)


def empty_cell(row: Mapping[Any, Any], columns: Sequence[str]) -> str:
    """Name the first of some columns that is empty in a row; an empty string where none is.

    Example:
        >>> empty_cell({"Story": " ", "Country": "egypt"}, ["Country", "Story"])
        "whose 'Story' is empty"
    """
    empty = next((column for column in columns if is_blank(row[column])), None)
    return "" if empty is None else f"whose {empty!r} is empty"
