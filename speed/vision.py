"""Time and memory of prompts with pictures, beside bare Hugging Face and item by item.

    python speed/vision.py

A random LLaVA, small but deep (16 layers of 512, 1408 neurons each), is asked about noise pictures.

1. One forward of two prompts of 1,024 and of 2,048 tokens, most of them a picture's, vision tower
   included. ``bare`` is the plain model with sdpa attention, ``logits_to_keep=1`` and no cache;
   ``hooked`` is the identification pass over the same rows, with a counting hook at every layer;
   ``eager`` is ours with attention patterns hookable, for comparison.
2. Two questions on each of four pictures under eight masks. ``alone`` runs the whole model for one
   question and mask at a time; ``ours`` is ``answer_masks``, as ``ablation_matrix`` calls it: the
   tower once per picture, a picture's tokens once for its questions.

Times are taken in turn within one process; a ratio is the median over rounds of the ratio within a
round. Peak memory is that of a process of its own for each, the median of three.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from measure import Pass, peak_mib, peak_of, ratio, take_turns
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from culture_lens.activations.record import item_statistics
from culture_lens.evaluation.evaluate import answer_masks
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.interventions.hooks import ablated
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question
from tests.helpers.tiny_vlm import tiny_vlm_tokenizer

PATCH = 14
SIDES = {1024: 28, 2048: 40}  # patches of a picture's side
LAYERS, WIDTH, NEURONS = 16, 512, 1408


def make_model(tokens: int) -> torch.nn.Module:
    """A random LLaVA whose pictures have most of so many tokens."""
    tokenizer = tiny_vlm_tokenizer("llava")
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=NEURONS,
            num_hidden_layers=LAYERS,
            num_attention_heads=8,
            num_key_value_heads=4,
            max_position_embeddings=4096,
        ),
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=4,
            image_size=SIDES[tokens] * PATCH,
            patch_size=PATCH,
        ),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=SIDES[tokens] ** 2,
        architectures=["LlavaForConditionalGeneration"],
    )
    torch.manual_seed(0)
    model = transformers.LlavaForConditionalGeneration._from_config(
        config, attn_implementation="sdpa"
    )
    return model.eval().requires_grad_(False)


def make_processor(tokens: int) -> transformers.ProcessorMixin:
    """Its processor."""
    side = SIDES[tokens] * PATCH
    tokenizer = tiny_vlm_tokenizer("llava")
    return transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )


def lens(tokens: int, attention: str = "native") -> LensModel:
    """The same model as the package loads it."""
    return load_model(
        "random-llava",
        hf_model=make_model(tokens),
        processor=make_processor(tokens),
        attention=attention,
    )


def picture(seed: int) -> Image.Image:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def prompts_of(model: LensModel, pictures: int, each: int, tokens: int) -> list[Prompt]:
    """Prompts of so many tokens, several for each picture."""
    found = []
    for number in range(pictures):
        image = picture(number)
        for which in range(each):
            words = 0
            while True:
                question = Question(
                    id=f"{number}.{which}",
                    culture="Japan",
                    text=f"{which} What is it?" + " a" * words,
                    options=("tea", "rice", "bread", "milk"),
                    answer=0,
                    image=image,
                )
                (prompt,) = build_prompts([question], model.processor, progress=False)
                if len(prompt.ids) >= tokens:
                    break
                words += max(1, (tokens - len(prompt.ids)) // 3)
            found.append(prompt)
    return found


def forward_pass(name: str, tokens: int) -> Pass:
    """One of the forwards to compare."""
    model = lens(tokens, "eager" if name == "eager" else "native")
    batch = collate(prompts_of(model, 2, 1, tokens), model.pad_id)
    if name == "bare":
        hf = make_model(tokens)
        pixels = torch.cat(
            [model.processor.pixels(p.question.image)["pixel_values"] for p in batch.prompts]
        )
        del model

        @torch.inference_mode()
        def bare() -> None:
            hf(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                pixel_values=pixels,
                logits_to_keep=1,
                use_cache=False,
            )

        return bare
    prepared = {p.question.id: model.processor.pixels(p.question.image) for p in batch.prompts}
    images = {id(p.question.image): prepared[p.question.id] for p in batch.prompts}
    # As prepared as for bare; a frozen reader takes no assignment.
    object.__setattr__(model.processor, "pixels", lambda image: images[id(image)])

    def ours() -> None:
        model.vision.forget()
        item_statistics(model, batch, ["act"], (2, 3, 4), magnitudes=True)

    return ours


def masks_passes() -> tuple[dict[str, Pass], Callable[[], int]]:
    """Eight masks, two questions on each of four pictures; and how often the tower has run."""
    model = lens(1024)
    prompts = prompts_of(model, 4, 2, 1024)
    scoring = get_scoring("letter_options")
    masks = [
        (str(m), Neurons.of({"act": [(layer, 7 * m + layer) for layer in range(LAYERS)]}))
        for m in range(8)
    ]
    count = [0]

    def counted(*_: object) -> None:
        count[0] += 1

    model.bridge.original_model.model.vision_tower.register_forward_hook(counted)

    def alone() -> None:
        for _, neurons in masks:
            for prompt in prompts:
                model.vision.forget()
                with ablated(model, neurons):
                    scoring.answers(model, collate([prompt], model.pad_id))

    def ours() -> None:
        model.vision.forget()
        answer_masks(model, prompts, scoring, masks, running=Running(progress=False))

    return {"alone": alone, "ours": ours}, lambda: count[0]


def main() -> None:
    """Print the tables, or with ``--only`` the peak memory of one forward."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs=2, metavar=("PASS", "TOKENS"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.only:
        name, tokens = options.only
        run = forward_pass(name, int(tokens))
        run()
        print(peak_mib())
        return
    names = ("bare", "hooked", "eager")
    memory = {
        (name, tokens): peak_of("--only", name, str(tokens)) for tokens in SIDES for name in names
    }
    print("pass     tokens   seconds   of bare   peak MiB   of bare")
    for tokens in SIDES:
        times = take_turns({name: forward_pass(name, tokens) for name in names}, options.rounds)
        for name in names:
            print(
                f"{name:8} {tokens:6d}   {statistics.median(times[name]):7.2f}   "
                f"{ratio(times, name, 'bare'):7.3f}   {memory[name, tokens]:8.0f}   "
                f"{memory[name, tokens] / memory['bare', tokens]:7.3f}"
            )
    runs, tower = masks_passes()
    runs["ours"]()
    print(f"\n4 pictures, 8 questions, 8 masks: {tower()} runs of the tower in one pass of ours")
    times = take_turns(runs, max(1, options.rounds - 2))
    for name in runs:
        print(f"{name:8} {statistics.median(times[name]):7.2f} s")
    print(f"alone / ours {ratio(times, 'alone', 'ours'):.2f}")


if __name__ == "__main__":
    main()
