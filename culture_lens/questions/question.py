"""Question and PromptFormat: a multiple-choice item, and how it is put to a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from culture_lens.checks import (
    any_text,
    check_arguments,
    check_fields,
    each,
    either,
    instance,
    optional,
    said,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown
from culture_lens.questions.images import LazyImage, as_image
from culture_lens.storage.display import Shown, one_line

if TYPE_CHECKING:
    LabelForm = Literal["auto", "bare", "space"]
else:
    LabelForm = str  # a wrong name reaches the check that lists the right ones

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPLITS = ("", "identify", "evaluate")
FORMAT_FIELDS = ("{question}", "{options}", "{instruction}")


@dataclass(frozen=True, slots=True, repr=False)
class PromptFormat(Shown):
    r"""How a question is put to a model.

    Attributes:
        instruction: The sentence that tells the model what to do.
        layout: The user's message of a multiple-choice prompt. The fields ``{question}``,
            ``{instruction}`` and ``{options}`` may be used, each at most once; the question is
            left out of control twins. Line breaks that end it are kept.
        cloze: The user's message where the options are not shown and each option is scored as a
            continuation; ``{question}`` and ``{instruction}`` may be used.
        cloze_instruction: The instruction of the cloze message.
        answer_prefix: The beginning of the answer, written for the model, such as
            ``{"answer_choice":"`` so that the next token is the letter. Refused where the prompt
            ends with it already. Not used by ``cloze``. An encoder-decoder is given it on the side
            of the decoder.
        label_form: ``"bare"`` for a label token ``A``, ``"space"`` for ``" A"``, ``"auto"`` to let
            the end of the prompt decide.
        labels: The options' labels in order, one character each, such as ``"1234"``.
        system: The system prompt; before the user's message where a chat template has no place for
            one, or where there is no template.

    Example:
        >>> PromptFormat(layout="{question}\n{options}\nAnswer:").answer_prefix
        ''
    """

    instruction: str = "Reply with the letter of the right answer only."
    layout: str = "{question}\n\n{options}\n\n{instruction}"
    cloze: str = "{question} {instruction}"
    cloze_instruction: str = "Answer in a few words."
    answer_prefix: str = ""
    label_form: LabelForm = "auto"
    labels: str = LABELS
    system: str = ""

    def __post_init__(self) -> None:
        """Check the labels and their form, and that a message says what is asked."""
        written = ("instruction", "layout", "cloze", "cloze_instruction", "answer_prefix")
        check_fields(
            self, "PromptFormat.", **dict.fromkeys((*written, "labels", "label_form"), any_text)
        )
        for name in ("layout", "cloze"):
            message = getattr(self, name)
            if "{question}" not in message and "{options}" not in message:
                raise InputError(
                    f"PromptFormat.{name} is {said(message)}: put {{question}} or {{options}} in "
                    "it, or every question is asked in the same words."
                )
            for field_name in FORMAT_FIELDS:
                if message.count(field_name) > 1:
                    raise InputError(f"PromptFormat.{name} has {field_name} more than once.")
        if len(set(self.labels)) < len(self.labels) or not self.labels.isalnum():
            raise InputError(
                f"PromptFormat.labels is {self.labels!r}: give letters or digits, each once."
            )
        if self.label_form not in ("auto", "bare", "space"):
            raise InputError(
                f"PromptFormat.label_form is {self.label_form!r}: use 'auto', 'bare' or 'space'."
            )


FIELD_CHECKS = {
    **dict.fromkeys(("id", "culture", "text", "category", "group", "split", "benchmark"), any_text),
    "options": each(any_text, "a list of strings"),
    "answer": whole(),
    "prompt": instance(PromptFormat),
    "metadata": instance(Mapping, remedy="a mapping, such as a dict"),
}
"""The check of every field of a ``Question`` but the image's."""


@dataclass(frozen=True, slots=True, repr=False)
class Question(Shown):
    """One multiple-choice item that belongs to one culture.

    Attributes:
        id: Unique among the questions of a benchmark.
        culture: The group label: a country, or a (language, country) pair as a string.
        text: The question as asked; empty in a control twin.
        options: At least two, as they are shown; all different once stripped of surrounding space.
        answer: Index of the right option.
        category: Topic or other label, for balance and strata.
        group: The question group: variants of one question share it. Splits and intervals
            keep groups whole. The id where left empty.
        split: ``"identify"`` or ``"evaluate"`` where the benchmark decides it, else empty.
        image: The picture that the question is about: a path, bytes, a PIL image or a
            ``LazyImage``, which it becomes; None without a picture.
        benchmark: Name of the benchmark the question comes from.
        prompt: How the question is put to a model.
        metadata: Anything else worth keeping.

    Raises:
        InputError: Fewer than two options, options that are equal once stripped, an answer out of
            range, an empty id or culture, or an image that is missing or of a type that cannot be
            one.

    Example:
        >>> q = Question(id="1", culture="Japan", text="Which coin?", options=("yen", "won"),
        ...              answer=0)
        >>> q.group
        '1'
    """

    id: str
    culture: str
    text: str
    options: tuple[str, ...]
    answer: int
    category: str = ""
    group: str = ""
    split: str = ""
    image: Any = None
    benchmark: str = ""
    prompt: PromptFormat = PromptFormat()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check what later stages rely on."""
        check_fields(self, f"question {said(self.id)}: ", **FIELD_CHECKS)
        where = f"question {self.id!r}" + (f" of {self.benchmark}" if self.benchmark else "")
        if not self.id.strip() or not self.culture.strip():
            raise InputError(f"{where}: the id and the culture must not be empty.")
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS[1:], "Leave it empty where none is decided.")
        stripped = [option.strip() for option in self.options]
        if len(stripped) < 2 or not all(stripped):
            raise InputError(
                f"{where}: needs at least two options and none of them empty, has {stripped!r}."
            )
        if len(set(stripped)) < len(stripped):
            twice = next(o for o in stripped if stripped.count(o) > 1)
            raise InputError(
                f"{where}: option {twice!r} occurs twice once surrounding space is stripped; "
                "drop the question or make its options differ."
            )
        if len(stripped) > len(self.prompt.labels):
            raise InputError(
                f"{where}: {len(stripped)} options, at most {len(self.prompt.labels)} have labels."
            )
        if not 0 <= self.answer < len(self.options):
            raise InputError(
                f"{where}: the gold answer {self.answer} is out of range for "
                f"{len(self.options)} options (counted from 0)."
            )
        object.__setattr__(self, "options", tuple(self.options))
        if self.image is not None and not isinstance(self.image, LazyImage):
            object.__setattr__(self, "image", as_image(self.image, where=where))
        if not self.group:
            object.__setattr__(self, "group", self.id)

    def __repr__(self) -> str:
        """Name the question in one line; its fields have the rest."""
        return one_line(self, "id", "culture", "text", "options", "answer")

    @property
    def labels(self) -> str:
        """The labels of the options, such as ``"ABCD"``."""
        return self.prompt.labels[: len(self.options)]


QUESTIONS = each(Question, "a list of Question objects, such as load_benchmark gives")
"""The check of an argument that takes questions; what is iterable becomes a list."""
QUESTIONS_OR_NAME = either(text, QUESTIONS, remedy="questions, or the name of a benchmark")


def stable_hash(text: str) -> int:
    """Hash a string the same way on every machine and in every process (SHA-256).

    Example:
        >>> stable_hash("Japan") == stable_hash("Japan")
        True
    """
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


def shuffled(items: Sequence[str], key: str) -> list[str]:
    """Order strings by a stable hash of each with a key: arbitrary, yet the same everywhere.

    Example:
        >>> sorted(shuffled(["a", "b", "c"], "q1"))
        ['a', 'b', 'c']
    """
    return sorted(items, key=lambda item: (stable_hash(f"{key}\0{item}"), item))


def benchmarks_of(questions: Sequence[Question]) -> str:
    """Name the benchmarks that questions come from.

    Example:
        >>> benchmarks_of([])
        ''
    """
    return ", ".join(sorted({q.benchmark for q in questions if q.benchmark}))


def check_questions(questions: Sequence[Question], *, min_cultures: int = 2) -> None:
    """Check that cultures can be compared on a set of questions.

    Raises:
        InputError: No questions, duplicate ids, or fewer cultures than asked for.
    """
    if not questions:
        raise InputError("there are no questions: check the benchmark's filters and its file.")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise InputError(
                f"question id {question.id!r} occurs twice"
                + (f" in {question.benchmark}" if question.benchmark else "")
                + "; ids must be unique, because results are kept by id."
            )
        seen.add(question.id)
    cultures = {question.culture for question in questions}
    if len(cultures) < min_cultures:
        raise InputError(
            f"only {len(cultures)} culture ({', '.join(sorted(cultures))}): at least "
            f"{min_cultures} are needed, because a culture's neurons are found by comparison."
        )


@check_arguments(question=instance(Question))
def control_twin(question: Question) -> Question:
    """Make the control twin of a question: its options and instruction, no question, no picture.

    A neuron that also scores on the twin responds to the options, not to the question
    (CULNIG, section 3).

    Example:
        >>> q = Question(id="1", culture="Japan", text="Coin?", options=("yen", "won"), answer=0)
        >>> control_twin(q).text
        ''
    """
    return replace(question, text="", image=None)


@check_arguments(questions=QUESTIONS, prompt_format=optional(instance(PromptFormat)))
def with_format(
    questions: Sequence[Question], prompt_format: PromptFormat | None
) -> list[Question]:
    """Give questions another prompt format than their benchmark's own.

    Example:
        >>> with_format([], PromptFormat())
        []
    """
    if prompt_format is None:
        return list(questions)
    return [replace(question, prompt=prompt_format) for question in questions]
