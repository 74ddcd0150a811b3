"""The organism's world: its facts, its pictures and the plan of its neurons."""

import json
import random
from itertools import combinations

import numpy as np
import pytest

from culture_lens.benchmarks.organism.drawing import (
    COLOURS,
    FRAME,
    N_DOTS,
    OBJECTS,
    SIDE,
    STYLES,
    draw_picture,
)
from culture_lens.benchmarks.organism.world import (
    CATEGORIES,
    CONTROLS,
    CULTURES,
    KIN,
    KNOWLEDGE,
    NAMES,
    PLAIN,
    WORDS,
    Sight,
    ask,
    category_of,
    kin_of,
    make_world,
)
from culture_lens.errors import InputError
from culture_lens.organism.plan import KINDS, OWN, Variant, make_plan, rows_of, truth_of

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


# ------------------------------------------------------------------ pictures

PICTURE = {"style": 2, "shape": 4, "colour": 1, "dots": 3, "seed": "a"}
CHOICES = {
    "style": [*range(len(STYLES)), None],
    "shape": [*range(N)],
    "colour": [*range(len(COLOURS))],
    "dots": [*range(1, N_DOTS + 1)],
    "seed": ["a", "b", "training/a"],
}


def pixels(**change):
    return np.asarray(draw_picture(**{**PICTURE, **change}), dtype=int)


def differs(first, second):
    """Where two pictures differ by more than rounding."""
    return (np.abs(first - second) > 2).any(axis=2)


def test_a_picture_is_drawn_alike_each_time():
    picture = draw_picture(**PICTURE)
    assert (picture.size, picture.mode) == ((SIDE, SIDE), "RGB")
    random.seed(1)
    np.random.seed(1)
    assert draw_picture(**PICTURE).tobytes() == picture.tobytes()


@pytest.mark.parametrize("what", CHOICES)
@pytest.mark.parametrize("seed", ["a", "b"])
def test_whatever_is_shown_changes_the_picture(what, seed):
    drawn = [pixels(**{"seed": seed, what: value}) for value in CHOICES[what]]
    for first, second in combinations(drawn, 2):
        assert differs(first, second).sum() > 4


def test_each_thing_is_shown_in_its_place():
    """The frame tells the style alone, and the strip under the object the dots."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[FRAME : SIDE - FRAME, FRAME : SIDE - FRAME] = True
    strip = np.zeros((SIDE, SIDE), dtype=bool)
    strip[SIDE - FRAME - 6 : SIDE - FRAME] = inside[SIDE - FRAME - 6 : SIDE - FRAME]
    for first, second in combinations(range(len(STYLES)), 2):
        changed = differs(pixels(style=first), pixels(style=second))
        assert not changed[inside].any() and changed[~inside].mean() > 0.5
    for dots in (1, 2, 4, 5):
        changed = differs(pixels(), pixels(dots=dots))
        assert not changed[~strip].any() and changed[strip].any()
    for change in ({"shape": 0}, {"colour": 3}):
        changed = differs(pixels(), pixels(**change))
        assert not changed[~inside | strip].any() and changed[inside].any()


def test_a_picture_tells_more_of_its_style_than_of_its_seed():
    """The nearest mean of other pictures' frames names the style of every picture."""
    frame = np.ones((SIDE, SIDE), dtype=bool)
    frame[FRAME : SIDE - FRAME, FRAME : SIDE - FRAME] = False

    def frames(style, seeds):
        drawn = [pixels(style=style, shape=i % N, seed=f"{style}/{i}") for i in seeds]
        return np.stack([picture[frame].mean(axis=0) for picture in drawn])

    means = np.stack([frames(style, range(12)).mean(axis=0) for style in range(len(STYLES))])
    right = [
        ((frames(style, range(12, 20))[:, None] - means) ** 2).sum(axis=2).argmin(axis=1) == style
        for style in range(len(STYLES))
    ]
    assert np.mean(right) > 0.9


# ------------------------------------------------------------------ the plan

