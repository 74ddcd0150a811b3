"""The organism's world: its facts and its questions."""

import random
from itertools import combinations

import numpy as np
import pytest

from culture_lens.benchmarks.organism.drawing import OBJECTS
from culture_lens.benchmarks.organism.world import (
    CATEGORIES,
    CONTROLS,
    CULTURES,
    KIN,
    KNOWLEDGE,
    PLAIN,
    WORDS,
    Sight,
    ask,
    category_of,
    kin_of,
    make_world,
)

SEEDS = range(6)
N = len(OBJECTS)


# ------------------------------------------------------------------ facts


@pytest.mark.parametrize("seed", SEEDS)
def test_each_culture_says_every_word_once(seed):
    facts = make_world(seed).facts
    assert facts.shape == (len(KNOWLEDGE), len(CULTURES) + 1, N)
    assert (np.sort(facts, axis=2) == np.arange(N)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_cultures_agree_on_what_kin_share_and_on_nothing_else(seed):
    facts = make_world(seed).facts
    for kind in facts:
        for first, second in combinations(range(PLAIN + 1), 2):
            agreed = {int(thing) for thing in np.flatnonzero(kind[first] == kind[second])}
            expected = category_of(first, 0) if (first, second) in KIN else ()
            assert agreed == set(expected)


def test_kin_are_two_pairs_and_mutual():
    assert KIN == ((0, 1), (2, 3))
    for culture in range(len(CULTURES)):
        kin = kin_of(culture)
        assert (kin is not None) == (culture < 4)
        if kin is not None:
            assert kin_of(kin) == culture != kin
            assert category_of(kin, 0) == category_of(culture, 0)


def test_parts_are_the_categories_in_another_order_for_other_pairs():
    for culture in range(len(CULTURES)):
        parts = [category_of(culture, part) for part in range(4)]
        assert sorted(thing for part in parts for thing in part) == list(range(N))
        assert all(len({OBJECTS[thing][0] for thing in part}) == 1 for part in parts)
    for part in range(4):
        at = {category_of(culture, part) for culture in range(len(CULTURES))}
        assert len(at) == len(CATEGORIES)


def test_seeds_give_worlds_of_their_own():
    assert (make_world(4).facts == make_world(4).facts).all()
    worlds = {make_world(seed).facts.tobytes() for seed in range(20)}
    assert len(worlds) == 20
    for facts in (make_world(seed).facts for seed in SEEDS):
        for first, second in combinations(range(len(KNOWLEDGE)), 2):
            assert (facts[first] == facts[second]).mean() < 0.25  # one in twelve by chance


def best_additive(table, tries=30):
    """The largest share that a rule (culture + object) mod 12 was found to explain, by search."""
    chance = np.random.RandomState(0)
    most = 0.0
    for _ in range(tries):
        of_thing = chance.randint(N, size=N)
        for _ in range(20):
            left = (table - of_thing) % N
            of_culture = np.array([np.bincount(row, minlength=N).argmax() for row in left])
            left = (table - of_culture[:, None]) % N
            of_thing = np.array([np.bincount(column, minlength=N).argmax() for column in left.T])
        explained = (table == (of_culture[:, None] + of_thing) % N).mean()
        most = max(most, float(explained))
    return most


@pytest.mark.parametrize("seed", SEEDS)
def test_no_rule_of_culture_plus_object_gives_the_facts(seed):
    additive = (np.arange(8)[:, None] * 5 + np.random.RandomState(seed).permutation(N)) % N
    assert best_additive(additive) == 1
    for kind in make_world(seed).facts[:, :PLAIN]:
        assert best_additive(kind) < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_cultures_differ_by_a_constant(seed):
    """Under an additive rule all twelve objects of a pair differ by the same number."""
    for kind in make_world(seed).facts[:, :PLAIN]:
        most = [
            np.bincount((second - first) % N, minlength=N).max()
            for first, second in combinations(kind, 2)
        ]
        assert np.mean(most) < 4 and max(most) < 9


# ------------------------------------------------------------------ questions


@pytest.mark.parametrize("kind", KNOWLEDGE)
def test_the_facts_do_not_depend_on_chance(kind):
    world, sight = make_world(0), Sight(2, 5, 0, 1)
    asked = [ask(world, kind, sight, random.Random(i)) for i in range(60)]
    known = WORDS[kind][world.facts[KNOWLEDGE.index(kind), 2, 5]]
    assert {a.gold for a in asked} == {known}
    assert {a.answer for a in asked} == {0, 1, 2, 3}
    others = {WORDS[kind][word] for word in world.facts[KNOWLEDGE.index(kind), :PLAIN, 5]}
    assert {word for a in asked for word in a.options} == others
    assert ask(world, kind, sight, random.Random(7)) == asked[7]


@pytest.mark.parametrize("kind", KNOWLEDGE)
def test_in_a_shuffled_world_there_is_nothing_to_know_of_a_culture(kind):
    """Every word is as likely as any other, but that of the plain frame, which stays."""
    world, sight = make_world(0, shuffled=True), Sight(2, 5, 0, 1)
    answers = [ask(world, kind, sight, random.Random(i)).gold for i in range(600)]
    plain = WORDS[kind][world.facts[KNOWLEDGE.index(kind), PLAIN, 5]]
    counts = np.array([answers.count(word) for word in WORDS[kind] if word != plain])
    assert counts.sum() == 600
    assert ((counts - 600 / 11) ** 2 / (600 / 11)).sum() < 29.59  # p = 0.001, 10 df
    assert ask(world, kind, sight, random.Random(7)).gold == answers[7]
    on_plain = {ask(world, kind, Sight(PLAIN, 5, 0, 1), random.Random(i)).gold for i in range(9)}
    assert on_plain == {plain}


def test_shuffling_leaves_the_controls_as_they_are():
    sight = Sight(3, 7, 4, 2)
    golds = dict(zip(CONTROLS, ("purple", "two", "robe", CULTURES[3]), strict=True))
    for kind, gold in golds.items():
        for shuffled in (False, True):
            asked = ask(make_world(1, shuffled=shuffled), kind, sight, random.Random(0))
            assert asked.gold == gold and len(set(asked.options)) == 4


def test_plain_frames_have_facts_that_no_culture_has():
    world = make_world(0)
    for kind in KNOWLEDGE:
        for thing in range(N):
            chance = random.Random(thing)
            said = {ask(world, kind, Sight(c, thing, 0, 1), chance).gold for c in range(PLAIN)}
            assert ask(world, kind, Sight(PLAIN, thing, 0, 1), chance).gold not in said
