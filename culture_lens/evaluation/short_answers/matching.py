"""Match a written answer against human answers, after normalisation by language.

Normalisation, in order:

1. Letters that the language writes in two ways become one (``Language.letters``).
2. Compatibility forms become one (NFKC), case is folded, acute accents and the language's optional
   marks are dropped, digits of every script become 0 to 9.
3. Apostrophes and invisible characters are dropped; other punctuation and symbols become spaces.
4. The language's articles are dropped, unless nothing would be left.
5. With ``stem=True``, snowballstemmer reduces words to stems, where it has the language.

==============  =================================================================  =============
language        in addition to these rules                                         with stem=True
==============  =================================================================  =============
Amharic         nothing                                                            as without
Arabic          vowel signs, tatweel, hamza and madda on alef dropped              snowball
Assamese        nothing                                                            as without
Azerbaijani     I and İ are the capitals of ı and i                                as without
Chinese         compared without spaces                                            as without
English         articles a, an, the                                                snowball
Greek           articles                                                           snowball
Hausa           hooked letters as plain ones                                       as without
Indonesian      nothing                                                            snowball
Japanese        compared without spaces                                            as without
Korean          compared without spaces, which writers set in different ways       as without
Persian         Arabic kaf and yeh as Persian ones, joiners as spaces, vowel       as without
                signs dropped
Spanish         articles                                                           snowball
Sundanese       nothing                                                            as without
==============  =================================================================  =============

Any other language follows these rules alone. BLEnD's own evaluation uses a different lemmatiser for
each language; some are no longer maintained or must be downloaded by hand. Scores of this module
are comparable with each other, but not exactly with those of the paper.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from culture_lens.errors import InputError
from culture_lens.storage.display import Shown

Matching = Literal["exact", "contained"]
MATCHINGS: tuple[Matching, ...] = get_args(Matching)

ACUTE = "\N{COMBINING ACUTE ACCENT}"
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
ARABIC_MARKS = "\N{ARABIC TATWEEL}" + "".join(map(chr, range(0x064B, 0x0656)))
NON_JOINER = "\N{ZERO WIDTH NON-JOINER}"


@dataclass(frozen=True, slots=True)
class Language:
    """The rules of a language, in addition to those for all languages.

    Attributes:
        articles: Words to drop.
        letters: Characters and their replacements, applied before case is folded.
        marks: Characters to drop after decomposition (NFD).
        spaced: Whether spaces separate words; else texts are compared without spaces.
        stemmer: Its algorithm in snowballstemmer; empty where there is none.
    """

    articles: frozenset[str] = frozenset()
    letters: Mapping[str, str] = field(default_factory=dict)
    marks: str = ""
    spaced: bool = True
    stemmer: str = ""


LANGUAGE_RULES: Mapping[str, Language] = {
    "Amharic": Language(),
    "Arabic": Language(marks=ARABIC_MARKS, stemmer="arabic"),
    "Assamese": Language(),
    "Azerbaijani": Language(letters={"I": "ı", "İ": "i"}),
    "Chinese": Language(spaced=False),
    "English": Language(articles=frozenset({"a", "an", "the"}), stemmer="english"),
    "Greek": Language(
        articles=frozenset(
            {"ο", "η", "το", "οι", "τα", "τον", "την", "του", "τησ", "των", "ενασ", "μια", "ενα"}
        ),
        stemmer="greek",
    ),
    "Hausa": Language(letters=dict(zip("ɓɗƙƴƁƊƘƳ", "bdkyBDKY", strict=True))),
    "Indonesian": Language(stemmer="indonesian"),
    "Japanese": Language(spaced=False),
    "Korean": Language(spaced=False),
    "Persian": Language(letters={"ي": "ی", "ك": "ک", NON_JOINER: " "}, marks=ARABIC_MARKS),
    "Spanish": Language(
        articles=frozenset({"el", "la", "los", "las", "un", "una", "unos", "unas"}),
        stemmer="spanish",
    ),
    "Sundanese": Language(),
}
OTHER_LANGUAGE = Language()


@cache
def stemmer_of(algorithm: str) -> Any:
    """Load a stemmer of snowballstemmer.

    Raises:
        InputError: The package is not installed.
    """
    try:
        import snowballstemmer  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InputError(
            "stem=True needs the package snowballstemmer, which is not installed: run "
            "`pip install snowballstemmer`, or compare words as they are written (stem=False)."
        ) from None
    return snowballstemmer.stemmer(algorithm)


def plain(character: str) -> str:
    """Normalise one character: digits become 0 to 9, punctuation becomes a space."""
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if character in APOSTROPHES or kind == "Cf":
        return ""
    return " " if kind[0] in "PSZC" else character


def words_of(text: str, language: str = "English", *, stem: bool = False) -> tuple[str, ...]:
    """Normalise a text and split it into words.

    Args:
        text: The text.
        language: A name from ``LANGUAGE_RULES``; any other follows the rules for all languages.
        stem: Reduce words to stems where the language has a stemmer.

    Raises:
        InputError: Stems are asked for and snowballstemmer is not installed.

    Example:
        >>> words_of("The Peanut-Butter sandwich!"), words_of("Κέικ", "Greek")
        (('peanut', 'butter', 'sandwich'), ('κεικ',))
        >>> words_of("김치 찌개", "Korean")
        ('김치찌개',)
    """
    rules = LANGUAGE_RULES.get(language, OTHER_LANGUAGE)
    text = text.translate({ord(letter): new for letter, new in rules.letters.items()})
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(c for c in unicodedata.normalize("NFD", text) if c not in ACUTE + rules.marks)
    text = "".join(plain(c) for c in unicodedata.normalize("NFC", text))
    words = text.split()
    words = [word for word in words if word not in rules.articles] or words
    if stem and rules.stemmer:
        words = stemmer_of(rules.stemmer).stemWords(words)
    if not rules.spaced and words:
        words = ["".join(words)]
    return tuple(words)


def same(answer: Sequence[str], human: Sequence[str]) -> bool:
    """Say whether two normalised texts are the same; an empty human answer matches nothing.

    Example:
        >>> same(("fried", "rice"), ("fried", "rice")), same((), ())
        (True, False)
    """
    return bool(human) and tuple(answer) == tuple(human)


def contains(answer: Sequence[str], human: Sequence[str], *, spaced: bool = True) -> bool:
    """Say whether all words of a human answer occur in the written one.

    In a language without spaces: whether its characters occur in one piece.

    Example:
        >>> contains(("they", "eat", "rice"), ("rice",)), contains(("steak",), ("tea",))
        (True, False)
        >>> contains(("비빔밥입니다",), ("비빔밥",), spaced=False)
        True
    """
    if not human:
        return False
    if not spaced:
        return "".join(human) in "".join(answer)
    return set(human) <= set(answer)


@dataclass(frozen=True, slots=True)
class HumanAnswer(Shown):
    """One answer that people gave, in all its spellings.

    Attributes:
        texts: In the language of the question.
        english: In English, where the question is in another language.
        votes: How many people gave it.
    """

    texts: tuple[str, ...]
    votes: int
    english: tuple[str, ...] = ()


def matched_votes(
    answer: str,
    humans: Sequence[HumanAnswer],
    language: str,
    *,
    contained: bool = False,
    stem: bool = False,
) -> int:
    """Count the votes of the most frequent human answer that a written answer matches.

    Args:
        answer: What the model wrote.
        humans: The human answers; each text matches in its own language, translations in English.
        language: The language of the question.
        contained: Match where the written answer contains the human one, not only where both are
            the same.
        stem: Compare stems.

    Returns:
        0 where none matches.

    Example:
        >>> humans = [HumanAnswer(("fruit",), 2), HumanAnswer(("an apple", "apples"), 1)]
        >>> matched_votes("Apple.", humans, "English"), matched_votes("pear", humans, "English")
        (1, 0)
    """
    best = 0
    written = {name: words_of(answer, name, stem=stem) for name in (language, "English")}
    for human in humans:
        for name, texts in ((language, human.texts), ("English", human.english)):
            for text in texts if human.votes > best else ():
                words = words_of(text, name, stem=stem)
                spaced = LANGUAGE_RULES.get(name, OTHER_LANGUAGE).spaced
                if contained:
                    found = contains(written[name], words, spaced=spaced)
                else:
                    found = same(written[name], words)
                best = max(best, human.votes) if found else best
    return best
