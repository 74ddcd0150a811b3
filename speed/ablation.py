"""The ablation matrix beside the straightforward loop, stage by stage, and beside the floor.

    python speed/ablation.py                       # SmolLM2-135M on everyday
    python speed/ablation.py --dtype bfloat16
    python speed/ablation.py --pictures            # the organism, pictures, letters
    python speed/ablation.py --device cuda         # the same on a GPU

The straightforward loop is what one would write first: plain Hugging Face, a forward hook on every
output projection that sets the ablated inputs to zero, one condition at a time, items in batches
in file order, every option a full sequence, logits at every position, one number to the host per
option. Pictures are prepared once; the tower runs in every forward, as it does in Hugging Face.

Stages add one saving each to the stage before. All run the same items and conditions in one
process, in turn; a ratio is the median over rounds of the ratio within a round, of the process's
CPU time (on a GPU of wall time). The decisions of every stage are compared with those of the loop,
which runs in float32 (and once more in the other dtype where one is asked for).

The floor is the number of operations that no exact method avoids (every different beginning once
through every layer from its condition's first ablated one, the head where a logit is read, and
attention to ancestors alone), at the rate of the machine's matrix products of like size, measured
here.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from measure import Pass, ratio, take_turns
from straightforward import Mask, clock, loop, matmul_rate, settle

from culture_lens.benchmarks import load_benchmark
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.masks import RandomMasks, found_and_random, labelled
from culture_lens.models.checkpoints import embedded_path
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running
from culture_lens.prompts.speed import Speed
from culture_lens.prompts.trees import options_of, prompt_trees
from culture_lens.questions.splits import at_most, split_questions
from culture_lens.selectors import select

BARE = Speed(trees=False, fold=False, skip=False, together=1)
STAGES = {
    "batches, options after one context": BARE,
    "prompt trees": Speed(fold=False, skip=False, together=1),
    "and zero in the weights": Speed(skip=False, together=1),
    "and layers below once (the default)": Speed(),
}
LOOP = "the straightforward loop"


def plain_model(name: str, dtype: torch.dtype, device: str) -> Any:
    """The plain Hugging Face model."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind = AutoModelForImageTextToText if name == "organism" else AutoModelForCausalLM
    model = kind.from_pretrained(embedded_path(name), dtype=dtype).to(device)
    return model.eval().requires_grad_(False)


