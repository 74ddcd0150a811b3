"""The passes that ``attribution.py`` times: plain, bare, ours, and the published structure."""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from measure import Pass
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from culture_lens.attribution.item_scores import item_scores
from culture_lens.attribution.sums import AttributionSums
from culture_lens.models.checkpoints import embedded_path
from culture_lens.models.load import load_model
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.prompts.running import BATCH_SIZE

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


@dataclass
class Job:
    """What every pass works on."""

    options: argparse.Namespace
    tokenizer: Any
    prompts: list[Prompt]

    @cached_property
    def gold(self) -> dict[str, int]:
        """The right letter's token, by question id."""
        labels = labelled(self.prompts, self.tokenizer)
        return {p.question.id: p.labels[p.question.answer] for p in labels}

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
            sums.update(item_scores(model, batch), batch.prompts)
        sums.scores({})

    return run


def default_pass(job: Job) -> Pass:
    """The package's attribution with its own batch size."""
    options = argparse.Namespace(**{**vars(job.options), "batch_size": BATCH_SIZE})
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


def random_ids(prompts: list[Prompt], tokens: int) -> list[Prompt]:
    """The same questions with random token ids, ``tokens`` long less up to a quarter."""
    draw = random.Random(0)
    made = []
    for prompt in prompts:
        length = draw.randint(max(1, tokens * 3 // 4), tokens)
        ids = tuple(draw.randrange(3, 49152) for _ in range(length))
        made.append(replace(prompt, ids=ids, roles=(int(Role.QUESTION),) * length))
    return made
