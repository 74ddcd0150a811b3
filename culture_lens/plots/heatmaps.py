"""Cultures against layers, masks against questions, cultures against cultures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from culture_lens.errors import InputError, unknown
from culture_lens.experiments.matrix import FOUND, RANDOM, UNMODIFIED, AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.plots.style import (
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
from culture_lens.selectors.culnig_general import GENERAL
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

MARK = "*"
SMALLEST_CHANGE, SMALLEST_OVERLAP = 0.05, 0.05
SMALLEST_P_CHANGE = 1e-5  # probabilities are not counted in items, so smaller ones are compared
MOST_DIGITS, LEAST_ROWS = 5, 3  # one row alone has no room for the titles beside it
TABLES = {
    "change": "change in accuracy",
    "accuracy": "accuracy",
    "flips": "share of answers that change",
    "p_gold": "probability of the right answer",
    "p_change": "change in probability of the right answer",
}
OUTLINED = "outlined: own neurons, own questions"
TITLES = {
    "change": "Accuracy lost or gained",
    "accuracy": "Accuracy",
    "flips": "Answers that change",
    "p_gold": "Probability of the right answer",
    "p_change": "Probability of the right answer lost or gained",
}


def layer_heatmap(found: NeuronSet, *, site: str | None = None) -> go.Figure:
    """Draw where each culture's neurons sit: cultures x layers, share of a culture's neurons.

    A set of one entry, such as the culture-general neurons, has one row per site instead.

    Args:
        found: The neurons.
        site: The site, all together where not given.

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
    shares = found.layer_share(site)
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
    if single:
        names = [f"{name} ({totals[name] or 'none'})" for name in found]
    every = next(step for step in (1, 2, 5, 10, 20, 50) if len(layers) / step <= 16)
    return house(
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


def by_site(found: NeuronSet, sites: Sequence[str]) -> NeuronSet:
    """Turn a set of one entry into one with an entry per site."""
    (only,) = found.neurons.values()
    places = {site: only.places[site] for site in sites if site in only.places}
    rows = {site: Neurons({site: places[site]} if site in places else {}) for site in sites}
    return replace(found, neurons=rows)


def whose(masks: Sequence[str]) -> str:
    """Say whose neurons a figure is about.

    Example:
        >>> whose(["Iran", "Japan"]), whose(["Japan"]), whose(["general"])
        ('each culture’s', 'Japan’s', 'culture-general')
    """
    if list(masks) == [GENERAL]:
        return "culture-general"
    return f"{label(masks[0])}’s" if len(masks) == 1 else "each culture’s"


def ablation_heatmap(
    matrix: AblationMatrix, *, what: str = "change", condition: str = FOUND
) -> go.Figure:
    """Draw a table of the matrix: whose neurons were edited x whose questions were asked.

    Changes whose interval excludes 0 are bold and marked; the diagonal, a culture's own neurons
    and own questions, is outlined.

    Args:
        matrix: The matrix.
        what: ``"change"`` of accuracy, ``"accuracy"``, ``"flips"``, ``"p_change"`` (of the
            probability of the right answer) or ``"p_gold"``.
        condition: ``"found"`` neurons or ``"random"`` ones.

    Raises:
        InputError: No such table, no masks, or fewer than two cultures evaluated.

    Example:
        ``ablation_heatmap(matrix, what="flips").show()``
    """
    if what not in TABLES:
        raise unknown("table", what, TABLES)
    if condition not in (FOUND, RANDOM):
        raise unknown("condition of neurons", condition, (FOUND, RANDOM))
    check_matrix(matrix)
    beside = "p_gold" if what.startswith("p_") else "accuracy"
    below = TABLES[beside]
    table, base = matrix.table(what, condition), matrix.draws(beside, UNMODIFIED)[0, 0]
    signed, verb = what in ("change", "p_change"), edited(matrix)
    values = table.to_numpy()
    largest = float(np.nanmax(np.abs(values), initial=0))
    write: Callable[..., str] = points if signed else percent
    digits = 1 if (signed or what == "p_gold") and len(table.columns) <= 12 else 0
    if what == "p_change":
        digits = max(digits, telling_digits(largest))
    text, hover = [], []
    for mask in matrix.masks:
        cells = [matrix.cell(mask, culture, what, condition) for culture in matrix.cultures]
        written = ["" if math.isnan(cell.value) else write(cell.value, digits) for cell in cells]
        if signed:
            pairs = zip(written, cells, strict=True)
            written = [f"<b>{w}{MARK}</b>" if clear(cell) else w for w, cell in pairs]
        text.append([w.removesuffix("%") for w in written])
        drawn = " (random)" if condition == RANDOM else ""
        hover.append(
            [
                f"neurons of <b>{plain(mask)}</b>{drawn} {verb}"
                f"<br>questions about <b>{plain(culture)}</b><br>{TABLES[what]}: "
                f"{in_words(cell, what)}<br>unmodified {below}: {percent(b, 1)}"
                for culture, cell, b in zip(matrix.cultures, cells, base, strict=True)
            ]
        )
    largest = max(largest, SMALLEST_P_CHANGE if what == "p_change" else SMALLEST_CHANGE)
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
    found_for = "neurons found for" if condition == FOUND else "random neurons matched to"
    neurons = whose(matrix.masks).replace("each", "a") if condition == FOUND else "random"
    return house(
        figure,
        f"{TITLES[what]} when {neurons} neurons are {verb}",
        about(
            matrix.metadata,
            masked(matrix),
            f"cells in {'percentage points' if signed else 'per cent'}",
            INTERVALS + (", in the hover" if not signed else ""),
            f"bold {MARK}: interval excludes 0" if signed else "",
            OUTLINED if set(matrix.masks) & set(matrix.cultures) else "",
        ),
        max(len(table), LEAST_ROWS),
        xaxis={
            **across(matrix.cultures, [percent(b, int(beside == "p_gold")) for b in base]),
            "title": {"text": f"asked: questions about (with {below} of the unmodified model)"},
        },
        yaxis={
            **name_axis(matrix.masks),
            "title": {"text": f"{verb}: {found_for}"},
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
        digits = tick_digits(marks)
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


def outline(
    figure: go.Figure, rows: Sequence[str], columns: Sequence[str], panel: int | None = None
) -> None:
    """Outline the cells whose row and column are the same culture, in one panel of several."""
    for i, j in product(range(len(rows)), range(len(columns))):
        if rows[i] == columns[j]:
            figure.add_shape(
                type="rect",
                x0=j - 0.5,
                x1=j + 0.5,
                y0=i - 0.5,
                y1=i + 0.5,
                line={"color": INK, "width": 1.5},
                row=None if panel is None else 1,
                col=panel,
            )


def tick_digits(marks: Sequence[float]) -> int:
    """Give the decimals that percentage points need on an axis with these marks.

    Example:
        >>> tick_digits([0.0, 0.05]), tick_digits([0.0, 0.005]), tick_digits([0.0, 0.000002])
        (0, 1, 4)
    """
    if len(marks) < 2:
        return 1
    return max(0, -math.floor(math.log10(100 * (marks[1] - marks[0])) + 1e-9))


def telling_digits(share: float) -> int:
    """Give the decimals at which a share in points has two digits that tell something.

    Example:
        >>> telling_digits(0.123), telling_digits(0.0123), telling_digits(0.0000012)
        (0, 1, 5)
    """
    if not share or math.isnan(share):
        return 1
    return min(MOST_DIGITS, max(0, 1 - math.floor(math.log10(100 * abs(share)))))


def in_words(estimate: Estimate, what: str) -> str:
    """Write a cell with its interval; changes of probability as closely as they need."""
    if what != "p_change":
        return with_interval(estimate, signed=what == "change")
    digits = max(1, telling_digits(estimate.value))
    value, low, high = (points(x, digits) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


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


def edited(matrix: AblationMatrix) -> str:
    """Say in one word what was done to neurons.

    Example:
        ``edited(matrix)`` gives ``"ablated"``, or ``"doubled"`` where value was ``"double"``
    """
    return "doubled" if matrix.metadata.get("value") == "double" else "ablated"


def masked(matrix: AblationMatrix) -> str:
    """Say what ablated neurons were set to.

    Example:
        ``masked(matrix)`` gives ``"ablated: set to zero"``
    """
    value = matrix.metadata.get("value")
    if value == "double":
        return "doubled: set to twice their value"
    return "" if value is None else f"ablated: set to {value}"


def chosen(found: NeuronSet) -> str:
    """Say how many neurons each culture has."""
    sizes = sorted(len(found[culture]) for culture in found)
    if len(sizes) == 1:
        return f"{sizes[0]} neurons"
    if sizes[0] == sizes[-1]:
        return f"{sizes[0]} neurons per culture"
    return f"{sizes[0]}{NOTHING}{sizes[-1]} neurons per culture"


def check_cultures(found: NeuronSet, least: int = 2) -> None:
    """Refuse fewer cultures than a figure needs.

    Raises:
        InputError: There are fewer.
    """
    if not len(found):
        raise InputError("this neuron set has no cultures: find neurons first.")
    if len(found) < least:
        raise InputError(
            f"cultures are compared here, so at least two cultures are needed; the neuron set has "
            f"{list(found.cultures)}: find neurons with questions of more cultures."
        )


def check_matrix(matrix: AblationMatrix) -> None:
    """Refuse a matrix without masks, without base records, or with fewer than two cultures.

    Raises:
        InputError: It is one of these.
    """
    conditions = set() if matrix.frame.empty else set(matrix.frame["condition"])
    if not {UNMODIFIED, FOUND} <= conditions:
        raise InputError(
            "this matrix has no records of "
            + ("the unmodified model" if UNMODIFIED not in conditions else "ablated neurons")
            + ": make it with ablation_matrix(model, found, questions)."
        )
    if len(matrix.cultures) < 2:
        raise InputError(
            f"cultures are compared here, so at least two cultures are needed; the matrix has "
            f"{list(matrix.cultures)}: evaluate on questions of more cultures."
        )


__all__ = ["ablation_heatmap", "layer_heatmap", "overlap_heatmap"]
