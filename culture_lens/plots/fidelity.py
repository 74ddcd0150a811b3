"""The figure of predicted against measured effects: a point for everything that was ablated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, instance, optional, text
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.fidelity import CORRELATIONS, Fidelity
from culture_lens.experiments.fidelity_units import CELL, NEURON, SET
from culture_lens.plots.heatmap import MOST_DIGITS, RANGE, estimate_text, tick_digits
from culture_lens.plots.objectives import Quantity, how_predicted, quantity_of
from culture_lens.plots.parts import LEGEND_BELOW, add_heading, error_bars, filled, legend_key
from culture_lens.plots.point_labels import Range, add_labels
from culture_lens.plots.style import (
    AMOUNT,
    DASH,
    FAINT,
    FOUND_COLOUR,
    INK,
    INTERVALS,
    MINUS,
    MUTED,
    RANDOM_COLOUR,
    about,
    limits,
    plain,
    points,
    styled,
    ticks,
)
from culture_lens.statistics.bootstrap import ranks
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.fidelity_units import UnitKind

UNIT_PANELS: dict[UnitKind, str] = {
    NEURON: "single neurons",
    SET: "sets of neurons",
    CELL: "cells of the matrix",
}
PANEL_HEIGHT, TITLE_LINE, MANY_OWN = 560, 16, 10
BAR_COLOUR, OTHER_COLOUR = "#c3c9d1", "#4292c6"


@dataclass(frozen=True)
class Series:
    """Units with one entry in the legend and one marker, in one colour or in shades."""

    name: str
    units: list[str]
    colour: str
    symbol: str
    size: int
    labelled: bool = False
    shades: tuple[str, ...] = ()


@check_arguments(fidelity=instance(Fidelity), kind=optional(text), range=RANGE)
def fidelity_chart(
    fidelity: Fidelity, kind: UnitKind | None = None, *, range: Range | None = None
) -> go.Figure:
    """Draw predicted against measured changes of an objective: a point per unit, a panel per kind.

    A correct prediction lies on the dashed line. Filled points have a measured change whose
    interval excludes 0. Every panel has its own scale, because a neuron has a much smaller effect
    than a set.

    Args:
        fidelity: Predicted and measured changes.
        kind: ``"neuron"``, ``"set"`` or ``"cell"``; all kinds by default.
        range: The ends of both axes of every panel, in the unit of the objective.

    Raises:
        InputError: Nothing was compared, or nothing of that kind.

    Example:
        ``fidelity_chart(fidelity(model, questions, scores)).show()``
    """
    if fidelity.frame.empty:
        raise InputError("nothing was ablated, so there is nothing to draw: see fidelity().")
    if kind is not None and kind not in fidelity.kinds:
        raise unknown("kind of unit", kind, fidelity.kinds)
    kinds = fidelity.kinds if kind is None else (kind,)
    figure = styled(
        make_subplots(1, len(kinds), horizontal_spacing=0.18 / len(kinds)),
        "Predicted and measured effects of ablation",
        about(
            fidelity.metadata,
            INTERVALS,
            how_predicted(fidelity.metadata),
            "dashed: measured as predicted",
            "filled: measured interval excludes 0",
            "darker: higher attribution score" if NEURON in kinds else "",
            "every panel has its own scale" if len(kinds) > 1 and range is None else "",
            selector=str(fidelity.metadata.get("selector") or ""),
        ),
        1,
    )
    quantity = quantity_of(fidelity.metadata)
    words = [agreement(fidelity, name) for name in kinds]
    lines = 1 + max(len(text) for text in words)
    for column, (name, told) in enumerate(zip(kinds, words, strict=True), start=1):
        table = as_estimates(fidelity.units(name))
        add_panel(figure, table, name, quantity, column, 1 / len(kinds), range)
        heading = [f"<b>{UNIT_PANELS.get(name, name)}</b>", *told]
        heading += ["&nbsp;"] * (lines - len(heading))  # all as high as the tallest
        add_heading(figure, column, "<br>".join(heading), yshift=8, align="center")
    figure.update_layout(
        margin_t=figure.layout.margin.t + TITLE_LINE * lines,
        height=PANEL_HEIGHT + TITLE_LINE * lines,
        legend=LEGEND_BELOW,
    )
    where = f"predicted change of the {quantity.name}, {quantity.unit}"
    figure.update_xaxes(title_text=where, col=(len(kinds) + 1) // 2)
    figure.update_yaxes(title_text="measured change", col=1)
    return figure


def agreement(fidelity: Fidelity, kind: UnitKind) -> list[str]:
    """Write how well predicted and measured changes of a kind agree, a measure per line."""
    number = len(fidelity.units(kind))
    if number < 3:
        return [f"{number} only: too few to correlate"]
    found = {method.capitalize(): fidelity.correlation(kind, method) for method in CORRELATIONS}
    found["slope"] = fidelity.slope(kind)
    if kind == NEURON:
        found["score and loss, Spearman"] = fidelity.score_correlation()
    return [
        f"{name} {DASH if math.isnan(value.value) else str(value).replace('-', MINUS)}"
        for name, value in found.items()
    ]


def add_panel(
    figure: go.Figure,
    table: pd.DataFrame,
    kind: UnitKind,
    quantity: Quantity,
    column: int,
    width: float,
    span: Range | None,
) -> None:
    """Draw the units of one kind into a column of the figure, with axes and lines."""
    here = {"row": 1, "col": column}
    axes = ranges(list(table["predicted"]), list(table["measured"]))
    x_range, y_range = axes if span is None else (span, span)
    most = 7 if width == 1 else 4
    figure.update_xaxes(range=list(x_range), **marks(*x_range, most, quantity), **here)
    figure.update_yaxes(range=list(y_range), **marks(*y_range, 7, quantity), **here)
    parts = all_series(table, kind)
    for series in parts:
        marker = {"symbol": series.symbol, "size": series.size, "color": series.colour}
        figure.add_trace(legend_key(series.name, marker), **here)
        figure.add_trace(scatter(table.loc[series.units], series, quantity, kind), **here)
    # Lines come after the traces: plotly draws none in an empty panel.
    for line in (figure.add_vline, figure.add_hline):
        line(0, line={"color": INK, "width": 1.3}, layer="below", **here)
    low, high = min(x_range[0], y_range[0]), max(x_range[1], y_range[1])
    dashed = {"color": MUTED, "width": 1.2, "dash": "dash"}
    figure.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line=dashed, layer="below", **here
    )
    colours = {unit: part.colour for part in parts if part.labelled for unit in part.units}
    add_labels(figure, table, colours, (x_range, y_range), width, here)


def all_series(table: pd.DataFrame, kind: UnitKind) -> list[Series]:
    """Divide the units of a kind into series."""
    names = list(table.index)
    if kind == NEURON:
        blues = shades(table["score"])
        return [Series("single neurons", names, AMOUNT[-2], "circle", 8, shades=blues)]
    if kind == SET:
        random = [name for name in names if name.startswith("random ")]
        rest = [name for name in names if name not in random]
        parts = [
            Series("random neurons", random, RANDOM_COLOUR, "diamond", 8, labelled=True),
            Series("chosen neurons", rest, FOUND_COLOUR, "circle", 9, labelled=True),
        ]
    else:
        # A cell is called "whose neurons on whose questions".
        own = [name for name in names if len(set(name.split(" on ", 1))) == 1]
        rest = [name for name in names if name not in own]
        size = 8 if len(names) <= 64 else 5
        parts = [
            Series("other cultures’ questions", rest, OTHER_COLOUR, "circle", size),
            Series("own questions", own, FOUND_COLOUR, "circle", size + 1, len(own) <= MANY_OWN),
        ]
    return [part for part in parts if part.units]


def shades(scores: pd.Series) -> tuple[str, ...]:
    """Give each neuron a shade of blue by the rank of its score; none without scores."""
    values = scores.to_numpy(dtype=float)
    if np.isnan(values).any() or len(values) < 2:
        return ()
    places = (ranks(values[None])[0] - 1) / (len(values) - 1)
    return tuple(sample_colorscale(AMOUNT[3:], places.tolist()))


def scatter(table: pd.DataFrame, series: Series, quantity: Quantity, panel: str) -> go.Scatter:
    """Make the trace of a series: points with both intervals."""
    colours = series.shades or (series.colour,) * len(table)
    return go.Scatter(
        x=[estimate.value for estimate in table["predicted"]],
        y=[estimate.value for estimate in table["measured"]],
        error_x=error_bars(table["predicted"], BAR_COLOUR, 1.0),
        error_y=error_bars(table["measured"], BAR_COLOUR, 1.0),
        mode="markers",
        name=series.name,
        showlegend=False,
        customdata=list(table.index),
        meta={"panel": panel},
        marker={
            "symbol": series.symbol,
            "size": series.size,
            "color": filled(colours, table["measured"]),
            "line": {"color": list(colours), "width": 1.5},
        },
        hovertext=[hover(str(unit), row, quantity) for unit, row in table.iterrows()],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def hover(unit: str, row: pd.Series, quantity: Quantity) -> str:
    """Write what a point is: unit, size, score, predicted and measured change with intervals."""
    size = row["size"]
    parts = [f"<b>{plain(unit)}</b>"]
    if not math.isnan(size):
        parts[0] += f", {int(size):,} neuron{'s' if size != 1 else ''}"
    if not math.isnan(row["score"]):
        parts.append(f"attribution score {row['score']:.3g}".replace("-", MINUS))
    parts += [
        f"{name}: {estimate_text(quantity.shares(row[name]), 'p_change')} {quantity.short}".strip()
        for name in ("predicted", "measured")
    ]
    return "<br>".join(parts)


def ranges(predicted: Sequence[Estimate], measured: Sequence[Estimate]) -> tuple[Range, Range]:
    """Give the ranges of both axes: the same for both, unless one is more than five times wider."""
    x, y = (limits(side, room=0.08, least=1e-6) for side in (predicted, measured))
    spans = sorted((x[1] - x[0], y[1] - y[0]))
    if spans[1] > 5 * spans[0]:
        return x, y
    both = (min(x[0], y[0]), max(x[1], y[1]))
    return both, both


def marks(low: float, high: float, most: int, quantity: Quantity) -> dict[str, Any]:
    """Give the layout of an axis of changes, which may be very small, in their unit."""
    scale = 10.0 ** math.floor(math.log10(high - low))  # ticks() expects changes of normal size
    values = [mark * scale for mark in ticks(low / scale, high / scale, most)]
    shown = [quantity.as_share(value) for value in values]
    digits = tick_digits(shown)
    return {
        "tickvals": values,
        "ticktext": [small_points(value, digits) for value in shown],
        "showgrid": True,
        "gridcolor": FAINT,
    }


def small_points(share: float, digits: int) -> str:
    """Write signed percentage points, with a power of ten where there are too many decimals.

    Example:
        >>> small_points(0.000003, 4), small_points(2e-9, 7)
        ('+0.0003', '+2e\u22127')
    """
    if digits <= MOST_DIGITS or not share:
        return points(share, min(digits, MOST_DIGITS) if share else 0)
    size = 10.0**-digits
    power = math.floor(math.log10(abs(100 * share)) + 1e-9)
    number = round(100 * share / size) * size / 10.0**power
    return f"{number:+.2g}e{power}".replace("-", MINUS)


__all__ = ["fidelity_chart"]
