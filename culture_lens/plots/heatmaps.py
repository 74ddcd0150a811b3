"""Cultures against layers, masks against questions, cultures against cultures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from culture_lens.errors import InputError, unknown
from culture_lens.matrix import BASE, FOUND, RANDOM, AblationMatrix
from culture_lens.plots.look import (
    AMOUNT,
    EMPTY,
    FONT,
    INK,
    INTERVALS,
    LOSS_TO_GAIN,
    MUTED,
    NOTHING,
    about,
    across,
    clear,
    house,
    label,
    name_axis,
    percent,
    plain,
    points,
    ticks,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.neurons import NeuronSet

MARK = "*"
SMALLEST_CHANGE, SMALLEST_OVERLAP = 0.05, 0.05
TABLES = {
    "change": "change in accuracy",
    "accuracy": "accuracy",
    "flips": "share of answers that change",
}


def layer_heatmap(found: NeuronSet, *, site: str | None = None) -> go.Figure:
    """Draw where each culture's neurons sit: cultures x layers, share of a culture's neurons.

    Args:
        found: The neurons.
        site: The site, all together where not given.

    Raises:
        InputError: Fewer than two cultures, or no such site.

    Example:
        ``layer_heatmap(found).show()``
    """
    check_cultures(found)
    if site is not None and site not in found.shapes:
        raise unknown("site", site, found.shapes)
    shares = found.layer_share(site)
    sites = list(found.shapes) if site is None else [site]
    layers = list(shares.columns)
    counts = {
        culture: np.sum([found[culture].per_layer(s, len(layers)).numpy() for s in sites], axis=0)
        for culture in found
    }
    totals = {culture: int(counts[culture].sum()) for culture in found}
    hover = [
        [
            f"<b>{plain(culture)}</b>, layer {layer}<br>{int(counts[culture][layer])} of "
            f"{totals[culture]} neurons, {percent(shares.loc[culture, layer], 1)}"
            for layer in layers
        ]
        for culture in found
    ]
    highest = float(shares.to_numpy().max()) or 1.0
    figure = go.Figure(heatmap(shares, hover, AMOUNT, (0.0, highest), "share of<br>neurons"))
    where = f"{'site' if len(sites) == 1 else 'sites'} {', '.join(sites)}"
    names = [label(c) + ("" if totals[c] else " (none)") for c in found]
    every = next(step for step in (1, 2, 5, 10, 20, 50) if len(layers) / step <= 16)
    return house(
        figure,
        "Where each culture’s neurons sit",
        about(found.metadata, where, chosen(found)),
        len(found),
        xaxis={"title": {"text": "layer (0 is the first)"}, "tick0": 0, "dtick": every},
        yaxis={
            **name_axis(list(shares.index), names),
            "title": {"text": "neurons found for"},
            "autorange": "reversed",
        },
    )


def ablation_heatmap(
    matrix: AblationMatrix, *, what: str = "change", kind: str = FOUND
) -> go.Figure:
    """Draw a table of the matrix: whose neurons were silenced x whose questions were asked.

    Changes whose interval excludes 0 are bold and marked; the diagonal, a culture's own neurons
    and own questions, is outlined.

    Args:
        matrix: The matrix.
        what: ``"change"`` of accuracy, ``"accuracy"``, or ``"flips"``.
        kind: ``"found"`` neurons or ``"random"`` ones.

    Raises:
        InputError: No such table, no masks, or fewer than two cultures evaluated.

    Example:
        ``ablation_heatmap(matrix, what="flips").show()``
    """
    if what not in TABLES:
        raise unknown("table", what, TABLES)
    if kind not in (FOUND, RANDOM):
        raise unknown("kind of neurons", kind, (FOUND, RANDOM))
    check_matrix(matrix)
    table, base = matrix.table(what, kind), matrix.draws("accuracy", BASE)[0, 0]
    signed = what == "change"
    write: Callable[..., str] = points if signed else percent
    digits = 1 if signed and len(table.columns) <= 12 else 0
    text, hover = [], []
    for mask in matrix.masks:
        cells = [matrix.cell(mask, culture, what, kind) for culture in matrix.cultures]
        written = ["" if math.isnan(cell.value) else write(cell.value, digits) for cell in cells]
        if signed:
            pairs = zip(written, cells, strict=True)
            written = [f"<b>{w}{MARK}</b>" if clear(cell) else w for w, cell in pairs]
        text.append([w.removesuffix("%") for w in written])
        hover.append(
            [
                f"neurons of <b>{plain(mask)}</b>{' (random)' if kind == RANDOM else ''} silenced"
                f"<br>questions about <b>{plain(culture)}</b><br>{TABLES[what]}: "
                f"{with_interval(cell, signed=signed)}<br>unmodified accuracy: {percent(b, 1)}"
                for culture, cell, b in zip(matrix.cultures, cells, base, strict=True)
            ]
        )
    values = table.to_numpy()
    largest = max(float(np.nanmax(np.abs(values), initial=0)), SMALLEST_CHANGE)
    trace = heatmap(
        table,
        hover,
        LOSS_TO_GAIN if signed else AMOUNT,
        (-largest, largest) if signed else (0.0, largest),
        "points" if signed else "per cent",
        signed=signed,
    )
    trace.update(text=text, texttemplate="%{text}", textfont=cell_font(len(table.columns)))
    figure = go.Figure(trace)
    outline(figure, matrix.masks, matrix.cultures)
    whose = "neurons found for" if kind == FOUND else "random neurons matched to"
    return house(
        figure,
        {
            "change": "Accuracy lost or gained when a culture’s neurons are silenced",
            "accuracy": "Accuracy when a culture’s neurons are silenced",
            "flips": "Answers that change when a culture’s neurons are silenced",
        }[what].replace("a culture’s", "a culture’s" if kind == FOUND else "random"),
        about(
            matrix.metadata,
            masked(matrix),
            f"cells in {'percentage points' if signed else 'per cent'}",
            INTERVALS + (", in the hover" if not signed else ""),
            f"bold {MARK}: interval excludes 0" if signed else "",
            "outlined: own neurons, own questions",
        ),
        len(table),
        xaxis={
            **across(matrix.cultures, [percent(share) for share in base]),
            "title": {"text": "asked: questions about (with accuracy of the unmodified model)"},
        },
        yaxis={
            **name_axis(matrix.masks),
            "title": {"text": f"silenced: {whose}"},
            "autorange": "reversed",
        },
    )


def overlap_heatmap(found: NeuronSet) -> go.Figure:
    """Draw the Jaccard overlap of every two cultures' neurons.

    The diagonal, always 1, is left out: the number of neurons stands there.

    Raises:
        InputError: Fewer than two cultures.

    Example:
        ``overlap_heatmap(found).show()``
    """
    check_cultures(found)
    overlap = found.overlap()
    cultures = list(found.cultures)
    same = np.eye(len(cultures), dtype=bool)
    apart = overlap.mask(same)
    values = apart.to_numpy()
    text, hover = [], []
    for a in cultures:
        text.append([cell_text(overlap.loc[a, b]) if a != b else "" for b in cultures])
        hover.append(
            [
                f"<b>{plain(a)}</b> and <b>{plain(b)}</b><br>{len(found[a])} and "
                f"{len(found[b])} neurons<br>Jaccard overlap {overlap.loc[a, b]:.3f}"
                for b in cultures
            ]
        )
    largest = max(float(np.nanmax(values, initial=0)), SMALLEST_OVERLAP)
    trace = heatmap(apart, hover, AMOUNT, (0.0, largest), "Jaccard<br>overlap", plain_ticks=True)
    font = cell_font(len(cultures))
    trace.update(text=text, texttemplate="%{text}", textfont=font)
    figure = go.Figure(trace)
    for position, culture in enumerate(cultures):
        figure.add_annotation(
            x=position,
            y=position,
            text=str(len(found[culture])),
            showarrow=False,
            font={"size": font["size"], "color": MUTED, "family": FONT},
        )
    return house(
        figure,
        "Neurons that two cultures share",
        about(
            found.metadata,
            chosen(found),
            "Jaccard overlap, |A and B| / |A or B|",
            "diagonal: number of neurons",
        ),
        len(cultures),
        plot_bgcolor=EMPTY,
        xaxis={**across(cultures), "title": {"text": "neurons found for"}},
        yaxis={
            **name_axis(cultures),
            "title": {"text": "neurons found for"},
            "autorange": "reversed",
        },
    )


def heatmap(
    table: pd.DataFrame,
    hover: Sequence[Sequence[str]],
    colours: Sequence[str],
    limits: tuple[float, float],
    unit: str,
    *,
    signed: bool = False,
    plain_ticks: bool = False,
) -> go.Heatmap:
    """Make the trace of a table: its values, hover texts, and a colour bar in round numbers."""
    marks = ticks(*limits)
    if plain_ticks:
        words = [f"{mark:g}" for mark in marks]
    else:
        digits = 0 if all(abs(100 * m - round(100 * m)) < 1e-6 for m in marks) else 1
        words = [points(m, digits) if signed else percent(m, digits) for m in marks]
    return go.Heatmap(
        z=table.to_numpy(),
        x=list(table.columns),
        y=list(table.index),
        hovertext=[list(row) for row in hover],
        hovertemplate="%{hovertext}<extra></extra>",
        colorscale=list(colours),
        zmin=limits[0],
        zmax=limits[1],
        xgap=1,
        ygap=1,
        colorbar={
            "title": {"text": f"{unit}<br>&nbsp;", "font": {"size": 12, "color": MUTED}},
            "tickvals": marks,
            "ticktext": words,
            "tickfont": {"size": 12},
            "thickness": 12,
            "outlinewidth": 0,
        },
    )


def outline(figure: go.Figure, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Outline the cells whose row and column are the same culture."""
    for i, j in product(range(len(rows)), range(len(columns))):
        if rows[i] == columns[j]:
            figure.add_shape(
                type="rect",
                x0=j - 0.5,
                x1=j + 0.5,
                y0=i - 0.5,
                y1=i + 0.5,
                line={"color": INK, "width": 1.5},
            )


