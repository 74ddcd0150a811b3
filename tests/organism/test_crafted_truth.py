"""A truth.json that was made by hand: each is one clear error."""

import json

import pytest

from culture_lens.errors import InputError
from culture_lens.organism.truth import load_truth

BLOCK = {"kind": "style", "cultures": ["Avaria"], "objects": ["bowl"], "neurons": [1, 2]}
WHOLE = {"seed": 0, "shuffled": False, "layers": [1, 2], "blocks": [BLOCK]}
CRAFTED = [
    3,
    [],
    {},
    *({name: value for name, value in WHOLE.items() if name != lacking} for lacking in WHOLE),
    {**WHOLE, "seed": "0"},
    {**WHOLE, "seed": -1},
    {**WHOLE, "seed": 0.5},
    {**WHOLE, "shuffled": "no"},
    {**WHOLE, "layers": 1},
    {**WHOLE, "layers": [-1]},
    {**WHOLE, "layers": [0.5]},
    {**WHOLE, "blocks": 3},
    {**WHOLE, "blocks": {"a": 1}},
    {**WHOLE, "blocks": ["style"]},
    *({**WHOLE, "blocks": [{k: v for k, v in BLOCK.items() if k != one}]} for one in BLOCK),
    {**WHOLE, "blocks": [{**BLOCK, "kind": "colour"}]},
    {**WHOLE, "blocks": [{**BLOCK, "kind": ["style"]}]},
    {**WHOLE, "blocks": [{**BLOCK, "cultures": 3}]},
    {**WHOLE, "blocks": [{**BLOCK, "neurons": [-1]}]},
    {**WHOLE, "blocks": [{**BLOCK, "neurons": ["1"]}]},
    {**WHOLE, "blocks": [{**BLOCK, "neurons": 7}]},
]


@pytest.mark.parametrize("content", CRAFTED)
def test_a_crafted_truth_is_one_clear_error(content, tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"truth\.json"):
        load_truth(tmp_path)


def test_the_truth_that_the_others_are_made_from_is_whole(tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps(WHOLE))
    truth = load_truth(tmp_path)
    assert truth.neurons("style").members() == {
        ("act", layer, index) for layer in (1, 2) for index in (1, 2)
    }
