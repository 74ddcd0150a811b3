"""TransformerBridges as a user boots them: eager attention, parameters that take gradients."""

from unittest import mock

from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.transformers import source

from tests.helpers import tiny, tiny_t5, tiny_vlm


def booted(name, hf_model, tokenizer):
    """Boot without what a processor or a reload of the tokenizer would need from the hub."""
    tokenizer.bos_token = None  # TransformerLens then takes the end-of-sequence token for one
    with mock.patch.object(source, "load_modality_processor", lambda *_: None):
        return TransformerBridge.boot_transformers(name, hf_model=hf_model, tokenizer=tokenizer)


def own_bridge(architecture):
    hf, tokenizer = tiny.tiny_model(architecture), tiny.tiny_tokenizer(architecture)
    return booted(f"own/{architecture}", hf, tokenizer)


def own_t5(family):
    return booted(f"own/{family}", tiny_t5.tiny_model(family), tiny_t5.tiny_tokenizer())


def own_vlm(architecture):
    hf, tokenizer = tiny_vlm.tiny_vlm(architecture), tiny_vlm.tiny_vlm_tokenizer(architecture)
    return booted(f"own/{architecture}", hf, tokenizer)
