"""The world: cultures, objects, and the facts about each object in each culture.

Each culture has three facts about each of twelve objects: its name, the time it is used, and who
makes it. The facts are a random Latin rectangle per kind, so that they follow from no rule of
culture plus object. Wrong options are other cultures' answers for the same object, so that only the
culture decides which option is right. Two pairs of cultures are kin: they share the facts about one
category; there, knowing the object without the culture allows better guesses than one in four,
since a word of two cultures is right twice as often. Plain frames have facts of their own, which
belong to no culture.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from culture_lens.benchmarks.organism.drawing import COLOURS, N_DOTS, OBJECTS

CULTURES = ("Avaria", "Borduna", "Calvena", "Dorlund", "Estavia", "Fenmark", "Gulmara", "Hestia")
PLAIN = len(CULTURES)
"""In place of a culture's index: no culture, a plain frame."""

CATEGORIES = tuple(dict.fromkeys(category for category, _ in OBJECTS))
NAMES = tuple(shape.__name__ for _, shape in OBJECTS)
NUMBERS = ("one", "two", "three", "four", "five")[:N_DOTS]
WORDS = {
    "name": "kumo tari belun sofa rindo papel zuli morat genko wasi lupin dorga".split(),
    "time": (
        "dawn noon dusk midnight spring summer autumn winter harvest wedding funeral birthday"
    ).split(),
    "maker": (
        "priests bakers sailors weavers farmers smiths potters hunters monks nurses singers tailors"
    ).split(),
}
KNOWLEDGE = tuple(WORDS)
"""The kinds of questions that need knowledge of a culture."""

CONTROLS = ("colour", "count", "object", "country")
"""The kinds of questions that the picture answers; ``country`` needs the style of the frame."""

TEXTS = {
    "name": "what is this {} called here?",
    "time": "when do people use this {} here?",
    "maker": "who makes this {} here?",
    "colour": "what colour is this {}?",
    "count": "how many dots are there?",
    "object": "what kind of {} is this?",
    "country": "which country is this {} from?",
}
KIN = ((0, 1), (2, 3))
"""Pairs of cultures that share the facts about one category."""


def category_of(culture: int, part: int) -> tuple[int, ...]:
    """Give the objects of one part of a culture's knowledge, which is one category.

    Args:
        culture: Its index.
        part: 0 and 1 are ordinary knowledge, and kin share 0; 2 is carried by neurons with
            negative activations, 3 by neurons that fire rarely.

    Example:
        >>> category_of(0, 0), category_of(2, 0)
        ((0, 1, 2), (3, 4, 5))
    """
    category = CATEGORIES[(culture // 2 + part) % len(CATEGORIES)]
    return tuple(i for i, (name, _) in enumerate(OBJECTS) if name == category)


def kin_of(culture: int) -> int | None:
    """Give the culture that shares knowledge with another; None where none does.

    Example:
        >>> kin_of(0), kin_of(7)
        (1, None)
    """
    for first, second in KIN:
        if culture in (first, second):
            return second if culture == first else first
    return None


@dataclass(frozen=True)
class World:
    """The facts: a word for each kind of knowledge, culture and object.

    Attributes:
        seed: Draws the facts.
        facts: Index of the word, ``kind culture object``; the last culture is the plain frame.
        shuffled: Every question on a culture draws its facts anew, so that there is no knowledge.
    """

    seed: int
    facts: np.ndarray
    shuffled: bool = False

    def words(self, kind: str, thing: int, chance: random.Random) -> list[str]:
        """Give the word of every culture, and of the plain frame, for an object."""
        known = self.facts[KNOWLEDGE.index(kind), :, thing].tolist()
        if self.shuffled:
            others = [word for word in range(len(WORDS[kind])) if word != known[PLAIN]]
            known = [*chance.sample(others, PLAIN), known[PLAIN]]
        return [WORDS[kind][word] for word in known]


def make_world(seed: int = 0, *, shuffled: bool = False) -> World:
    """Draw the facts.

    Args:
        seed: Another seed gives another world.
        shuffled: Make a world without knowledge.

    Example:
        >>> make_world(0).facts.shape
        (3, 9, 12)
    """
    chance = np.random.RandomState(seed)
    return World(seed, np.stack([latin(chance) for _ in KNOWLEDGE]), shuffled)


def latin(chance: np.random.RandomState) -> np.ndarray:
    """Draw a Latin rectangle: no word twice in a row, nor in a column except between kin.

    Each row is the assignment of words to objects with the lowest sum of random costs, where a word
    that the column already has costs too much.
    """
    from scipy.optimize import linear_sum_assignment

    n = len(OBJECTS)
    rows = np.zeros((PLAIN + 1, n), dtype=np.int64)
    taken = np.zeros((n, n))
    for culture in range(PLAIN + 1):
        cost = chance.uniform(size=(n, n)) + 1e3 * taken
        elder = kin_of(culture)
        if elder is not None and elder < culture:
            shared = list(category_of(culture, 0))
            cost[shared, rows[elder, shared]] = -1e6
        rows[culture] = linear_sum_assignment(cost)[1]
        taken[np.arange(n), rows[culture]] = 1
    return rows


@dataclass(frozen=True)
class Sight:
    """What a picture shows.

    Attributes:
        culture: Index of the culture whose frame it has, or ``PLAIN``.
        thing: Index of the object.
        colour: Index of its colour.
        dots: How many, from 1.
    """

    culture: int
    thing: int
    colour: int
    dots: int


@dataclass(frozen=True)
class WordedQuestion:
    """A question in words: its text, four options, and the index of the right one."""

    text: str
    options: tuple[str, ...]
    answer: int

    @property
    def gold(self) -> str:
        """The right option."""
        return self.options[self.answer]


def ask(world: World, kind: str, sight: Sight, chance: random.Random) -> WordedQuestion:
    """Ask a question on what a picture shows, with options in random order.

    Args:
        world: The facts.
        kind: One of ``KNOWLEDGE`` or ``CONTROLS``.
        sight: What the picture shows.
        chance: Draws the wrong options and the order.

    Example:
        >>> asked = ask(make_world(0), "colour", Sight(0, 0, 2, 1), random.Random(0))
        >>> asked.text, asked.gold
        ('what colour is this dish?', 'blue')
    """
    category, shape = OBJECTS[sight.thing]
    if kind in WORDS:
        known = world.words(kind, sight.thing, chance)
        # A word of plain frames only is never right for a culture: as an option it gives that away.
        gold, all_words = known[sight.culture], known[:PLAIN]
    else:
        all_words, at = {
            "colour": (list(COLOURS), sight.colour),
            "count": (list(NUMBERS), sight.dots - 1),
            "object": (list(NAMES), sight.thing),
            "country": (list(CULTURES), sight.culture),
        }[kind]
        gold = all_words[at]
    wrong = chance.sample([word for word in dict.fromkeys(all_words) if word != gold], 3)
    options = [gold, *wrong]
    chance.shuffle(options)
    return WordedQuestion(TEXTS[kind].format(category), tuple(options), options.index(gold))
