"""Compare a selector's ranking with the planted neurons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.organism.plan import OWN
from culture_lens.organism.truth import Truth
from culture_lens.questions.unseen import looked_at

SOUGHT = (*OWN, "kin")
"""The kinds that a selector of one culture's neurons ought to find."""

LayerIndex = tuple[int, int]


def planted(truth: Truth, model: LensModel) -> NeuronSet:
    """Give the planted neurons of each culture as a neuron set, as a perfect selector would.

    Example:
        ``rank_modules(planted(load_truth(), model), model)``
    """
    neurons = {culture: truth.neurons(SOUGHT, culture) for culture in CULTURES}
    # Known without a question: none was looked at.
    known = {"selector": "planted", **looked_at([])}
    return NeuronSet(neurons, {"act": model.shape("act")}, known)


def mlp_places(members: Iterable[tuple[str, int, int]]) -> set[LayerIndex]:
    """Give layer and index of the MLP neurons, found at ``act`` or at ``gate``."""
    return {(layer, index) for site, layer, index in members if site in ("act", "gate")}


def at_activations(members: Iterable[tuple[str, int, int]]) -> Neurons:
    """Move neurons at ``gate`` to ``act``, so that all selectors' MLP neurons are ablated alike."""
    places: dict[str, list[LayerIndex]] = {}
    for site, layer, index in members:
        places.setdefault("act" if site == "gate" else site, []).append((layer, index))
    return Neurons.of(places)


def held_against(
    truth: Truth,
    culture: str,
    order: Sequence[tuple[str, int, int]],
    takes_effect: Sequence[LayerIndex],
    number: int | None = None,
) -> dict[str, float]:
    """Compare the first neurons of a ranking with the truth.

    Args:
        truth: What was planted.
        culture: Whose neurons are sought.
        order: The ranking, the best first.
        takes_effect: The planted neurons that have an effect when ablated alone.
        number: How many of the ranking are taken; as many as were planted if left out.

    Returns:
        Column -> value, the columns of ``Scorecard`` from ``precision`` to ``other_cultures``.
    """

    def carrying(kinds: str | Sequence[str], of: str | None = culture) -> set[LayerIndex]:
        return mlp_places(truth.neurons(kinds, of).members())

    sought, effective = carrying(SOUGHT), set(takes_effect)
    chosen = order[: len(sought) if number is None else number]
    hits = mlp_places(chosen)
    others = carrying(SOUGHT, None) - sought
    taken = max(len(chosen), 1)
    return {
        "precision": len(hits & sought) / taken,
        "recall": share_of(hits, sought),
        "average_precision": average_precision(order, sought),
        "effective_precision": len(hits & effective) / taken,
        "effective_recall": share_of(hits, effective),
        "effective_average_precision": average_precision(order, effective),
        **{f"recall_{kind}": recall_of(truth, kind, culture, hits) for kind in SOUGHT},
        "decoys": share_of(hits, carrying("style")),
        "recognition": share_of(hits, carrying("recognition")),
        "other_cultures": len(hits & others) / taken,
    }


def share_of(hits: set[LayerIndex], wanted: set[LayerIndex]) -> float:
    """Give the share of the wanted neurons that was hit; NaN where none are wanted."""
    return len(hits & wanted) / len(wanted) if wanted else float("nan")


def recall_of(truth: Truth, kind: str, culture: str, hits: set[LayerIndex]) -> float:
    """Give the share of a culture's planted neurons of a kind that was found."""
    there = {name for block in truth.blocks if block.kind == kind for name in block.cultures}
    if culture not in there:
        return float("nan")
    return share_of(hits, mlp_places(truth.neurons(kind, culture).members()))


def average_precision(order: Sequence[tuple[str, int, int]], wanted: set[LayerIndex]) -> float:
    """Average the precision at each wanted neuron of a ranking; those without a place add nothing.

    Example:
        >>> average_precision([("act", 0, 1), ("act", 0, 2), ("act", 0, 3)], {(0, 1), (0, 3)})
        0.8333333333333333
    """
    if not wanted:
        return float("nan")
    total, hits = 0.0, 0
    for rank, (site, *place) in enumerate(order, start=1):
        if site in ("act", "gate") and tuple(place) in wanted:
            hits += 1
            total += hits / rank
    return total / len(wanted)
