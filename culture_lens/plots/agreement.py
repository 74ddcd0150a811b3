"""Rank agreement: how alike selectors rank the neurons of each culture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float

from culture_lens.checks import any_names, check_arguments, mapping
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.scores import NEVER, SCORES, NeuronScores
from culture_lens.neurons.with_units import of_units
from culture_lens.plots.heatmap import (
    LEAST_ROWS,
    RANGE,
    cell_font,
    check_symmetric,
    hatch,
    heatmap,
)
from culture_lens.plots.style import (
    DASH,
    LOSS_TO_GAIN,
    MINUS,
    about,
    across,
    name_axis,
    plain,
    styled,
)


@check_arguments(
    scores=mapping(SCORES, "{selector: NeuronScores}"), cultures=any_names, range=RANGE
)
def rank_agreement_heatmap(
    scores: Mapping[str, NeuronScores],
    *,
    cultures: Sequence[str] = (),
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw Spearman's correlation of every two selectors' rankings, mean over cultures.

    All neurons at the sites that every selector has are ranked for each culture; those that a
    selector never chooses share its last rank. 1 is the same order, 0 none in common. Neurons are
    not independent, so there is no interval; the hover has the least and the greatest culture.

    Args:
        scores: Selector -> its scores, all of one model and the same cultures.
        cultures: Which cultures; all by default.
        range: The ends of the scale; by default from -1 to 1.

    Raises:
        InputError: Fewer than two selectors, an unknown culture, or scores of other cultures,
            sites or models.

    Example:
        ``rank_agreement_heatmap({"conact": one, "mad": other}).show()``
    """
    if len(scores) < 2:
        raise InputError("rank agreement needs at least two selectors: {name: scores, ...}.")
    first = next(iter(scores.values()))
    sites = shared_sites(scores)
    names = list(dict.fromkeys(cultures)) or list(first.cultures)
    for name in names:
        if name not in first.cultures:
            raise unknown("culture", name, first.cultures)
    selectors = list(scores)
    table, words, hover = agreements(
        {name: ranks_of(own, names, sites) for name, own in scores.items()}
    )
    trace = heatmap(
        table,
        hover.to_numpy().tolist(),
        LOSS_TO_GAIN,
        check_symmetric(range) or (-1.0, 1.0),
        "Spearman",
        signed=True,
        plain_ticks=True,
    )
    font = cell_font(len(selectors))
    trace.update(text=words.to_numpy().tolist(), texttemplate="%{text}", textfont=font)
    figure = go.Figure(trace)
    hatch(figure, table)
    number = sum(of_units(first.scores[s], first.metadata, s)[0].numel() for s in sites)
    return styled(
        figure,
        "How alike selectors rank neurons",
        about(
            {**first.metadata, "items": first.metadata.get("items")},
            f"{number:,} neurons at {', '.join(sites)}",
            f"Spearman’s correlation, mean over {len(names)} cultures",
            selector="",
        ),
        max(len(selectors), LEAST_ROWS),
        xaxis={**across(selectors)},
        yaxis={**name_axis(selectors), "autorange": "reversed"},
    )


def agreements(
    ranked: Mapping[str, list[Float[np.ndarray, " neuron"]]],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give the mean correlation of every two selectors, as number, word and hover."""
    selectors = list(ranked)
    table = pd.DataFrame(np.nan, index=selectors, columns=selectors)
    words, hover = table.astype(object), table.astype(object)
    for name in selectors:
        words.loc[name, name], hover.loc[name, name] = "", f"<b>{plain(name)}</b>"
    for one, other in combinations(selectors, 2):
        each = [spearman(a, b) for a, b in zip(ranked[one], ranked[other], strict=True)]
        known = [value for value in each if not math.isnan(value)]
        mean = float(np.mean(known)) if known else math.nan
        told = f"<b>{plain(one)}</b> and <b>{plain(other)}</b><br>Spearman {written(mean)}"
        if known:
            told += f"<br>cultures: {written(min(known))} to {written(max(known))}"
        for a, b in ((one, other), (other, one)):
            table.loc[a, b], words.loc[a, b], hover.loc[a, b] = mean, written(mean), told
    return table, words, hover


def shared_sites(scores: Mapping[str, NeuronScores]) -> list[str]:
    """Give the sites that all scores have.

    Raises:
        InputError: There is none, or cultures or shapes differ.
    """
    (first_name, first), *others = scores.items()
    for name, own in others:
        if own.cultures != first.cultures:
            raise InputError(f"{name!r} has other cultures than {first_name!r}: score the same.")
    sites = [site for site in first.scores if all(site in own.scores for own in scores.values())]
    for name, own in others:
        for site in sites:
            if own.scores[site].shape != first.scores[site].shape:
                raise InputError(f"{name!r} has other neurons at {site!r} than {first_name!r}.")
    if not sites:
        had = "; ".join(f"{name}: {', '.join(own.scores)}" for name, own in scores.items())
        raise InputError(f"these scores have no site in common ({had}): score at the same site.")
    return sites


def ranks_of(
    scores: NeuronScores, cultures: Sequence[str], sites: Sequence[str]
) -> list[Float[np.ndarray, " neuron"]]:
    """Rank the neurons of each culture, all sites together; ties share their mean rank."""
    from scipy.stats import rankdata

    ranked = []
    for culture in cultures:
        own = scores.cultures.index(culture)
        tables = [of_units(scores.scores[site][own], scores.metadata, site) for site in sites]
        values = [table.flatten().double().numpy() for table in tables]
        flat = np.concatenate(values)
        ranked.append(rankdata(np.where(flat > NEVER, flat, -np.inf)))
    return ranked


def spearman(one: Float[np.ndarray, " neuron"], other: Float[np.ndarray, " neuron"]) -> float:
    """Correlate ranks; NaN where a ranking has one value only.

    Example:
        >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), 9)
        0.5
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def written(value: float) -> str:
    """Write a correlation.

    Example:
        >>> written(0.5)
        '0.50'
    """
    return DASH if math.isnan(value) else f"{value:.2f}".replace("-", MINUS)


__all__ = ["rank_agreement_heatmap"]
