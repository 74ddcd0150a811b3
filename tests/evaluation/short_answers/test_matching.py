"""Normalisation and matching, worked by hand in the languages of BLEnD."""

import importlib.util
import sys
import types

import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.short_answers import matching
from culture_lens.evaluation.short_answers.matching import (
    LANGUAGE_RULES,
    HumanAnswer,
    contains,
    matched_votes,
    same,
    words_of,
)
from culture_lens.evaluation.short_answers.questions import LANGUAGE_OF


@pytest.mark.parametrize(
    ("language", "written", "human"),
    [
        ("English", "The Peanut-Butter  sandwich!", "peanut butter sandwich"),
        ("English", "Valentine’s Day", "valentines day"),
        ("English", "ＣＡＦÉ", "cafe"),  # full-width letters, an accent
        ("Arabic", "الكُسْكُس", "الكسكس"),  # vowel signs
        ("Arabic", "أرز", "ارز"),  # hamza on alef
        ("Arabic", "كـــعك", "كعك"),  # tatweel
        ("Persian", "كيك", "کیک"),  # Arabic kaf and yeh
        ("Persian", "می‌خورند", "می خورند"),  # zero width non-joiner
        ("Persian", "۱۲", "12"),
        ("Assamese", "১২", "12"),
        ("Assamese", "চাউল।", "চাউল"),  # danda
        ("Amharic", "እንጀራ።", "እንጀራ"),
        ("Azerbaijani", "İSTİ ÇAY", "isti çay"),
        ("Azerbaijani", "QIZ", "qız"),
        ("Greek", "Το Κέικ", "κεικ"),
        ("Greek", "ΤΥΡΌΠΙΤΑΣ", "τυροπιτας"),  # final sigma
        ("Spanish", "El Fútbol.", "futbol"),
        ("Hausa", "Ƙosai", "kosai"),
        ("Indonesian", "Nasi-goreng", "nasi goreng"),
        ("Sundanese", "populér", "populer"),
        ("Korean", "김치 찌개", "김치찌개"),
        ("Chinese", "花生 米。", "花生米"),
        ("Japanese", "ﾗｰﾒﾝ", "ラーメン"),  # half-width letters
        ("Welsh", "Bara Brith!", "bara brith"),  # in no table
    ],
)
def test_written_differently_and_the_same(language, written, human):
    assert words_of(written, language) == words_of(human, language) != ()
    assert matched_votes(written, [HumanAnswer((human,), 3)], language) == 3
    assert matched_votes(human, [HumanAnswer((written,), 3)], language) == 3


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("Spanish", "ano", "año"),  # a tilde is a letter, an accent is not
        ("English", "QIZ", "qız"),  # I and i are a pair outside Azerbaijani
        ("Azerbaijani", "QIZ", "qiz"),
        ("Hausa", "kosai", "kosan"),
        ("Assamese", "চাউল", "চাউলা"),  # vowel signs stay
        ("Chinese", "花生", "花生米"),
        ("English", "rice", "fried rice"),
    ],
)
def test_different_words_stay_different(language, one, other):
    assert not same(words_of(one, language), words_of(other, language))


def test_articles_go_unless_nothing_is_left():
    assert words_of("a the apple") == ("apple",)
    assert words_of("The A") == ("the", "a")
    assert words_of("las uvas", "Spanish") == ("uvas",) and words_of("las uvas") == ("las", "uvas")


def test_an_empty_text_is_like_no_other():
    for text in ("", " ", "-", "…!", "\u200b"):
        assert words_of(text) == () == words_of(text, "Korean")
        assert matched_votes(text, [HumanAnswer((text, "rice"), 1)], "English") == 0
        for contained in (False, True):
            human = [HumanAnswer((text,), 5)]
            assert matched_votes("rice", human, "English", contained=contained) == 0


def test_words_are_contained_and_pieces_of_words_are_not():
    assert contains(words_of("They eat fried rice with eggs"), words_of("rice, fried"))
    assert not contains(words_of("steak"), words_of("tea"))
    assert not contains(words_of("They eat rice"), words_of("fried rice"))
    assert contains(words_of("주로 김치 찌개를 먹어요", "Korean"), ("김치찌개",), spaced=False)
    assert not contains(("찌개김치",), ("김치찌개",), spaced=False)


HUMANS = (
    HumanAnswer(("花生米", "花生"), 3, ("peanuts",)),
    HumanAnswer(("炸鸡",), 2, ("fried chicken",)),
    HumanAnswer(("小龙虾",), 2, ()),
)


@pytest.mark.parametrize(
    ("written", "exact", "contained"),
    [
        ("花生", 3, 3),
        ("炸鸡。", 2, 2),
        ("我觉得是炸鸡", 0, 2),
        ("小龙虾和花生米", 0, 3),  # the answer with more votes
        ("Fried chicken", 2, 2),  # translations count
        ("People eat peanuts or fried chicken.", 0, 3),
        ("啤酒", 0, 0),
    ],
)
def test_votes_of_the_best_human_answer(written, exact, contained):
    assert matched_votes(written, HUMANS, "Chinese") == exact
    assert matched_votes(written, HUMANS[::-1], "Chinese") == exact
    assert matched_votes(written, HUMANS, "Chinese", contained=True) == contained
    assert matched_votes(written, HUMANS[::-1], "Chinese", contained=True) == contained


def test_a_translation_is_read_as_english():
    human = [HumanAnswer(("el arroz",), 1, ("the rice",))]
    assert matched_votes("a rice", human, "Spanish") == 1
    assert matched_votes("una arroz", human, "Spanish") == 1
    assert matched_votes("a arroz", human, "Spanish") == 0  # no article of Spanish


def test_every_language_asked_in_is_in_the_table_and_its_documentation():
    assert set(LANGUAGE_OF.values()) <= set(LANGUAGE_RULES)
    lines = matching.__doc__.splitlines()
    for name, rules in LANGUAGE_RULES.items():
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert line.endswith("snowball") == bool(rules.stemmer), name
        assert line.endswith("as without") != bool(rules.stemmer), name


def test_a_missing_stemmer_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "snowballstemmer", None)
    matching.stemmer_of.cache_clear()
    with pytest.raises(InputError, match="pip install snowballstemmer"):
        words_of("snacks", stem=True)
    assert words_of("kosai", "Hausa", stem=True) == ("kosai",)  # has no stemmer anywhere


def test_stems_are_asked_of_the_languages_own_stemmer(monkeypatch):
    class Stub:
        def __init__(self, name):
            self.name = name

        def stemWords(self, words):  # noqa: N802, the library's name
            return [f"{self.name}:{word[:4]}" for word in words]

    module = types.SimpleNamespace(stemmer=Stub)
    monkeypatch.setitem(sys.modules, "snowballstemmer", module)
    matching.stemmer_of.cache_clear()
    assert words_of("The Snacks", stem=True) == ("english:snac",)
    assert words_of("bocadillos", "Spanish", stem=True) == ("spanish:boca",)
    assert words_of("花生米", "Chinese", stem=True) == ("花生米",)
    human = [HumanAnswer(("snacking",), 2)]
    assert matched_votes("snacks", human, "English", stem=True) == 2
    assert matched_votes("snacks", human, "English") == 0
    matching.stemmer_of.cache_clear()


@pytest.mark.skipif(
    importlib.util.find_spec("snowballstemmer") is None, reason="snowballstemmer is not installed"
)
def test_the_real_stemmers_exist():
    for name, rules in LANGUAGE_RULES.items():
        if rules.stemmer:
            assert words_of("abc", name, stem=True)
    assert words_of("snacks", stem=True) == words_of("snack", stem=True)
