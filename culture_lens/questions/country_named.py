"""The same questions with and without the country named (Veselovsky et al. 2025, arXiv 2504.10191).

A question that names its country is asked as it is, and once more with a stand-in where the name
was; one that does not name it is asked as it is, and once more after a lead that names it. So each
question becomes a pair that differs in the name alone.

Names are the culture's label and what the Unicode CLDR and ``culture_names`` call the country in
English. Adjectives ("Japanese"), other languages and the options are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from culture_lens.checks import any_text, check_arguments, instance
from culture_lens.errors import InputError
from culture_lens.questions.culture_names import meaning, territories
from culture_lens.questions.question import QUESTIONS, Question

LEAD = "Country: {country}. "
STAND_IN = "this country"


@cache
def name_pattern(culture: str) -> re.Pattern[str]:
    """Match any name of a culture as whole words.

    Example:
        >>> bool(name_pattern("South_Korea").search("soups of South Korea?"))
        True
    """
    place, _ = meaning(culture)
    names = {name for name, code in territories().items() if code == place}
    words = [
        re.findall(r"\w+", name)
        for name in sorted({written_name(culture), *names}, key=lambda n: -len(n))
    ]
    either = "|".join(r"[\W_]+".join(map(re.escape, some)) for some in words if some)
    return re.compile(rf"(?<!\w)(?:{either or '(?!)'})(?!\w)", re.IGNORECASE)


def written_name(culture: str) -> str:
    """Write a culture's label as the name of its country.

    Example:
        >>> written_name("South_Korea"), written_name("India (Tamil)")
        ('South Korea', 'India')
    """
    return re.sub(r"\s*\(.*\)$", "", culture).replace("_", " ").strip() or culture


@check_arguments(question=instance(Question))
def names_country(question: Question) -> bool:
    """Say whether a question names its country; its options are not looked at.

    Example:
        >>> q = Question(id="1", culture="US", text="Sport in the United States?",
        ...              options=("golf", "polo"), answer=0)
        >>> names_country(q)
        True
    """
    return bool(name_pattern(question.culture).search(question.text))


def lead_text(name: str, value: object) -> str:
    """Check for a lead that has a place for the country."""
    lead = any_text(name, value)
    if "{country}" not in lead:
        raise InputError(f"{name} is {lead!r}: put {{country}} where the name goes.")
    return lead


@check_arguments(questions=QUESTIONS, lead=lead_text)
def with_country_named(questions: Sequence[Question], lead: str = LEAD) -> list[Question]:
    """Name the country in every question that does not name it already.

    Args:
        questions: The questions.
        lead: What is put before a question; ``{country}`` becomes the culture's name.

    Raises:
        InputError: The lead has no ``{country}``.

    Example:
        >>> q = Question(id="1", culture="South_Korea", text="Which soup is eaten at new year?",
        ...              options=("tteokguk", "borscht"), answer=0)
        >>> with_country_named([q])[0].text
        'Country: South Korea. Which soup is eaten at new year?'
    """
    return [
        question
        if names_country(question)
        else replace(
            question,
            text=lead.replace("{country}", written_name(question.culture)) + question.text,
        )
        for question in questions
    ]


@check_arguments(questions=QUESTIONS, stand_in=any_text)
def without_country_named(
    questions: Sequence[Question], stand_in: str = STAND_IN
) -> list[Question]:
    """Put a stand-in where a question names its country, an article before the name included.

    Args:
        questions: The questions.
        stand_in: What stands where the name was.

    Raises:
        InputError: The stand-in names a question's country.

    Example:
        >>> q = Question(id="1", culture="UK", text="What is drunk in the UK?",
        ...              options=("tea", "mate"), answer=0)
        >>> without_country_named([q])[0].text
        'What is drunk in this country?'
    """
    left_out = []
    for question in questions:
        pattern = name_pattern(question.culture)
        if pattern.search(stand_in):
            raise InputError(
                f"stand_in {stand_in!r} names {question.culture!r}: give words that name no "
                "country."
            )
        named = re.compile(rf"(?:\bthe\s+)?{pattern.pattern}", re.IGNORECASE)
        text = named.sub(lambda _: stand_in, question.text)
        text = text[:1].upper() + text[1:] if named.match(question.text) else text
        left_out.append(replace(question, text=text))
    return left_out


__all__ = ["name_pattern", "names_country", "with_country_named", "without_country_named"]
