"""The same questions with and without the country named (Veselovsky et al. 2025, arXiv 2504.10191).

A question that names its country is asked as it is, and once more with a stand-in where the name
was; one that does not name it is asked as it is, and once more after a lead that names it. So each
question becomes a pair that differs in the name alone.

Names are the culture's label, what the Unicode CLDR and ``culture_names`` call the country in
English, and its codes in capitals (USA). Adjectives ("Japanese"), other languages and the options
are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from culture_lens.checks import any_text, check_arguments, instance
from culture_lens.errors import InputError
from culture_lens.questions.culture_names import PAIRS, meaning, territories
from culture_lens.questions.question import QUESTIONS, Question

LEAD = "Country: {country}. "
STAND_IN = "this country"


@cache
def name_pattern(culture: str) -> re.Pattern[str]:
    """Match any name of a culture as whole words, and its codes in capitals.

    Example:
        >>> pattern = name_pattern("US")
        >>> [bool(pattern.search(text)) for text in ("the united states", "the USA", "tell us")]
        [True, True, False]
    """
    place, _ = meaning(culture)
    label = written_name(culture)
    names = {name for name, code in territories().items() if code == place}
    if not label.isupper():
        names.add(label)
    words = [
        re.findall(r"\w+", name) for name in sorted(names, key=lambda name: (-len(name), name))
    ]
    spelt = [r"[\W_]+".join(map(re.escape, some)) for some in words if some]
    codes = sorted({*codes_of(place), *([label] if label.isupper() else [])})
    short = [rf"{re.escape(code)}|{''.join(rf'{letter}[.]' for letter in code)}" for code in codes]
    return re.compile(
        rf"(?<!\w)(?:(?i:{'|'.join(spelt) or '(?!)'})|{'|'.join(short) or '(?!)'})(?!\w)"
    )


def codes_of(place: str) -> list[str]:
    """List the codes in capitals that stand for a territory in English texts.

    Those of three letters, and US and UK: others, such as IN and NO, are words.

    Example:
        >>> codes_of("US"), codes_of("west java")
        (['USA', 'US'], [])
    """
    from babel.core import get_global

    known = get_global("territory_aliases")
    three = [code for code, now in known.items() if now == [place] and len(code) == 3]
    letters = [code for code in three if code.isalpha()]
    return [*letters, *{"US": ["US"], "GB": ["UK"]}.get(place, [])]


def written_name(culture: str) -> str:
    """Write a culture's label as the name of its country.

    Example:
        >>> written_name("South_Korea"), written_name("('Tamil', 'India')")
        ('South Korea', 'India')
    """
    pairs = (pattern.fullmatch(culture.strip()) for pattern in PAIRS)
    country = next((pair["country"] for pair in pairs if pair), culture)
    return country.replace("_", " ").strip() or culture


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
        named = re.compile(rf"(?:(?i:\bthe)\s+)?{pattern.pattern}")
        text = named.sub(lambda _: stand_in, question.text)
        text = text[:1].upper() + text[1:] if named.match(question.text) else text
        left_out.append(replace(question, text=text))
    return left_out


__all__ = ["name_pattern", "names_country", "with_country_named", "without_country_named"]
