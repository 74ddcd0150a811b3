"""The figure of cultures that lose accuracy together, ordered by a tree."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, instance
from culture_lens.experiments.related_cultures import Relations
from culture_lens.plots.heatmap import (
    BOLD,
    LEAST_ROWS,
    RANGE,
    SMALLEST_CHANGE,
    cell_map,
    check_symmetric,
    hatch,
    largest_of,
    marked,
    whose_cell,
)
from culture_lens.plots.style import (
    INTERVALS,
    MUTED,
    about,
    across,
    name_axis,
    percent,
    plain,
    points,
    styled,
    ticks,
    with_interval,
)

TREE, GAP = 0.2, 0.01
"""The width of the tree beside the cells, and of what lies between, as shares of the figure's."""
STEM = 0.1
"""How far the leaves begin before the nearest joint, as a share of the tree's width."""


@check_arguments(relations=instance(Relations), range=RANGE)
def relations_heatmap(
    relations: Relations, *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw how cultures lose accuracy together: whose neurons were ablated x whose questions asked.

    Rows and columns are in the order of the tree beside them, which joins groups at the mean
    distance of their cultures; cells whose interval excludes 0 are bold.

    Args:
        relations: The result of ``related_cultures``.
        range: The ends of the scale, such as ``(-0.1, 0.1)``; by default it reaches to the largest
            relation.

    Raises:
        InputError: No relations, or a scale whose middle is not 0.

    Example:
        ``relations_heatmap(related_cultures(matrix)).show()``
    """
    order = list(relations.order)
    table = relations.table.loc[order, order]
    what = "beyond what mask and culture predict" if relations.adjusted else "of accuracy"
    text, hover = cell_texts(relations, what)
    span = check_symmetric(range)
    figure = go.Figure(cell_map(table, text, hover, largest_of(table), signed=True, span=span))
    figure.data[0].colorbar.update(x=1.02)
    hatch(figure, table)
    drawn = {"mode": "lines", "line": {"color": MUTED, "width": 1.5}}
    beside = {"xaxis": "x2", "yaxis": "y2", "hoverinfo": "skip", "showlegend": False}
    for places, heights in branches(relations):
        figure.add_scatter(x=heights, y=places, **drawn, **beside)
    rows = [len(order) - 0.5, -0.5]
    ends = tree_ends(relations)
    marks = [mark for mark in ticks(0.0, ends[1], 3) if mark <= ends[1]]
    return styled(
        figure,
        "Cultures that lose accuracy together",
        about(
            relations.metadata,
            f"cells in percentage points {what}",
            INTERVALS,
            BOLD,
            "tree: average linkage of the mean of both directions, cophenetic correlation "
            f"{relations.cophenetic:.2f}",
        ),
        max(len(order), LEAST_ROWS),
        xaxis={
            **across(order),
            "title": {"text": "asked: questions about"},
            "domain": [0, 1 - TREE - GAP],
        },
        yaxis={**name_axis(order), "title": {"text": "ablated: neurons found for"}, "range": rows},
        xaxis2={
            "anchor": "y2",
            "domain": [1 - TREE, 1],
            "range": list(ends),
            "tickvals": marks,
            "ticktext": [percent(mark).removesuffix("%") for mark in marks],
            "title": {"text": "distance", "font": {"size": 13, "color": MUTED}},
        },
        yaxis2={"anchor": "x2", "range": rows, "visible": False},
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


def tree_ends(relations: Relations) -> tuple[float, float]:
    """Give where the leaves begin, slightly before 0, and where the last groups join."""
    last = float(relations.linkage[-1, 2]) or SMALLEST_CHANGE
    return -STEM * last, 1.05 * last


def branches(relations: Relations) -> list[tuple[list[float], list[float]]]:
    """Give each joint of the tree as a line: heights are distances, leaves are at 0, 1, 2, ...

    The nearest pair joins at 0; leaves begin slightly before, so that this joint is visible.
    """
    from scipy.cluster import hierarchy

    tree = hierarchy.dendrogram(relations.linkage, no_plot=True)
    below = tree_ends(relations)[0]
    lines = []
    for places, (left, joint, _, right) in zip(tree["icoord"], tree["dcoord"], strict=True):
        x = [(place - 5) / 10 for place in places]
        feet = [below if y == 0 == p % 1 else float(y) for p, y in ((x[0], left), (x[3], right))]
        lines.append((x, [feet[0], float(joint), float(joint), feet[1]]))
    return lines
