"""Operations by formula are those that torch counts, on every architecture of the table."""

import json

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from culture_lens.experiments.planning.operations import (
    Counted,
    backward_operations,
    forward_operations,
    picture_operations,
)
from culture_lens.experiments.planning.pictures import picture_count
from culture_lens.experiments.planning.shape import shape_of
from tests.helpers import tiny, tiny_t5, tiny_vlm

ROWS, TOKENS = 2, 10
SIZES = ((40, 40), (90, 30), (31, 77), (64, 48))
"""Pictures, width and height: one tile and several, wide and tall."""


def counted(run):
    """Count a run's operations; by plain products, since torch does not count fused attention."""
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("family", tiny.ARCHITECTURES)
def test_a_forward_and_its_backward(family):
    model = tiny.tiny_model(family).requires_grad_(False)
    shape = shape_of(family, model.config)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    run = Counted(ROWS * TOKENS, ROWS * TOKENS**2, ROWS, forwards=1)
    inputs = model.get_input_embeddings()(torch.ones(ROWS, TOKENS, dtype=torch.long))
    inputs = inputs.detach().requires_grad_()
    mask = torch.ones(ROWS, TOKENS, dtype=torch.long)
    out = []

    def forward():
        given = {"attention_mask": mask, "use_cache": False, "logits_to_keep": 1}
        out.append(model(inputs_embeds=inputs, **given).logits.sum())

    assert counted(forward) == forward_operations(shape, run)
    with sdpa_kernel(SDPBackend.MATH):
        forward()
    assert counted(out[-1].backward) == backward_operations(shape, run)


@pytest.mark.parametrize("family", tiny_t5.FAMILIES)
def test_an_encoder_decoder(family):
    model, decoder_tokens = tiny_t5.tiny_model(family), 3
    shape = shape_of(family, model.config)
    ids = torch.ones(ROWS, TOKENS, dtype=torch.long)
    given = {"decoder_input_ids": ids[:, :decoder_tokens], "use_cache": False}
    run = Counted(
        ROWS * decoder_tokens,
        ROWS * decoder_tokens * (decoder_tokens + TOKENS),
        ROWS * decoder_tokens,
        encoder_tokens=ROWS * TOKENS,
        encoder_pairs=ROWS * TOKENS**2,
    )
    assert counted(lambda: model(ids, **given)) == forward_operations(shape, run)


def test_of_a_mixture_of_experts_those_that_a_token_goes_through_count():
    config = transformers.Qwen3MoeConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, moe_intermediate_size=16,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        num_experts=8, num_experts_per_tok=2, experts_implementation="eager",
    )  # fmt: skip
    model = transformers.Qwen3MoeForCausalLM(config).eval()
    shape = shape_of("mixture", config)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    ids = torch.arange(ROWS * TOKENS).view(ROWS, TOKENS)
    run = Counted(ROWS * TOKENS, ROWS * TOKENS**2, ROWS)
    assert counted(lambda: model(ids, logits_to_keep=1)) == forward_operations(shape, run)
    by_hand = 2 * (
        2 * 32 * 32 + 2 * 32 * 16 + 32 * 8 + 2 * 3 * 32 * 16
    )  # q, o; k, v; router; 2 of 8
    assert shape.decoder.matrices == by_hand


@pytest.mark.parametrize("family", tiny_vlm.VLM_ARCHITECTURES)
def test_pictures(family):
    model, processor = tiny_vlm.tiny_vlm(family), tiny_vlm.tiny_processor(family)
    shape = shape_of(family, model.config)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    settings = json.loads(processor.image_processor.to_json_string())
    for width, height in SIZES:
        picture = tiny_vlm.picture(0, width, height)
        inputs = processor(images=[[picture]], text=[processor.image_token], return_tensors="pt")
        found = picture_count(shape, width, height, settings)
        assert found.tokens == int((inputs["input_ids"] == model.config.image_token_id).sum())
        names = ("pixel_values", "image_sizes", "image_grid_thw", "pixel_attention_mask")
        given = {name: inputs[name] for name in names if name in inputs}
        with torch.no_grad():
            operations = counted(lambda given=given: model.get_image_features(**given))
        assert operations == picture_operations(shape, found), (width, height)


def test_layers_below_the_first_are_left_out_and_the_head_is_not():
    shape = shape_of("llama", tiny.tiny_model("llama").config)
    run = Counted(tokens=100, pairs=1000, read=7)
    whole, head = forward_operations(shape, run), 2 * 7 * 32 * 400
    third = forward_operations(shape, run, first_layer=2)
    assert third - head == pytest.approx((whole - head) / 3)


def test_sums_add_and_the_largest_forward_is_kept():
    one, other = Counted(4, 16, 1, forwards=1, most_tokens=4), Counted(2, 4, 1, most_tokens=2)
    assert one.plus(other) == Counted(6, 20, 2, forwards=1, most_tokens=4)
    assert one.times(3) == Counted(12, 48, 3, forwards=3, most_tokens=4)
