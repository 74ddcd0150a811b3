"""The localization gap of every culture: accuracy with the country named, and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, instance, text
from culture_lens.experiments.localization import ALL, LocalizationGap
from culture_lens.experiments.localization import NAMED as WITH_NAME
from culture_lens.experiments.localization import UNNAMED as WITHOUT_NAME
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import LEGEND_BELOW, error_bars, filled, legend_key
from culture_lens.plots.style import (
    FAINT,
    FOUND_COLOUR,
    INK,
    INTERVALS,
    RANDOM_COLOUR,
    about,
    font_size,
    label,
    limits,
    percent,
    plain,
    styled,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import SHARES
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.localization import Measure

TITLES = {
    "accuracy": "Accuracy with the country named, and without it",
    "p_gold": "P(right answer) with the country named, and without it",
}
VERSIONS = {
    WITH_NAME: ("country named", FOUND_COLOUR, "circle"),
    WITHOUT_NAME: ("country not named", RANDOM_COLOUR, "diamond"),
}
"""Version -> its name, colour and symbol."""
ALL_ROW = "all questions"
MARK, BESIDE = 9, 0.12
"""Size of a mark, and how far it stands from the middle of its row."""


@check_arguments(result=instance(LocalizationGap), measure=text, range=RANGE)
def localization_gap(
    result: LocalizationGap,
    *,
    measure: Measure = "accuracy",
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw accuracy with and without the country named, a row per culture, largest gap first.

    Both marks of a culture are filled where the interval of their gap excludes 0.

    Args:
        result: The result of ``culture_lens.localization_gap``.
        measure: ``"accuracy"`` or ``"p_gold"``.
        range: The ends of the scale, to compare figures.

    Raises:
        InputError: No such measure.

    Example:
        ``plots.localization_gap(localization_gap(model, questions)).show()``
    """
    table = as_estimates(result.table(measure))
    cultures = sorted(result.cultures, key=lambda culture: table.loc[culture, "gap"].value)
    rows = [ALL, *cultures]  # from the bottom up
    labels = [f"<b>{ALL_ROW}</b>", *map(label, cultures)]
    places = [float(place) for place, _ in enumerate(rows)]
    figure = go.Figure()
    for side, (version, (name, colour, symbol)) in zip((1, -1), VERSIONS.items(), strict=True):
        figure.add_trace(version_marks(table.loc[rows], version, side))
        marker = {"size": MARK, "symbol": symbol, "color": colour}
        figure.add_trace(legend_key(name, marker))
    every = [table.loc[row, version] for row in rows for version in VERSIONS]
    low, high = range or limits(every, SHARES)
    marks = [mark for mark in ticks(low, high) if 0 <= mark <= 1]
    figure.add_hline(0.5, line={"color": INK, "width": 1})
    told = ("filled: interval of the gap excludes 0", "largest gap first")
    return styled(
        figure,
        TITLES[measure],
        about(result.metadata, INTERVALS, *told, selector=""),
        len(rows),
        xaxis={
            "range": [low, high],
            "tickvals": marks,
            "ticktext": [percent(mark) for mark in marks],
            "showgrid": True,
            "gridcolor": FAINT,
        },
        yaxis={
            "tickvals": places,
            "ticktext": labels,
            "tickfont": {"size": font_size(len(rows))},
            "range": [-0.6, len(rows) - 0.4],
        },
        legend=LEGEND_BELOW,
        margin_b=90,
    )


def version_marks(table: pd.DataFrame, version: str, side: int) -> go.Scatter:
    """Make the marks of one version of the questions, a little above or below each row."""
    name, colour, symbol = VERSIONS[version]
    estimates, gaps = list(table[version]), list(table["gap"])
    cultures = [plain(ALL_ROW if row == ALL else row) for row in table.index]
    return go.Scatter(
        x=[estimate.value for estimate in estimates],
        y=[place + side * BESIDE for place, _ in enumerate(cultures)],
        error_x=error_bars(estimates, colour),
        mode="markers",
        name=name,
        customdata=cultures,
        showlegend=False,
        marker={
            "size": MARK,
            "symbol": symbol,
            "color": filled([colour] * len(gaps), gaps),
            "line": {"color": colour, "width": 1.4},
        },
        hovertext=[
            f"<b>{culture}</b>, {name}<br>{with_interval(estimate, signed=False)}"
            f"<br>gap {with_interval(gap)}"
            for culture, estimate, gap in zip(cultures, estimates, gaps, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


__all__ = ["localization_gap"]
