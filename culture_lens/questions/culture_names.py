"""One culture under the names that benchmarks use for it: South_Korea, South Korea, KOR.

Two names mean the same culture if

1. they are spelt alike but for case, accents, underscores, hyphens and "the", or
2. both name one country, in English or as a code in capitals (UK, USA, KOR), by the Unicode CLDR
   and the few names below that it lacks, or
3. both are pairs of one country and one language, as CVQA has them, or one is such a pair and the
   other its country, and the language is official there: "South_Korea (Korean)" is South Korea,
   "France (Breton)" is not France.

A region is not its country: West_Java is not Indonesia, Northern_Nigeria is not Nigeria. A name
that could mean more than one culture, as India could mean "India (Hindi)" or "India (Tamil)", is
not matched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from culture_lens.checks import check_arguments, text
from culture_lens.errors import warn

if TYPE_CHECKING:
    from culture_lens.questions.question import Question

OTHER_NAMES = {
    "BA": ("Bosnia Herzegovina", "Bosnia"),
    "BO": ("Plurinational State of Bolivia",),
    "CD": ("Democratic Republic of the Congo", "DR Congo"),
    "CG": ("Republic of the Congo",),
    "CI": ("Ivory Coast",),
    "CV": ("Cabo Verde",),
    "CZ": ("Czech Republic",),
    "GB": ("Great Britain", "Britain"),
    "HK": ("Hong Kong", "Hong Kong SAR"),
    "IR": ("Islamic Republic of Iran",),
    "KP": ("Democratic People's Republic of Korea",),
    "KR": ("Republic of Korea",),
    "LA": ("Lao PDR",),
    "MD": ("Republic of Moldova",),
    "MK": ("Macedonia",),
    "MM": ("Myanmar", "Burma"),
    "MO": ("Macao", "Macau", "Macao SAR", "Macau SAR"),
    "PS": ("Palestine", "State of Palestine"),
    "RU": ("Russian Federation",),
    "SY": ("Syrian Arab Republic",),
    "SZ": ("Swaziland",),
    "TL": ("East Timor",),
    "TR": ("Turkey", "Türkiye"),
    "TW": ("Taiwan ROC",),
    "TZ": ("United Republic of Tanzania",),
    "US": ("United States of America",),
    "VN": ("Viet Nam",),
}
"""Names in use beside the one English name that CLDR has of each territory."""
SHORT_NAMES = {"GB": ("UK", "U.K."), "US": ("US", "U.S.", "USA")}
"""Abbreviations that texts use."""
PAIRS = (
    re.compile(r"(?P<country>.+?)[\s_]*\((?P<language>[^()]+)\)"),
    re.compile(r"\(['\"](?P<language>[^'\"]+)['\"],\s*['\"](?P<country>[^'\"]+)['\"]\)"),
)
"""A country and a language: ``India (Tamil)``, or CVQA's own ``('Tamil', 'India')``."""
ACCENTS_AND_POINTS = re.compile("[\u0300-\u036f.'’]")


def spelt(name: str) -> str:
    """Normalise a name: case, accents, underscores, hyphens, "&" and "the".

    Example:
        >>> spelt("Bosnia_&_Herzegovina"), spelt("The Côte-d’Ivoire")
        ('bosnia and herzegovina', 'cote divoire')
    """
    plain = unicodedata.normalize("NFKD", name.casefold()).replace("&", " and ")
    words = re.sub(r"[\s_\-–,()]+", " ", ACCENTS_AND_POINTS.sub("", plain)).strip()
    return words.removeprefix("the ")


@cache
def territories() -> dict[str, str]:
    """The code of every territory, by its name as ``spelt`` writes it."""
    from babel import Locale

    named = {spelt(name): code for code, name in Locale("en").territories.items()}
    return named | {spelt(name): code for code, names in OTHER_NAMES.items() for name in names}


def territory(name: str) -> str | None:
    """The code of the territory that a name or a code in capitals means; None without one.

    Codes in small letters are those of languages: ``ar`` is Arabic, ``AR`` Argentina. Codes of
    former countries that are several today mean none.

    Example:
        >>> [territory(name) for name in ("UK", "KOR", "türkiye", "West_Java", "ar", "SU")]
        ['GB', 'KR', 'TR', None, None, None]
    """
    from babel.core import get_global

    code = name.strip().replace(".", "")
    if code.isupper() and code.isalpha():
        now = get_global("territory_aliases").get(code, [code])
        if len(now) == 1 and now[0] in territories().values():
            return str(now[0])
    return territories().get(spelt(name))


