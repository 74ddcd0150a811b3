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
import random
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from culture_lens.attribution.gradients import GRADIENT_BATCH_SIZE, AttributionSums
from culture_lens.attribution.item_scores import gold_tokens, item_scores
from culture_lens.benchmarks import load_benchmark
from culture_lens.models.checkpoints import embedded_path
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Batch, Prompt, Role

SHAPES = {
    "llama-3.1-8b": dict(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
    "tiny": dict(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
}
OUR_SITES = ("mlp.gate_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
PUBLISHED_SITES = (*OUR_SITES, "mlp.up_proj")
Pass = Callable[[], None]


@dataclass
class Job:
    """What every pass works on."""

    options: argparse.Namespace
    tokenizer: Any
    prompts: list[Prompt]

    @cached_property
    def gold(self) -> dict[str, int]:
        """The right letter's token, by question id."""
        return gold_tokens(self.prompts, self.tokenizer)

    @cached_property
    def work(self) -> list[Batch]:
        """Batches sorted by length, as the package makes them."""
        return batches(self.prompts, self.options.batch_size, self.tokenizer.pad_token_id)

    @cached_property
    def in_order(self) -> list[Batch]:
        """Batches in the order of the questions, which the published procedure runs."""
        size, pad_id = self.options.batch_size, self.tokenizer.pad_token_id
        starts = range(0, len(self.prompts), size)
        return [collate(self.prompts[start : start + size], pad_id) for start in starts]

    def hf_model(self) -> Any:
        """The plain model, new each time."""
        dtype = getattr(torch, self.options.dtype)
        if not self.options.model_shape:
            model = AutoModelForCausalLM.from_pretrained(embedded_path("smollm2-135m"), dtype=dtype)
            return model.to(self.options.device).eval()
        shape = dict(SHAPES[self.options.model_shape])
        if self.options.layers:
            shape["num_hidden_layers"] = self.options.layers
        torch.manual_seed(0)
        with torch.device(self.options.device):
            return AutoModelForCausalLM.from_config(LlamaConfig(**shape), dtype=dtype).eval()

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Token ids and mask on the device."""
        device = self.options.device
        ids, mask = batch.input_ids.to(device), batch.attention_mask.to(device)
        return {"input_ids": ids, "attention_mask": mask, "use_cache": False}

    def p_gold(self, logits: Tensor, batch: Batch) -> Tensor:
        """Probability of each item's right letter after its last token."""
        gold = [self.gold[prompt.question.id] for prompt in batch.prompts]
        return logits[:, -1].float().softmax(-1)[range(len(gold)), gold]


def keep_outputs(model: Any, sites: tuple[str, ...], retain: bool) -> dict[tuple[str, int], Tensor]:
    """Hook the raw modules so that each forward leaves their outputs in the dictionary."""
    kept: dict[tuple[str, int], Tensor] = {}

    def hook(site: str, layer: int) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
            if retain:
                output.retain_grad()
            kept[site, layer] = output

        return keep

    for layer, block in enumerate(model.model.layers):
        for site in sites:
            block.get_submodule(site).register_forward_hook(hook(site, layer))
    return kept


def forward_pass(job: Job) -> Pass:
    """The plain model without gradients."""
    model = job.hf_model().requires_grad_(False)

    @torch.inference_mode()
    def run() -> None:
        for batch in job.work:
            model(**job.inputs(batch), logits_to_keep=1)

    return run


def bare_pass(job: Job) -> Pass:
    """The plain model forward and backward to the activations that are scored."""
    model = job.hf_model().requires_grad_(False)
    model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: out.requires_grad_())
    kept = keep_outputs(model, OUR_SITES, retain=False)

    def run() -> None:
        for batch in job.work:
            logits = model(**job.inputs(batch), logits_to_keep=1).logits
            torch.autograd.grad(job.p_gold(logits, batch).sum(), list(kept.values()))
            kept.clear()

    return run


def our_pass(job: Job) -> Pass:
    """The package's attribution."""
    name = job.options.model_shape or "smollm2-135m"
    model = load_model(name, hf_model=job.hf_model(), tokenizer=job.tokenizer)

    def run() -> None:
        sums = AttributionSums()
        for batch in job.work:
            sums.update(item_scores(model, batch, job.gold), batch.prompts)
        sums.scores({})

    return run


def default_pass(job: Job) -> Pass:
    """The package's attribution with its own batch size."""
    options = argparse.Namespace(**{**vars(job.options), "batch_size": GRADIENT_BATCH_SIZE})
    return our_pass(Job(options, job.tokenizer, job.prompts))


def published_pass(job: Job) -> Pass:
    """The published procedure's structure."""
    model = job.hf_model().train()
    kept = keep_outputs(model, PUBLISHED_SITES, retain=True)

    def run() -> None:
        sums: dict[tuple[str, int, int], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for batch in job.in_order:
            model.zero_grad()
            inputs = job.inputs(batch)
            p_gold = job.p_gold(model(**inputs).logits, batch)
            p_gold.sum().backward()
            padding = (inputs["attention_mask"] == 0)[..., None]
            for (site, layer), output in kept.items():
                scores = (output * output.grad).detach().masked_fill(padding, -torch.inf)
                items = (scores.amax(1) * p_gold.detach()[:, None]).cpu().tolist()
                for prompt, item in zip(batch.prompts, items, strict=True):
                    culture = prompt.question.culture
                    for neuron, score in enumerate(item):
                        sums[site, layer, neuron][culture] += score
            kept.clear()

    return run


PASSES: dict[str, Callable[[Job], Pass]] = {
    "forward": forward_pass,
    "bare": bare_pass,
    "ours": our_pass,
    "default": default_pass,
    "published": published_pass,
}


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


def timed(run: Pass, options: argparse.Namespace) -> float:
    """Seconds that a call takes."""
    clock = time.process_time if options.one_thread else time.perf_counter
    settle = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    settle()
    start = clock()
    run()
    settle()
    return clock() - start


def peak_mib(device: str) -> int:
    """Highest memory of this process so far: the allocator's on a GPU, else resident."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def random_ids(prompts: list[Prompt], tokens: int) -> list[Prompt]:
    """The same questions with random token ids, ``tokens`` long less up to a quarter."""
    draw = random.Random(0)
    made = []
    for prompt in prompts:
        length = draw.randint(max(1, tokens * 3 // 4), tokens)
        ids = tuple(draw.randrange(3, 49152) for _ in range(length))
        made.append(replace(prompt, ids=ids, roles=(int(Role.QUESTION),) * length))
    return made


def main() -> None:
    """Print the table, or with ``--only`` the peak memory of one pass."""
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
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.one_thread:
        torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(embedded_path("smollm2-135m"))
    questions = load_benchmark("countryrc", split="identify")[: options.items]
    prompts = build_prompts(questions, tokenizer)
    if options.model_shape:
        prompts = random_ids(prompts, options.tokens)
    job = Job(options, tokenizer, prompts)
    if options.only:
        PASSES[options.only](job)()
        print(peak_mib(options.device))
        return
    memory: dict[str, float] = {}
    for name in PASSES:  # first, while this process is small: a child counts its parent's peak
        command = [sys.executable, *sys.argv, "--only", name]
        repeats = 1 if name == "published" else 3
        peaks = [int(subprocess.check_output(command).split()[-1]) for _ in range(repeats)]
        memory[name] = statistics.median(peaks)
    needed = needed_operations(job)
    runs = {name: make(job) for name, make in PASSES.items()}
    runs["products"], counted = products(job)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(timed(run, options))

    def ratio(name: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))

    lengths = [len(prompt.ids) for prompt in job.prompts]
    padded = sum(batch.input_ids.numel() for batch in job.work)
    print(f"{len(lengths)} prompts, {sum(lengths)} tokens and {padded - sum(lengths)} of padding")
    print("pass       seconds   of bare   peak MiB   of bare")
    for name in PASSES:
        print(
            f"{name:9}  {statistics.median(times[name]):7.2f}   {ratio(name, 'bare'):7.3f}"
            f"   {memory[name]:8.0f}   {memory[name] / memory['bare']:7.3f}"
        )
    for name in ("ours", "default"):
        print(
            f"published takes {ratio('published', name):.2f} times the time of {name}, which takes "
            f"{memory[name] / memory['published']:.2f} of its memory"
        )
    speed = counted / statistics.median(times["products"])
    print(f"floor: {needed / 1e9:.0f} GFLOP at {speed / 1e9:.0f} GFLOP/s, {needed / speed:.2f} s")
    scale = counted / needed
    for name in ("bare", "ours"):
        print(f"{name} takes {ratio(name, 'products') * scale:.2f} times the floor")


if __name__ == "__main__":
    main()
