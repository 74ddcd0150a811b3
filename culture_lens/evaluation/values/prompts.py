"""Value questions as a model is asked them: whose answer is wanted, and in which words.

CULNIG (arXiv 2510.08284) uses two system prompts and four wordings of each benchmark; these here
are our own. What CULNIG says in a system message stands at the head of the user's message, since
some chat templates have none.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from culture_lens.benchmarks.reading.rows import Rows
from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.evaluation.values.people import COUNTRY, HumanValues, read_human_values
from culture_lens.evaluation.values.questions import (
    METADATA,
    ValueQuestion,
    mapping_of,
    read_value_questions,
)
from culture_lens.questions.question import PromptFormat, Question

BENCHMARK = "world_values_bench"
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
"""Two ways to say whose answer is wanted: of one person, or of a country."""

WORDINGS = (
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
"""Four instructions, each where the points are listed and where they are not."""


def load_values(
    path: str | Path,
    answers: Rows,
    *,
    people: Rows | None = None,
    country: str = COUNTRY,
    cultures: Sequence[str] | None = None,
    probe: bool = True,
    questions: Sequence[str] | None = None,
    personas: Sequence[str] = ("person", "country"),
    wordings: Sequence[int] = (0, 1, 2, 3),
) -> list[Question]:
    """Read value questions and people's answers, and make a Question of each for each culture.

    The options are the points of the scale, the right one is the majority's, so that these
    questions also serve wherever multiple choice does, such as ``ablation_matrix``.

    Args:
        path: The folder of WorldValuesBench's question files.
        answers: People's answers; see ``people`` for its two layouts.
        people: The table of people's countries, where ``answers`` has none.
        country: The column of countries.
        cultures: Which cultures; all that have answers by default.
        probe: Only the 36 questions of the probe.
        questions: Only these IDs.
        personas: Which of ``PERSONAS``.
        wordings: Which of ``WORDINGS``.

    Raises:
        InputError: A file, table, culture, question, persona or wording that is not there or
            cannot be used.

    Example:
        ``load_values("../shared/data/worldvaluesbench", "my_answers.csv", cultures=["Japan"])``
    """
    for persona in personas:
        if persona not in PERSONAS:
            raise unknown("persona", persona, PERSONAS)
    if not personas or not wordings or set(wordings) - set(range(len(WORDINGS))):
        raise InputError(
            f"personas={tuple(personas)}, wordings={tuple(wordings)}: give at least one of each; "
            f"wordings are numbers from 0 to {len(WORDINGS) - 1}."
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

    A question without an answer from a culture is left out there, and their number is said.

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
        warnings.warn(
            f"{BENCHMARK}: {without} of {total} pairs of a culture and a question are left out, "
            "for nobody of the culture answered.",
            CultureLensWarning,
            stacklevel=2,
        )
    if tied:
        warnings.warn(
            f"{BENCHMARK}: on {tied} of {total} pairs of a culture and a question several points "
            "have the most votes; the lowest of them counts as the majority's.",
            CultureLensWarning,
            stacklevel=2,
        )
    return made


def as_question(
    question: ValueQuestion, humans: HumanValues, culture: str, persona: str, wording: int
) -> Question:
    """Put one value question to somebody of a culture, in one wording."""
    letter, number = WORDINGS[wording]
    whose = PERSONAS[persona].format(culture=culture.replace("_", " "))
    return Question(
        id=f"{question.id}/{culture}/{persona}/{wording}",
        culture=culture,
        text=question.text,
        options=tuple(str(point) for point in question.points),
        answer=humans.majority(culture, question.id),
        category=question.category,
        group=question.id,
        benchmark=BENCHMARK,
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