def conditions(model: LensModel, count: int) -> tuple[list[Prompt], Any, list[Mask]]:
    """The demonstration: ConAct's neurons and one random set, on the half that evaluates."""
    organism = model.name == "organism"
    questions = load_benchmark("organism", pictures=1) if organism else load_benchmark("everyday")
    identify, evaluate = split_questions(questions)
    summary = summarise(model, identify, progress=False)
    found = select(summary, "conact", share=0.02 if organism else 0.005)
    masks = labelled(found_and_random(model, found, RandomMasks(1)))
    step = max(1, (len(masks) - 1) // max(count - 1, 1))
    masks = [masks[0], *masks[1::step][: count - 1]]
    return evaluate, "letter" if organism else None, masks


def floor_operations(hf_model: Any, prompts: Sequence[Prompt], masks: Sequence[Mask]) -> float:
    """Operations that no exact method avoids; see above. Embeddings and the tower are left out."""
    config = hf_model.config.get_text_config()
    tree = prompt_trees(prompts, row_tokens=2**62)[0]
    layers = config.num_hidden_layers
    blocks = sum(
        p.numel()
        for n, p in hf_model.named_parameters()
        if ".layers." in n and "vision" not in n and p.ndim == 2
    )
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    ancestors = sum(depth + 1 for depth in tree.depths)
    of_layer = (2 * len(tree.tokens) * blocks / layers) + 4 * width * ancestors
    head = 2 * len(tree.read) * config.hidden_size * config.vocab_size
    firsts = [
        0 if neurons is None else int(neurons.places["act"][:, 0].min()) for _, neurons in masks
    ]
    return sum((layers - first) * of_layer + head for first in firsts)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--scoring")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--conditions", type=int, default=3)
    parser.add_argument("--batch", type=int, default=0, help="items of a batch of the loop")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def prepared(model: LensModel, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Prepare the pictures, for the package too."""
    pixels = {
        str(p.question.image.key): model.processor.pixels(p.question.image)["pixel_values"]
        for p in prompts
        if p.question.image is not None
    }
    if pixels:  # a frozen reader takes no assignment
        held = {key: {"pixel_values": of_one} for key, of_one in pixels.items()}
        object.__setattr__(model.processor, "pixels", lambda image: held[str(image.key)])
    return pixels


def ways(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Any,
    masks: Sequence[Mask],
    loops: Mapping[str, Any],
    pixels: Mapping[str, Any],
    size: int,
    answers: dict[str, list[list[int]]],
) -> dict[str, Pass]:
    """Make the passes to compare; each leaves the options that it chose in ``answers``."""

    def straightforward(name: str, hf_model: Any) -> Pass:
        def run() -> None:
            answers[name] = loop(hf_model, prompts, masks, model.pad_id, pixels, size)

        return run

    def stage(name: str, speed: Speed) -> Pass:
        def run() -> None:
            model.vision.forget()  # the tower's work is part of every stage
            rows = None if speed.trees else 32
            running = Running(progress=False, speed=speed, batch_size=rows)
            frames = answer_masks(model, prompts, scoring, masks, running=running)
            scores = [frame["scores"] for frame in frames]
            answers[name] = [[row.index(max(row)) for row in held] for held in scores]

        return run

    runs = {name: straightforward(name, hf_model) for name, hf_model in loops.items()}
    return runs | {name: stage(name, speed) for name, speed in STAGES.items()}


def main() -> None:
    """Print the table."""
    options = arguments()
    warnings.simplefilter("ignore")
    dtype, device = getattr(torch, options.dtype), options.device
    name = "organism" if options.pictures else "smollm2-135m"
    model = load_model(name, dtype=dtype, device=device)
    questions, scoring, masks = conditions(model, options.conditions)
    per_culture = -(-options.items // len({q.culture for q in questions}))
    questions = at_most(questions, per_culture)[: options.items] if options.items else questions
    quiet = Running(progress=False)
    prompts, chosen = prepare(model, questions, options.scoring or scoring, quiet)
    loops = {LOOP: plain_model(name, torch.float32, device)}
    if dtype != torch.float32:
        loops[f"the same in {options.dtype}"] = plain_model(name, dtype, device)
    answers: dict[str, list[list[int]]] = {}
    size = options.batch or (64 if options.pictures else 4)
    how = chosen, masks, loops, prepared(model, prompts), size
    warm = ways(model, list(prompts)[:4], *how, {})  # a whole loop takes minutes
    runs = ways(model, prompts, *how, answers)
    last = list(loops.values())[-1]
    rate = matmul_rate(last, dtype, device)
    times = take_turns(runs, options.rounds, clock(device), lambda: settle(device), warm)
    floor = floor_operations(last, prompts, masks) / rate
    tokens = sum(len(p.ids) + len(o) for p in prompts for o in options_of(p))
    firsts = [int(n.places["act"][:, 0].min()) for _, n in masks if n is not None]
    print(
        f"{name}, {options.dtype}, {device}: {len(prompts)} items, {len(masks)} conditions, "
        f"{tokens} tokens as full sequences, {torch.get_num_threads()} threads, first ablated "
        f"layers {firsts}\n{rate / 1e9:.0f} GFLOP/s in matrix products; the floor is {floor:.2f} s"
    )
    print(f"{'':38} seconds   loop / it   it / floor   decisions that differ")
    for way in runs:
        pairs = zip(sum(answers[LOOP], []), sum(answers[way], []), strict=True)
        seconds = statistics.median(times[way])
        print(
            f"{way:38} {seconds:7.2f}   {ratio(times, LOOP, way):9.2f}   {seconds / floor:10.2f}   "
            f"{sum(a != b for a, b in pairs)} of {len(prompts) * len(masks)}"
        )


if __name__ == "__main__":
    main()
