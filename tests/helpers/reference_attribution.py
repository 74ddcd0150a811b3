"""An independent reference of attribution by objective, scoring and path, in plain PyTorch.

Raw Hugging Face models and whole autograd; every option runs with its prompt as a sequence of its
own: no cache, no padding, no batch. Imports nothing of the package and no TransformerLens.

    F      an objective of the scores s_o of an item's options o
    s_o    by letter the logit of its label, by likelihood its tokens' mean log-probability
    n, b   a neuron's activation at a token, and where its path begins
    s_t    mean over points a of (n - b) dF/dn, n moved to b + a (n - b), later ones computed anew
           or of n dF/dn with n as it is and the inputs scaled to a

At the tokens of a prompt gradients of all its sequences add up. An option's last token predicts
nothing that is asked for, so its score is 0; it does not count.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tests.helpers import reference_t5
from tests.helpers.reference import decoder_layers, site_module
from tests.helpers.reference_vlm import text_layers

Places = Sequence[tuple[str, int]]
SINGLE = ("none", "relp")  # relp: under ``reference_relp.rules``
ENTERED = {  # read at a module's input
    "post": (("mlp", "down_proj"), ("mlp", "c_proj")),
    "z": (("self_attn", "o_proj"), ("attn", "c_proj")),
}


@dataclass(frozen=True)
class Item:
    """A question put to a raw model.

    ``run`` gives logits ``pos vocab`` of the prompt with tokens behind it; ``hooked(places, see)``
    calls ``see(site, layer, value)`` and goes on with what it returns; ``length`` is the number of
    the prompt's positions at a site, and ``layers`` that of layers. ``options`` are the tokens of
    each option, by letter those of the labels. An answer follows the position ``last``.
    """

    run: Callable
    hooked: Callable
    length: Callable
    layers: Callable
    last: int
    options: Sequence[Sequence[int]]
    gold: int
    letter: bool = False
    first: Sequence[nn.Module] = ()

    @contextmanager
    def scaled(self, share: float):
        """Scale what enters the first layer of each stack."""

        def before(module, args, kwargs):
            if args:
                return (share * args[0], *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": share * kwargs["hidden_states"]}

        handles = [m.register_forward_pre_hook(before, with_kwargs=True) for m in self.first]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def text_item(hf: nn.Module, ids: Sequence[int], options, gold: int, letter=False) -> Item:
    layers = decoder_layers(hf)
    return Item(
        lambda tokens: hf(input_ids=torch.tensor([[*ids, *tokens]])).logits[0],
        partial(hooked, hf, layers),
        lambda site: len(ids),
        lambda site: len(layers),
        len(ids) - 1,
        options,
        gold,
        letter,
        layers[:1],
    )


def vlm_item(hf: nn.Module, inputs, continued: Callable, options, gold: int, letter=False) -> Item:
    """``continued(inputs, tokens)`` puts text behind a processor's inputs."""
    layers, length = text_layers(hf), inputs["input_ids"].shape[1]
    return Item(
        lambda tokens: hf(**(continued(inputs, tokens) if len(tokens) else inputs)).logits[0],
        partial(hooked, hf, layers),
        lambda site: length,
        lambda site: len(layers),
        length - 1,
        options,
        gold,
        letter,
        layers[:1],
    )


def t5_item(hf: nn.Module, ids, decoder_ids, options, gold: int, letter=False) -> Item:
    return Item(
        lambda tokens: reference_t5.logits(hf, ids, [*decoder_ids, *tokens]),
        partial(reference_t5.hooked, hf),
        lambda site: len(ids if reference_t5.of_encoder_tokens(site) else decoder_ids),
        lambda site: len(reference_t5.blocks_of(hf, site)),
        len(decoder_ids) - 1,
        options,
        gold,
        letter,
        (hf.encoder.block[0], hf.decoder.block[0]),
    )


