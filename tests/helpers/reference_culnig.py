"""An independent reference of CULNIG (arXiv 2510.08284), in plain PyTorch and Python.

Written from the paper's description alone, in the manner of tests/helpers/reference.py: raw HF
models, forward hooks on their own modules, one unpadded sequence at a time, plain loops. Slow on
purpose; imports nothing of the package and no TransformerLens.

A neuron is (site, layer, index). The sites are raw outputs of projections:

    gate  gate_proj(x); on GPT-2, which has no gate, mlp.c_fc(x)
    up    up_proj(x); GPT-2 has none
    q, k, v   before norms and RoPE, heads flattened to heads * d_head
"""

import math
from collections.abc import Iterable, Sequence
from types import MethodType

import numpy as np
import torch
from torch import nn

from tests.helpers.reference import decoder_layers, site_module

Neuron = tuple[str, int, int]  # (site, layer, index)
Table = dict[str, np.ndarray]  # site -> float64 [layer, neuron]
PerCulture = dict[str, Table]

MLP, ATTENTION = ("gate",), ("q", "k", "v")
SITES = MLP + ATTENTION  # also the order in which ties are kept


# ------------------------------------------------------------------ models to compare on


def norms_in_own_dtype(hf: nn.Module) -> nn.Module:
    """Let every RMSNorm compute in the dtype of the model; changes the model.

    Hugging Face's compute in float32 whatever the dtype, which leaves a float64 model 7 digits.
    """

    def forward(self, x):
        eps = self.variance_epsilon if hasattr(self, "variance_epsilon") else self.eps
        weight = 1 + self.weight if "Gemma" in type(self).__name__ else self.weight
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))

    for module in hf.modules():
        if type(module).__name__.endswith(("RMSNorm", "T5LayerNorm")):
            module.forward = MethodType(forward, module)
    return hf


# ------------------------------------------------------------------ scores


def token_scores(
    hf: nn.Module, ids: Sequence[int], gold_token: int, sites: Sequence[str] = SITES
) -> tuple[float, dict[str, np.ndarray]]:
    """P(gold), and s_t = n_t * dP(gold)/dn_t for every neuron: float64 [layer, pos, neuron].

    P is the full-vocabulary softmax after the last position, in float32 at least.
    """
    hf.requires_grad_(False)
    places = {
        site: [site_module(hf, layer, site) for layer in decoder_layers(hf)] for site in sites
    }
    modules = list(dict.fromkeys(module for row in places.values() for module, _ in row))
    outputs = {}

    def enter(module, args, output):
        return output.detach().requires_grad_(True)

    def keep(module, args, output):
        assert module not in outputs, "a projection that runs twice"
        outputs[module] = output

    handles = [hf.get_input_embeddings().register_forward_hook(enter)]
    handles += [module.register_forward_hook(keep) for module in modules]
    try:
        with torch.enable_grad():
            # The head at the last position only. Over all positions it sums in another order,
            # which in float32 moves P(gold) of SmolLM2 by 2e-6 and single scores by 4e-5.
            logits = hf(input_ids=torch.tensor([list(ids)]), logits_to_keep=1).logits[0, -1]
            logits = logits if logits.dtype == torch.float64 else logits.float()
            p = logits.softmax(-1)[gold_token]
            gradients = torch.autograd.grad(p, [outputs[module] for module in modules])
    finally:
        for handle in handles:
            handle.remove()
    gradient = dict(zip(modules, gradients, strict=True))
    scores = {}
    for site, row in places.items():
        by_layer = []
        for module, columns in row:
            n = outputs[module].detach()[0][:, columns].double()
            d = gradient[module][0][:, columns].double()
            by_layer.append((n * d).numpy())
        scores[site] = np.stack(by_layer)
    return p.item(), scores


def item_scores(
    hf: nn.Module,
    ids: Sequence[int],
    gold_token: int,
    sites: Sequence[str] = SITES,
    aggregation: str = "maximum",
    control: bool = False,
) -> tuple[float, Table]:
    """P(gold), and P(gold) * s with s = max_t s_t (or the sum, or the last); >= 0 on controls."""
    p, by_token = token_scores(hf, ids, gold_token, sites)
    return p, over_tokens(p, by_token, aggregation, control)


