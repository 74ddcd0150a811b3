"""An independent reference for encoder-decoders: raw Hugging Face T5, one unpadded item at a time.

Forward hooks on the models' own modules; imports nothing of the package and no TransformerLens.
A site is ``encoder.X``, ``decoder.X`` or ``cross.X`` with X one of

    gate  the first projection of the MLP (wi_0, or wi where there is no gate)
    act   the activation function of it        up    wi_1
    post  the input of wo                      q k v the projections        z  the input of o
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MLP, ATTENTION = ("act", "gate", "up", "post"), ("q", "k", "v", "z")
SITES = (
    *(f"encoder.{x}" for x in MLP + ATTENTION),
    *(f"decoder.{x}" for x in MLP + ATTENTION),
    *(f"cross.{x}" for x in ATTENTION),
)


def sites_of(hf: nn.Module) -> list[str]:
    gated = hasattr(hf.encoder.block[0].layer[-1].DenseReluDense, "wi_0")
    return [site for site in SITES if gated or not site.endswith(".up")]


def blocks_of(hf: nn.Module, site: str) -> nn.ModuleList:
    return hf.encoder.block if site.startswith("encoder.") else hf.decoder.block


def of_encoder_tokens(site: str) -> bool:
    return site.startswith("encoder.") or site in ("cross.k", "cross.v")


def module_of(hf: nn.Module, site: str, layer: int) -> tuple[nn.Module, bool]:
    """The raw module that holds a site, and whether the site is its input."""
    stack, part = site.split(".")
    block = blocks_of(hf, site)[layer]
    if part in ATTENTION:
        attention = block.layer[1].EncDecAttention if stack == "cross" else None
        attention = attention or block.layer[0].SelfAttention
        return getattr(attention, "o" if part == "z" else part), part == "z"
    mlp = block.layer[-1].DenseReluDense
    first = "wi_0" if hasattr(mlp, "wi_0") else "wi"
    name = {"act": "act", "gate": first, "up": "wi_1", "post": "wo"}[part]
    return getattr(mlp, name), part == "post"


@contextmanager
def hooked(hf: nn.Module, places: Sequence[tuple[str, int]], see: Callable):
    """Call ``see(site, layer, value)`` at each place; what it returns, if anything, goes on."""
    handles = []
    for site, layer in places:
        module, is_input = module_of(hf, site, layer)
        if is_input:

            def before(_, args, site=site, layer=layer):
                found = see(site, layer, args[0])
                return None if found is None else (found, *args[1:])

            handles.append(module.register_forward_pre_hook(before))
        else:

            def behind(_, args, output, site=site, layer=layer):
                return see(site, layer, output)

            handles.append(module.register_forward_hook(behind))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def every_place(hf: nn.Module, sites: Sequence[str]) -> list[tuple[str, int]]:
    return [(site, layer) for site in sites for layer in range(len(blocks_of(hf, site)))]


def logits(hf: nn.Module, ids: Sequence[int], decoder_ids: Sequence[int]) -> Tensor:
    """Logits ``pos vocab`` over the decoder's positions of one item."""
    return hf(
        input_ids=torch.tensor([list(ids)]), decoder_input_ids=torch.tensor([list(decoder_ids)])
    ).logits[0]


def values(hf, site, ids, decoder_ids) -> Tensor:
    """What a site holds on one item: ``layer pos neuron``, float64."""
    return values_at_sites(hf, [site], ids, decoder_ids)[site]


def values_at_sites(hf, sites, ids, decoder_ids) -> dict[str, Tensor]:
    """``values`` of several sites, in one forward."""
    held = {site: {} for site in sites}

    def keep(site, layer, value):
        held[site][layer] = value[0].detach().double()

    with torch.no_grad(), hooked(hf, every_place(hf, sites), keep):
        logits(hf, ids, decoder_ids)
    return {
        site: torch.stack([found[layer] for layer in range(len(found))])
        for site, found in held.items()
    }


def sums_at_sites(hf, sites, items) -> dict[str, dict[str, tuple[Tensor, Tensor, Tensor, int]]]:
    """Site -> culture -> counts of positive values, sums, sums of squares, tokens.

    Each of the first three is ``layer neuron``. ``items``: (encoder ids, decoder ids, which encoder
    tokens count, culture). Of the decoder's tokens the last one counts.
    """
    found = {site: {} for site in sites}
    for ids, decoder_ids, counts, culture in items:
        for site, seen in values_at_sites(hf, sites, ids, decoder_ids).items():
            seen = seen[:, torch.tensor(counts)] if of_encoder_tokens(site) else seen[:, -1:]
            own = ((seen > 0).sum(1), seen.sum(1), seen.square().sum(1), seen.shape[1])
            if culture in found[site]:
                own = tuple(a + b for a, b in zip(found[site][culture], own, strict=True))
            found[site][culture] = own
    return found


def edited_logits(hf, ids, decoder_ids, neurons, edit) -> Tensor:
    """Logits of one item with ``edit`` done to neurons at every position.

    ``neurons``: (site, layer) -> indices; ``edit`` takes and gives their values.
    """

    def change(site, layer, value):
        value = value.clone()
        value[..., neurons[site, layer]] = edit(value[..., neurons[site, layer]])
        return value

    with torch.no_grad(), hooked(hf, list(neurons), change):
        return logits(hf, ids, decoder_ids)


def edited_rows(hf, ids, decoder_ids, rows) -> Tensor:
    """Logits ``row pos vocab`` of one item, each row under an edit of its own; none is padded.

    ``rows``: (site, layer) -> indices, and ``edit(layer, values)``, ``pos neuron``, of them.
    """

    def change(site, layer, value):
        value = value.clone()
        for row, (neurons, edit) in enumerate(rows):
            if (site, layer) in neurons:
                own = neurons[site, layer]
                value[row, :, own] = edit(layer, value[row][:, own])
        return value

    places = list(dict.fromkeys(place for neurons, _ in rows for place in neurons))
    with torch.no_grad(), hooked(hf, places, change):
        return hf(
            input_ids=torch.tensor([list(ids)] * len(rows)),
            decoder_input_ids=torch.tensor([list(decoder_ids)] * len(rows)),
        ).logits


def option_log_likelihood(hf, ids, decoder_ids, option, neurons=None, edit=None) -> float:
    """log P(option | prompt) = sum_i log P(option_i | prompt, option_1 .. option_{i-1})."""
    given = edited_logits(hf, ids, [*decoder_ids, *option], neurons or {}, edit)
    log_probs = given.double().log_softmax(-1)
    start = len(decoder_ids) - 1
    return sum(log_probs[start + i, token].item() for i, token in enumerate(option))


def attribution(hf, sites, ids, decoder_ids, gold) -> tuple[dict[str, Tensor], float]:
    """n_t dP(gold)/dn_t of one item, site -> ``layer pos neuron``, and P(gold).

    Whole autograd through everything: parameters keep their gradients here.
    """
    held = {}

    def keep(site, layer, value):
        value.retain_grad()
        held[site, layer] = value

    with hooked(hf, every_place(hf, sites), keep):
        p = logits(hf, ids, decoder_ids)[-1].softmax(-1)[gold]
        p.backward()
    hf.zero_grad()
    products = {
        site: torch.stack(
            [
                (held[site, layer] * held[site, layer].grad)[0].detach()
                for layer in range(len(blocks_of(hf, site)))
            ]
        )
        for site in sites
    }
    return products, p.item()