@contextmanager
def hooked(hf: nn.Module, layers: Sequence[nn.Module], places: Places, see: Callable):
    """Let ``see(site, layer, value)`` replace values, also where a module holds several sites."""
    leaving, handles = {}, []
    for site, layer in places:
        if site in ENTERED:
            part, name = next(p for p in ENTERED[site] if hasattr(layers[layer], p[0])
                              and hasattr(getattr(layers[layer], p[0]), p[1]))  # fmt: skip
            module = getattr(getattr(layers[layer], part), name)
            entering = partial(replaced, [(site, layer, slice(None))], see)
            handles.append(
                module.register_forward_pre_hook(lambda _, args, e=entering: (e(args[0]),))
            )
        else:
            module, columns = site_module(hf, layers[layer], site)
            leaving.setdefault(module, []).append((site, layer, columns))
    for module, held in leaving.items():
        assert len({layer for _, layer, _ in held}) == 1, "layers share a module"
        edit = partial(replaced, held, see)
        handles.append(module.register_forward_hook(lambda _, args, out, e=edit: e(out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def replaced(held, see: Callable, value: Tensor) -> Tensor:
    """The value with the columns of each site replaced."""
    new = value.clone()
    for site, layer, columns in held:
        new[..., columns] = see(site, layer, value[..., columns])
    return new


# ------------------------------------------------------------------ the objective


def explained(item: Item, objective: str, places: Places, share: float, start) -> tuple:
    """F, P(gold), and for each sequence place -> (n - b, moved activation), with gradients."""
    held, scores = [], []

    def run(tokens):
        seen = {}

        def see(site, layer, n):
            # The weights may be frozen: then gradients begin at the first place that is met.
            n = n if n.requires_grad else n.detach().requires_grad_()
            b = start[site][layer] if start else torch.zeros_like(n[0, 0])
            moved = b + share * (n - b)
            seen[site, layer] = ((n - b).detach(), moved)
            return moved

        with item.hooked(places, see):
            logits = item.run(tokens)
        held.append(seen)
        return logits

    with torch.enable_grad():
        if item.letter:
            after = run(())[item.last]
            scores = torch.stack([after[tokens[0]] for tokens in item.options])
            normaliser = after.logsumexp(0)
        else:
            for tokens in item.options:
                logs = run(tokens).log_softmax(-1)
                own = [logs[item.last + i, token] for i, token in enumerate(tokens)]
                scores.append(torch.stack(own).mean())
            scores = torch.stack(scores)
            normaliser = scores.logsumexp(0)
        log_p = scores[item.gold] - normaliser
        others = [score for option, score in enumerate(scores) if option != item.gold]
        value = {
            "probability": lambda: log_p.exp(),
            "log_probability": lambda: log_p,
            "logit_difference": lambda: scores[item.gold] - torch.stack(others).logsumexp(0),
        }[objective]()
    return value, log_p.exp().item(), held


def token_scores(item: Item, objective: str, places: Places, share: float, start) -> dict:
    """(n - b) dF/dn at one point: place -> (at the prompt's tokens, at those of each option)."""
    value, _, held = explained(item, objective, places, share, start)
    on_path = [moved for seen in held for _, moved in seen.values()]
    gradients = iter(torch.autograd.grad(value, on_path))
    found: dict = {}
    for seen, tokens in zip(held, [()] if item.letter else item.options, strict=True):
        for place, (n, _) in seen.items():
            products = (n * next(gradients))[0].flatten(1)
            length = item.length(place[0])
            prompt, option = products[:length], products[length:]
            if len(option):
                assert len(option) == len(tokens) and (option[-1] == 0).all()
            own = found.setdefault(place, [torch.zeros_like(prompt), []])
            own[0] = own[0] + prompt
            own[1].append(option[:-1])
    return found


# ------------------------------------------------------------------ paths and aggregations


def along(item, sites, objective, path, points, start) -> dict:
    """s_t of every place: (at the prompt's tokens, at those of each option)."""
    shares = [(i + 0.5) / points for i in range(points)] if path not in SINGLE else [1.0]
    found = {}
    if path == "inputs":
        return along_inputs(item, objective, parts(item, sites, path)[0], shares)
    for part in parts(item, sites, path):
        at_points = [token_scores(item, objective, part, share, start) for share in shares]
        for place in part:
            prompts = torch.stack([at[place][0] for at in at_points]).mean(0)
            options = [torch.stack(o).mean(0) for o in zip(*(at[place][1] for at in at_points))]
            found[place] = (prompts, options)
    return found


def along_inputs(item, objective, places, shares) -> dict:
    """n of the model as it is, times the mean gradient while the inputs are scaled."""
    own = values_of(explained(item, objective, places, 1.0, None)[2])
    found = {}
    for share in shares:
        with item.scaled(share):
            value, _, held = explained(item, objective, places, 1.0, None)
        keys = list(values_of(held))
        gradients = torch.autograd.grad(value, [held[run][place][1] for run, place in keys])
        for key, gradient in zip(keys, gradients, strict=True):
            product = (own[key] * gradient)[0].flatten(1) / len(shares)
            found[key] = found.get(key, 0) + product
    joined = {}
    for (_, place), products in found.items():
        length = item.length(place[0])
        before, options = joined.setdefault(place, [0, []])
        joined[place][0] = before + products[:length]
        options.append(products[length:][:-1])
    return {place: (prompt, options) for place, (prompt, options) in joined.items()}


def values_of(held) -> dict:
    return {(run, place): n for run, seen in enumerate(held) for place, (n, _) in seen.items()}


def parts(item: Item, sites, path: str) -> list[list[tuple[str, int]]]:
    """The places that move together: all, or those of each layer."""
    places = [(site, layer) for site in sites for layer in range(item.layers(site))]
    if path != "integrated_layerwise":
        return [places]
    ordered = sorted(places, key=lambda place: place[1])
    return [list(group) for _, group in itertools.groupby(ordered, key=lambda place: place[1])]


def joined(prompt: Tensor, options: Sequence[Tensor], aggregation: str, positions: str) -> Tensor:
    """One number per neuron from s_t; 0 where no token counts."""
    if aggregation == "last":
        return prompt[-1]
    counted = [prompt] if positions != "options" else []
    counted += options if positions != "prompt" else []
    s = torch.cat(counted)
    if not len(s):
        return torch.zeros(s.shape[1])
    return {
        "maximum": lambda: s.amax(0),
        "largest": lambda: s.abs().amax(0),
        "sum": lambda: s.sum(0),
    }[aggregation]()


def item_scores(
    item: Item,
    sites: Sequence[str],
    objective="probability",
    path="none",
    points=6,
    aggregation="maximum",
    positions="all",
    start=None,
) -> dict[str, Tensor]:
    """Scores of one item, site -> ``layer neuron``; those of P are weighted by P."""
    found = along(item, sites, objective, path, points, start)
    weight = 1.0
    if objective == "probability":
        weight = explained(item, objective, [], 1.0, None)[1]
    return {
        site: weight
        * torch.stack([
            joined(*found[site, layer], aggregation, positions)
            for layer in range(item.layers(site))
        ])
        for site in sites
    }  # fmt: skip


def change(item: Item, sites, objective, path, start=None) -> float:
    """F(n) - F(b), by runs with all activations at b; layer by layer for each layer, added up."""
    with torch.no_grad():
        full = explained(item, objective, [], 1.0, None)[0].item()
        ends = [
            explained(item, objective, part, 0.0, start)[0].item()
            for part in parts(item, sites, path)
        ]
    return sum(full - end for end in ends)
