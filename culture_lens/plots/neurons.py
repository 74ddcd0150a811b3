"""Figures of neuron sets: cultures x layers, and cultures x cultures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from culture_lens.checks import check_arguments, optional, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.plots.heatmap import (
    LEAST_ROWS,
    RANGE,
    cell_font,
    hatch,
    heatmap,
    largest_of,
    whose,
)
from culture_lens.plots.parts import layer_step
from culture_lens.plots.style import (
    AMOUNT,
    DASH,
    EMPTY,
    FONT,
    INK,
    PAPER,
    about,
    across,
    label,
    name_axis,
    percent,
    plain,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd

SMALLEST_OVERLAP = 0.05
"""The colour scale reaches at least this far."""


@check_arguments(found=FOUND_SET, site=optional(text), range=RANGE)
def layer_heatmap(
    found: NeuronSet, *, site: str | None = None, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw in which layers each culture's neurons are: cultures x layers, share of its neurons.

    A set with one entry, such as the culture-general neurons, has one row per site instead. Rows
    without neurons are hatched.

    Args:
        found: The neurons.
        site: One site; all together by default.
        range: The ends of the scale, such as ``(0, 0.2)``, to compare figures; by default it
            reaches to the largest share.

    Raises:
        InputError: No culture, or no such site.

    Example:
        ``layer_heatmap(found).show()``
    """
    check_cultures(found, least=1)
    if site is not None and site not in found.shapes:
        raise unknown("site", site, found.shapes)
    sites = list(found.shapes) if site is None else [site]
    given, single = found, len(found) == 1
    if single:
        found = by_site(found, sites)
    have = {name: layers_of(given, [name] if single else sites) for name in found}
    shares, totals, hover = shares_of(found, sites, have)
    layers = list(shares.columns)
    highest = largest_of(shares, 0.0) or 1.0
    span = range or (0.0, highest)
    figure = go.Figure(heatmap(shares, hover, AMOUNT, span, "share of<br>neurons"))
    hatch(figure, shares)
    where = f"{'site' if len(sites) == 1 else 'sites'} {', '.join(sites)}"
    names = [label(c) + ("" if totals[c] else " (none)") for c in found]
    if single:
        names = [f"{name} ({totals[name] or 'none'})" for name in found]
    every = layer_step(len(layers))
    return styled(
        figure,
        f"Where {whose(given.cultures)} neurons sit",
        about(given.metadata, where, chosen(given)),
        max(len(found), LEAST_ROWS),
        xaxis={"title": {"text": "layer (0 is the first)"}, "tick0": 0, "dtick": every},
        yaxis={
            **name_axis(list(shares.index), names),
            "title": {"text": "site (number of neurons)" if single else "neurons found for"},
            "autorange": "reversed",
        },
    )


def shares_of(
    found: NeuronSet, sites: Sequence[str], have: Mapping[str, set[int]]
) -> tuple[pd.DataFrame, dict[str, int], list[list[str]]]:
    """Give the share of each row's neurons in every layer, their number, and words for each cell.

    Args:
        found: The rows, by name.
        sites: The sites that count.
        have: The layers in which each row's sites have units; other cells have no value.
    """
    shares = found.layer_share(sites[0] if len(sites) == 1 else None)
    layers, totals, hover = list(shares.columns), {}, []
    for name in found:
        counts = np.sum([found[name].per_layer(s, len(layers)).numpy() for s in sites], axis=0)
        totals[name] = int(counts.sum())
        hover.append(
            [
                f"<b>{plain(name)}</b>, layer {layer}<br>{int(counts[layer])} of "
                f"{totals[name]} neurons, {percent(shares.loc[name, layer], 1)}"
                if layer in have[name]
                else f"layer {layer} has no units"
                for layer in layers
            ]
        )
        lacking = [layer for layer in layers if layer not in have[name]]
        shares.loc[name, lacking if totals[name] else layers] = math.nan
    return shares, totals, hover


def layers_of(found: NeuronSet, sites: Sequence[str]) -> set[int]:
    """Give the layers in which any of some sites has units."""
    shapes, facts = found.shapes, found.metadata
    return {layer for site in sites for layer in layers_with_units(facts, site, shapes[site][0])}


def by_site(found: NeuronSet, sites: Sequence[str]) -> NeuronSet:
    """Turn a set with one entry into a set with an entry per site."""
    (only,) = found.neurons.values()
    places = {site: only.places[site] for site in sites if site in only.places}
    rows = {site: Neurons({site: places[site]} if site in places else {}) for site in sites}
    return replace(found, neurons=rows)


