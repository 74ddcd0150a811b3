"""Tiny random vision-language checkpoints of the supported families, and pictures, made in memory.

Configuration, model and processor classes are those of the real families; the weights are noise
drawn from a seed, the tokenizer is trained on the sentences of tests/tiny.py. Nothing is loaded
from disk or from the network, and torchvision is not needed: pictures are prepared by PIL.

| family             | vision, text     | tokens of one picture             | BOS added by         |
|--------------------|------------------|-----------------------------------|----------------------|
| llava              | CLIP, Llama      | always 16                         | tokenizer only       |
| llava_next_mistral | CLIP, Mistral    | 9 and 9 per tile, by its shape    | tokenizer only       |
| llava_next_qwen2   | CLIP, Qwen2      | the same                          | nobody               |
| llava_onevision    | SigLIP, Qwen2    | the same, shrunk from 4 tiles on  | nobody               |
| qwen2_5_vl         | own, own         | 4 to 36, by its size              | nobody               |
| gemma3             | SigLIP, Gemma 3  | always 16, between two marks      | tokenizer + template |
| idefics3           | own, Llama       | 4 per tile, with marks, by shape  | tokenizer + template |
| smolvlm            | own, Llama       | the same                          | template only        |

The templates of gemma3 and qwen2_5_vl also take a plain string as content; the others, like the
real ones, leave such a message empty: content must be a list of {"type": ...} parts.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin
from transformers.models.smolvlm import processing_smolvlm

from tests.helpers.tiny import (
    D_MLP,
    D_MODEL,
    GEMMA_WINDOW,
    N_CTX,
    N_HEADS,
    N_KV_HEADS,
    N_LAYERS,
    trained,
)

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

# ------------------------------------------------------------------ chat templates

PARTS = "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
PICTURES_FIRST = (
    "{% for p in m.content %}{% if p.type == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}"
) + PARTS
IN_ORDER = (
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}"
    "{% elif p.type == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
)
LLAVA_CHAT = (
    "{% for m in messages %}{{ m.role | upper + ': ' if m.role != 'system' else '' }}"
    + PICTURES_FIRST
    + "{{ ' ' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
MISTRAL_CHAT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ '<<SYS>>\n' }}"
    + PARTS
    + "{{ '\n<</SYS>>\n\n' }}{% elif m.role == 'user' %}{{ '[INST] ' }}"
    + PICTURES_FIRST
    + "{{ ' [/INST]' }}{% else %}{{ ' ' }}"
    + PARTS
    + "{{ eos_token }}{% endif %}{% endfor %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
)
CHATML_OPENS = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
CHATML_ENDS = (
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PANGEA_CHAT = DEFAULT_SYSTEM + CHATML_OPENS + PICTURES_FIRST + CHATML_ENDS
ONEVISION_CHAT = (  # a space after the role, no system message of its own
    CHATML_OPENS.replace("'\n'", "' '")
    + PICTURES_FIRST
    + CHATML_ENDS.replace(">\n' }}{% endf", ">' }}{% endf")
)
QWEN_CHAT = (
    DEFAULT_SYSTEM
    + CHATML_OPENS
    + "{% if m.content is string %}{{ m.content }}{% else %}"
    + IN_ORDER.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    + "{% endif %}"
    + CHATML_ENDS
)
GEMMA3_CHAT = (  # puts the system message into the first turn
    "{{ bos_token }}{% set system = messages[0].role == 'system' %}"
    "{% for m in (messages[1:] if system else messages) %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{% if system and loop.first %}{% set s = messages[0].content %}"
    "{{ (s if s is string else s[0].text) + '\n\n' }}{% endif %}"
    "{% if m.content is string %}{{ m.content | trim }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'image' %}{{ '<start_of_image>' }}"
    "{% elif p.type == 'text' %}{{ p.text | trim }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
IDEFICS_CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m.role | capitalize }}"
    "{{ ':' if m.content[0].type == 'image' else ': ' }}"
    + IN_ORDER
    + "{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# ------------------------------------------------------------------ configurations


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


# ------------------------------------------------------------------ families


@dataclass(frozen=True)
class Family:
    """What distinguishes one family: classes, configuration, special tokens, picture sizes."""

    name: str  # of its classes
    config: Callable[..., dict]
    bos: str | None
    eos: str
    pad: str
    marks: tuple[str, ...]
    named: dict[str, str]  # special tokens that the tokenizer knows by a name
    chat_template: str
    image_processor: str
    image_options: dict
    processor_options: dict = field(default_factory=dict)
    tokenizer_adds_bos: bool = False


CLIP_TILES = {"size": {"shortest_edge": TILE}, "crop_size": {"height": TILE, "width": TILE}}
CLIP_COUNTS = {
    "patch_size": 7,
    "num_additional_image_tokens": 1,
    "vision_feature_select_strategy": "default",
}
ROWS_COLUMNS = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
IDEFICS_MARKS = ("<end_of_utterance>", "<fake_token_around_image>", "<global-img>", *ROWS_COLUMNS)
IDEFICS_TILES = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
QWEN_MARKS = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>")
IMAGE, VIDEO = {"image_token": "<image>"}, {"video_token": "<video>"}

FAMILIES = {
    "llava": Family(
        "Llava", llava, "<s>", "</s>", "<pad>", (), IMAGE, LLAVA_CHAT, "CLIP",
        {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}},
        CLIP_COUNTS, tokenizer_adds_bos=True,
    ),
    "llava_next_mistral": Family(
        "LlavaNext", llava_next, "<s>", "</s>", "<pad>", ("[INST]", "[/INST]"), IMAGE,
        MISTRAL_CHAT, "LlavaNext", CLIP_TILES | {"image_grid_pinpoints": GRID},
        CLIP_COUNTS, tokenizer_adds_bos=True,
    ),
    "llava_next_qwen2": Family(
        "LlavaNext", functools.partial(llava_next, text="Qwen2Config"),
        None, "<|im_end|>", "<|endoftext|>", ("<|im_start|>",), IMAGE, PANGEA_CHAT, "LlavaNext",
        CLIP_TILES | {"image_grid_pinpoints": GRID}, CLIP_COUNTS,
    ),
    "llava_onevision": Family(
        "LlavaOnevision", llava_onevision, None, "<|im_end|>", "<|endoftext|>", ("<|im_start|>",),
        IMAGE | VIDEO, ONEVISION_CHAT, "LlavaOnevision",
        {"size": {"height": TILE, "width": TILE}, "image_grid_pinpoints": GRID},
        {"num_image_tokens": 9, "vision_feature_select_strategy": "full",
         "vision_aspect_ratio": "anyres_max_3"},
    ),
    "qwen2_5_vl": Family(
        "Qwen2_5_VL", qwen2_5_vl, None, "<|im_end|>", "<|endoftext|>", QWEN_MARKS,
        {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}, QWEN_CHAT, "Qwen2VL",
        {"patch_size": 4, "min_pixels": 16 * 16, "max_pixels": 48 * 48},
    ),
    "gemma3": Family(
        "Gemma3", gemma3, "<bos>", "<eos>", "<pad>", ("<start_of_turn>", "<end_of_turn>"),
        {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>",
         "eoi_token": "<end_of_image>"},
        GEMMA3_CHAT, "Gemma3", {"size": {"height": 32, "width": 32}}, {"image_seq_length": 16},
        tokenizer_adds_bos=True,
    ),
    "idefics3": Family(
        "Idefics3", idefics3, "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>", IDEFICS_MARKS,
        IMAGE, IDEFICS_CHAT, "Idefics3", IDEFICS_TILES, {"image_seq_len": 4},
        tokenizer_adds_bos=True,
    ),
    "smolvlm": Family(
        "SmolVLM", idefics3, "<|im_start|>", "<end_of_utterance>", "<|im_end|>", IDEFICS_MARKS,
        IMAGE, IDEFICS_CHAT, "SmolVLM", IDEFICS_TILES, {"image_seq_len": 4},
    ),
}  # fmt: skip
VLM_ARCHITECTURES = tuple(FAMILIES)

# ------------------------------------------------------------------ tokenizer, processor, model


@functools.cache
def _trained(architecture: str) -> str:
    family = FAMILIES[architecture]
    special = (family.pad, family.bos, family.eos, *family.marks, *family.named.values())
    return trained(special, N_VOCAB, family.bos if family.tokenizer_adds_bos else None)


def tiny_vlm_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 450 tokens with the family's special tokens and template."""
    family = FAMILIES[architecture]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(architecture)),
        bos_token=family.bos,
        eos_token=family.eos,
        pad_token=family.pad,
        model_max_length=N_CTX,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(family.marks),
        **family.named,
    )
    tokenizer.chat_template = family.chat_template
    return tokenizer


