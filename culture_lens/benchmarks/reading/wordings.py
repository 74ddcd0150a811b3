"""Four instruction wordings of every benchmark.

A result that holds in one wording only may be an effect of the wording. The wordings of a benchmark
differ in the instruction, in its place, and in the option labels: letters in two and digits in two.
Question, options, their order and the id stay the same, so that results can be paired by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from culture_lens.errors import InputError
from culture_lens.questions.question import LABELS, PromptFormat, Question

Wordings: TypeAlias = tuple[PromptFormat, ...]

DIGITS = "123456789"
ANSWER_PREFIX = '{"answer_choice":"'  # as BLEnD's: after a quotation mark any label is one token
LAYOUTS = (
    "{question}\n\n{options}\n\n{instruction}",
    "{instruction}\n\n{question}\n\nOptions:\n{options}",
    "{instruction}\n\n{question}\n\n{options}\n\nAnswer:",
    "{question}\n\n{instruction}\n\n{options}\n\nAnswer:",
)
LABELS_OF = (LABELS, DIGITS, LABELS, DIGITS)


def four_wordings(
    instructions: Sequence[str], cloze: Sequence[str], *, first: PromptFormat | None = None
) -> Wordings:
    """Make a benchmark's four wordings: its own words, in the layouts and labels of all benchmarks.

    Args:
        instructions: Of each wording; the first and third ask for a letter, the others for a
            number.
        cloze: Of each wording, the instruction of prompts that show no options.
        first: A whole format that is the first wording; the other two arguments then have three.

    Example:
        >>> [form.labels[:2] for form in four_wordings("abcd", "efgh")]
        ['AB', '12', 'AB', '12']
    """
    given = () if first is None else (first,)
    parts = zip(instructions, cloze, LAYOUTS[len(given) :], LABELS_OF[len(given) :], strict=True)
    return given + tuple(
        PromptFormat(
            instruction=instruction,
            layout=layout,
            cloze_instruction=short,
            answer_prefix=ANSWER_PREFIX,
            labels=labels,
        )
        for instruction, short, layout, labels in parts
    )


DEFAULT_WORDINGS: Wordings = four_wordings(
    (
        "Decide on one of the numbered options and fill in its number, without giving reasons: "
        '{"answer_choice":""}',
        "Here is a question and what may be its answer. Fill in the letter of the one that is "
        'right: {"answer_choice":""}',
        'One number stands before the right option. Put it here: {"answer_choice":""}',
    ),
    (
        "Keep the answer to a few words.",
        "A short answer is enough.",
        "Say it as briefly as you can.",
    ),
    first=PromptFormat(),
)
"""For questions in the default format: any question with options, with or without an image."""


def forms_of(question: Question, kinds: Sequence[Wordings]) -> Wordings:
    """Find the wordings among which a question's own format is.

    Raises:
        InputError: The question has a prompt format of the user's own.
    """
    for forms in kinds:
        if question.prompt in forms:
            return forms
    raise InputError(
        f"question {question.id!r} of {question.benchmark or 'no benchmark'}: its prompt format is "
        "none of its benchmark's wordings, so it has no other wording; take the questions as "
        "load_benchmark gives them, or set your own formats with with_format."
    )


def check_wording(wording: object, benchmark: str, kinds: Sequence[Wordings]) -> None:
    """Refuse the number of a wording that a benchmark does not have."""
    most = min(len(forms) for forms in kinds)
    if isinstance(wording, int) and not isinstance(wording, bool) and 0 <= wording < most:
        return
    if most == 1:
        raise InputError(
            f"wording={wording!r}: benchmark {benchmark!r} has only one wording, number 0."
        )
    raise InputError(
        f"wording={wording!r}: benchmark {benchmark!r} has the wordings 0 to {most - 1}."
    )


def in_wording(
    questions: Sequence[Question], wording: int, kinds: Sequence[Wordings]
) -> list[Question]:
    """Put questions of one benchmark in one of its wordings.

    Args:
        questions: The questions, in whichever of these wordings.
        wording: Its number, from 0; kept as ``metadata["wording"]``.
        kinds: The wordings of each kind of question that the benchmark has.

    Example:
        >>> in_wording([], 1, (DEFAULT_WORDINGS,))
        []
    """
    return [
        replace(
            question,
            prompt=forms_of(question, kinds)[wording],
            metadata={**question.metadata, "wording": wording},
        )
        for question in questions
    ]
