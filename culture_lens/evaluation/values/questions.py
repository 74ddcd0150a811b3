"""WorldValuesBench's questions: those of the World Values Survey, each with its scale.

Zhao et al. 2024, LREC-COLING 2024. A scale goes from one whole number to another, and the text of
the question says what its ends mean. The benchmark keeps the questions in two files:

    question_metadata.json   every question: text, category, use, ends of its scale
    value_questions.json     the 36 value questions of its probe, by ID
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from culture_lens.checks import names
from culture_lens.errors import InputError, unknown
from culture_lens.storage.files import load_json

METADATA, PROBE = "question_metadata.json", "value_questions.json"


@dataclass(frozen=True, slots=True)
class ValueQuestion:
    """One question of the survey, with its scale.

    Attributes:
        id: Such as ``"Q1"``.
        text: The question; it says what the ends of the scale mean.
        low: The lowest point of the scale.
        high: The highest point.
        category: Its part of the survey.

    Example:
        >>> ValueQuestion("Q1", "How important is family?", 1, 4).points
        (1, 2, 3, 4)
    """

    id: str
    text: str
    low: int
    high: int
    category: str = ""

    def __post_init__(self) -> None:
        """Check that the scale has points to choose from."""
        if not 0 <= self.low < self.high:
            raise InputError(
                f"value question {self.id!r}: its scale goes from {self.low} to {self.high}; it "
                "needs two points at least, and none below 0, where the survey's codes for no "
                "answer are."
            )

    @property
    def points(self) -> tuple[int, ...]:
        """The points of the scale, in order."""
        return tuple(range(self.low, self.high + 1))


def read_value_questions(
    path: str | Path, questions: Sequence[str] | str = "probe"
) -> list[ValueQuestion]:
    """Read the value questions from the benchmark's folder.

    Args:
        path: The folder with ``question_metadata.json`` and, for the probe,
            ``value_questions.json``.
        questions: ``"probe"`` for the 36 of the probe, ``"all"`` for every one that asks for a
            value, or IDs.

    Raises:
        InputError: A file is missing or of another layout, an ID is unknown, or it names no value
            question.

    Example:
        ``read_value_questions("../shared/data/worldvaluesbench")``
    """
    folder = Path(path)
    metadata = mapping_of(folder / METADATA)
    values = {name: entry for name, entry in metadata.items() if is_value(entry)}
    wanted: Iterable[str] = names("questions", questions)
    if wanted == ("probe",):
        wanted = mapping_of(folder / PROBE)
    elif wanted == ("all",):
        wanted = values
    found = []
    for name in wanted:
        if name not in values:
            raise unknown(
                "value question", name, values, f"They are read from {folder / METADATA}."
            )
        entry = values[name]
        try:
            low, high = entry["answer_scale_min"], entry["answer_scale_max"]
            if not all(type(end) is int for end in (low, high)):
                raise TypeError(f"scale from {low!r} to {high!r}")
            text, category = str(entry["question"]), str(entry["category"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / METADATA}, question {name!r}: not of the published layout ({error!r}); "
                "it needs question, category, answer_scale_min and answer_scale_max."
            ) from None
        found.append(ValueQuestion(name, text, low, high, category))
    return found


def mapping_of(file: Path) -> Mapping[str, Any]:
    """Read a JSON file that must hold an object."""
    content = load_json(file)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{file}: holds no object of questions by ID; take the published file.")
    return content


def is_value(entry: Any) -> bool:
    """Say whether an entry of the metadata asks about a value and not about the person."""
    return isinstance(entry, dict) and entry.get("use_case") == "value"
