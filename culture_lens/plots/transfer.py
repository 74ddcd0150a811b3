"""Where neurons were found against what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from culture_lens.errors import unknown
from culture_lens.experiments.transfer import TransferMatrix
from culture_lens.plots.heatmaps import (
    LEAST_ROWS,
    MARK,
    SMALLEST_CHANGE,
    cell_font,
    heatmap,
    outline,
)
from culture_lens.plots.style import (
    AMOUNT,
    INTERVALS,
    LOSS_TO_GAIN,
    about,
    across,
    clear,
    house,
    name_axis,
    percent,
    plain,
    points,
    with_interval,
)

SIGNED = {
    "self": "Accuracy on a culture’s own questions",
    "cross": "Accuracy on other cultures’ questions",
    "gap": "Accuracy on own beyond other cultures’ questions",
}
SHARES = {"flips": "Answers to own questions that change"}
CONDITIONS = ("found", "random", "beyond")


def transfer_heatmap(
    result: TransferMatrix, *, metric: str = "self", condition: str = "found"
) -> go.Figure:
    """Draw where neurons were found x what was asked; each cell the mean over cultures.

    Cells whose interval excludes 0 are bold and marked; the diagonal, neurons asked about the
    benchmark they were found on, is outlined.

    Args:
        result: What ``transfer_matrix`` gave.
        metric: ``"self"``, ``"cross"``, ``"gap"`` or ``"flips"``.
        condition: ``"found"`` neurons, ``"random"`` ones, or ``"beyond"``: found minus random.

    Raises:
        InputError: No such metric or condition.

    Example:
        ``transfer_heatmap(result, condition="beyond").show()``
    """
    if metric not in {**SIGNED, **SHARES}:
        raise unknown("metric", metric, {**SIGNED, **SHARES})
    if condition not in CONDITIONS:
        raise unknown("condition", condition, CONDITIONS)
    signed = metric in SIGNED or condition == "beyond"
    table = result.table(metric, condition)
    write: Callable[[float], str] = points if signed else percent
    text, hover = [], []
    for source in table.index:
        cells = [table.loc[source, target] for target in table.columns]
        texts = ["" if math.isnan(cell.value) else write(cell.value) for cell in cells]
        bold = [signed and clear(cell) for cell in cells]
        text.append([f"<b>{t}{MARK}</b>" if b else t for t, b in zip(texts, bold, strict=True)])
        hover.append(
            [
                f"found on <b>{plain(source)}</b>, asked <b>{plain(target)}</b><br>"
                f"{with_interval(cell, signed=signed)}"
                for target, cell in zip(table.columns, cells, strict=True)
            ]
        )
    values = table.map(lambda cell: cell.value)
    largest = max(float(np.nanmax(np.abs(values.to_numpy()), initial=0)), SMALLEST_CHANGE)
    trace = heatmap(
        values,
        hover,
        LOSS_TO_GAIN if signed else AMOUNT,
        (-largest, largest) if signed else (0.0, largest),
        "points" if signed else "per cent",
        signed=signed,
    )
    trace.update(text=text, texttemplate="%{text}", textfont=cell_font(len(table.columns)))
    figure = go.Figure(trace)
    outline(figure, result.names, result.names)
    whose = {"found": "", "random": ", random neurons", "beyond": ", beyond random neurons"}[
        condition
    ]
    base = [percent(result.cell(result.names[0], t, "base").value) for t in result.names]
    return house(
        figure,
        {**SIGNED, **SHARES}[metric] + whose,
        about(
            {**result.metadata, "benchmark": ", ".join(result.names)},
            f"mean over {len(result.cultures)} cultures",
            f"cells in {'percentage points' if signed else 'per cent'}",
            INTERVALS,
            f"bold {MARK}: interval excludes 0" if signed else "",
            "outlined: the benchmark they were found on",
        ),
        max(len(table), LEAST_ROWS),
        xaxis={
            **across(list(result.names), base),
            "title": {"text": "asked (with accuracy of the unmodified model)"},
        },
        yaxis={
            **name_axis(list(result.names)),
            "title": {"text": "neurons found on"},
            "autorange": "reversed",
        },
    )