def for_stills(processor_class: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """The processor class without its part for videos, which needs torchvision."""

    def get_attributes(cls):
        return ["image_processor", "tokenizer"]

    own = {"get_attributes": classmethod(get_attributes)}
    return type(processor_class.__name__, (processor_class,), own)


def tiny_processor(architecture: str) -> ProcessorMixin:
    """The family's own processor, with a PIL image processor and the tiny tokenizer."""
    family = FAMILIES[architecture]
    options = dict(family.processor_options)
    processor_class = getattr(transformers, f"{family.name}Processor")
    if "video_processor" in processor_class.get_attributes():
        processor_class = for_stills(processor_class)
        options["video_processor"] = None
    image_processor = getattr(transformers, f"{family.image_processor}ImageProcessorPil")
    # SmolVLM's processor insists on a package that it uses for videos only.
    with mock.patch.object(processing_smolvlm, "num2words", str):
        return processor_class(
            image_processor=image_processor(**family.image_options),
            tokenizer=tiny_vlm_tokenizer(architecture),
            chat_template=family.chat_template,
            **options,
        )


def tiny_vlm(architecture: str, seed: int = 0, window: int = GEMMA_WINDOW) -> PreTrainedModel:
    """A random model: 3 text layers, d_model 32, d_mlp 48, 2 vision layers, float32, eval mode.

    Every matrix is noise of standard deviation 0.2, and such noise is added to every vector. The
    global random state of torch is left as it was. `window` is gemma3's sliding window: 8 tokens
    are fewer than a picture has; 512 are more than any prompt has.
    """
    family = FAMILIES[architecture]
    config = getattr(transformers, f"{family.name}Config")(
        **family.config(tiny_vlm_tokenizer(architecture), window),
        architectures=[f"{family.name}ForConditionalGeneration"],
        dtype="float32",
    )
    config._name_or_path = f"tiny-{architecture}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{family.name}ForConditionalGeneration")(config)
        for parameter in model.parameters():
            noise = 0.2 * torch.randn_like(parameter)
            parameter.copy_(parameter + noise if parameter.ndim == 1 else noise)
    return model.float().eval()


def save_vlm(architecture: str, folder: str | Path, **options) -> None:
    """Write model, tokenizer and processor as a checkpoint of the hub; options as of `tiny_vlm`."""
    folder = Path(folder)
    tiny_vlm(architecture, **options).save_pretrained(folder)
    processor = tiny_processor(architecture)
    processor.save_pretrained(folder)
    # On the hub the image processor has a file of its own, and its class name no ending "Pil".
    settings = json.loads((folder / "processor_config.json").read_text())
    pictures = settings.pop("image_processor")
    pictures["image_processor_type"] = pictures["image_processor_type"].removesuffix("Pil")
    pictures["processor_class"] = settings["processor_class"]
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures, indent=2))
    (folder / "processor_config.json").write_text(json.dumps(settings, indent=2))


def picture(seed: int, width: int = 40, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A picture of a few coloured rectangles, with some noise: the same for the same arguments."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3)) + random.integers(0, 256, 3)
    for _ in range(6):
        top, left = random.integers(0, height), random.integers(0, width)
        bottom, right = random.integers(top, height) + 1, random.integers(left, width) + 1
        pixels[top:bottom, left:right] = random.integers(0, 256, 3)
    pixels += random.normal(0, 8, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)