@check_arguments(found=FOUND_SET, range=RANGE)
def overlap_heatmap(found: NeuronSet, *, range: tuple[float, float] | None = None) -> go.Figure:
    """Draw the Jaccard overlap of every two cultures' neurons.

    The diagonal, always 1, is left out and shows the number of neurons.

    Args:
        found: The neurons.
        range: The ends of the scale, such as ``(0, 0.2)``, to compare figures; by default it
            reaches to the largest overlap.

    Raises:
        InputError: Fewer than two cultures.

    Example:
        ``overlap_heatmap(found).show()``
    """
    check_cultures(found)
    overlap = found.overlap()
    cultures = list(found.cultures)
    apart = overlap.mask(np.eye(len(cultures), dtype=bool))
    text, hover = [], []
    for a in cultures:
        text.append([overlap_text(overlap.loc[a, b]) if a != b else "" for b in cultures])
        hover.append(
            [
                f"<b>{plain(a)}</b> and <b>{plain(b)}</b><br>{len(found[a])} and "
                f"{len(found[b])} neurons<br>Jaccard overlap {overlap.loc[a, b]:.3f}"
                for b in cultures
            ]
        )
    largest = largest_of(apart, SMALLEST_OVERLAP)
    span = range or (0.0, largest)
    trace = heatmap(apart, hover, AMOUNT, span, "Jaccard<br>overlap", plain_ticks=True)
    font = cell_font(len(cultures))
    trace.update(text=text, texttemplate="%{text}", textfont=font)
    figure = go.Figure(trace)
    hatch(figure, apart)
    counts_on_diagonal(figure, found)
    return styled(
        figure,
        "Neurons that two cultures share",
        about(
            found.metadata,
            chosen(found),
            "Jaccard overlap, |A and B| / |A or B|",
            "diagonal: number of neurons",
        ),
        len(cultures),
        **axes_between(cultures),
    )


def axes_between(cultures: Sequence[str]) -> dict[str, Any]:
    """Make the axes of a figure of every two cultures, the first one at the top left.

    Example:
        >>> sorted(axes_between(["Iran", "Japan"]))
        ['xaxis', 'yaxis']
    """
    title = {"title": {"text": "neurons found for"}}
    return {
        "xaxis": {**across(cultures), **title},
        "yaxis": {**name_axis(cultures), **title, "autorange": "reversed"},
    }


def counts_on_diagonal(figure: go.Figure, found: NeuronSet) -> None:
    """Write the number of neurons of each culture on the diagonal, on grey."""
    size = cell_font(len(found))["size"]
    for position, culture in enumerate(found):
        ends = {"x0": position - 0.5, "x1": position + 0.5}
        ends |= {"y0": position - 0.5, "y1": position + 0.5}
        line = {"color": PAPER, "width": 1}
        figure.add_shape(type="rect", fillcolor=EMPTY, line=line, layer="below", **ends)
        figure.add_annotation(
            x=position,
            y=position,
            text=str(len(found[culture])),
            showarrow=False,
            font={"size": size, "color": INK, "family": FONT},
        )


def overlap_text(overlap: float) -> str:
    """Write an overlap: two decimals, 0 where there is none, < where it would round to 0.

    Example:
        >>> overlap_text(0.25), overlap_text(0.001), overlap_text(0.0)
        ('.25', '&lt;.01', '0')
    """
    if math.isnan(overlap):
        return DASH
    if 0 < overlap < 0.005:
        return "&lt;.01"
    return f"{overlap:.2f}".removeprefix("0") if overlap else "0"


def chosen(found: NeuronSet) -> str:
    """Write how many neurons each culture has."""
    sizes = sorted(len(found[culture]) for culture in found)
    if len(sizes) == 1:
        return f"{sizes[0]} neurons"
    if sizes[0] == sizes[-1]:
        return f"{sizes[0]} neurons per culture"
    return f"{sizes[0]}{DASH}{sizes[-1]} neurons per culture"


def check_cultures(found: NeuronSet, least: int = 2) -> None:
    """Refuse fewer cultures than a figure needs.

    Raises:
        InputError: There are fewer.
    """
    if not len(found):
        raise InputError("this neuron set has no cultures: find neurons first.")
    if len(found) < least:
        raise InputError(
            "this figure compares cultures and needs at least two cultures; the neuron set has "
            f"{list(found.cultures)}: find neurons with questions of more cultures."
        )


__all__ = ["layer_heatmap", "overlap_heatmap"]
