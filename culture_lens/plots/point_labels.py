"""Labels of points: the name of a unit beside its point, where there is room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from culture_lens.plots.style import FONT, label

if TYPE_CHECKING:
    import pandas as pd

LETTER_WIDTH, LINE_HEIGHT, LABEL_GAP = 0.0085, 0.045, 0.008
"""Of a label, as shares of the figure's width and height."""
Range = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, bottom, right and top, as shares of the axes."""


def add_labels(
    figure: go.Figure,
    table: pd.DataFrame,
    colours: Mapping[str, str],
    area: tuple[Range, Range],
    width: float,
    here: dict[str, int],
) -> None:
    """Label points, those with the largest change first, where there is room beside them.

    Args:
        figure: The figure.
        table: Predicted and measured change of all units, which labels must not cover.
        colours: The units to label, with the colours of their labels.
        area: The ranges of both axes.
        width: The width of the panel, as a share of the figure's.
        here: The panel.
    """

    def place(row: pd.Series) -> tuple[float, float]:
        """Give the position of a unit, as shares of the axes."""
        values = (row["predicted"].value, row["measured"].value)
        x, y = ((v - low) / (high - low) for v, (low, high) in zip(values, area, strict=True))
        return x, y

    taken = [(x, y, x, y) for x, y in (place(row) for _, row in table.iterrows())]
    for unit in sorted(colours, key=lambda unit: -abs(table.loc[unit, "measured"].value)):
        x, y = place(table.loc[unit])
        text = label(unit.split(" on ")[0])
        size = LETTER_WIDTH * len(text) / width
        for right, up in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            ends = sorted((x + right * LABEL_GAP, x + right * (LABEL_GAP + size)))
            rows = sorted((y + up * LABEL_GAP, y + up * (LABEL_GAP + LINE_HEIGHT)))
            box = (ends[0], rows[0], ends[1], rows[1])
            if min(box) >= 0 and max(box) <= 1 and not any(overlap(box, other) for other in taken):
                taken.append(box)
                figure.add_annotation(
                    x=table.loc[unit, "predicted"].value,
                    y=table.loc[unit, "measured"].value,
                    text=text,
                    showarrow=False,
                    xanchor="left" if right > 0 else "right",
                    yanchor="bottom" if up > 0 else "top",
                    xshift=5 * right,
                    yshift=2 * up,
                    font={"size": 11, "color": colours[unit], "family": FONT},
                    **here,
                )
                break


def overlap(a: Box, b: Box) -> bool:
    """Say whether two boxes, (left, bottom, right, top), have a point in common.

    Example:
        >>> a = (0.0, 0.0, 2.0, 2.0)
        >>> overlap(a, (1.0, 1.0, 1.0, 1.0)), overlap(a, (3.0, 3.0, 4.0, 4.0))
        (True, False)
    """
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
