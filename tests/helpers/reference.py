"""An independent reference for the methods of ConAct's paper (arXiv 2510.24942), in plain PyTorch.

What the package is compared with: raw Hugging Face models, forward hooks on their own modules, one
unpadded sequence at a time, plain loops. Slow on purpose; imports nothing of the package and no
TransformerLens. A neuron is (layer, index) at one site:

    gate  gate_proj(x) before the activation function; on GPT-2, which has no gate, mlp.c_fc(x)
    act   act(gate)
    up    up_proj(x); GPT-2 has none
    q, k, v   raw projection outputs, before norms and RoPE, heads flattened to heads * d_head
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

Neuron = tuple[int, int]  # (layer, index)
PerCulture = dict[str, np.ndarray]  # culture -> [layer, neuron]


# ------------------------------------------------------------------ where the neurons are


def decoder_layers(hf: nn.Module) -> list[nn.Module]:
    return list(hf.transformer.h if hf.config.model_type == "gpt2" else hf.model.layers)


def activation_module(layer: nn.Module) -> nn.Module:
    """The module that computes act(gate)."""
    for name in ("act_fn", "activation_fn", "act"):  # Llama and its kin, Phi3, GPT-2
        if hasattr(layer.mlp, name):
            return getattr(layer.mlp, name)
    raise ValueError(f"no activation function in {type(layer.mlp).__name__}")


def site_module(hf: nn.Module, layer: nn.Module, site: str) -> tuple[nn.Module, slice]:
    """The raw module whose output holds the site, and the columns of it that are the site."""
    everything = slice(None)
    if site == "act":
        return activation_module(layer), everything
    if hf.config.model_type == "gpt2":
        d = hf.config.n_embd  # c_attn(x) = [q, k, v], each n_embd wide
        return {
            "gate": (layer.mlp.c_fc, everything),
            "q": (layer.attn.c_attn, slice(0, d)),
            "k": (layer.attn.c_attn, slice(d, 2 * d)),
            "v": (layer.attn.c_attn, slice(2 * d, 3 * d)),
        }[site]
    mlp, attn = layer.mlp, layer.self_attn
    if hf.config.model_type == "phi3":
        d_mlp = hf.config.intermediate_size  # gate_up_proj(x) = [gate, up]
        q = hf.config.num_attention_heads * attn.head_dim  # qkv_proj(x) = [q, k, v]
        kv = hf.config.num_key_value_heads * attn.head_dim
        return {
            "gate": (mlp.gate_up_proj, slice(0, d_mlp)),
            "up": (mlp.gate_up_proj, slice(d_mlp, 2 * d_mlp)),
            "q": (attn.qkv_proj, slice(0, q)),
            "k": (attn.qkv_proj, slice(q, q + kv)),
            "v": (attn.qkv_proj, slice(q + kv, q + 2 * kv)),
        }[site]
    module = getattr(mlp if site in ("gate", "up") else attn, f"{site}_proj")
    return module, everything


def site_values(hf: nn.Module, site: str, ids: Sequence[int]) -> np.ndarray:
    """Values at a site for one unpadded sequence: float64 [layer, pos, neuron]."""
    return values_at_sites(hf, [site], ids)[site]


def values_at_sites(
    hf: nn.Module, sites: Sequence[str], ids: Sequence[int]
) -> dict[str, np.ndarray]:
    """`site_values` of several sites, in one forward.

    Layers run in order, so the outputs arrive in order, also where layers share one module.
    """
    layers = decoder_layers(hf)
    outputs = {site: [] for site in sites}

    def kept(site, columns):
        return lambda module, args, output: outputs[site].append(
            output[0, :, columns].double().numpy().copy()
        )

    handles = []
    for site in sites:
        places = [site_module(hf, layer, site) for layer in layers]
        hook = kept(site, places[0][1])
        handles += [m.register_forward_hook(hook) for m in {module for module, _ in places}]
    try:
        with torch.no_grad():
            hf(input_ids=torch.tensor([list(ids)]))
    finally:
        for handle in handles:
            handle.remove()
    assert all(len(found) == len(layers) for found in outputs.values())
    return {site: np.stack(found) for site, found in outputs.items()}


# ------------------------------------------------------------------ counts and sums


def counted_values(
    hf: nn.Module,
    sites: Sequence[str],
    sequences: Sequence[Sequence[int]],
    masks: Sequence[Sequence[bool]],
    cultures: Sequence[str],
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """One sequence at a time: its culture, its values [layer, counted token, neuron] by site."""
    for ids, mask, culture in zip(sequences, masks, cultures, strict=True):
        assert len(mask) == len(ids)
        values = values_at_sites(hf, sites, ids)
        yield culture, {s: v[:, np.array(mask, dtype=bool)] for s, v in values.items()}


def counts_at_sites(
    hf, sites, sequences, masks, cultures
) -> dict[str, tuple[PerCulture, dict[str, int]]]:
    """`site_counts` of several sites, in one forward of each sequence."""
    found = {site: ({}, {}) for site in sites}
    for culture, by_site in counted_values(hf, sites, sequences, masks, cultures):
        for site, values in by_site.items():
            counts, totals = found[site]
            counts[culture] = counts.get(culture, 0) + (values > 0).sum(axis=1, dtype=np.int64)
            totals[culture] = totals.get(culture, 0) + values.shape[1]
    return found


def site_counts(hf, site, sequences, masks, cultures) -> tuple[PerCulture, dict[str, int]]:
    """K[l,n,c] = sum_t m_t * 1(value[l,n,t] > 0) as int64, and T[c] = sum_t m_t.

    `sequences`: unpadded token ids; `masks`: equally long, which tokens count; `cultures`: labels.
    """
    return counts_at_sites(hf, [site], sequences, masks, cultures)[site]


def mlp_gate_counts(hf, sequences, masks, cultures) -> tuple[PerCulture, dict[str, int]]:
    """K and T at the gate's pre-activation (GPT-2: at c_fc)."""
    return site_counts(hf, "gate", sequences, masks, cultures)


