"""Small random models and tables of questions, for measurements against the number of items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CULTURES = ("Japan", "Italy", "Kenya", "Peru")
WORDS = (
    "Which food do people in Japan usually eat at the new year festival?",
    "What is the most popular sport in Mexico, and where do people play it?",
    "In Indonesia many families celebrate the end of the fasting month together.",
    "People drink tea with milk in the morning and coffee with sugar in the evening.",
)
SENTENCES, SIDE, PATCH = 12, 336, 14
FEATURE_BYTES = 2**24
"""Bytes of picture features that the model keeps, as few as a hundred pictures have."""


def write_rows(folder: Path, items: int, pictures: bool) -> Path:
    """Write a table of so many questions, each with a picture file of its own where asked."""
    place = folder / "rows.jsonl"
    with place.open("w") as file:
        for number in range(items):
            turn = 1 + number % 3
            words = [WORDS[(number + at * turn) % len(WORDS)] for at in range(SENTENCES)]
            row = {
                "id": f"q{number}",
                "culture": CULTURES[number % len(CULTURES)],
                "question": f"{number}. " + " ".join(words[: 2 if pictures else None]),
                "options": ["rice", "bread", "noodles", "soup"],
                "answer": "ABCD"[number % 3],
            }
            if pictures:
                row["image"] = f"{number}.jpg"
                draw_picture(number).save(folder / row["image"], quality=90)
            file.write(json.dumps(row) + "\n")
    return place


def draw_picture(number: int) -> Any:
    """Draw a picture of coarse noise, as large as a small photograph."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((640, 480))


def text_model() -> Any:
    """A random Llama of two layers that reads long prompts."""
    import torch
    import transformers

    from culture_lens.models.load import load_model
    from tests.helpers.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        architectures=["LlamaForCausalLM"],
    )
    model = transformers.LlamaForCausalLM(config).eval()
    return load_model("random-llama", hf_model=model, tokenizer=tokenizer)


def picture_model(layers: int = 2, width: int = 64) -> Any:
    """A random LLaVA whose pictures have 576 tokens, as LLaVA 1.5's have."""
    import torch
    import transformers

    from culture_lens.models.load import load_model
    from tests.helpers.tiny_vlm import tiny_vlm_tokenizer

    tokenizer = tiny_vlm_tokenizer("llava")
    text = {"hidden_size": width, "intermediate_size": 3 * width // 2}
    text |= {"num_attention_heads": 4, "max_position_embeddings": 4096}
    text |= {"num_hidden_layers": layers}
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer), **text),
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
        ),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=(SIDE // PATCH) ** 2,
        architectures=["LlavaForConditionalGeneration"],
    )
    torch.manual_seed(0)
    model = transformers.LlavaForConditionalGeneration(config).eval()
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return load_model(
        "random-llava", hf_model=model, processor=processor, image_memory=FEATURE_BYTES
    )
