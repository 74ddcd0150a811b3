"""Random neurons: the baseline of every result.

The strictest baseline is ``match="activity"``: random neurons of the same layer that fire as often
as the neurons found and have outgoing weights of the same norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.activations.summary import SUMMARY, ActivationSummary
from culture_lens.checks import SEED, check_arguments, mapping, optional, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons, Shape
from culture_lens.neurons.scores import NeuronScores
from culture_lens.neurons.weight_norms import outgoing_norms, writes
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.questions.question import stable_hash

if TYPE_CHECKING:  # other names are refused at run time, with the nearest one
    RandomMatch = Literal["layer", "pool", "activity"]

RANDOM_MATCHES: tuple[RandomMatch, ...] = ("layer", "pool", "activity")
SitePlaces = dict[str, list[tuple[int, int]]]
Layers = Mapping[str, list[int]]
"""Per site, the layers that have something to draw."""
Traits = Mapping[str, Mapping[str, Float[Tensor, "layer neuron"]]]
NEAREST = 10
"""The number of most similar neurons among which one is drawn."""


def generator(seed: int, *names: str) -> torch.Generator:
    """Make a random generator that depends on a seed and some names, the same everywhere."""
    key = stable_hash("\0".join((str(seed), *names)))
    return torch.Generator().manual_seed(key % 2**63)


@check_arguments(seed=SEED)
def check_seed(*, seed: int = 0) -> None:
    """Refuse a seed that is none, before a model runs.

    Raises:
        InputError: It is no whole number, or negative.

    Example:
        >>> check_seed(seed=1)
    """


@check_arguments(seed=SEED)
def random(summary: ActivationSummary, *, seed: int = 0) -> NeuronScores:
    """Score every neuron of every culture by a random number.

    Args:
        summary: Gives the cultures and shapes; its counts are not used.
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
    return NeuronScores(summary.cultures, scores, metadata=summary.metadata)


@check_arguments(
    found=FOUND_SET,
    seed=SEED,
    match=text,
    summary=optional(SUMMARY),
    model=optional(MODEL),
    norms=optional(mapping(Tensor)),
)
def matched_random(
    found: NeuronSet,
    seed: int = 0,
    *,
    match: RandomMatch = "layer",
    summary: ActivationSummary | None = None,
    model: LensModel | None = None,
    norms: Mapping[str, Float[Tensor, "layer neuron"]] | None = None,
) -> NeuronSet:
    """Draw random neurons, as many as another set has.

    With ``"layer"`` and ``"pool"`` a culture's own neurons may be drawn too, as by chance; with
    ``"activity"`` never.

    Args:
        found: The set to match.
        seed: The seed.
        match: ``"layer"`` keeps the numbers at each site and layer (ConAct's baseline);
            ``"pool"`` draws each culture's whole number from all sites and layers together
            (CULNIG's). ``"activity"`` keeps site and layer, and draws for each neuron one of the
            ten most similar in firing rate and in the norm of the outgoing weights: ablating
            neurons that fire often or write strongly has larger effects whatever they know. How
            similar they are is in the metadata under ``matched``.
        summary: For ``"activity"``: gives the firing rates, over the tokens of all cultures.
        model: For ``"activity"``: gives the norms; see ``outgoing_norms``. q, k and v have none
            and are matched by rate alone.
        norms: The norms per site, instead of the model.

    Raises:
        InputError: An unknown way to match; for ``"activity"`` no summary, neither model nor norms,
            a site or shape that these lack, or a layer with too few other neurons to draw from.

    Example:
        ``baselines = [matched_random(found, seed) for seed in range(5)]``
    """
    if match not in RANDOM_MATCHES:
        raise unknown("way to match random neurons", match, RANDOM_MATCHES)
    known = {"selector": "random", "seed": seed, "matched_to": found.method, "match": match}
    if match == "activity":
        traits = traits_of(found, summary, model, norms)
        places, known["matched"] = alike(found, traits, seed)
    else:
        draw = per_layer if match == "layer" else from_pool
        layers = {
            site: layers_with_units(found.metadata, site, shape[0])
            for site, shape in found.shapes.items()
        }
        places = {
            c: draw(neurons, found.shapes, layers, seed, c) for c, neurons in found.neurons.items()
        }
    drawn = {culture: Neurons.of(chosen) for culture, chosen in places.items()}
    return replace(found, neurons=drawn, metadata={**found.metadata, **known})


