"""The figure of a transfer matrix: where neurons were found x what was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, instance, text
from culture_lens.errors import unknown
from culture_lens.experiments.conditions import BEYOND, FOUND, RANDOM
from culture_lens.experiments.transfer import TransferMatrix
from culture_lens.plots.heatmap import (
    BOLD,
    LEAST_ROWS,
    RANGE,
    cell_map,
    check_symmetric,
    hatch,
    largest_of,
    marked,
    outline,
)
from culture_lens.plots.style import (
    INTERVALS,
    about,
    across,
    name_axis,
    percent,
    plain,
    points,
    styled,
    with_interval,
)
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Metric, TransferCondition

METRIC_TITLES: dict[str, str] = {
    "self": "Accuracy on a culture’s own questions",
    "cross": "Accuracy on other cultures’ questions",
    "gap": "Accuracy on own beyond other cultures’ questions",
    "flips": "Answers to own questions that change",
}
CONDITION_TITLES = {FOUND: "", RANDOM: ", random neurons", BEYOND: ", beyond random neurons"}


@check_arguments(result=instance(TransferMatrix), metric=text, condition=text, range=RANGE)
def transfer_heatmap(
    result: TransferMatrix,
    *,
    metric: Metric = "self",
    condition: TransferCondition = FOUND,
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw where neurons were found x what was asked; each cell is the mean over cultures.

    Cells whose interval excludes 0 are bold; the diagonal, neurons asked about the
    benchmark they were found on, is outlined.

    Args:
        result: The result of ``transfer_matrix``.
        metric: ``"self"``, ``"cross"``, ``"gap"`` or ``"flips"``.
        condition: ``"found"`` neurons, ``"random"`` ones, or ``"beyond"``: found minus random.
        range: The ends of the scale, to compare figures; by default changes reach to the largest
            one, shares from 0 to 1.

    Raises:
        InputError: No such metric or condition, or a scale of changes whose middle is not 0.

    Example:
        ``transfer_heatmap(result, condition="beyond").show()``
    """
    if metric not in METRIC_TITLES:
        raise unknown("metric", metric, METRIC_TITLES)
    if condition not in CONDITION_TITLES:
        raise unknown("condition", condition, CONDITION_TITLES)
    signed = metric != "flips" or condition == BEYOND
    table = as_estimates(result.table(metric, condition))
    text, hover = cell_texts(table, signed)
    values = table.map(lambda cell: cell.value)
    largest = largest_of(values) if signed else 1.0
    span = check_symmetric(range) if signed else range
    figure = go.Figure(cell_map(values, text, hover, largest, signed=signed, span=span))
    hatch(figure, values)
    outline(figure, result.names, result.names)
    base = [percent(result.cell(result.names[0], t, "base").value) for t in result.names]
    return styled(
        figure,
        METRIC_TITLES[metric] + CONDITION_TITLES[condition],
        about(
            {**result.metadata, "benchmark": ", ".join(result.names)},
            f"mean over {len(result.cultures)} cultures",
            f"cells in {'percentage points' if signed else 'per cent'}",
            INTERVALS,
            BOLD if signed else "",
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


def cell_texts(table: pd.DataFrame, signed: bool) -> tuple[list[list[str]], list[list[str]]]:
    """Write every cell and its hover; changes whose interval excludes 0 are bold."""
    write: Callable[[float], str] = points if signed else percent
    text, hover = [], []
    for source in table.index:
        cells = [table.loc[source, target] for target in table.columns]
        texts = ["" if math.isnan(cell.value) else write(cell.value) for cell in cells]
        pairs = zip(texts, cells, strict=True)
        text.append([marked(one, cell) if signed else one for one, cell in pairs])
        hover.append(
            [
                f"found on <b>{plain(source)}</b>, asked <b>{plain(target)}</b><br>"
                f"{with_interval(cell, signed=signed)}"
                for target, cell in zip(table.columns, cells, strict=True)
            ]
        )
    return text, hover
