"""Time and memory of gradient attribution, beside a bare backward pass and the published way.

    python speed/attribution.py
    python speed/attribution.py --one-thread
    python speed/attribution.py --model-shape llama-3.1-8b --device cuda --dtype bfloat16

All run the bundled CountryRC questions, one of the three scorings of CULNIG, through SmolLM2-135M,
or random tokens through a random model of a larger one's shape. ``forward`` is the plain model with
``logits_to_keep=1`` and no gradients; ``bare`` is the plain model, its parameters frozen, forward
and backward to the outputs of gate, q, k and v and nothing else; ``ours`` is our pass.
``published`` is written after the structure of the published procedure (CULNIG, arXiv 2510.08284):
batches of 16 in the order of the questions, every parameter takes gradients, logits at all
positions, five projections retain theirs, and scores are summed as Python floats, item by item and
neuron by neuron. The others run batches sorted by length, of 16 as well; ``default`` is ours with
the package's own batch size. Prompts and gold tokens are made before, for all, and nothing is
written.

Times are taken in turn within one process; a ratio is the median over rounds of the ratio within a
round. Peak memory is that of a process of its own for each, the median of three, one for
``published``; on a GPU it is the allocator's. ``--one-thread`` counts processor time of one thread
instead of seconds, for a machine that others use at the same time.

The floor is the time that the needed operations would take in matrix products alone, whose speed
is measured in every round with the model's own weights. Needed are, without padding:
- per token forward 2 operations for every weight of the layers' products,
- backward the same, less q, k and v of layer 0, behind which nothing is scored,
- for attention's products 2 T^2 a layer and unit of q forward (causal: half of two products) and
  4 T^2 backward,
- at the last position of each item 2 operations for every weight of the head, and as many back.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch
from attribution_passes import PASSES, SHAPES, Job, random_ids
from measure import Pass, peak_mib, peak_of, ratio, take_turns
from transformers import AutoTokenizer

from culture_lens.benchmarks import load_benchmark
from culture_lens.models.checkpoints import embedded_path
from culture_lens.prompts.build import build_prompts


def products(job: Job) -> tuple[Pass, float]:
    """One batch's matrix products with the model's weights, there and back, and its operations."""
    layers = job.hf_model().requires_grad_(False).model.layers
    weights = [m.weight for m in layers.modules() if isinstance(m, torch.nn.Linear)]
    rows = job.work[len(job.work) // 2].input_ids.numel()
    widths = {width for weight in weights for width in weight.shape}
    inputs = {width: weights[0].new_empty(rows, width).normal_() for width in widths}
    outputs = {width: torch.empty_like(values) for width, values in inputs.items()}

    @torch.inference_mode()
    def run() -> None:
        for weight in weights:
            wide, narrow = weight.shape
            torch.mm(inputs[narrow], weight.T, out=outputs[wide])
            torch.mm(inputs[wide], weight, out=outputs[narrow])

    return run, 4.0 * rows * sum(weight.numel() for weight in weights)


def needed_operations(job: Job) -> float:
    """Operations that attribution needs, as the docstring of this file counts them."""
    model = job.hf_model()
    layers = model.model.layers
    every = sum(m.weight.numel() for m in layers.modules() if isinstance(m, torch.nn.Linear))
    first = layers[0].self_attn
    unscored = sum(m.weight.numel() for m in (first.q_proj, first.k_proj, first.v_proj))
    lengths = [len(prompt.ids) for prompt in job.prompts]
    attention = 6.0 * len(layers) * first.q_proj.out_features * sum(n * n for n in lengths)
    head = 4.0 * len(lengths) * model.lm_head.weight.numel()
    return 2.0 * sum(lengths) * (2 * every - unscored) + attention + head


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-thread", action="store_true", help="count processor time")
    parser.add_argument("--only", choices=PASSES, help="print the peak memory of one pass")
    parser.add_argument("--model-shape", choices=SHAPES, help="a random model instead of SmolLM2")
    parser.add_argument("--layers", type=int, help="layers of the random model")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of its random prompts")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def make_job(options: argparse.Namespace) -> Job:
    """Make the prompts that every pass runs."""
    tokenizer = AutoTokenizer.from_pretrained(embedded_path("smollm2-135m"))
    questions = load_benchmark("countryrc", split="identify")[: options.items]
    prompts = build_prompts(questions, tokenizer)
    if options.model_shape:
        prompts = random_ids(prompts, options.tokens)
    return Job(options, tokenizer, prompts)


def main() -> None:
    """Print the table, or with ``--only`` the peak memory of one pass."""
    options = read_options()
    warnings.simplefilter("ignore")
    if options.one_thread:
        torch.set_num_threads(1)
    job = make_job(options)
    cuda = options.device == "cuda"
    if options.only:
        PASSES[options.only](job)()
        print(torch.cuda.max_memory_allocated() >> 20 if cuda else peak_mib())
        return
    memory = {
        name: peak_of("--only", name, repeats=1 if name == "published" else 3) for name in PASSES
    }
    needed = needed_operations(job)
    runs = {name: make(job) for name, make in PASSES.items()}
    runs["products"], counted = products(job)
    times = take_turns(
        runs,
        options.rounds,
        time.process_time if options.one_thread else time.perf_counter,
        torch.cuda.synchronize if cuda else lambda: None,
    )
    lengths = [len(prompt.ids) for prompt in job.prompts]
    padded = sum(batch.input_ids.numel() for batch in job.work)
    print(f"{len(lengths)} prompts, {sum(lengths)} tokens and {padded - sum(lengths)} of padding")
    print("pass       seconds   of bare   peak MiB   of bare")
    for name in PASSES:
        print(
            f"{name:9}  {statistics.median(times[name]):7.2f}   {ratio(times, name, 'bare'):7.3f}"
            f"   {memory[name]:8.0f}   {memory[name] / memory['bare']:7.3f}"
        )
    for name in ("ours", "default"):
        print(
            f"published takes {ratio(times, 'published', name):.2f} times the time of {name}, "
            f"which takes {memory[name] / memory['published']:.2f} of its memory"
        )
    speed = counted / statistics.median(times["products"])
    print(f"floor: {needed / 1e9:.0f} GFLOP at {speed / 1e9:.0f} GFLOP/s, {needed / speed:.2f} s")
    scale = counted / needed
    for name in ("bare", "ours"):
        print(f"{name} takes {ratio(times, name, 'products') * scale:.2f} times the floor")


if __name__ == "__main__":
    main()
