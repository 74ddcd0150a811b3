"""Where a neuron stands under each selector, on CountryRC and on control twins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.knowledge import KnowledgeScores
from culture_lens.cards.places import Place
from culture_lens.cards.records import Rank
from culture_lens.checks import refused
from culture_lens.models.sites import part_of
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.neurons.with_units import of_units
from culture_lens.selectors.ranking import RANKINGS, Sources

COUNTRYRC, CONTROL = "CountryRC", "control twins"
OF_ACTIVATIONS = ("conact", "lap", "lape", "mad", "mad_probability")
OF_CULNIG = ("culnig_specific", "gradient")
SAME_NEURON = {"act": "gate", "gate": "act"}
"""Two sites of one neuron: before and after its activation function."""

Tables = Mapping[str, NeuronScores]
"""Scores by the name of their selector or scoring."""


def tables_of(scores: Any) -> dict[str, NeuronScores]:
    """Turn whatever scores are given into tables by name.

    Args:
        scores: ``ActivationSummary``, ``CulnigScores``, ``KnowledgeScores``, ``NeuronScores``, a
            list of these, or a mapping of names to ``NeuronScores``; None for nothing.

    Raises:
        InputError: Anything else.
    """
    if scores is None:
        return {}
    if isinstance(scores, Mapping):
        return {str(name): one_table(name, own) for name, own in scores.items()}
    given = [scores] if not isinstance(scores, (list, tuple)) else scores
    tables: dict[str, NeuronScores] = {}
    for one in given:
        tables |= tables_of_one(one)
    return tables


def one_table(name: str, value: Any) -> NeuronScores:
    """Check for a table of scores.

    Raises:
        InputError: It is none.
    """
    if not isinstance(value, NeuronScores):
        raise refused(f"scores[{name!r}]", value, "NeuronScores, such as attribute gives")
    return value


def tables_of_one(scores: Any) -> dict[str, NeuronScores]:
    """Turn one kind of scores into tables.

    Raises:
        InputError: It is none of the kinds.
    """
    if isinstance(scores, ActivationSummary):
        names = [n for n in OF_ACTIVATIONS if n != "mad" or scores.sums]
        return {name: RANKINGS[name](Sources(summary=scores)) for name in names}
    if isinstance(scores, CulnigScores):
        found = {name: RANKINGS[name](Sources(scores=scores)) for name in OF_CULNIG}
        return {**found, COUNTRYRC: scores.countryrc, CONTROL: scores.control}
    if isinstance(scores, KnowledgeScores):
        ranked = RANKINGS["knowledge"](Sources(knowledge=scores))
        return {"knowledge": ranked, f"{COUNTRYRC} (contributions)": scores.country}
    if isinstance(scores, NeuronScores):
        return {str(scores.metadata.get("selector") or "scores"): scores}
    remedy = "an ActivationSummary, CulnigScores, KnowledgeScores, NeuronScores, or a list of these"
    raise refused("scores", scores, remedy)


def ranks_of(tables: Tables, place: Place, cultures: Iterable[str]) -> tuple[Rank, ...]:
    """Rank a neuron in every table that has it, for some cultures.

    Ties share the best rank. A table of the gate also ranks the neuron after its activation
    function, and the other way round; the name then says so.
    """
    found: list[Rank] = []
    for name, table in tables.items():
        site = site_in(table, place[0])
        if site is None:
            continue
        label = name if site == place[0] else f"{name} ({site})"
        for culture in cultures:
            if culture in table.cultures:
                flat, own = column(table, culture, (site, *place[1:]))
                found.append(rank_in(label, culture, flat, own))
    return tuple(found)


def site_in(table: NeuronScores, site: str) -> str | None:
    """Find the site of a table that has a neuron; None where none has it."""
    part = part_of(site)
    other = site[: -len(part)] + SAME_NEURON.get(part, part)
    return next((name for name in (site, other) if name in table.scores), None)


def column(table: NeuronScores, culture: str, place: Place) -> tuple[Tensor, float]:
    """Give all scores of a culture, sites together, and that of one neuron."""
    row, (site, layer, index) = table.cultures.index(culture), place
    tables = table.scores.items()
    flat = torch.cat([of_units(v[row], table.metadata, own).flatten() for own, v in tables])
    return flat, float(table.scores[site][row, layer, index])


def rank_in(name: str, culture: str, flat: Tensor, own: float) -> Rank:
    """Rank a score among all.

    Example:
        >>> rank_in("lap", "Japan", torch.tensor([0.1, 0.5, 0.3]), 0.3).rank
        2
    """
    above = int((flat > own).sum()) + 1 if own > NEVER else 0
    return Rank(name, culture, own, above, int((flat > NEVER).sum()), len(flat))


def percentile_of(ranks: Sequence[Rank], table: str) -> tuple[float, Rank] | None:
    """Give the highest percentile in tables whose name begins so, with its rank."""
    own = [(rank.percentile, rank) for rank in ranks if rank.table.startswith(table)]
    return max(own, key=lambda pair: pair[0], default=None)
