"""Draw how much faster passes get with more workers, from what `speed/cluster.py` has measured.

    python speed/cluster.py times --workers 1 2 4 --save found.json
    python speed/workers.py found.json workers.png

A straight line up to the number of cores is what more workers can give.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from plotly.subplots import make_subplots

from culture_lens import plots
from culture_lens.plots.style import FAINT, styled

COLOURS = {"summarise": "#2166ac", "attribute": "#7a7f87", "matrix": "#c1440e"}


def draw(measured: list[dict[str, Any]], place: str) -> None:
    """Draw the times of one worker over those of several, a panel for each file."""
    figure = make_subplots(1, len(measured), subplot_titles=[one["model"] for one in measured])
    for column, one in enumerate(measured, 1):
        runs = [run for run in one["runs"] if run["workers"]]
        workers = [run["workers"] for run in runs]
        best = [min(number, one["cores"]) for number in workers]
        line = {"name": f"as many as there are cores ({one['cores']})", "line_dash": "dot"}
        shown = {"line_color": FAINT, "legendgroup": "cores", "showlegend": column == 1}
        figure.add_scatter(x=workers, y=best, mode="lines", **line, **shown, row=1, col=column)
        for stage in (name for name in COLOURS if name in runs[0]["seconds"]):
            first = runs[0]["seconds"][stage]
            faster = [first / run["seconds"][stage] for run in runs]
            figure.add_scatter(
                x=workers,
                y=faster,
                mode="lines+markers",
                name=stage,
                legendgroup=stage,
                showlegend=column == 1,
                line_color=COLOURS[stage],
                row=1,
                col=column,
            )
    title, told = "Time against workers", "Of one thread each; as many times as fast as one worker"
    styled(figure, title, told, 8, legend={"orientation": "h", "y": -0.3}, width=900)
    numbers = sorted({run["workers"] for one in measured for run in one["runs"] if run["workers"]})
    figure.update_xaxes(title_text="workers", tickvals=numbers, range=[0.5, max(numbers) + 0.5])
    figure.update_yaxes(range=[0, 2.4], showgrid=True, gridcolor=FAINT)
    figure.update_yaxes(title_text="times as fast", col=1)
    plots.save(figure, place)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("measured", nargs="+", type=Path)
    parser.add_argument("figure")
    options = parser.parse_args()
    draw([json.loads(file.read_text()) for file in options.measured], options.figure)


if __name__ == "__main__":
    main()