def act_sums(hf, sequences, masks, cultures) -> tuple[PerCulture, PerCulture, dict[str, int]]:
    """S[l,n,c] = sum_t m_t * a and Q[l,n,c] = sum_t m_t * a^2, a = act(gate), in float64; and T."""
    sums, squares, totals = {}, {}, {}
    for culture, by_site in counted_values(hf, ["act"], sequences, masks, cultures):
        values = by_site["act"]
        sums[culture] = sums.get(culture, 0.0) + values.sum(axis=1)
        squares[culture] = squares.get(culture, 0.0) + (values**2).sum(axis=1)
        totals[culture] = totals.get(culture, 0) + values.shape[1]
    return sums, squares, totals


def per_token(sums: PerCulture, totals: dict[str, int]) -> PerCulture:
    """P[l,n,c] = K / T from counts, the mean activation from sums; float64."""
    return {culture: sums[culture] / np.float64(totals[culture]) for culture in sums}


# ------------------------------------------------------------------ selectors


def neurons_of(table: PerCulture) -> list[Neuron]:
    """Every neuron of the site, by layer, then by index."""
    n_layers, n_neurons = next(iter(table.values())).shape
    return [(layer, index) for layer in range(n_layers) for index in range(n_neurons)]


def top(score: np.ndarray, share: float) -> list[Neuron]:
    """The int(share * number of neurons) highest; `sorted` is stable: ties keep their order."""
    neurons = neurons_of({"": score})
    return sorted(neurons, key=lambda neuron: -score[neuron])[: int(share * len(neurons))]


def lap(P: PerCulture, share: float) -> dict[str, set[Neuron]]:
    """LAP: score P[l,n,c], top share per culture."""
    return {culture: set(top(P[culture], share)) for culture in P}


def lape(
    P: PerCulture,
    percentile_filter: float = 0.95,
    percentile_membership: float = 0.95,
    share: float = 0.01,
) -> dict[str, set[Neuron]]:
    """LAPE: H = - sum_c p_c ln p_c with p_c = P_c / sum_c P_c, and 0 ln 0 = 0.

    1. Percentiles are taken over all values P[l,n,c]: the percentile q of N values is the
       round(q * N)-th smallest, counted from 1, as in Tang et al.'s code (no interpolation).
    2. Out: a neuron whose max_c P does not exceed the filter percentile, or whose P are all 0.
    3. Of the rest, the int(share * number of all neurons) of lowest H; ties keep their order.
    4. A selected neuron belongs to each culture whose P exceeds the membership percentile.
    """
    values = sorted(float(p) for table in P.values() for p in table.ravel())
    filter_bar = values[max(round(percentile_filter * len(values)), 1) - 1]
    membership_bar = values[max(round(percentile_membership * len(values)), 1) - 1]
    neurons = neurons_of(P)
    entropy = {}
    for neuron in neurons:
        row = [float(table[neuron]) for table in P.values()]
        if max(row) > filter_bar and max(row) > 0:
            shares = [p / sum(row) for p in row]
            entropy[neuron] = -sum(p * math.log(p) for p in shares if p > 0)
    selected = sorted(entropy, key=entropy.get)[: int(share * len(neurons))]
    return {culture: {n for n in selected if P[culture][n] > membership_bar} for culture in P}


