"""Every supported architecture against plain Hugging Face, measured, and the table of it.

    python -m tests.helpers.architecture_table

prints the table of docs/models.md, made of what is measured here. For each architecture a tiny
checkpoint with its real classes is asked the toy questions, left-padded in one batch; those that
read images get pictures with most of them. All in float32, but T5 and mT5 in float64: their
attention is not scaled, and in float32 the raw model is itself 3e-6 away from float64.

* logits, edits (two neurons of every layer set to 0, at each site in turn), gradients: the largest
  difference from the raw model, one unpadded item at a time, over the largest value; the raw model
  runs an item's edits as rows of one batch;
* counts: neurons, at each site, whose number of positive tokens differs on some item by
  more than the tokens on which the raw value is nothing but rounding, within 1e-5 of the largest;
* alone: the same item alone and in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from culture_lens.activations.record import item_statistics
from culture_lens.attribution.item_scores import item_scores
from culture_lens.interventions.hooks import ablated
from culture_lens.models.architectures import ARCHITECTURES, Architecture
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import on_encoder, part_of
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES, Batch, Prompt, Role
from culture_lens.prompts.tokens import adds_bos
from tests.helpers import (
    lm,
    questions,
    reference,
    reference_culnig,
    reference_t5,
    reference_vlm,
    t5,
)
from tests.helpers import vlm as vlm_helpers
from tests.helpers.closeness import relative
from tests.helpers.gold import gold_tokens

PARTS = ("act", "gate", "up", "q", "k", "v")
BOUND = 1e-5
GRADIENT_BOUND = 1e-4
"""In float32 both sides round; other tests hold gradients in float64 to 1e-8 and better."""


@dataclass(frozen=True)
class Case:
    """One architecture: the model, its prompts, and what the raw model gives for each of them."""

    model: LensModel
    prompts: Sequence[Prompt]
    logits: Callable[[Prompt], torch.Tensor]
    values: Callable[[Sequence[str], Prompt], dict[str, Any]]
    edited: Callable[[Sequence[str], Prompt], torch.Tensor]  # site vocab
    gradients: Callable[[Sequence[str], Prompt, int], dict[str, Any]]


def pairs(model: LensModel, site: str) -> list[tuple[int, int]]:
    """Two neurons of every layer."""
    return [(layer, index) for layer in range(model.layers(site)) for index in (1, 5)]


def text_case(name: str) -> Case:
    model, hf = lm.lens(name), lm.raw(name)

    def logits(prompt: Prompt) -> torch.Tensor:
        with torch.no_grad():
            return hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1]

    def edited(sites: Sequence[str], prompt: Prompt) -> torch.Tensor:
        def zero(row: int, columns: slice) -> Callable:
            def hook(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
                output = output.clone()
                output[row][..., columns][..., [1, 5]] = 0
                return output

            return hook

        handles = []
        for row, site in enumerate(sites):
            for layer in reference.decoder_layers(hf):
                module, columns = reference.site_module(hf, layer, site)
                handles.append(module.register_forward_hook(zero(row, columns)))
        try:
            with torch.no_grad():
                return hf(input_ids=torch.tensor([prompt.ids] * len(sites))).logits[:, -1]
        finally:
            for handle in handles:
                handle.remove()

    return Case(
        model,
        build_prompts(questions.toy_questions(), model.processor),
        logits,
        lambda sites, prompt: reference.values_at_sites(hf, sites, prompt.ids),
        edited,
        lambda sites, prompt, gold: reference_culnig.item_scores(hf, prompt.ids, gold, sites)[1],
    )


def image_case(name: str) -> Case:
    model, hf = vlm_helpers.lens(name), vlm_helpers.raw(name)
    asked = vlm_helpers.pictured_questions()
    inputs = {question.id: vlm_helpers.native(name, question) for question in asked}

    def item(prompt: Prompt) -> reference_vlm.Item:
        return inputs[prompt.question.id]

    return Case(
        model,
        build_prompts(asked, model.processor),
        lambda prompt: reference_vlm.vlm_logits(hf, item(prompt)),
        lambda sites, prompt: reference_vlm.vlm_values(hf, sites, item(prompt)),
        lambda sites, prompt: reference_vlm.vlm_edited_rows(
            hf, item(prompt), [{site: dict.fromkeys(pairs(model, site), 0.0)} for site in sites]
        ),
        lambda sites, prompt, gold: reference_vlm.vlm_attributions(hf, item(prompt), gold, sites),
    )


def encoder_decoder_case(family: str) -> Case:
    model, hf = t5.lens(family, torch.float64), t5.raw(family, torch.float64)

    def gradients(sites: Sequence[str], prompt: Prompt, gold: int) -> dict[str, np.ndarray]:
        products, p = reference_t5.attribution(hf, sites, prompt.ids, prompt.decoder_ids, gold)
        return {site: (p * values.double().amax(1)).numpy() for site, values in products.items()}

    def edited(sites: Sequence[str], prompt: Prompt) -> torch.Tensor:
        rows = [
            ({(site, layer): [1, 5] for layer in range(model.layers(site))}, zeros)
            for site in sites
        ]
        return reference_t5.edited_rows(hf, prompt.ids, prompt.decoder_ids, rows)[:, -1]

    def zeros(layer: int, values: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(values)

    return Case(
        model,
        t5.prompts_of(model),
        lambda prompt: reference_t5.logits(hf, prompt.ids, prompt.decoder_ids)[-1].detach(),
        lambda sites, prompt: reference_t5.values_at_sites(
            hf, sites, prompt.ids, prompt.decoder_ids
        ),
        edited,
        gradients,
    )


CASES: dict[str, tuple[Callable[[str], Case], tuple[str, ...]]] = {
    "LlamaForCausalLM": (text_case, ("llama",)),
    "MistralForCausalLM": (text_case, ("mistral",)),
    "Qwen2ForCausalLM": (text_case, ("qwen2",)),
    "Qwen3ForCausalLM": (text_case, ("qwen3",)),
    "Gemma3ForCausalLM": (text_case, ("gemma3",)),
    "Phi3ForCausalLM": (text_case, ("phi3",)),
    "GPT2LMHeadModel": (text_case, ("gpt2",)),
    "LlavaForConditionalGeneration": (image_case, ("llava",)),
    "LlavaNextForConditionalGeneration": (
        image_case,
        ("llava_next_mistral", "llava_next_qwen2"),
    ),
    "LlavaOnevisionForConditionalGeneration": (image_case, ("llava_onevision",)),
    "Qwen2_5_VLForConditionalGeneration": (image_case, ("qwen2_5_vl",)),
    "Gemma3ForConditionalGeneration": (image_case, ("gemma3", "gemma3_wide")),
    "Idefics3ForConditionalGeneration": (image_case, ("idefics3",)),
    "SmolVLMForConditionalGeneration": (image_case, ("smolvlm",)),
    "T5ForConditionalGeneration": (encoder_decoder_case, ("t5", "flan")),
    "MT5ForConditionalGeneration": (encoder_decoder_case, ("mt5",)),
}
"""Class -> how to make its case, and the checkpoints of it."""


@dataclass(frozen=True)
class Measured:
    """What came out for one checkpoint; distances are relative."""

    logits: float
    miscounted: int
    neurons: int
    edits: float
    gradients: float
    alone: float
    one_bos: bool
    one_label: bool
    images_right: bool


def one_bos(model: LensModel, prompt: Prompt) -> bool:
    """One BOS at the start where the model has one, none where not; one EOS of an encoder."""
    if prompt.decoder_ids:
        eos = model.tokenizer.eos_token_id
        return prompt.ids.count(eos) == 1 and prompt.ids[-1] == eos
    bos = model.tokenizer.bos_token_id
    template = model.processor.chat_template or ""
    if bos is None or not (adds_bos(model.tokenizer) or "bos_token" in template):
        return bos not in prompt.ids
    return prompt.ids[0] == bos and prompt.ids.count(bos) == 1


def images_right(case: Case, prompt: Prompt) -> bool:
    """The role IMAGE exactly where the raw model looks for a picture."""
    config = case.model.bridge.original_model.config
    token = getattr(config, "image_token_id", None)
    return all((i == token) == (r == Role.IMAGE) for i, r in zip(prompt.ids, prompt.roles))


def counts_at(model: LensModel, batch: Batch, sites: Sequence[str]) -> dict[str, torch.Tensor]:
    """Count positive tokens at sites, those of an encoder and of a decoder in a pass each."""
    sides = [[s for s in sites if on_encoder(s) == side] for side in (True, False)]
    found = {}
    for side in filter(None, sides):
        found |= item_statistics(model, batch, side, CONTENT_ROLES, False).counts
    return found


def measure(case: Case) -> Measured:
    """Hold one checkpoint against its raw model."""
    model, prompts = case.model, list(case.prompts)
    batch = collate(prompts, model.pad_id)
    found = model.logits(batch)
    expected = torch.stack([case.logits(prompt) for prompt in prompts])
    alone = torch.cat([model.logits(collate([prompt], model.pad_id)) for prompt in prompts])
    gold = gold_tokens(prompts, model.processor)
    miscounted = neurons = 0
    edits, gradients = [], []
    sites = [site for site in model.sites if part_of(site) in PARTS]
    attributed = [site for site in sites if part_of(site) != "act"]
    held = [case.values(sites, prompt) for prompt in prompts]
    targets = [case.gradients(attributed, p, gold[p.question.id]) for p in prompts]
    by_site = torch.stack([case.edited(sites, prompt) for prompt in prompts], 1)
    edited = dict(zip(sites, by_site, strict=True))
    counts = counts_at(model, batch, sites)
    scores = item_scores(model, batch, attributed).scores
    for site in sites:
        decoder = bool(prompts[0].decoder_ids) and not on_encoder(site)
        rows = counts[site].numpy()
        wrong = np.zeros(rows.shape[1:], dtype=bool)
        for of_model, prompt, of_prompt in zip(rows, prompts, held, strict=True):
            values = np.asarray(of_prompt[site])
            counted = [-1] if decoder else [r in CONTENT_ROLES for r in prompt.roles]
            values, rounding = values[:, np.array(counted)], BOUND * np.abs(values).max()
            least, most = ((values > bound).sum(1) for bound in (rounding, -rounding))
            wrong |= (of_model < least) | (of_model > most)
        miscounted += int(wrong.sum())
        neurons += wrong.size
        with ablated(model, Neurons.of({site: pairs(model, site)})):
            edits.append(relative(model.logits(batch), edited[site]))
        if site in attributed:
            its = np.stack([target[site] for target in targets])
            gradients.append(relative(scores[site], its))
    return Measured(
        logits=relative(found, expected),
        miscounted=miscounted,
        neurons=neurons,
        edits=max(edits),
        gradients=max(gradients),
        alone=relative(found, alone),
        one_bos=all(one_bos(model, prompt) for prompt in prompts),
        one_label=all(
            len(label_ids(p, model.processor)) == len(p.question.labels) for p in prompts
        ),
        images_right=all(images_right(case, prompt) for prompt in prompts),
    )


def row(architecture: Architecture, every: Sequence[Measured]) -> str:
    """Write one architecture's row: the bound that is held, or what was measured beyond it."""

    def within(*values: float, bound: float = BOUND) -> str:
        worst = max(values)
        return f"≤ {bound:.0e}" if worst <= bound else f"{worst:.0e}"

    miscounted, neurons = (sum(getattr(m, n) for m in every) for n in ("miscounted", "neurons"))
    holds = all(m.one_bos and m.one_label for m in every)
    pictures = "yes" if all(m.images_right for m in every) else "no"
    cells = [
        f"`{architecture.name}`",
        architecture.examples,
        within(*(m.logits for m in every)),
        f"{neurons - miscounted} of {neurons}",
        within(*(m.edits for m in every)),
        within(*(m.gradients for m in every), bound=GRADIENT_BOUND),
        within(*(m.alone for m in every)),
        "yes" if holds else "no",
        pictures if "images" in architecture.reads else "",
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| architecture | examples | logits | equal counts | edits | gradients | alone or in a batch "
    "| one BOS, one label | image positions |\n|---|---|---|---|---|---|---|---|---|"
)


def table() -> str:
    """Measure every architecture and write the table."""
    rows = []
    for architecture in ARCHITECTURES:
        make, names = CASES[architecture.name]
        rows.append(row(architecture, [measure(make(name)) for name in names]))
    return "\n".join([HEAD, *rows])


if __name__ == "__main__":
    print(table())
