"""Ablation matrices on a GPU: a randomly initialised model of Llama-3.1-8B's shape.

    python speed/llama_shape.py --device cuda                  # many questions, few conditions
    python speed/llama_shape.py --device cuda --items 8 --conditions 31
    python speed/llama_shape.py --layers 2 --items 8 --dtype float32   # a try-out on a CPU

The configuration is written here and the weights are drawn on the device: nothing is downloaded.
Prompts are made of random tokens, with the lengths and the common beginnings of BLEnD's: a system
message, a question that several cultures share, the rest, and four options of one to four tokens.

``forward`` is bare Hugging Face with nothing ablated, nothing read and no padding: the most tokens
a second that its layers reach here. The loop is that of ``straightforward.py``. An answer is one
item under one condition. Tokens a second are those of full sequences, one per option, that a way
stands for; those in brackets are run. Times are of the wall, medians of rounds in turn.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from measure import ratio, take_turns
from straightforward import Mask, loop, settle
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from culture_lens.evaluation.evaluate import answer_masks
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.running import Running
from culture_lens.prompts.speed import Speed
from culture_lens.prompts.trees import prompt_trees
from culture_lens.questions.question import Question

VOCABULARY, WIDTH, NEURONS = 128_256, 4096, 14_336
SHARE = 0.005
"""Of all neurons, those of a mask."""
LOOP = "the straightforward loop"
STAGES = {
    "batches with hooks": (Speed(trees=False, fold=False, skip=False, together=1), 64),
    "trees with hooks": (Speed(fold=False, skip=False, together=1), None),
    "trees, masks as rows of a batch": (Speed(fold=False, skip=False, together=8), None),
    "trees, folded": (Speed(skip=False, together=1), None),
    "the default": (Speed(), None),
}


def make_model(layers: int, dtype: torch.dtype, device: str) -> Any:
    """A random model of the shape, made on the device."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=NEURONS,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131_072,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        architectures=["LlamaForCausalLM"],
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer, which a model must have; prompts here are made of ids."""
    words = {"<s>": 0, "</s>": 1, "<unk>": 2}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def make_prompts(items: int, cultures: int = 8) -> list[Prompt]:
    """Prompts of some 60 tokens: 24 that all share, 14 per question, 22 of their own."""
    draw = torch.Generator().manual_seed(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, VOCABULARY, (count,), generator=draw).tolist())

    system, prompts, stem = ids(24), [], ()
    for item in range(items):
        stem = ids(14) if item % cultures == 0 else stem
        lengths = torch.randint(1, 5, (4,), generator=draw).tolist()
        question = Question(
            id=str(item),
            culture=str(item % cultures),
            text="?",
            options=("a", "b", "c", "d"),
            answer=0,
        )
        own = system + stem + ids(22)
        prompts.append(
            Prompt(
                question,
                "",
                own,
                (int(Role.QUESTION),) * len(own),
                "cloze",
                continuations=tuple(ids(length) for length in lengths),
            )
        )
    return prompts


def make_masks(conditions: int, layers: int) -> list[Mask]:
    """The unmodified model, and random neurons in all layers."""
    draw = torch.Generator().manual_seed(1)
    masks: list[Mask] = [("unmodified", None)]
    for number in range(1, conditions):
        places = torch.randperm(layers * NEURONS, generator=draw)[: int(SHARE * layers * NEURONS)]
        pairs = [(place // NEURONS, place % NEURONS) for place in places.tolist()]
        masks.append((f"mask {number}", Neurons.of({"act": pairs})))
    return masks


def differing(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> int:
    """Count the decisions that differ."""
    return sum(a != b for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--conditions", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32, help="items of a batch of the loop")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device, dtype = options.device, getattr(torch, options.dtype)
    plain = make_model(options.layers, dtype, device)
    model = load_model(
        "llama-shape",
        hf_model=make_model(options.layers, dtype, device),
        tokenizer=make_tokenizer(),
        device=device,
        dtype=dtype,
    )
    prompts, masks = make_prompts(options.items), make_masks(options.conditions, options.layers)
    scoring = get_scoring("option_likelihood")
    full = sum(len(p.ids) + len(o) for p in prompts for o in p.continuations) * len(masks)
    in_trees = sum(len(tree.tokens) for tree in prompt_trees(prompts)) * len(masks)
    answers: dict[str, list[list[int]]] = {}

    @torch.inference_mode()
    def forward() -> None:
        plain(torch.full((64, 256), 5, device=device), use_cache=False, logits_to_keep=1)

    def straightforward() -> None:
        answers[LOOP] = loop(plain, prompts, masks, 1, {}, options.batch)

    def stage(name: str, speed: Speed, batch_size: int | None) -> Any:
        def run() -> None:
            how = Running(progress=False, speed=speed, batch_size=batch_size)
            frames = answer_masks(model, prompts, scoring, masks, running=how)
            answers[name] = [
                [list(row).index(max(row)) for row in frame["scores"]] for frame in frames
            ]

        return run

    runs = {"forward": forward, LOOP: straightforward}
    runs |= {name: stage(name, *how) for name, how in STAGES.items()}
    times = take_turns(runs, options.rounds, settle=lambda: settle(device))
    where = torch.cuda.get_device_name() if device == "cuda" else device
    print(
        f"{where}, {options.dtype}, {options.layers} layers: {len(prompts)} items, {len(masks)} "
        f"conditions; {full} tokens as full sequences, {in_trees} in trees"
    )
    print(f"forward: {64 * 256 / statistics.median(times['forward']):,.0f} tokens/s")
    print(f"{'':34} seconds  answers/s   tokens/s   (run/s)   loop / it   differ from the loop")
    for name in runs:
        if name == "forward":
            continue
        seconds = statistics.median(times[name])
        run = in_trees if "tree" in name or "default" in name else full
        print(
            f"{name:34} {seconds:7.2f}  {len(prompts) * len(masks) / seconds:9,.0f}  "
            f"{full / seconds:9,.0f}  ({run / seconds:,.0f})  {ratio(times, LOOP, name):9.2f}   "
            f"{differing(answers[LOOP], answers[name])} of {len(prompts) * len(masks)}"
        )
    if device == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
