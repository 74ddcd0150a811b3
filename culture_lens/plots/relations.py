"""Which cultures fall with which, ordered by their tree."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from culture_lens.experiments.related_cultures import Relations
from culture_lens.plots.heatmaps import LEAST_ROWS, MARK, SMALLEST_CHANGE, cell_font, heatmap
from culture_lens.plots.style import (
    EMPTY,
    INTERVALS,
    LOSS_TO_GAIN,
    MUTED,
    about,
    across,
    clear,
    house,
    name_axis,
    plain,
    points,
    with_interval,
)

TREE = 0.14
"""Share of the height that the tree takes above the cells."""
STEM = 0.1
"""Share of the tree's height that leaves begin below the nearest joint."""


def relations_heatmap(relations: Relations) -> go.Figure:
    """Draw how cultures fall with each other: whose neurons were ablated x whose questions fell.

    Rows and columns stand in the order of the tree above them, which joins cultures at the mean
    distance of their groups; cells whose interval excludes 0 are bold and marked.

    Args:
        relations: What ``related_cultures`` gave.

    Example:
        ``relations_heatmap(related_cultures(matrix)).show()``
    """
    order = list(relations.order)
    table = relations.table.loc[order, order]
    what = "beyond what mask and culture make expected" if relations.adjusted else "of accuracy"
    text, hover = [], []
    for mask in order:
        cells = [relations.cell(mask, culture) for culture in order]
        written = ["" if math.isnan(cell.value) else points(cell.value) for cell in cells]
        text.append(
            [f"<b>{w}{MARK}</b>" if clear(c) else w for w, c in zip(written, cells, strict=True)]
        )
        hover.append(
            [
                f"neurons of <b>{plain(mask)}</b> ablated<br>questions about "
                f"<b>{plain(culture)}</b><br>change {what}: {with_interval(cell)}"
                if culture != mask
                else f"<b>{plain(mask)}</b>"
                for culture, cell in zip(order, cells, strict=True)
            ]
        )
    largest = max(float(np.nanmax(np.abs(table.to_numpy()), initial=0)), SMALLEST_CHANGE)
    trace = heatmap(table, hover, LOSS_TO_GAIN, (-largest, largest), "points", signed=True)
    trace.update(text=text, texttemplate="%{text}", textfont=cell_font(len(order)))
    figure = go.Figure(trace)
    for x, y in branches(relations):
        figure.add_scatter(
            x=x,
            y=y,
            xaxis="x2",
            yaxis="y2",
            mode="lines",
            line={"color": MUTED, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
    edges = [-0.5, len(order) - 0.5]
    figure.add_shape(  # what the cells without a value, the diagonal, show
        type="rect",
        x0=edges[0],
        x1=edges[1],
        y0=edges[0],
        y1=edges[1],
        fillcolor=EMPTY,
        line={"width": 0},
        layer="below",
    )
    return house(
        figure,
        "Which cultures fall together",
        about(
            relations.metadata,
            f"cells in percentage points {what}",
            INTERVALS,
            f"bold {MARK}: interval excludes 0",
            "tree: average linkage of the mean of both directions, cophenetic correlation "
            f"{relations.cophenetic:.2f}",
        ),
        max(len(order), LEAST_ROWS) + 3,
        xaxis={**across(order), "title": {"text": "asked: questions about"}, "range": edges},
        yaxis={
            **name_axis(order),
            "title": {"text": "ablated: neurons found for"},
            "range": edges[::-1],
            "domain": [0, 1 - TREE],
        },
        xaxis2={"anchor": "y2", "range": edges, "visible": False},
        yaxis2={"anchor": "x2", "domain": [1 - TREE, 1], "visible": False},
    )


def branches(relations: Relations) -> list[tuple[list[float], list[float]]]:
    """Give each joint of the tree as a line, heights in distances, leaves at 0, 1, 2, ...

    The nearest pair joins at 0; leaves begin a little below, so that this joint is seen, too.
    """
    from scipy.cluster import hierarchy

    tree = hierarchy.dendrogram(relations.linkage, no_plot=True)
    below = -STEM * (float(relations.linkage[-1, 2]) or 1.0)
    lines = []
    for places, (left, joint, _, right) in zip(tree["icoord"], tree["dcoord"], strict=True):
        x = [(place - 5) / 10 for place in places]
        feet = [below if y == 0 == p % 1 else float(y) for p, y in ((x[0], left), (x[3], right))]
        lines.append((x, [feet[0], float(joint), float(joint), feet[1]]))
    return lines
