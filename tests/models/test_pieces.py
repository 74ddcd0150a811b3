"""The place of a piece depends on the model and all facts, and no hook may be attached."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated
from culture_lens.models.load import load_model
from culture_lens.models.pieces import piece_of
from culture_lens.neurons.neurons import Neurons
from culture_lens.storage.runs import Run
from tests.helpers.lm import lens
from tests.helpers.tiny import tiny_model, tiny_tokenizer


def loaded(name="m", dtype=torch.float32, change=False):
    hf_model = tiny_model("llama").to(dtype)
    if change:
        with torch.no_grad():
            hf_model.model.layers[0].mlp.gate_proj.weight[0, 0] += 1
    return load_model(name, hf_model=hf_model, tokenizer=tiny_tokenizer("llama"))


def test_a_piece_lies_in_the_folder_under_its_kind(tmp_path):
    place = piece_of(lens("llama"), Run(tmp_path), "records", ".parquet", ["a"], "letter")
    assert place.parent == tmp_path / "pieces"
    assert place.name.startswith("records-") and place.name.endswith(".parquet")
    assert not place.exists()


def test_the_same_model_and_facts_give_the_same_place(tmp_path):
    one, other = (
        piece_of(loaded(), Run(tmp_path), "records", ".parquet", {"b": 1, "a": [2]}, None)
        for _ in range(2)
    )
    assert one == other


@pytest.mark.parametrize(
    "other", [{"name": "n"}, {"dtype": torch.float64}, {"change": True}], ids=str
)
def test_another_model_has_another_place(tmp_path, other):
    places = {
        piece_of(model, Run(tmp_path), "records", ".parquet", "fact")
        for model in (loaded(), loaded(**other))
    }
    assert len(places) == 2


def test_every_fact_counts(tmp_path):
    facts = [(), ("a",), ("b",), ("a", "b"), (["a", "b"],), ("a", None)]
    places = {piece_of(lens("llama"), Run(tmp_path), "records", ".parquet", *f) for f in facts}
    assert len(places) == len(facts)


def test_a_hooked_model_has_no_place(tmp_path):
    model = lens("llama")
    with (
        ablated(model, Neurons.of({"act": [(0, 1)]})),
        pytest.raises(InputError, match="hooks are attached"),
    ):
        piece_of(model, Run(tmp_path), "records", ".parquet")
    assert piece_of(model, Run(tmp_path), "records", ".parquet")