def cell_font(columns: int) -> dict[str, Any]:
    """Give the font of values in cells, that fits a figure 900 wide."""
    return {"size": max(5.5, min(13.0, 225 / columns)), "family": FONT}


def cell_text(overlap: float) -> str:
    """Write an overlap: two decimals, 0 where there is none, < where it would round to 0.

    Example:
        >>> cell_text(0.25), cell_text(0.001), cell_text(0.0)
        ('.25', '&lt;.01', '0')
    """
    if math.isnan(overlap):
        return NOTHING
    if 0 < overlap < 0.005:
        return "&lt;.01"
    return f"{overlap:.2f}".removeprefix("0") if overlap else "0"


def masked(matrix: AblationMatrix) -> str:
    """Say what silenced neurons were set to.

    Example:
        ``masked(matrix)`` gives ``"silenced: set to zero"``
    """
    value = matrix.metadata.get("value")
    return "" if value is None else f"silenced: set to {value}"


def chosen(found: NeuronSet) -> str:
    """Say how many neurons each culture has."""
    sizes = sorted(len(found[culture]) for culture in found)
    if sizes[0] == sizes[-1]:
        return f"{sizes[0]} neurons per culture"
    return f"{sizes[0]}{NOTHING}{sizes[-1]} neurons per culture"


def check_cultures(found: NeuronSet) -> None:
    """Refuse fewer than two cultures.

    Raises:
        InputError: There are fewer.
    """
    if len(found) < 2:
        raise InputError(
            f"cultures are compared here, so at least two cultures are needed; the neuron set has "
            f"{list(found.cultures) or 'none'}: find neurons with questions of more cultures."
        )


def check_matrix(matrix: AblationMatrix) -> None:
    """Refuse a matrix without masks, without base records, or with fewer than two cultures.

    Raises:
        InputError: It is one of these.
    """
    kinds = set() if matrix.frame.empty else set(matrix.frame["kind"])
    if not {BASE, FOUND} <= kinds:
        raise InputError(
            "this matrix has no records of "
            + ("the unmodified model" if BASE not in kinds else "silenced neurons")
            + ": make it with ablation_matrix(model, found, questions)."
        )
    if len(matrix.cultures) < 2:
        raise InputError(
            f"cultures are compared here, so at least two cultures are needed; the matrix has "
            f"{list(matrix.cultures)}: evaluate on questions of more cultures."
        )


__all__ = ["ablation_heatmap", "layer_heatmap", "overlap_heatmap"]
