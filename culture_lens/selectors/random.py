"""Random neurons: the baseline that every claim is held against.

The strictest ones are random in nothing but what they are selective for: of the same layer, they
fire as often as the neurons found and write as strongly into the residual stream (``activity``).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.activations.statistics import ActivationSummary
from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import Neurons, NeuronSet, Shape
from culture_lens.neurons.overlap import MATCHES
from culture_lens.neurons.scores import NeuronScores
from culture_lens.neurons.weight_norms import outgoing_norms, writes
from culture_lens.questions.question import stable_hash

Places = dict[str, list[tuple[int, int]]]
Traits = Mapping[str, Mapping[str, Float[Tensor, "layer neuron"]]]
NEAREST = 10
"""Among so many of the most similar neurons one is drawn."""


def generator(seed: int, *names: str) -> torch.Generator:
    """Make a random generator that depends on a seed and some names, the same everywhere."""
    key = stable_hash("\0".join((str(seed), *names)))
    return torch.Generator().manual_seed(key % 2**63)


def random(summary: ActivationSummary, *, seed: int = 0) -> NeuronScores:
    """Score every neuron of every culture by a random number.

    Args:
        summary: Gives the cultures and shapes; its counts are not looked at.
        seed: The seed.

    Example:
        ``random(summary, seed=1).top(share=0.005)``
    """
    scores = {
        site: torch.stack(
            [
                torch.rand(
                    summary.counts[site].shape[1:],
                    generator=generator(seed, site, culture),
                    dtype=torch.float64,
                )
                for culture in summary.cultures
            ]
        )
        for site in summary.sites
    }
    return NeuronScores(summary.cultures, scores)


def matched_random(
    found: NeuronSet,
    seed: int = 0,
    *,
    match: str = "layer",
    summary: ActivationSummary | None = None,
    model: LensModel | None = None,
    norms: Mapping[str, Float[Tensor, "layer neuron"]] | None = None,
) -> NeuronSet:
    """Draw random neurons, as many as another set has.

    Of ``"layer"`` and ``"pool"`` a culture's own neurons may be drawn too, as by chance they would
    be; of ``"activity"`` never.

    Args:
        found: The set to match.
        seed: The seed.
        match: ``"layer"`` keeps the numbers at each site and layer (ConAct's baseline);
            ``"pool"`` draws each culture's whole number from all sites and layers together (paper
            B's). ``"activity"`` keeps site and layer, and draws for each neuron one of the ten
            most alike in firing rate and in the norm of the outgoing weights: neurons that fire
            much, or write much, do more when ablated whatever they know. How alike they are
            stands in the metadata under ``matched``.
        summary: For ``"activity"``: gives the firing rates, over the tokens of all cultures.
        model: For ``"activity"``: gives the norms; see ``outgoing_norms``. q, k and v have none
            and are matched by rate alone.
        norms: The norms per site, instead of the model.

    Raises:
        InputError: An unknown way to match; for ``"activity"`` no summary, neither model nor norms,
            a site or shape that these lack, or a layer of which more was chosen than is left over.

    Example:
        ``baselines = [matched_random(found, seed) for seed in range(5)]``
    """
    if match not in MATCHES:
        raise unknown("way to match random neurons", match, MATCHES)
    known = {"selector": "random", "seed": seed, "matched_to": found.method, "match": match}
    if match == "activity":
        traits = traits_of(found, summary, model, norms)
        places, known["matched"] = alike(found, traits, seed)
    else:
        draw = per_layer if match == "layer" else from_pool
        places = {c: draw(neurons, found.shapes, seed, c) for c, neurons in found.neurons.items()}
    drawn = {culture: Neurons.of(chosen) for culture, chosen in places.items()}
    return replace(found, neurons=drawn, metadata={**found.metadata, **known})


def per_layer(neurons: Neurons, shapes: Mapping[str, Shape], seed: int, culture: str) -> Places:
    """Draw the numbers of a set at each site and layer."""
    places: Places = {}
    for site, (n_layers, width) in shapes.items():
        source = generator(seed, site, culture)
        places[site] = [
            (layer, index)
            for layer, count in enumerate(neurons.per_layer(site, n_layers).tolist())
            for index in torch.randperm(width, generator=source)[:count].tolist()
        ]
    return places


def from_pool(neurons: Neurons, shapes: Mapping[str, Shape], seed: int, culture: str) -> Places:
    """Draw the whole number of a set from the neurons of all sites and layers."""
    sizes = {site: layers * width for site, (layers, width) in shapes.items()}
    source = generator(seed, "pool", culture)
    drawn = torch.randperm(sum(sizes.values()), generator=source)[: len(neurons)]
    places: Places = {}
    for site, size in sizes.items():
        here = drawn[(drawn >= 0) & (drawn < size)]
        width = shapes[site][1]
        places[site] = list(zip((here // width).tolist(), (here % width).tolist(), strict=True))
        drawn = drawn - size
    return places


# ------------------------------------------------------------------ alike in activity


def traits_of(
    found: NeuronSet,
    summary: ActivationSummary | None,
    model: LensModel | None,
    norms: Mapping[str, Tensor] | None,
) -> Traits:
    """Give rate, sum over cultures of K / sum of T, and norm of every neuron at a set's sites.

    Raises:
        InputError: See ``matched_random``.
    """
    if summary is None:
        raise InputError(
            "match='activity' needs firing rates: give summary=summarise(model, questions)."
        )
    if model is None and norms is None:
        raise InputError("match='activity' needs norms of weights: give model=, or norms=.")
    traits: dict[str, dict[str, Tensor]] = {}
    for site, shape in found.shapes.items():
        if site not in summary.sites:
            raise InputError(
                f"match='activity': the set has neurons at site {site!r} and the summary has "
                f"{', '.join(summary.sites)}: record with summarise(..., sites={site!r})."
            )
        rate = summary.counts[site].double().sum(0) / summary.tokens.double().sum()
        traits[site] = {"rate": rate}
        if not writes(site):
            warnings.warn(
                f"match='activity': neurons of site {site!r} have no outgoing weights of their "
                "own and are matched by firing rate alone.",
                CultureLensWarning,
                stacklevel=3,
            )
        elif norms is None:
            assert model is not None  # refused above
            traits[site]["norm"] = outgoing_norms(model, site)
        elif site in norms:
            traits[site]["norm"] = norms[site].double()
        else:
            raise InputError(f"match='activity': norms holds nothing for site {site!r}.")
        for name, values in traits[site].items():
            if tuple(values.shape) != tuple(shape) or not torch.isfinite(values).all():
                raise InputError(
                    f"match='activity': {name} at site {site!r} has the shape "
                    f"{tuple(values.shape)}, or values that are not finite; the neurons are of "
                    f"{tuple(shape)}: give those of the model that they were found on."
                )
    return traits


def alike(
    found: NeuronSet, traits: Traits, seed: int
) -> tuple[dict[str, Places], dict[str, dict[str, dict[str, float]]]]:
    """Draw neurons alike in their traits, and say how alike.

    Returns:
        Culture -> places, and culture -> site -> trait -> mean absolute difference between a
        neuron and the one drawn for it.
    """
    places: dict[str, Places] = {}
    apart: dict[str, dict[str, dict[str, float]]] = {}
    for culture, neurons in found.neurons.items():
        places[culture], apart[culture] = {}, {}
        for site, own in neurons.places.items():
            pairs = pairs_of(own, traits[site], generator(seed, "activity", site, culture), site)
            places[culture][site] = [pair[1] for pair in pairs]
            if pairs:
                of, drawn = (torch.tensor(side).T for side in zip(*pairs, strict=True))
                apart[culture][site] = {
                    name: float((values[of[0], of[1]] - values[drawn[0], drawn[1]]).abs().mean())
                    for name, values in traits[site].items()
                }
    return places, apart


def pairs_of(
    own: Int[Tensor, "chosen 2"],
    traits: Mapping[str, Float[Tensor, "layer neuron"]],
    source: torch.Generator,
    site: str,
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pair every neuron with one that is not among them: (layer, index) of both."""
    pairs: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for layer in sorted(set(own[:, 0].tolist())):
        chosen = own[own[:, 0] == layer, 1]
        at = positions({name: values[layer] for name, values in traits.items()})
        free = torch.ones(len(at), dtype=torch.bool)
        free[chosen] = False
        if int(free.sum()) < len(chosen):
            raise InputError(
                f"match='activity': {len(chosen)} of the {len(at)} neurons at site {site!r}, layer "
                f"{layer}, are in the set, and only {int(free.sum())} are left over to draw from: "
                "choose fewer, or match by layer."
            )
        # Those drawn for later have less to choose from, so the order is by chance.
        for index in chosen[torch.randperm(len(chosen), generator=source)].tolist():
            drawn = near(at, index, free, source)
            free[drawn] = False
            pairs.append(((layer, index), (layer, drawn)))
    return pairs


def positions(
    traits: Mapping[str, Float[Tensor, " neuron"]],
) -> Float[np.ndarray, "neuron trait"]:
    """Rank neurons by each trait, ties sharing their mean rank.

    Ranks, for rates and norms have no unit in common, and few neurons lie far out in either.
    """
    from scipy.stats import rankdata

    return np.stack([rankdata(values.numpy()) for values in traits.values()], axis=1)


def near(
    at: Float[np.ndarray, "neuron trait"], index: int, free: Tensor, source: torch.Generator
) -> int:
    """Draw one of the nearest free neurons; which of equally near ones count is by chance.

    Example:
        >>> at = np.array([[1.0], [2.0], [9.0]])
        >>> near(at, 0, torch.tensor([False, True, False]), generator(0))
        1
    """
    candidates = free.nonzero()[:, 0]
    candidates = candidates[torch.randperm(len(candidates), generator=source)]
    distance = ((at[candidates.numpy()] - at[index]) ** 2).sum(1)
    nearest = candidates[np.argsort(distance, kind="stable")[:NEAREST]]
    return int(nearest[torch.randint(len(nearest), (1,), generator=source)])


__all__ = ["MATCHES", "matched_random", "random"]
