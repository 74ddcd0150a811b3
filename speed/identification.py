"""Time and memory of the identification pass, beside a bare Hugging Face forward.

    python speed/identification.py

Both run the same batches of the bundled questions through SmolLM2-135M. ``bare`` is the plain
model with ``logits_to_keep=1``; ``whole`` is our pass over whole prompts, ``counts`` with counts
only and ``shared`` as it is by default, where template tokens that all prompts begin with are run
once. Times are taken in turn within one process; the ratio is the median over rounds of the ratio
within a round. Peak memory is that of a process of its own for each, the median of three.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable

import torch
from measure import peak_mib, peak_of, ratio, take_turns
from transformers import AutoModelForCausalLM, AutoTokenizer

from culture_lens.activations.record import item_statistics, record_activations
from culture_lens.activations.statistics import ActivationStatistics
from culture_lens.benchmarks import load_benchmark
from culture_lens.models.checkpoints import embedded_path
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import batches
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES, Prompt

BATCH_SIZE = 16


def bare_pass(prompts: list[Prompt], pad_id: int) -> Callable[[], None]:
    """The plain model on the same batches."""
    model = AutoModelForCausalLM.from_pretrained(embedded_path("smollm2-135m"), dtype=torch.float32)
    model.eval().requires_grad_(False)
    work = batches(prompts, BATCH_SIZE, pad_id)

    @torch.inference_mode()
    def run() -> None:
        for batch in work:
            model(batch.input_ids, attention_mask=batch.attention_mask, logits_to_keep=1)

    return run


def our_pass(prompts: list[Prompt]) -> Callable[[], None]:
    """The identification pass."""
    model = load_model("smollm2-135m")

    def run() -> None:
        record_activations(model, prompts, batch_size=BATCH_SIZE, progress=False)

    return run


def whole_pass(prompts: list[Prompt], magnitudes: bool) -> Callable[[], None]:
    """The same where nothing is shared."""
    model = load_model("smollm2-135m")
    work = batches(prompts, BATCH_SIZE, model.pad_id)

    def run() -> None:
        statistics = ActivationStatistics()
        for batch in work:
            rows = item_statistics(model, batch, ["act"], CONTENT_ROLES, magnitudes)
            statistics.update(rows, [prompt.question.culture for prompt in batch.prompts])

    return run


def passes(prompts: list[Prompt], pad_id: int) -> dict[str, Callable[[], Callable[[], None]]]:
    """Every pass by name, made when called."""
    return {
        "bare": lambda: bare_pass(prompts, pad_id),
        "whole": lambda: whole_pass(prompts, magnitudes=True),
        "counts": lambda: whole_pass(prompts, magnitudes=False),
        "shared": lambda: our_pass(prompts),
    }


def main() -> None:
    """Print the table, or with ``--only`` the peak memory of one pass."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tokenizer = AutoTokenizer.from_pretrained(embedded_path("smollm2-135m"))
    prompts = build_prompts(load_benchmark("everyday")[: options.items], tokenizer)
    known = passes(prompts, tokenizer.pad_token_id)
    if options.only:
        known[options.only]()()
        print(peak_mib())
        return
    memory = {name: peak_of("--only", name) for name in known}
    times = take_turns({name: make() for name, make in known.items()}, options.rounds)
    print(f"{len(prompts)} prompts, {sum(len(p.ids) for p in prompts)} tokens, rounds of each")
    print("pass      seconds   of bare   peak MiB   of bare")
    for name in known:
        print(
            f"{name:8}  {statistics.median(times[name]):7.2f}   {ratio(times, name, 'bare'):7.3f}"
            f"   {memory[name]:8.0f}   {memory[name] / memory['bare']:7.3f}"
        )


if __name__ == "__main__":
    main()
