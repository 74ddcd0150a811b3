"""Configurations of tiny vision-language models: two vision layers, three text layers."""

import transformers
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from tests.helpers.tiny import D_MLP, D_MODEL, N_CTX, N_HEADS, N_KV_HEADS, N_LAYERS

N_VOCAB = 450
VISION = {  # of every vision tower
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TILE = 21  # pixels of a side, patches of 7: 9 tokens per tile
GRID = [
    [TILE, 2 * TILE],
    [2 * TILE, TILE],
    [2 * TILE, 2 * TILE],
    [3 * TILE, TILE],
    [TILE, 3 * TILE],
]


def text_stack(config_class: str, tokenizer: PreTrainedTokenizerFast, **own) -> PreTrainedConfig:
    return getattr(transformers, config_class)(
        vocab_size=N_VOCAB,
        num_hidden_layers=N_LAYERS,
        hidden_size=D_MODEL,
        intermediate_size=D_MLP,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_KV_HEADS,
        max_position_embeddings=N_CTX,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **own,
    )


def llava(tokenizer, window) -> dict:
    return {
        "text_config": text_stack("LlamaConfig", tokenizer),
        "vision_config": transformers.CLIPVisionConfig(
            **VISION, image_size=28, patch_size=7, projection_dim=16
        ),
        "image_token_index": tokenizer.image_token_id,
        "image_seq_length": 16,
    }


def llava_next(tokenizer, window, text="MistralConfig") -> dict:
    own = {"sliding_window": None} if text == "MistralConfig" else {}
    return {
        "text_config": text_stack(text, tokenizer, **own),
        "vision_config": transformers.CLIPVisionConfig(
            **VISION, image_size=TILE, patch_size=7, projection_dim=16
        ),
        "image_token_index": tokenizer.image_token_id,
        "image_grid_pinpoints": GRID,
        "image_seq_length": 9,
    }


def llava_onevision(tokenizer, window) -> dict:
    return {
        "text_config": text_stack("Qwen2Config", tokenizer),
        "vision_config": transformers.SiglipVisionConfig(
            **VISION, image_size=TILE, patch_size=7, vision_use_head=False
        ),
        "image_token_index": tokenizer.image_token_id,
        "video_token_index": tokenizer.video_token_id,
        "image_grid_pinpoints": GRID,
        "vision_aspect_ratio": "anyres_max_3",
    }


def qwen2_5_vl(tokenizer, window) -> dict:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}
    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "patch_size": 4,
        "window_size": 16,
        "fullatt_block_indexes": [1],
        "out_hidden_size": D_MODEL,
    }
    return {
        "text_config": text_stack(
            "Qwen2_5_VLTextConfig", tokenizer, rope_parameters=rope
        ).to_dict(),
        "vision_config": vision,
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }


def gemma3(tokenizer, window) -> dict:
    layers = ["sliding_attention", "full_attention", "sliding_attention"]
    own = {"head_dim": 16, "query_pre_attn_scalar": 16, "layer_types": layers}
    return {
        "text_config": text_stack("Gemma3TextConfig", tokenizer, sliding_window=window, **own),
        "vision_config": transformers.SiglipVisionConfig(
            **VISION, image_size=32, patch_size=4, vision_use_head=False
        ),
        "mm_tokens_per_image": 16,
        "boi_token_index": tokenizer.boi_token_id,
        "eoi_token_index": tokenizer.eoi_token_id,
        "image_token_index": tokenizer.image_token_id,
    }


def idefics3(tokenizer, window) -> dict:
    return {
        "text_config": text_stack("LlamaConfig", tokenizer),
        "vision_config": VISION | {"image_size": 32, "patch_size": 8},
        "image_token_id": tokenizer.image_token_id,
        "scale_factor": 2,
        "pad_token_id": tokenizer.pad_token_id,
    }
