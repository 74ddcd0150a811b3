"""What is not chosen is bit-identical after training, what is chosen has moved: everywhere."""

import pytest
import torch

import culture_lens as cl
from culture_lens.finetune import finetune, plain_copy
from culture_lens.finetune.masks import language_parameters
from culture_lens.finetune.projections import transposed
from culture_lens.neurons.neurons import Neurons
from tests.helpers.finetune import (
    EVERY,
    FAST,
    TEXT,
    bits,
    of,
    questions_for,
    three_modules,
    weights,
)
from tests.helpers.marks import mostly_slow, quiet
from tests.helpers.questions import toy_questions

pytestmark = quiet


def may_change(plain, modules):
    """Independent of the masks: for each parameter, the entries inside the chosen projections."""
    inside = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in plain.named_parameters()}
    for module in modules:
        (place,) = module.projections
        for leaf in ("weight", "bias"):
            name = f"{place.path}.{leaf}"
            if name in inside:
                along_columns = leaf == "weight" and transposed(plain.get_submodule(place.path))
                target = inside[name].t() if along_columns else inside[name]
                target[place.start : place.stop] = True
    return inside


def check_only_inside_moved(before, after, inside, every=True):
    moved = 0
    for name, mask in inside.items():
        outside = ~mask
        assert torch.equal(bits(before[name])[outside], bits(after[name])[outside]), name
        moved += int((before[name] != after[name])[mask].sum())
        if every and mask.any():
            assert (before[name] != after[name])[mask].any(), name
    return moved


@pytest.mark.parametrize("name", mostly_slow(EVERY, fast=("llama",)))
def test_outside_the_modules_nothing_changes_and_inside_it_does(name):
    model = of(name)
    modules = three_modules(model)
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for(name), modules, **FAST)
    after_plain = plain_copy(tuned.model)
    inside = may_change(after_plain, modules)
    moved = check_only_inside_moved(before, weights(after_plain), inside, every=False)
    n = sum(module.parameters for module in modules)
    assert tuned.result["trained_parameters"] == n == sum(int(m.sum()) for m in inside.values())
    # Keys' and ReLU's own: what gets no gradient at all does not move; most does.
    assert moved > 0.5 * n
    for module in modules:
        path = f"{module.path}.weight"
        assert (before[path] != after_plain.get_parameter(path))[inside[path]].any(), path
    assert all(torch.equal(before[k], v) for k, v in weights(plain_copy(model)).items())


@pytest.mark.parametrize("name", mostly_slow([*TEXT, "vlm-llava"], fast=["gpt2"]))
def test_lora_changes_the_chosen_modules_only(name):
    model = of(name)
    modules = three_modules(model)
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for(name), modules, lora_rank=2, **FAST)
    after_plain = plain_copy(tuned.model)
    after = weights(after_plain)
    assert before.keys() == after.keys()
    inside = may_change(after_plain, modules)
    for module in modules:  # LoRA has no bias
        inside.pop(f"{module.path}.bias", None)
    check_only_inside_moved(before, after, inside)
    change = after[modules[0].path + ".weight"] - before[modules[0].path + ".weight"]
    assert torch.linalg.matrix_rank(change, tol=1e-5) == 2


@pytest.mark.parametrize("name", mostly_slow(["llama", "phi3", "gpt2", "vlm-llava"], fast=["phi3"]))
@pytest.mark.parametrize("way", ["protect", "only"])
def test_single_neurons(name, way):
    """Against masks written out here, by the rows and columns of plain transformers' weights."""
    model = of(name)
    neurons = Neurons.of({"act": [(1, 2), (0, 7)], "q": [(1, 5)], "v": [(2, 3)]})
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for(name), **{way: neurons}, **FAST)
    plain = plain_copy(tuned.model)
    own = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in plain.named_parameters()}
    stem = {"gpt2": "transformer.h", "vlm-llava": "model.language_model.layers"}
    stem = stem.get(name, "model.layers")
    for layer, index in ((1, 2), (0, 7)):
        if name == "gpt2":
            own[f"{stem}.{layer}.mlp.c_fc.weight"][:, index] = True
            own[f"{stem}.{layer}.mlp.c_fc.bias"][index] = True
            own[f"{stem}.{layer}.mlp.c_proj.weight"][index] = True
        elif name == "phi3":
            own[f"{stem}.{layer}.mlp.gate_up_proj.weight"][[index, 48 + index]] = True
            own[f"{stem}.{layer}.mlp.down_proj.weight"][:, index] = True
        else:
            own[f"{stem}.{layer}.mlp.gate_proj.weight"][index] = True
            own[f"{stem}.{layer}.mlp.up_proj.weight"][index] = True
            own[f"{stem}.{layer}.mlp.down_proj.weight"][:, index] = True
    if name == "gpt2":
        for layer, column in ((1, 5), (2, 64 + 3)):
            own[f"{stem}.{layer}.attn.c_attn.weight"][:, column] = True
            own[f"{stem}.{layer}.attn.c_attn.bias"][column] = True
    elif name == "phi3":
        own[f"{stem}.1.self_attn.qkv_proj.weight"][5] = True
        own[f"{stem}.2.self_attn.qkv_proj.weight"][32 + 16 + 3] = True
    else:
        own[f"{stem}.1.self_attn.q_proj.weight"][5] = True
        own[f"{stem}.2.self_attn.v_proj.weight"][3] = True
    language = language_parameters(plain)
    if way == "protect":
        own = {n: ~mask if n in language else torch.zeros_like(mask) for n, mask in own.items()}
    moved = check_only_inside_moved(before, weights(plain), own, every=False)
    total = sum(int(mask.sum()) for mask in own.values())
    assert tuned.result["trained_parameters"] == total
    assert moved > 0.3 * total


@pytest.mark.slow
def test_all_trains_the_language_model_and_leaves_the_tower():
    model = of("vlm-llava")
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for("vlm-llava"), **FAST)
    after = weights(plain_copy(tuned.model))
    for name, was in before.items():
        same = torch.equal(was, after[name])
        assert same == ("vision_tower" in name or "projector" in name), name


@pytest.mark.slow
def test_training_learns_the_answers():
    model = of("llama")
    questions = toy_questions()
    tuned = finetune(
        model, questions, scoring="letter", learning_rate=1e-2, epochs=20.0, progress=False
    )
    assert cl.evaluate(model, questions, scoring="letter", progress=False).accuracy().value < 0.5
    after = cl.evaluate(tuned.model, questions, scoring="letter", progress=False)
    assert after.accuracy().value == 1.0
    log = tuned.log()
    assert log["loss"].iloc[-1] < 0.1 < log["loss"].iloc[0]
    assert len(log) == tuned.result["steps"] == 20 * 2
    assert (log["learning_rate"] == 1e-2).all()  # constant