def _minus_mean_of_others(table: PerCulture) -> PerCulture:
    """table[c] - mean of table[o] over the other cultures o, each culture weighing the same."""
    return {
        culture: table[culture] - np.mean([table[o] for o in table if o != culture], axis=0)
        for culture in table
    }


def mad_activation(mean: PerCulture, share: float) -> dict[str, set[Neuron]]:
    """MAD (i): mean activation of c minus the mean over the other cultures of theirs; top share."""
    return lap(_minus_mean_of_others(mean), share)


def mad_probability(P: PerCulture, share: float) -> dict[str, set[Neuron]]:
    """MAD (ii): P[c] minus the mean P of the other cultures; top share."""
    return lap(_minus_mean_of_others(P), share)


def conact(P: PerCulture, share: float) -> dict[str, set[Neuron]]:
    """ConAct: s[l,n,c] = P1 - P2 where c attains P1, else 0; top share among positive scores.

    P1 and P2 are the highest and second highest P of the neuron over cultures, so that a tie at
    the top gives 0 to everyone.
    """
    score = {culture: np.zeros(table.shape) for culture, table in P.items()}
    for neuron in neurons_of(P):
        first, second = sorted(P, key=lambda culture: -P[culture][neuron])[:2]
        score[first][neuron] = P[first][neuron] - P[second][neuron]
    return {c: {neuron for neuron in top(score[c], share) if score[c][neuron] > 0} for c in P}


# ------------------------------------------------------------------ interventions and metrics


def ablated_logits(
    hf: nn.Module,
    ids: torch.Tensor,
    attention_mask: torch.Tensor,
    neurons: dict[int, list[int]],
    scale: float = 0.0,
) -> torch.Tensor:
    """Logits [batch, pos, vocab] with act(gate) multiplied by `scale` at the neurons, everywhere.

    0 deactivates; 1 + alpha steers. `neurons`: layer -> indices. Positions are counted from the
    first attended token, so left padding changes nothing (GPT-2 would otherwise shift).
    """
    layers = decoder_layers(hf)
    running = []  # the layers whose MLP has been entered, in order: the last one is running now

    def edit(module, args, output):
        output = output.clone()
        output[..., neurons.get(running[-1], [])] *= scale
        return output

    handles = [
        layer.mlp.register_forward_pre_hook(lambda module, args, i=i: running.append(i))
        for i, layer in enumerate(layers)
    ]
    # A set: an activation module that several layers share is hooked once.
    shared = {activation_module(layer) for layer in layers}
    handles += [module.register_forward_hook(edit) for module in shared]
    positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    try:
        with torch.no_grad():
            return hf(input_ids=ids, attention_mask=attention_mask, position_ids=positions).logits
    finally:
        for handle in handles:
            handle.remove()


def option_log_likelihood(
    hf: nn.Module, context_ids: Sequence[int], option_ids: Sequence[int]
) -> float:
    """log P(option | context) = sum_i log P(option_i | context, option_1 .. option_{i-1})."""
    ids = torch.tensor([[*context_ids, *option_ids]])
    with torch.no_grad():
        log_probs = hf(input_ids=ids).logits[0].double().log_softmax(-1)
    total = 0.0
    for i, token in enumerate(option_ids):
        total += log_probs[len(context_ids) + i - 1, token].item()
    return total


def reference_inputs(prompts, roles=(2, 3, 4)):
    """Token ids, masks of the tokens that count, and cultures, as the reference takes them."""
    sequences = [list(prompt.ids) for prompt in prompts]
    masks = [[role in roles for role in prompt.roles] for prompt in prompts]
    return sequences, masks, [prompt.question.culture for prompt in prompts]