def over_tokens(
    p: float, by_token: Table, aggregation: str = "maximum", control: bool = False
) -> Table:
    """What `item_scores` makes of P(gold) and the scores of all tokens."""
    scores = {}
    for site, values in by_token.items():
        if aggregation == "maximum":
            s = values.max(axis=1)
        elif aggregation == "sum":
            s = values.sum(axis=1)
        elif aggregation == "last":
            s = values[:, -1]
        else:
            raise ValueError(aggregation)
        weighted = p * s
        scores[site] = np.maximum(weighted, 0.0) if control else weighted
    return scores


def summed(hf: nn.Module, items: Iterable[tuple[Sequence[int], int, str]], **options) -> PerCulture:
    """The sums of item scores per culture; items are (ids, gold token, culture)."""
    scored = (
        (culture, item_scores(hf, ids, gold_token, **options)[1])
        for ids, gold_token, culture in items
    )
    return per_culture(scored)


def per_culture(scored: Iterable[tuple[str, Table]]) -> PerCulture:
    """Sum the tables of items, each with its culture."""
    sums: PerCulture = {}
    for culture, scores in scored:
        own = sums.setdefault(culture, {})
        for site, values in scores.items():
            own[site] = own.get(site, 0.0) + values
    return sums


# ------------------------------------------------------------------ selection


def neurons_of(table: Table, sites: Sequence[str]) -> list[Neuron]:
    """Every neuron: sites in the order given, then layers, then indices."""
    return [
        (site, layer, index)
        for site in sites
        for layer in range(table[site].shape[0])
        for index in range(table[site].shape[1])
    ]


def value(table: Table, neuron: Neuron) -> float:
    site, layer, index = neuron
    return float(table[site][layer, index])


def top(table: Table, sites: Sequence[str], share: float) -> list[Neuron]:
    """The int(share * number) highest, sites pooled; `sorted` is stable: ties keep their order."""
    neurons = neurons_of(table, sites)
    return sorted(neurons, key=lambda neuron: -value(table, neuron))[: int(share * len(neurons))]


def over_cultures(per_culture: PerCulture, sites: Sequence[str]) -> Table:
    """Summed over the cultures, in their order."""
    total = {}
    for site in sites:
        total[site] = 0.0
        for table in per_culture.values():
            total[site] = total[site] + table[site]
    return total


def beyond_control(task: Table, control: Table, n_task_ids: int, n_control_ids: int) -> Table:
    """Each divided by its number of distinct item ids, then the difference."""
    return {site: task[site] / n_task_ids - control[site] / n_control_ids for site in task}


def culture_general(
    task: PerCulture,
    control: PerCulture,
    countryrc: PerCulture,
    n_task_ids: int,
    n_control_ids: int,
    mlp_share: float = 0.01,
    attention_share: float = 0.002,
    countryrc_mlp_share: float = 0.01,
    countryrc_attention_share: float = 0.01,
) -> set[Neuron]:
    """Top of (task - control) over all countries, less the top of CountryRC; places stay empty."""
    score = beyond_control(
        over_cultures(task, SITES), over_cultures(control, SITES), n_task_ids, n_control_ids
    )
    names = over_cultures(countryrc, SITES)
    chosen = set()
    for sites, share, countryrc_share in (
        (MLP, mlp_share, countryrc_mlp_share),
        (ATTENTION, attention_share, countryrc_attention_share),
    ):
        chosen |= set(top(score, sites, share)) - set(top(names, sites, countryrc_share))
    return chosen


def z_score(values: Sequence[float], own: float) -> float:
    """(own - mean) / standard deviation of the population; 0 where that is 0."""
    if all(x == values[0] for x in values):
        return 0.0
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in values) / len(values))
    return (own - mean) / deviation if deviation > 0 else 0.0


def culture_specific(
    task: PerCulture,
    control: PerCulture,
    countryrc: PerCulture,
    n_task_ids: int,
    n_control_ids: int,
    countries: Sequence[str],
    share: float = 0.003,
    countryrc_share: float = 0.01,
    z: float = 0.5,
) -> dict[str, set[Neuron]]:
    """Of each country's top, those not in its own top of CountryRC whose z is high enough.

    z compares the countries of the task, all of them, whichever are asked for.
    """
    score = {
        country: beyond_control(task[country], control[country], n_task_ids, n_control_ids)
        for country in task
    }
    chosen = {}
    for country in countries:
        names = set(top(countryrc[country], SITES, countryrc_share))
        chosen[country] = set()
        for neuron in top(score[country], SITES, share):
            own = value(score[country], neuron)
            everyone = [value(table, neuron) for table in score.values()]
            if neuron not in names and z_score(everyone, own) >= z:
                chosen[country].add(neuron)
    return chosen
