"""The vision tower: features are those of the raw tower, kept while it is unedited."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.models.load import load_model
from tests.helpers.closeness import relative
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.vlm import bare, fresh, hf_processor, lens, raw
from tests.helpers.vlm_items import batch_of, each_vlm, item, questions


def tower_hook(model):
    """The hook behind the MLP of the tower's first layer, and the raw module's name ends with."""
    (hook,) = [
        name
        for name in model.bridge.hook_dict
        if name.startswith("vision") and name.endswith(".0.mlp.hook_out")
    ]
    return hook


def triple(activation, hook):
    return 3 * activation


@each_vlm
def test_an_edit_in_the_tower_is_seen_and_not_kept(architecture):
    model = fresh(architecture)
    batch = batch_of(architecture, slice(0, 5))
    image = questions()[0].image
    plain = model.logits(batch)
    features, runs = model.vision.features(image), model.vision.runs
    with model.hooks([(tower_hook(model), triple)]):
        edited = model.vision.features(image)
        assert model.vision.runs == runs + 1
        assert (edited - features).abs().max() > 1e-3
        found = model.logits(batch)
        assert torch.equal(model.vision.features(image), edited)
        # four pictured rows once more, and the picture that was asked for by name
        assert model.vision.runs == runs + 1 + 5 + 1
    assert torch.equal(model.vision.features(image), features)
    assert torch.equal(model.logits(batch), plain)
    assert model.vision.runs == runs + 7  # what was kept before is still there
    hf = raw(architecture)
    (module,) = [
        module
        for name, module in hf.named_modules()
        if name.endswith(".0.mlp") and ("vision" in name or "visual" in name)
    ]
    handle = module.register_forward_hook(lambda _module, _args, output: 3 * output)
    try:
        expected = torch.stack([vlm_logits(hf, item(architecture, i)) for i in range(5)])
    finally:
        handle.remove()
    assert relative(found, expected) < 1e-5 and relative(plain, expected) > 1e-3


def test_what_an_edited_tower_made_first_is_not_kept_either():
    model = fresh("llava")
    image = questions()[0].image
    with model.hooks([(tower_hook(model), triple)]):
        edited = model.vision.features(image)
    assert model.vision.runs == 1
    assert (model.vision.features(image) - edited).abs().max() > 1e-3
    assert model.vision.runs == 2


def test_forget():
    model = fresh("qwen2_5_vl")
    batch = batch_of("qwen2_5_vl", slice(0, 4))
    before = model.logits(batch)
    assert model.vision.runs == 4
    model.logits(batch)
    assert model.vision.runs == 4
    with torch.no_grad():
        for name, parameter in model.bridge.original_model.named_parameters():
            if "visual" in name:
                parameter.mul_(1.5)
    assert torch.equal(model.logits(batch), before)  # as documented: kept until forgotten
    model.vision.forget()
    assert (model.logits(batch) - before).abs().max() > 1e-3
    assert model.vision.runs == 8


@each_vlm
def test_features_are_those_of_the_raw_tower(architecture):
    for number, question in enumerate(questions()[:4]):
        vision = {
            n: v
            for n, v in item(architecture, number).items()
            if n not in ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
        }
        with torch.no_grad():
            rows = raw(architecture).get_image_features(**vision).pooler_output
        rows = rows if isinstance(rows, torch.Tensor) and rows.ndim == 2 else torch.cat(list(rows))
        rows = rows.reshape(-1, rows.shape[-1])
        found = lens(architecture).vision.features(question.image)
        assert found.shape == rows.shape
        assert relative(found, rows) < 1e-6


@each_vlm
def test_a_spoilt_tower_is_noticed(architecture):
    hf = bare(architecture)
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if ("vision" in name or "visual" in name) and name.endswith(
                ("0.mlp.fc1.weight", "0.mlp.gate_proj.weight")
            ):
                parameter[0, 0] = float("nan")
    processor = hf_processor(architecture)
    model = load_model("spoilt", hf_model=hf, processor=processor)
    with pytest.raises(InputError, match="vision tower gives NaN or infinite.*bfloat16"):
        model.logits(batch_of(architecture, slice(0, 2)))
