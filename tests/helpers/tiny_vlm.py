"""Tiny random vision-language checkpoints of the supported families, and pictures, made in memory.

Configuration, model and processor classes are those of the real families; the weights are noise
drawn from a seed, the tokenizer is trained on the sentences of tests/helpers/tiny.py. Nothing is
loaded from disk or from the network, and torchvision is not needed: PIL prepares pictures.

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
from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin
from transformers.models.smolvlm import processing_smolvlm

from tests.helpers.tiny import GEMMA_WINDOW, N_CTX, trained
from tests.helpers.vlm_chats import (
    GEMMA3_CHAT,
    IDEFICS_CHAT,
    LLAVA_CHAT,
    MISTRAL_CHAT,
    ONEVISION_CHAT,
    PANGEA_CHAT,
    QWEN_CHAT,
)
from tests.helpers.vlm_configs import (
    GRID,
    N_VOCAB,
    TILE,
    gemma3,
    idefics3,
    llava,
    llava_next,
    llava_onevision,
    qwen2_5_vl,
)


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
