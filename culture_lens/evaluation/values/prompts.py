"""Value questions as prompts: for whom the model answers, and in which wording.

CULNIG (arXiv 2510.08284) uses two system prompts and four wordings of each benchmark; those here
are our own. They open the user's message, because some chat templates have no system message.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from culture_lens.benchmarks.reading.rows import Rows
from culture_lens.checks import (
    any_names,
    check_arguments,
    each,
    file_path,
    flag,
    names,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown, warn
from culture_lens.evaluation.values.people import PERSON_COUNTRY, HumanValues, read_human_values
from culture_lens.evaluation.values.questions import (
    METADATA,
    ValueQuestion,
    mapping_of,
    read_value_questions,
)
from culture_lens.questions.question import PromptFormat, Question

WORLD_VALUES_BENCH = "world_values_bench"
PERSONAS = {
    "person": (
        "Imagine that you were born in {culture} and live there now. Answer the question for "
        "yourself, as this person."
    ),
    "country": (
        "A survey of values is being held in {culture}. Answer the question as most of the people "
        "asked there would."
    ),
}
"""Whose answer is wanted: that of one person, or that of most people of a country."""

VALUE_INSTRUCTIONS = (
    (
        "Choose the point of the scale that comes closest. Reply with its letter only.",
        "Reply with the number on the scale only.",
    ),
    (
        "Which of these numbers is the answer? Write the letter in front of it and nothing else.",
        "Which number is the answer? Write it and nothing else.",
    ),
    (
        "Pick one number from the list. Your reply must be its letter.",
        "Pick one number from the scale. Your reply must be that number.",
    ),
    (
        "Say where on the scale the answer lies: give one letter from the list, with no reason.",
        "Say where on the scale the answer lies: give one number, with no reason.",
    ),
)
"""Four wordings of the instruction, each with the points listed and without."""


@check_arguments(
    path=file_path,
    country=text,
    cultures=optional(names),
    probe=flag,
    questions=optional(names),
    personas=any_names,
    wordings=each(whole()),
)
def load_values(
    path: str | Path,
    answers: Rows,
    *,
    people: Rows | None = None,
    country: str = PERSON_COUNTRY,
    cultures: Sequence[str] | None = None,
    probe: bool = True,
    questions: Sequence[str] | None = None,
    personas: Sequence[str] = ("person", "country"),
    wordings: Sequence[int] = (0, 1, 2, 3),
) -> list[Question]:
    """Read value questions and people's answers, and make a Question of each for every culture.

    The options are the points of the scale and the right one is the majority's, so these questions
    also work wherever multiple choice does, as in ``ablation_matrix``.

    Args:
        path: The folder of WorldValuesBench's question files.
        answers: People's answers, in one of the two layouts of the module ``people``.
        people: The table of people's countries, where ``answers`` has none.
        country: The column of countries.
        cultures: Which cultures; by default all with answers.
        probe: Only the 36 questions of the probe.
        questions: Only these IDs.
        personas: Which of ``PERSONAS``.
        wordings: Which of ``VALUE_INSTRUCTIONS``, by number.

    Raises:
        InputError: A missing or unusable file or table, or an unknown culture, question, persona
            or wording.

    Example:
        ``load_values("../shared/data/worldvaluesbench", "my_answers.csv", cultures=["Japan"])``
    """
    for persona in personas:
        if persona not in PERSONAS:
            raise unknown("persona", persona, PERSONAS)
    if not personas or not wordings or set(wordings) - set(range(len(VALUE_INSTRUCTIONS))):
        raise InputError(
            f"personas={tuple(personas)}, wordings={tuple(wordings)}: give at least one of each; "
            f"wordings are numbers from 0 to {len(VALUE_INSTRUCTIONS) - 1}."
        )
    asked = read_value_questions(path, probe=probe, questions=questions)
    survey = mapping_of(Path(path) / METADATA)
    humans = read_human_values(answers, asked, people=people, country=country, known=survey)
    for culture in cultures or ():
        if culture not in humans.votes:
            raise unknown("culture", culture, humans.votes, "These have answers in the table.")
    return value_questions(asked, humans, cultures=cultures, personas=personas, wordings=wordings)


def value_questions(
    asked: Sequence[ValueQuestion],
    humans: HumanValues,
    *,
    cultures: Sequence[str] | None = None,
    personas: Sequence[str] = ("person", "country"),
    wordings: Sequence[int] = (0, 1, 2, 3),
) -> list[Question]:
    """Make a Question for each culture, value question, persona and wording.

    Questions without an answer from a culture are left out for it, with a warning.

    Example:
        ``value_questions(read_value_questions(folder), humans, personas=["person"])``
    """
    made, without, tied = [], 0, 0
    named = humans.cultures if cultures is None else cultures
    for culture in named:
        for question in asked:
            if question.id not in humans.votes[culture]:
                without += 1
                continue
            tied += humans.is_tied(culture, question.id)
            made += [
                as_question(question, humans, culture, persona, wording)
                for persona in personas
                for wording in wordings
            ]
    total = len(named) * len(asked)
    if without:
        warn(
            f"{WORLD_VALUES_BENCH}: {without} of {total} pairs of a culture and a question are "
            "left out, because nobody of the culture answered."
        )
    if tied:
        warn(
            f"{WORLD_VALUES_BENCH}: on {tied} of {total} pairs of a culture and a question several "
            "points have the most votes; the lowest of them counts as the majority's."
        )
    return made


def as_question(
    question: ValueQuestion, humans: HumanValues, culture: str, persona: str, wording: int
) -> Question:
    """Make the Question of one value question for a culture, persona and wording."""
    letter, number = VALUE_INSTRUCTIONS[wording]
    whose = PERSONAS[persona].format(culture=culture.replace("_", " "))
    return Question(
        id=f"{question.id}/{culture}/{persona}/{wording}",
        culture=culture,
        text=question.text,
        options=tuple(str(point) for point in question.points),
        answer=humans.majority(culture, question.id),
        category=question.category,
        group=question.id,
        benchmark=WORLD_VALUES_BENCH,
        prompt=PromptFormat(
            instruction=letter,
            layout=f"{whose}\n\n{{question}}\n\n{{options}}\n\n{{instruction}}",
            cloze=f"{whose}\n\n{{question}} {{instruction}}",
            cloze_instruction=number,
        ),
        metadata={
            "low": question.low,
            "votes": humans.votes[culture][question.id],
            "persona": persona,
            "wording": wording,
        },
    )
