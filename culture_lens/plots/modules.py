"""Layer profiles by module: in which layers of which site culture neurons sit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.with_units import layers_with_units, number_of_units
from culture_lens.plots.comparison import SELECTOR_COLOURS
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.neurons import check_cultures, chosen
from culture_lens.plots.parts import layer_step
from culture_lens.plots.style import (
    DASH,
    FAINT,
    INK,
    MUTED,
    about,
    percent,
    plain,
    styled,
    ticks,
)

if TYPE_CHECKING:
    import pandas as pd

PANEL = 90
"""Height of a panel."""


@check_arguments(found=FOUND_SET, range=RANGE)
def module_profile_chart(
    found: NeuronSet, *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the share of neurons in every layer of each site, such as gate, q, k and v.

    Bars are means over cultures, lines reach from the least to the greatest culture, and all bars
    of all panels add up to 1. The dotted line is what neurons spread evenly over all sites and
    layers would give, where a site has units.

    Args:
        found: The neurons; cultures without any are left out of the means and named.
        range: The ends of the vertical axis of all panels, such as ``(0, 0.1)``.

    Raises:
        InputError: No culture with neurons.

    Example:
        ``module_profile_chart(find_culture_neurons(model, questions, method="culnig_specific"))``
    """
    check_cultures(found, least=1)
    held = [culture for culture in found if len(found[culture])]
    if not held:
        raise InputError("none of these cultures has neurons: there is no profile to draw.")
    without = [culture for culture in found if culture not in held]
    tables = profiles(found, held)
    figure = make_subplots(
        len(tables),
        1,
        shared_xaxes="all",
        shared_yaxes="all",
        vertical_spacing=0.25 / (len(tables) + 1),
    )
    total = sum(number_of_units(found.shapes, found.metadata).values())
    for row, (site, table) in enumerate(tables.items(), start=1):
        colour = SELECTOR_COLOURS[(row - 1) % len(SELECTOR_COLOURS)]
        figure.add_trace(bars(table, site, colour), row, 1)
        even = found.shapes[site][1] / total
        dotted = {"color": INK, "width": 1, "dash": "dot"}
        for first, last in runs(table.columns):
            ends = {"x0": first - 0.5, "x1": last + 0.5, "y0": even, "y1": even}
            figure.add_shape(type="line", line=dotted, row=row, col=1, **ends)
    cultures = "cultures: least to greatest" if len(held) > 1 else ""
    styled(
        figure,
        "Where culture neurons sit, by module",
        about(
            found.metadata,
            chosen(found),
            "share of a culture’s neurons, mean over cultures" if cultures else plain(held[0]),
            f"lines: {cultures}" if cultures else "",
            "dotted: spread evenly",
            f"without neurons: {', '.join(without)}" if without else "",
        ),
        1,
        showlegend=False,
        bargap=0.15,
    )
    figure.update_layout(height=figure.layout.margin.t + 80 + len(tables) * (PANEL + 20))
    scale_axes(figure, tables, max(layers for layers, _ in found.shapes.values()), range)
    return figure


def profiles(found: NeuronSet, cultures: list[str]) -> dict[str, pd.DataFrame]:
    """Give the share of each culture's neurons in the layers of every site, cultures x layers."""
    import pandas as pd

    tables = {}
    for site, (layers, _) in found.shapes.items():
        shares = {
            culture: (
                found[culture].per_layer(site, layers).double() / len(found[culture])
            ).tolist()
            for culture in cultures
        }
        table = pd.DataFrame.from_dict(shares, orient="index")
        tables[site] = table[layers_with_units(found.metadata, site, layers)]
    return tables


def runs(layers: Iterable[int]) -> list[tuple[int, int]]:
    """Give the first and the last of layers that follow one another.

    Example:
        >>> runs([0, 1, 2, 5])
        [(0, 2), (5, 5)]
    """
    held = np.array(list(layers))
    parts = np.split(held, np.flatnonzero(np.diff(held) > 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]


def bars(table: pd.DataFrame, site: str, colour: str) -> go.Bar:
    """Make the bars of one site, with a line over the range of cultures."""
    means, least, most = table.mean(), table.min(), table.max()
    several = len(table) > 1
    return go.Bar(
        x=list(table.columns),
        y=means.tolist(),
        name=site,
        meta={"panel": site},
        marker={"color": colour},
        error_y={
            "array": (most - means).tolist(),
            "arrayminus": (means - least).tolist(),
            "color": MUTED,
            "thickness": 1,
            "width": 0,
        }
        if several
        else None,
        hovertext=[
            f"<b>{plain(site)}</b>, layer {layer}<br>{percent(means[layer], 1)} of its neurons"
            + (f", {percent(least[layer], 1)}{DASH}{percent(most[layer], 1)}" if several else "")
            for layer in table.columns
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def scale_axes(
    figure: go.Figure,
    tables: dict[str, pd.DataFrame],
    layers: int,
    span: tuple[float, float] | None,
) -> None:
    """Give all panels the same axes, of so many layers."""
    highest = max(float(table.to_numpy().max()) for table in tables.values())
    low, high = span or (0.0, 1.05 * highest)
    marks = ticks(low, high, 4)
    digits = 0 if all(math.isclose(100 * m, round(100 * m), abs_tol=1e-6) for m in marks) else 1
    figure.update_yaxes(
        range=[low, high],
        tickvals=marks,
        ticktext=[percent(mark, digits) for mark in marks],
        showgrid=True,
        gridcolor=FAINT,
    )
    figure.update_xaxes(tick0=0, dtick=layer_step(layers), range=[-0.6, layers - 0.4])
    figure.update_xaxes(title_text="layer (0 is the first)", row=len(tables))
    for row, site in enumerate(tables, start=1):
        figure.update_yaxes(title_text=plain(site), row=row)


__all__ = ["module_profile_chart"]
