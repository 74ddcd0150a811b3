"""The overlap of cultures' neurons beyond what chance would give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from culture_lens.checks import check_arguments, text
from culture_lens.experiments.cell_tests import ALPHA, MARK
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.overlap import overlap_with_chance
from culture_lens.plots.heatmap import (
    RANGE,
    cell_font,
    check_symmetric,
    hatch,
    heatmap,
    largest_of,
)
from culture_lens.plots.neurons import axes_between, check_cultures, chosen, counts_on_diagonal
from culture_lens.plots.style import (
    DASH,
    LOSS_TO_GAIN,
    MINUS,
    about,
    plain,
    styled,
)
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    from culture_lens.neurons.overlap import Match

MATCH_WORDS = {"layer": "in each layer", "site": "at each site", "pool": "in all"}
SMALLEST = 0.02
"""The colour scale reaches at least this far."""


@check_arguments(found=FOUND_SET, match=text, range=RANGE)
def overlap_beyond_chance(
    found: NeuronSet, *, match: Match = "layer", range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the Jaccard overlap of every two cultures' neurons minus that of random sets.

    Random sets have as many neurons in each layer. A star stands where the cultures share more
    than chance by the exact test of ``overlap_with_chance``, corrected for all pairs.

    Args:
        found: The neurons.
        match: What random sets keep: ``"layer"``, ``"site"`` or ``"pool"``.
        range: The ends of the scale, such as ``(-0.1, 0.1)``; by default it reaches to the largest
            difference.

    Raises:
        InputError: Fewer than two cultures, an unknown way to match, or a scale whose middle is
            not 0.

    Example:
        ``overlap_beyond_chance(found).show()``
    """
    check_cultures(found)
    cultures = list(found.cultures)
    table, words, hover = differences(found, match)
    span = check_symmetric(range)
    if span is None:
        span = (-largest_of(table, SMALLEST), largest_of(table, SMALLEST))
    trace = heatmap(
        table,
        hover.to_numpy().tolist(),
        LOSS_TO_GAIN,
        span,
        "beyond<br>chance",
        signed=True,
        plain_ticks=True,
    )
    font = cell_font(len(cultures))
    trace.update(text=words.to_numpy().tolist(), texttemplate="%{text}", textfont=font)
    figure = go.Figure(trace)
    hatch(figure, table)
    counts_on_diagonal(figure, found)
    return styled(
        figure,
        "Neurons that two cultures share, beyond chance",
        about(
            found.metadata,
            chosen(found),
            f"Jaccard overlap minus that of random sets with as many neurons {MATCH_WORDS[match]}",
            f"{MARK}: p of at most {ALPHA:g}, corrected for all pairs",
            "diagonal: number of neurons",
        ),
        len(cultures),
        **axes_between(cultures),
    )


def differences(found: NeuronSet, match: Match) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give overlap minus chance of every two cultures, as number, word and hover."""
    pairs = as_estimates(overlap_with_chance(found, match=match)).set_index(["one", "other"])
    cultures = list(found.cultures)
    table = pd.DataFrame(np.nan, index=cultures, columns=cultures)
    words = pd.DataFrame("", index=cultures, columns=cultures)
    hover = words.copy()
    for one, other in pairs.index:
        pair = pairs.loc[(one, other)]
        beyond = pair["jaccard"] - pair["jaccard_by_chance"]
        star = MARK if pair["corrected_p"] <= ALPHA else ""
        told = (
            f"<b>{plain(one)}</b> and <b>{plain(other)}</b><br>{pair['shared']} neurons in common, "
            f"{pair['by_chance'].value:.1f} by chance<br>Jaccard {pair['jaccard']:.3f}, "
            f"{pair['jaccard_by_chance']:.3f} by chance<br>p {pair['p']:.2g}, corrected "
            f"{pair['corrected_p']:.2g}"
        )
        for a, b in ((one, other), (other, one)):
            table.loc[a, b] = beyond
            words.loc[a, b] = "" if math.isnan(beyond) else short(beyond) + star
            hover.loc[a, b] = told
    return table, words, hover


def short(value: float) -> str:
    """Write a signed number of two decimals without its leading 0.

    Example:
        >>> short(0.123), short(-0.5), short(0.001)
        ('+.12', '\u2212.50', '0')
    """
    if math.isnan(value):
        return DASH
    text = f"{value:+.2f}".replace("0.", ".", 1).replace("-", MINUS)
    return "0" if text[1:] == ".00" else text


__all__ = ["overlap_beyond_chance"]