def per_layer(
    neurons: Neurons, shapes: Mapping[str, Shape], layers: Layers, seed: int, culture: str
) -> SitePlaces:
    """Draw as many neurons at each site and layer as a set has there."""
    places: SitePlaces = {}
    for site, (n_layers, width) in shapes.items():
        source = generator(seed, site, culture)
        places[site] = [
            (layer, index)
            for layer, count in enumerate(neurons.per_layer(site, n_layers).tolist())
            for index in torch.randperm(width, generator=source)[:count].tolist()
        ]
    return places


def from_pool(
    neurons: Neurons, shapes: Mapping[str, Shape], layers: Layers, seed: int, culture: str
) -> SitePlaces:
    """Draw as many neurons as a set has from all sites and layers together."""
    sizes = {site: len(layers[site]) * width for site, (_, width) in shapes.items()}
    source = generator(seed, "pool", culture)
    drawn = torch.randperm(sum(sizes.values()), generator=source)[: len(neurons)]
    places: SitePlaces = {}
    for site, size in sizes.items():
        here = drawn[(drawn >= 0) & (drawn < size)]
        width = shapes[site][1]
        places[site] = [(layers[site][at // width], at % width) for at in here.tolist()]
        drawn = drawn - size
    return places


# ------------------------------------------------------------------ matched by activity


def traits_of(
    found: NeuronSet,
    summary: ActivationSummary | None,
    model: LensModel | None,
    norms: Mapping[str, Tensor] | None,
) -> Traits:
    """Give firing rate (sum of K / sum of T over cultures) and norm of every neuron, site by site.

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
        if not (writes(site, model) or site in (norms or {})):
            warn(
                f"match='activity': neurons of site {site!r} have no outgoing weights of their "
                "own and are matched by firing rate alone."
            )
        elif norms is None:
            assert model is not None  # refused above
            traits[site]["norm"] = outgoing_norms(model, site)
        elif site in norms:
            traits[site]["norm"] = norms[site].double()
        else:
            raise InputError(f"match='activity': norms holds nothing for site {site!r}.")
        check_traits(traits[site], site, shape)
    return traits


def check_traits(traits: Mapping[str, Tensor], site: str, shape: Shape) -> None:
    """Refuse traits of another shape, or that are not finite."""
    for name, values in traits.items():
        if tuple(values.shape) != tuple(shape) or not torch.isfinite(values).all():
            raise InputError(
                f"match='activity': {name} at site {site!r} has the shape {tuple(values.shape)}, "
                f"or values that are not finite; the neurons have shape {tuple(shape)}: give those "
                "of the model that the neurons were found on."
            )


def alike(
    found: NeuronSet, traits: Traits, seed: int
) -> tuple[dict[str, SitePlaces], dict[str, dict[str, dict[str, float]]]]:
    """Draw neurons with similar traits, and measure how similar.

    Returns:
        Culture -> places, and culture -> site -> trait -> mean absolute difference between a
        neuron and the one drawn for it.
    """
    places: dict[str, SitePlaces] = {}
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
        # Neurons drawn for later have fewer candidates left, so the order is random.
        for index in chosen[torch.randperm(len(chosen), generator=source)].tolist():
            drawn = near(at, index, free, source)
            free[drawn] = False
            pairs.append(((layer, index), (layer, drawn)))
    return pairs


def positions(
    traits: Mapping[str, Float[Tensor, " neuron"]],
) -> Float[np.ndarray, "neuron trait"]:
    """Rank neurons by each trait, ties sharing their mean rank.

    Ranks, since rates and norms have no common unit and both have a few extreme values.
    """
    from scipy.stats import rankdata

    return np.stack([rankdata(values.numpy()) for values in traits.values()], axis=1)


def near(
    at: Float[np.ndarray, "neuron trait"], index: int, free: Tensor, source: torch.Generator
) -> int:
    """Draw one of the nearest free neurons; ties in distance are broken at random.

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


__all__ = ["RANDOM_MATCHES", "matched_random", "random"]
