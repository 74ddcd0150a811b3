"""The figure of cultures that lose accuracy together, ordered by a tree."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, instance
from culture_lens.experiments.cell_tests import MARK
from culture_lens.experiments.related_cultures import Relations
from culture_lens.plots.heatmap import LEAST_ROWS, cell_map, largest_of, marked, whose_cell
from culture_lens.plots.style import (
    EMPTY,
    INTERVALS,
    MUTED,
    about,
    across,
    name_axis,
    plain,
    points,
    styled,
    with_interval,
)

TREE = 0.14
"""The height of the tree above the cells, as a share of the figure's."""
STEM = 0.1
"""How far the leaves begin below the nearest joint, as a share of the tree's height."""


@check_arguments(relations=instance(Relations))
def relations_heatmap(relations: Relations) -> go.Figure:
    """Draw how cultures lose accuracy together: whose neurons were ablated x whose questions asked.

    Rows and columns are in the order of the tree above them, which joins groups at the mean
    distance of their cultures; cells whose interval excludes 0 are bold and marked.

    Args:
        relations: The result of ``related_cultures``.

    Example:
        ``relations_heatmap(related_cultures(matrix)).show()``
    """
    order = list(relations.order)
    table = relations.table.loc[order, order]
    what = "beyond what mask and culture predict" if relations.adjusted else "of accuracy"
    text, hover = cell_texts(relations, what)
    figure = go.Figure(cell_map(table, text, hover, largest_of(table), signed=True))
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
    background = {"type": "rect", "fillcolor": EMPTY, "line": {"width": 0}, "layer": "below"}
    # The cells of the diagonal have no value and show the background.
    figure.add_shape(x0=edges[0], x1=edges[1], y0=edges[0], y1=edges[1], **background)
    return styled(
        figure,
        "Cultures that lose accuracy together",
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


def cell_texts(relations: Relations, what: str) -> tuple[list[list[str]], list[list[str]]]:
    """Write every cell and its hover, in the order of the tree."""
    text, hover = [], []
    for mask in relations.order:
        cells = [relations.cell(mask, culture) for culture in relations.order]
        texts = ["" if math.isnan(cell.value) else points(cell.value) for cell in cells]
        text.append([marked(one, cell) for one, cell in zip(texts, cells, strict=True)])
        hover.append(
            [
                f"{whose_cell(mask, culture)}<br>change {what}: {with_interval(cell)}"
                if culture != mask
                else f"<b>{plain(mask)}</b>"
                for culture, cell in zip(relations.order, cells, strict=True)
            ]
        )
    return text, hover


def branches(relations: Relations) -> list[tuple[list[float], list[float]]]:
    """Give each joint of the tree as a line: heights are distances, leaves are at 0, 1, 2, ...

    The nearest pair joins at 0; leaves begin slightly below, so that this joint is visible.
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
