"""The same questions in other words: four instruction wordings of every benchmark.

What holds in one wording only may be an effect of the wording. The wordings of a benchmark differ
in the instruction, in its place, and in the options' labels, letters in two and digits in two.
Question, options and their order stay, and so does the id, so that results can be paired by it.
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
    """Make four wordings: layouts and labels are those of every benchmark, the words are its own.

    Args:
        instructions: Of each wording; the first and third ask for a letter, the others for a
            number.
        cloze: Of each wording, the instruction of prompts that show no options.
        first: A format that is the first wording as it is; there are then three of the others.

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


PLAIN: Wordings = four_wordings(
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
"""For questions put in the default format: any question with options, with or without a picture."""


def forms_of(question: Question, kinds: Sequence[Wordings]) -> Wordings:
    """Find the wordings that a question's own format is one of.

    Raises:
        InputError: The question was put in words of the user's own.
    """
    for forms in kinds:
        if question.prompt in forms:
            return forms
    raise InputError(
        f"question {question.id!r} of {question.benchmark or 'no benchmark'}: its prompt format is "
        "none of its benchmark's wordings, so there are no other words for it; take the questions "
        "as load_benchmark gives them, or put them in your own formats with prompts.with_format."
    )


def check_wording(wording: object, benchmark: str, kinds: Sequence[Wordings]) -> None:
    """Refuse the number of a wording that a benchmark does not have."""
    most = min(len(forms) for forms in kinds)
    if isinstance(wording, int) and 0 <= wording < most:
        return
    if most == 1:
        raise InputError(
            f"wording={wording!r}: benchmark {benchmark!r} has one wording only, number 0; there "
            "are no other words for it."
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
        >>> in_wording([], 1, (PLAIN,))
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


def in_every_wording(questions: Sequence[Question]) -> list[list[Question]]:
    """Put the same questions in each wording of their benchmarks.

    CountryRC's questions are asked in four wordings as they come, with different wrong options;
    ``load_benchmark("countryrc", wording=0)`` gives each of them once, to be put in the others
    here. Questions of no known benchmark in the default format get the wordings ``PLAIN``.

    Args:
        questions: As ``load_benchmark`` gives them, of one benchmark or of several.

    Returns:
        One list per wording, number 0 first, each with the same ids, options and answers in the
        same order. The number is in ``metadata["wording"]``. A benchmark that has one wording only,
        such as ``organism``, gives one list.

    Raises:
        InputError: No questions, questions in the user's own words, or of benchmarks that do not
            have equally many wordings.

    Example:
        >>> from culture_lens.benchmarks import load_benchmark
        >>> lists = in_every_wording(load_benchmark("everyday", limit=1))
        >>> [same[0].prompt.labels[:4] for same in lists]
        ['ABCD', '1234', 'ABCD', '1234']
        >>> len({same[0].id for same in lists})
        1
    """
    # The registry knows every benchmark's file, and these import this one.
    from culture_lens.benchmarks import BENCHMARKS

    if not questions:
        raise InputError("there are no questions to put in other words.")
    kinds = {
        question.benchmark: BENCHMARKS.get(question.benchmark, BENCHMARKS["table"]).wordings
        for question in questions
    }
    counts = {name: min(len(forms) for forms in kinds[name]) for name in sorted(kinds)}
    if len(set(counts.values())) > 1:
        having = ", ".join(f"{name or 'no benchmark'} {count}" for name, count in counts.items())
        raise InputError(
            f"the questions' benchmarks do not have equally many wordings ({having}): put those of "
            "one benchmark at a time in other words."
        )
    return [
        [
            worded
            for question in questions
            for worded in in_wording([question], number, kinds[question.benchmark])
        ]
        for number in range(next(iter(counts.values())))
    ]
