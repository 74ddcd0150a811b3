"""Every architecture's case with its raw model, its attention modules and how an item is run."""

import torch

from culture_lens.models.heads import stacks_of
from tests.helpers import lm, reference, reference_vlm, t5
from tests.helpers import vlm as vlm_helpers
from tests.helpers.architecture_table import CASES, encoder_decoder_case, image_case, text_case

NAMES = [(name, some[-1]) for name, (_, some) in CASES.items()]
"""One checkpoint of each: of Gemma 3 with a window longer than prompts, of T5 one with a gate."""


def raw_of(make, name):
    return {
        text_case: lm.raw,
        image_case: vlm_helpers.raw,
        encoder_decoder_case: lambda one: t5.raw(one, torch.float64),
    }[make](name)


def attentions_of(make, hf, stack):
    """The raw attention modules of one stack, layer by layer."""
    if make is encoder_decoder_case:
        blocks = hf.encoder.block if stack == "encoder" else hf.decoder.block
        if stack == "cross":
            return [block.layer[1].EncDecAttention for block in blocks]
        return [block.layer[0].SelfAttention for block in blocks]
    layers = reference.decoder_layers(hf) if make is text_case else reference_vlm.text_layers(hf)
    return [getattr(layer, "self_attn", None) or layer.attn for layer in layers]


def site_of(stack):
    return f"{stack}.head" if stack else "head"


__all__ = ["CASES", "NAMES", "attentions_of", "raw_of", "site_of", "stacks_of"]
