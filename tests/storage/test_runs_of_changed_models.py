"""Records of one model are never taken for those of another: weights and hooks count."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.interventions.hooks import ablated
from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_model, tiny_tokenizer

LETTERS = {"scoring": "letter_options", "progress": False, "batch_size": 4}


@pytest.fixture(scope="module")
def model():
    return lens("llama", torch.float64)


@pytest.mark.slow
def test_other_weights_under_the_same_name_are_another_model(tmp_path):
    """A checkpoint trained further lies in the same folder; its old records are not its own."""

    def loaded(seed):
        return load_model(
            "same", hf_model=tiny_model("llama", seed), tokenizer=tiny_tokenizer("llama")
        )

    first, second = loaded(0), loaded(1)
    options = {"questions": toy_questions(), "progress": False}
    for folder in (tmp_path / "used", None):
        kept = summarise(first, run=folder, **options)
        other = summarise(second, run=folder, **options)
        assert not torch.equal(kept.counts["act"], other.counts["act"])
        kept = evaluate(first, toy_questions(), run=folder, **LETTERS).frame
        other = evaluate(second, toy_questions(), run=folder, **LETTERS).frame
        assert kept["p_gold"].tolist() != other["p_gold"].tolist()


def zeroed(weight):
    weight.data.zero_()


def one_value(weight):
    with torch.no_grad():
        weight[1, 1] += 5


@pytest.mark.slow
@pytest.mark.parametrize("change", [zeroed, one_value])
def test_weights_changed_in_place_are_another_model(tmp_path, change):
    """Under the same name, in the same process, after the fingerprint was taken."""
    model = load_model("m", hf_model=tiny_model("llama"), tokenizer=tiny_tokenizer("llama"))
    before = evaluate(model, toy_questions(), run=tmp_path, **LETTERS).frame["p_gold"].tolist()
    layer = model.bridge.blocks[1].mlp
    weight = next(p for name, p in layer.named_parameters() if "down" in name or "out" in name)
    kept = weight.detach().clone()
    change(weight)
    found = evaluate(model, toy_questions(), run=tmp_path, **LETTERS).frame["p_gold"].tolist()
    fresh = evaluate(model, toy_questions(), **LETTERS).frame["p_gold"].tolist()
    assert found == fresh != before
    weight.data.copy_(kept)
    again = evaluate(model, toy_questions(), run=tmp_path, **LETTERS).frame["p_gold"].tolist()
    assert again == before


def test_results_under_a_hook_of_plain_torch_are_not_kept_nor_found(tmp_path):
    model = load_model("m", hf_model=tiny_model("llama"), tokenizer=tiny_tokenizer("llama"))
    evaluate(model, toy_questions(), run=tmp_path, **LETTERS)
    layer = model.bridge.original_model.get_submodule("model.layers.1._original_component.mlp")
    handle = layer.register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match="the torch hook .* is attached to model.layers.1.mlp"):
        evaluate(model, toy_questions(), run=tmp_path, **LETTERS)
    handle.remove()
    evaluate(model, toy_questions(), run=tmp_path, **LETTERS)


def test_results_under_hooks_are_not_kept_nor_found(tmp_path, model):
    """Records of the unmodified model must not be taken for those of one with ablated neurons."""
    options = {"questions": toy_questions(), "progress": False}
    plain = evaluate(model, toy_questions(), run=tmp_path, **LETTERS).frame
    with ablated(model, Neurons.of({"act": [(0, i) for i in range(48)]})):
        with pytest.raises(InputError, match="hooks are attached"):
            evaluate(model, toy_questions(), run=tmp_path, **LETTERS)
        with pytest.raises(InputError, match="hooks are attached"):
            summarise(model, run=tmp_path, **options)
        after_ablation = evaluate(model, toy_questions(), **LETTERS).frame
    assert after_ablation["p_gold"].tolist() != plain["p_gold"].tolist()
