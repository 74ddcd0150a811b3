"""Value questions as prompts: for whom the model answers, and in which words; see ``wordings``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from culture_lens.benchmarks.reading.rows import Rows
from culture_lens.checks import (
    any_names,
    check_arguments,
    each,
    file_path,
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
from culture_lens.evaluation.values.wordings import (
    LETTER_INSTRUCTIONS,
    OUR_PROMPTS,
    ValuePrompts,
    as_value_prompts,
)
from culture_lens.questions.culture_names import counterparts
from culture_lens.questions.question import PromptFormat, Question

WORLD_VALUES_BENCH = "world_values_bench"
CULNIG = "culnig"
CULNIG_COUNTRIES = (
    *("China", "Great Britain", "Indonesia", "Iran", "Mexico", "South Korea", "United States"),
)
"""CULNIG's seven, as the survey names them: its eight but for Spain."""
LEAST_ANSWERS = 10
"""Answers of a culture that a question needs (CULNIG)."""


@check_arguments(
    path=file_path,
    country=text,
    cultures=optional(names),
    questions=names,
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
    questions: Sequence[str] | str = "probe",
    prompts: ValuePrompts | str | Path | None = None,
    personas: Sequence[str] | None = None,
    wordings: Sequence[int] | None = None,
    least_answers: int = LEAST_ANSWERS,
) -> list[Question]:
    """Read value questions and people's answers, and make a Question of each for every culture.

    The options are the points of the scale and the right one is the majority's, so these questions
    also work wherever multiple choice does, as in ``ablation_matrix``. By letter the points are
    listed, and an instruction of ours asks for the letter.

    Args:
        path: The folder of WorldValuesBench's question files.
        answers: People's answers, in one of the two layouts of the module ``people``.
        people: The table of people's countries, where ``answers`` has none.
        country: The column of countries.
        cultures: Which cultures; by default all with answers. ``"culnig"`` for CULNIG's seven.
        questions: ``"probe"`` for the 36 of the probe, ``"all"`` as CULNIG asks, or IDs.
        prompts: Own system prompts and instructions, or a JSON file of them; see ``wordings``.
        personas: Which system prompts, by name; all by default.
        wordings: Which instructions, by number from 0; all by default.
        least_answers: Questions with fewer answers of a culture are left out for it.

    Raises:
        InputError: A missing or unusable file or table, an unknown culture, question, persona
            or wording, or no question left.

    Example:
        ``load_values("../shared/data/worldvaluesbench", "my_answers.csv", cultures=["Japan"])``
    """
    words = as_value_prompts(prompts)
    named, numbers = chosen_words(words, personas, wordings)
    if least_answers < 1:
        raise InputError(f"least_answers={least_answers}: must be at least 1.")
    asked = read_value_questions(path, questions)
    survey = mapping_of(Path(path) / METADATA)
    humans = read_human_values(answers, asked, people=people, country=country, known=survey)
    if cultures in (CULNIG, [CULNIG], (CULNIG,)):
        other = counterparts(CULNIG_COUNTRIES, humans.votes)
        cultures = [other.get(name, name) for name in CULNIG_COUNTRIES]
    for culture in cultures or ():
        if culture not in humans.votes:
            raise unknown("culture", culture, humans.votes, "These have answers in the table.")
    return value_questions(
        asked,
        humans,
        cultures=cultures,
        prompts=words,
        personas=named,
        wordings=numbers,
        least_answers=least_answers,
    )


def chosen_words(
    words: ValuePrompts, personas: Sequence[str] | None, wordings: Sequence[int] | None
) -> tuple[list[str], list[int]]:
    """Give the names of the personas and the numbers of the instructions that are asked for.

    Raises:
        InputError: An unknown one, or none.
    """
    named = list(words.personas) if personas is None else list(personas)
    numbers = [*range(len(words.instructions))] if wordings is None else list(wordings)
    for persona in named:
        if persona not in words.personas:
            raise unknown("persona", persona, words.personas)
    if not named or not numbers or set(numbers) - set(range(len(words.instructions))):
        raise InputError(
            f"personas={named}, wordings={numbers}: give at least one of each; wordings are "
            f"numbers from 0 to {len(words.instructions) - 1}."
        )
    return named, numbers


def value_questions(
    asked: Sequence[ValueQuestion],
    humans: HumanValues,
    *,
    cultures: Sequence[str] | None = None,
    prompts: ValuePrompts = OUR_PROMPTS,
    personas: Sequence[str] | None = None,
    wordings: Sequence[int] | None = None,
    least_answers: int = LEAST_ANSWERS,
) -> list[Question]:
    """Make a Question for each culture, value question, persona and wording.

    Questions with too few answers of a culture are left out for it, with a warning.

    Raises:
        InputError: An unknown persona or wording, or no question with enough answers.

    Example:
        ``value_questions(read_value_questions(folder), humans, personas=["person"])``
    """
    made, without, tied = [], 0, 0
    named, numbers = chosen_words(prompts, personas, wordings)
    of = humans.cultures if cultures is None else cultures
    for culture in of:
        for question in asked:
            if sum(humans.votes[culture].get(question.id, ())) < least_answers:
                without += 1
                continue
            tied += humans.is_tied(culture, question.id)
            made += [
                as_question(question, humans, culture, prompts, persona, wording)
                for persona in named
                for wording in numbers
            ]
    total = len(of) * len(asked)
    if not made:
        raise InputError(
            f"{WORLD_VALUES_BENCH}: none of {total} pairs of a culture and a question has "
            f"{least_answers} answers; give more people's answers, or least_answers=1."
        )
    if without:
        warn(
            f"{WORLD_VALUES_BENCH}: {without} of {total} pairs of a culture and a question are "
            f"left out, because fewer than {least_answers} people of the culture answered."
        )
    if tied:
        warn(
            f"{WORLD_VALUES_BENCH}: on {tied} of {total} pairs of a culture and a question several "
            "points have the most votes; the one that the table has first counts as the majority's."
        )
    return made


def as_question(
    question: ValueQuestion,
    humans: HumanValues,
    culture: str,
    prompts: ValuePrompts,
    persona: str,
    wording: int,
) -> Question:
    """Make the Question of one value question for a culture, persona and wording."""
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
            system=prompts.system(persona, culture),
            instruction=LETTER_INSTRUCTIONS[wording % len(LETTER_INSTRUCTIONS)],
            cloze=prompts.message(wording, question.low, question.high),
        ),
        metadata={
            "low": question.low,
            "votes": humans.votes[culture][question.id],
            "persona": persona,
            "wording": wording,
        },
    )
