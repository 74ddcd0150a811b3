"""The organism's architecture: a small Llava with a word-level tokenizer.

A CLIP tower, a two-layer projector, a Llama decoder: classes of transformers, and ordinary
checkpoint files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from culture_lens.benchmarks.organism.drawing import COLOURS, SIDE
from culture_lens.benchmarks.organism.world import (
    CATEGORIES,
    CULTURES,
    NAMES,
    NUMBERS,
    TEXTS,
    WORDS,
)
from culture_lens.questions.question import LABELS

PATCH = 16  # pixels
ORGANISM_BATCH = 256
"""Questions per forward where nothing else is said: the model is small."""
N_IMAGE_TOKENS = (SIDE // PATCH) ** 2
IMAGE_MEAN, IMAGE_STD = 0.5, 0.25
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}"
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\nAnswer:' }}{% endif %}"
)


def vocabulary() -> list[str]:
    """List every word of the world, special tokens first; the index is the token id.

    Example:
        >>> vocabulary()[:2], len(vocabulary()) < 128
        (['<pad>', '<s>'], True)
    """
    questions = [text.format(name) for text in TEXTS.values() for name in CATEGORIES]
    answers = [*CULTURES, *COLOURS, *NUMBERS, *NAMES, *(w for ws in WORDS.values() for w in ws)]
    letters = [form for label in LABELS[:4] for form in (f"{label}.", label)]
    words = [*" ".join(questions).split(), "Answer:", *letters, *answers]
    return list(dict.fromkeys((*SPECIAL, *words)))


def make_tokenizer() -> Any:
    """Make the tokenizer: one token per word between spaces, a BOS before all."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(vocabulary())}
    words = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.decoder = decoders.WordPiece(prefix="##")
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", ids["<s>"])]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        image_token="<image>",
        padding_side="left",
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_processor() -> Any:
    """Make the processor: the tokenizer, and pictures prepared by PIL."""
    from transformers import LlavaProcessor
    from transformers.models.clip import CLIPImageProcessorPil

    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[IMAGE_MEAN] * 3,
        image_std=[IMAGE_STD] * 3,
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=make_tokenizer(),
        patch_size=PATCH,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
    )


def make_model(
    seed: int,
    *,
    n_layers: int = 5,
    d_model: int = 96,
    d_mlp: int = 384,
    n_heads: int = 4,
    scale: float = 0.1,
) -> Any:
    """Make an untrained model.

    Args:
        seed: Draws its weights.
        n_layers: Layers of the decoder.
        d_model: Width of the decoder and the vision tower.
        d_mlp: Neurons of a decoder layer's MLP.
        n_heads: Attention heads.
        scale: Standard deviation of the weights; the usual 0.02 learns slowly at this size.

    Returns:
        A ``LlavaForConditionalGeneration`` in float32.
    """
    from transformers import LlavaForConditionalGeneration

    config = make_config(n_layers, d_model, d_mlp, n_heads, scale)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        projector = model.model.multi_modal_projector
        torch.nn.init.normal_(projector.linear_1.weight, std=scale / 10)
        torch.nn.init.normal_(projector.linear_2.weight, std=scale)
    return model


def make_config(n_layers: int, d_model: int, d_mlp: int, n_heads: int, scale: float) -> Any:
    """Describe the model to transformers; the arguments are those of ``make_model``."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    ids = {word: i for i, word in enumerate(vocabulary())}
    vision = CLIPVisionConfig(
        hidden_size=d_model,
        intermediate_size=2 * d_model,
        num_hidden_layers=2,
        num_attention_heads=n_heads,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=d_model,
    )
    text = LlamaConfig(
        vocab_size=len(ids),
        hidden_size=d_model,
        intermediate_size=d_mlp,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_heads,
        max_position_embeddings=128,
        pad_token_id=ids["<pad>"],
        bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"],
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        initializer_range=scale,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids["<image>"],
        image_seq_length=N_IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )


def save(model: Any, folder: Path) -> None:
    """Write an ordinary Hugging Face checkpoint: model, tokenizer, processor."""
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
