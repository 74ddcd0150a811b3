"""The plan of planted neurons: blocks that do not overlap, and the truth in words."""

import json

import numpy as np
import pytest

from culture_lens.benchmarks.organism.drawing import OBJECTS
from culture_lens.benchmarks.organism.world import CULTURES, KIN, NAMES, category_of, make_world
from culture_lens.errors import InputError
from culture_lens.organism.plan import OWN, PLANTED_KINDS, Variant, make_plan, rows_of, truth_of

N = len(OBJECTS)

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
    carrying = rows_of(blocks, [kind for kind in PLANTED_KINDS if kind != "style"])
    assert carrying == list(range(variant.n_planted))
    decoys = rows_of(blocks, ["style"])
    assert decoys == list(range(variant.d_mlp - 8 * variant.style, variant.d_mlp))
    assert variant.d_mlp - len(rows) >= 64


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_block_is_as_wide_as_its_kind(variant):
    blocks = make_plan(variant)
    assert {block.kind for block in blocks} == set(PLANTED_KINDS)
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
    assert truth["layers"] == [1, 2] and set(truth["kinds"]) == set(PLANTED_KINDS)
    for written, block in zip(truth["blocks"], make_plan(Variant()), strict=True):
        assert written["cultures"] == [CULTURES[culture] for culture in block.cultures]
        assert written["objects"] == [NAMES[thing] for thing in block.things]
        assert (written["kind"], written["neurons"]) == (block.kind, list(block.rows))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *(({kind: 0}, "above zero") for kind in PLANTED_KINDS),
        ({"style_strength": 0.0}, "above zero"),
        ({"sparsity": -0.1}, "above zero"),
        *(({"layers": layers}, "rising") for layers in [(), (0, 1), (2, 1), (1, 1)]),
        ({"layers": (1, 3)}, "layers 1 to 2, or raise n_layers"),
        ({"layers": (1, 3, 5), "n_layers": 7}, "layers 1 to 4"),
        ({"n_layers": 4}, "layers 1 to 1"),
        ({"dropout": 0.5}, "below 0.5"),
        ({"dropout": -0.1}, "at least 0"),
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