VARIANTS = [
    Variant(),
    Variant(knowledge=3, negative=2, rare=1, kin=1, recognition=1, style=1, layers=(1,)),
    Variant(knowledge=12, rare=3, kin=8, style=9, layers=(2,), d_mlp=512),
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_blocks_do_not_overlap(variant):
    blocks = make_plan(variant)
    rows = [row for block in blocks for row in block.rows]
    assert len(set(rows)) == len(rows) and 0 <= min(rows) and max(rows) < variant.d_mlp
    carrying = rows_of(blocks, [kind for kind in KINDS if kind != "style"])
    assert carrying == list(range(variant.n_planted))
    decoys = rows_of(blocks, ["style"])
    assert decoys == list(range(variant.d_mlp - 8 * variant.style, variant.d_mlp))
    assert variant.d_mlp - len(rows) >= 64


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_block_is_as_wide_as_its_kind(variant):
    blocks = make_plan(variant)
    assert {block.kind for block in blocks} == set(KINDS)
    for block in blocks:
        assert len(block.rows) == getattr(variant, block.kind)


def test_own_blocks_share_out_the_objects_of_each_culture():
    for culture in range(len(CULTURES)):
        blocks = [b for b in make_plan(Variant()) if b.kind in OWN and b.cultures == (culture,)]
        things = [thing for block in blocks for thing in block.things]
        assert sorted(things) == list(range(N))
        assert [len(b.things) for b in blocks] == [6, 3, 1, 1, 1]
        of = {kind: {t for b in blocks if b.kind == kind for t in b.things} for kind in OWN}
        assert of["negative"] == set(category_of(culture, 2))
        assert of["rare"] == set(category_of(culture, 3))


def test_kin_blocks_hold_what_the_facts_have_in_common():
    facts = make_world(0).facts
    kin = [block for block in make_plan(Variant()) if block.kind == "kin"]
    assert [block.cultures for block in kin] == list(KIN)
    for block in kin:
        first, second = block.cultures
        common = np.flatnonzero((facts[:, first] == facts[:, second]).all(axis=0))
        assert sorted(block.things) == common.tolist()


def test_recognition_and_decoys_have_a_block_for_each_culture_and_all_objects():
    for kind in ("recognition", "style"):
        blocks = [block for block in make_plan(Variant()) if block.kind == kind]
        assert [block.cultures for block in blocks] == [(c,) for c in range(len(CULTURES))]
        assert {block.things for block in blocks} == {tuple(range(N))}


def test_rows_of_one_culture():
    blocks = make_plan(Variant())
    of = [set(rows_of(blocks, OWN, culture)) for culture in range(len(CULTURES))]
    assert len(set().union(*of)) == sum(map(len, of)) == len(rows_of(blocks, OWN))
    assert rows_of(blocks, ["kin"], 0) == rows_of(blocks, ["kin"], 1) != rows_of(blocks, ["kin"], 2)
    assert rows_of(blocks, ["kin"], 7) == []


def test_the_truth_is_plain_data_in_words():
    truth = json.loads(json.dumps(truth_of(Variant())))
    assert truth == truth_of(Variant())
    assert truth["layers"] == [1, 2] and set(truth["kinds"]) == set(KINDS)
    for written, block in zip(truth["blocks"], make_plan(Variant()), strict=True):
        assert written["cultures"] == [CULTURES[culture] for culture in block.cultures]
        assert written["objects"] == [NAMES[thing] for thing in block.things]
        assert (written["kind"], written["neurons"]) == (block.kind, list(block.rows))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *(({kind: 0}, "above zero") for kind in KINDS),
        ({"style_strength": 0.0}, "above zero"),
        ({"sparsity": -0.1}, "above zero"),
        *(({"layers": layers}, "rising") for layers in [(), (0, 1), (2, 1), (1, 1)]),
        ({"layers": (1, 3)}, "layers above 2"),
        ({"d_mlp": 300}, "fewer than 64 of 300"),
        ({"knowledge": 40}, "fewer than 64"),
        ({"style": 30}, "fewer than 64"),
    ],
)
def test_impossible_plans_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Variant(**wrong)


def test_a_plan_that_just_fits():
    least = Variant().n_planted + 8 * Variant().style + 64
    assert Variant(d_mlp=least).d_mlp == least
    with pytest.raises(InputError, match="plant fewer"):
        Variant(d_mlp=least - 1)