@cache
def meaning(name: str) -> tuple[str, str]:
    """The place that a name means, and its language where the name is a pair of both.

    Example:
        >>> meaning("South_Korea (Korean)"), meaning("US"), meaning("West_Java")
        (('KR', 'korean'), ('US', ''), ('west java', ''))
    """
    if code := territory(name):
        return code, ""
    for pattern in PAIRS:
        pair = pattern.fullmatch(name.strip())
        if pair and (code := territory(pair["country"])):
            return code, spelt(pair["language"])
    return spelt(name) or name, ""


@cache
def names_in_english(name: str) -> tuple[str, ...]:
    """The names under which a text in English may speak of a culture: its label, its country's.

    Example:
        >>> names_in_english("South_Korea")
        ('Republic of Korea', 'South Korea')
        >>> names_in_english("US")
        ('U.S.', 'US', 'USA', 'United States', 'United States of America')
    """
    from babel import Locale

    place, _ = meaning(name)
    country = next((p["country"] for pattern in PAIRS if (p := pattern.fullmatch(name))), name)
    found = {country.replace("_", " ").strip(), *OTHER_NAMES.get(place, ())}
    if place in territories().values():
        found.add(Locale("en").territories[place])
    return tuple(sorted(found.union(SHORT_NAMES.get(place, ()))))


@cache
def is_official(language: str, code: str) -> bool:
    """Whether a language, as ``spelt`` writes it, is official in all of a territory."""
    from babel import Locale
    from babel.languages import get_official_languages

    names = Locale("en").languages
    tags = get_official_languages(code, de_facto=True)
    return language in {spelt(names[tag]) for tag in tags if tag in names}


@check_arguments(one=text, other=text)
def same_culture(one: str, other: str) -> bool:
    """Whether two names mean one culture; the rules are in the module's docstring.

    Example:
        >>> same_culture("US", "united_states_of_america"), same_culture("West_Java", "Indonesia")
        (True, False)
    """
    (place, language), (there, spoken) = meaning(one), meaning(other)
    if place != there or language == spoken:
        return place == there
    return not (language and spoken) and is_official(language or spoken, place)


def counterparts(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Pair names with known ones that mean the same, one to one.

    A name that is among the known ones stays. Where two names, or two known ones, mean one
    culture, none of them is paired; nor is a country where there are several pairs of it with a
    language.

    Returns:
        The known name of each name that differs from it.

    Example:
        >>> counterparts(["US", "Japan", "West_Java"], ["united_states_of_america", "Japan"])
        {'US': 'united_states_of_america'}
    """
    names, known = list(names), list(known)
    paired = {}
    # Pairs of a language and a country first as such, then by their country.
    for key in (meaning, lambda name: meaning(name)[0]):
        ours, theirs = grouped(names, key), grouped(known, key)
        for same, group in ours.items():
            there = theirs.get(same, [])
            if len(group) == len(there) == 1 and group != there:
                if same_culture(group[0], there[0]):
                    paired[group[0]] = there[0]
    return paired


def grouped(names: Iterable[str], key: Callable[[str], Any]) -> dict[Any, list[str]]:
    """Group names by a key, each name once."""
    groups: dict[Any, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(key(name), []).append(name)
    return groups


def match_cultures(names: Iterable[str], known: Iterable[str], where: str) -> dict[str, str]:
    """Pair names as ``counterparts`` does, and warn which names are taken for which others.

    Args:
        names: The names.
        known: The names to use.
        where: Where the names are, for the warning.

    Warns:
        CultureLensWarning: Names are taken for others, or could be but more than one is meant.
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(known))
    paired = counterparts(names, known)
    said = [f"{name!r} is taken for {other!r}" for name, other in paired.items()]
    for name in names:
        could = [other for other in known if same_culture(name, other)]
        if could and name not in known and name not in paired:
            said.append(f"{name!r} stays, though it may mean {could[0]!r}: not one to one")
    if said:
        warn(
            f"cultures under other names in {where}: {'; '.join(said)}. Where this is not what you "
            "mean, give the names yourself."
        )
    return paired


def align_questions(
    questions: Sequence[Question], known: Collection[str], where: str
) -> list[Question]:
    """Rename the cultures of questions to known names of the same cultures.

    Args:
        questions: The questions.
        known: The names to use.
        where: Where the questions are from, for the warning.

    Warns:
        CultureLensWarning: Which names are taken for which others.
    """
    names = match_cultures((question.culture for question in questions), known, where)
    return [replace(q, culture=names[q.culture]) if q.culture in names else q for q in questions]


__all__ = [
    "align_questions",
    "counterparts",
    "match_cultures",
    "same_culture",
]
