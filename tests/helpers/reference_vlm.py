"""An independent reference for vision-language models, in plain PyTorch.

In the manner of tests/helpers/reference.py: raw Hugging Face models and processors, forward hooks
on the modules of the text stack, one unpadded item at a time. Imports nothing of the package and
no TransformerLens. An item is the dictionary that `processed` makes; everything in it goes to the
model. Sites, all with heads flattened, are those of tests/helpers/reference.py and

    post  what enters down_proj: act(gate) * up
    z     what enters o_proj
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.helpers.reference import site_module

Item = dict[str, torch.Tensor]
Edits = dict[str, dict[tuple[int, int], float]]  # site -> (layer, index) -> value
ENTERED = {"post": ("mlp", "down_proj"), "z": ("self_attn", "o_proj")}  # read at the input


def text_layers(hf: nn.Module) -> list[nn.Module]:
    """The layers of the language model, not those of the vision tower."""
    inner = hf.model
    stack = inner.text_model if hasattr(inner, "text_model") else inner.language_model
    return list(stack.layers)


def processed(processor, text: str, picture: Image.Image | None = None) -> Item:
    """One item as the processor makes it; `text` is a chat template's, with one image mark or none.

    BOS is added only where the template has not written it, as `apply_chat_template` does.
    """
    bos = processor.tokenizer.bos_token
    written = bos is not None and text.startswith(bos)
    images = None if picture is None else [[picture]]
    return dict(
        processor(images=images, text=[text], return_tensors="pt", add_special_tokens=not written)
    )


def image_positions(hf: nn.Module, inputs: Item) -> torch.Tensor:
    """Which positions hold the picture: bool, shaped as input_ids."""
    return inputs["input_ids"] == hf.config.image_token_id


@contextmanager
def at_site(hf: nn.Module, site: str, function: Callable) -> Iterator[None]:
    """Call `function(layer, values)` at the site of every text layer; what it returns replaces."""

    def leaving(layer):
        return lambda module, args, output: function(layer, output)

    def entering(layer):
        return lambda module, args: function(layer, args[0])

    handles = []
    for i, layer in enumerate(text_layers(hf)):
        if site in ENTERED:
            part, name = ENTERED[site]
            module = getattr(getattr(layer, part), name)
            handles.append(module.register_forward_pre_hook(entering(i)))
        else:
            module, _ = site_module(hf, layer, site)
            handles.append(module.register_forward_hook(leaving(i)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def vlm_logits(hf: nn.Module, inputs: Item) -> torch.Tensor:
    """The logits after the last position: [vocabulary]."""
    with torch.no_grad():
        return hf(**inputs).logits[0, -1]


@contextmanager
def seen_at(hf: nn.Module, sites: Sequence[str]) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Give what several sites hold in one forward: site -> the values of each layer, in order."""
    seen = {site: {} for site in sites}
    in_order = {site: [] for site in sites}
    with ExitStack() as stack:
        for site in sites:
            stack.enter_context(at_site(hf, site, seen[site].__setitem__))
        yield in_order
    for site, values in seen.items():
        in_order[site] += [values[layer] for layer in range(len(text_layers(hf)))]


def vlm_site_values(hf: nn.Module, site: str, inputs: Item) -> np.ndarray:
    """Values at a site of the text stack: float64 [layer, pos, neuron]."""
    return vlm_values(hf, [site], inputs)[site]


def vlm_values(hf: nn.Module, sites: Sequence[str], inputs: Item) -> dict[str, np.ndarray]:
    """`vlm_site_values` of several sites, in one forward."""
    with seen_at(hf, sites) as seen:
        vlm_logits(hf, inputs)
    return {
        site: torch.stack([x.detach()[0].double() for x in values]).numpy()
        for site, values in seen.items()
    }


def vlm_edited_logits(hf: nn.Module, inputs: Item, edits: Edits) -> torch.Tensor:
    """`vlm_logits` with each neuron set to its value at every position, the picture's included."""
    if not edits:
        return vlm_logits(hf, inputs)
    site, neurons = next(iter(edits.items()))

    def edit(layer, x):
        x = x.clone()
        for (at, index), value in neurons.items():
            if at == layer:
                x[..., index] = value
        return x

    with at_site(hf, site, edit):
        return vlm_edited_logits(hf, inputs, {s: n for s, n in edits.items() if s != site})


def repeated(inputs: Item, times: int) -> Item:
    """The same item as so many rows of a batch, none of which is padded."""
    return {name: torch.cat([value] * times) for name, value in inputs.items()}


def vlm_edited_rows(hf: nn.Module, inputs: Item, rows: Sequence[Edits]) -> torch.Tensor:
    """`vlm_logits` for each row of edits, [row, vocabulary], in one forward."""

    def edit(layer, x, site):
        x = x.clone()
        for row, edits in enumerate(rows):
            for (at, index), value in edits.get(site, {}).items():
                if at == layer:
                    x[row, :, index] = value
        return x

    with ExitStack() as stack:
        for site in dict.fromkeys(site for edits in rows for site in edits):
            stack.enter_context(at_site(hf, site, partial(edit, site=site)))
        with torch.no_grad():
            return hf(**repeated(inputs, len(rows))).logits[:, -1]


def vlm_attribution(hf: nn.Module, inputs: Item, token: int, site: str) -> np.ndarray:
    """P(token) * max over positions of n * dP(token)/dn: float64 [layer, neuron].

    P is the softmax after the last position; the formula of tests/helpers/reference_culnig.py.
    """
    return vlm_attributions(hf, inputs, token, [site])[site]


def vlm_attributions(
    hf: nn.Module, inputs: Item, token: int, sites: Sequence[str]
) -> dict[str, np.ndarray]:
    """`vlm_attribution` of several sites, in one forward and backward."""

    def enter(module, args, output):
        return output.detach().requires_grad_(True)

    handle = hf.get_input_embeddings().register_forward_hook(enter)
    try:
        with torch.enable_grad():
            with seen_at(hf, sites) as seen:
                p = hf(**inputs, logits_to_keep=1).logits[0, -1].softmax(-1)[token]
            every = [x for values in seen.values() for x in values]
            gradient = dict(zip(map(id, every), torch.autograd.grad(p, every), strict=True))
    finally:
        handle.remove()
    scores = {
        site: [(n.detach()[0].double() * gradient[id(n)][0].double()).amax(0) for n in values]
        for site, values in seen.items()
    }
    return {site: p.item() * torch.stack(found).numpy() for site, found in scores.items()}
