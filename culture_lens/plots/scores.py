"""Score distributions: how many neurons score so high, beside meaningless labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float

from culture_lens.checks import any_names, check_arguments, each, optional, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.scores import NEVER, SCORES, NeuronScores
from culture_lens.neurons.with_units import of_units
from culture_lens.plots.dose import HEADINGS, PANEL, grid_of_panels
from culture_lens.plots.parts import LEGEND_BELOW
from culture_lens.plots.style import (
    FAINT,
    FOUND_COLOUR,
    INK,
    RANDOM_COLOUR,
    about,
    plain,
    styled,
)

STEPS = 200
"""Scores at which neurons are counted."""
NO_NULL: tuple[NeuronScores, ...] = ()


@check_arguments(
    scores=SCORES,
    found=optional(FOUND_SET),
    null=each(SCORES, "the scores of permuted labels"),
    site=optional(text),
    cultures=any_names,
)
def score_chart(
    scores: NeuronScores,
    *,
    found: NeuronSet | None = None,
    null: Sequence[NeuronScores] = NO_NULL,
    site: str | None = None,
    cultures: Sequence[str] = (),
) -> go.Figure:
    """Draw how many neurons have at least a score, a panel per culture, on a scale of factors.

    Beside the data, meaningless labels give the number that chance would: their mean as a line,
    and the least to the greatest as a band. The dashed line is the lowest score that was chosen.

    Args:
        scores: Scores of every neuron.
        found: The neurons that were chosen from these scores, for the threshold.
        null: Scores of the same rule under permuted labels, such as
            ``[rule(one) for one in summary.permuted()]``.
        site: One site; by default the first.
        cultures: Which cultures; all by default.

    Raises:
        InputError: An unknown site or culture, no neuron with a score, or others than those of the
            scores in ``found`` or ``null``.

    Example:
        ``score_chart(get_selector("conact")(summary), found=found).show()``
    """
    at = next(iter(scores.scores)) if site is None else site
    if at not in scores.scores:
        raise unknown("site", at, scores.scores)
    names = list(dict.fromkeys(cultures)) or list(scores.cultures)
    for name in names:
        if name not in scores.cultures:
            raise unknown("culture", name, scores.cultures)
    check_same(scores, found, null, at)
    grid = grid_of([scores, *null], names, at)
    figure, rows, columns = grid_of_panels(names)
    for place, name in enumerate(names):
        here = {"row": place // columns + 1, "col": place % columns + 1}
        for trace in lines(scores, null, name, at, grid, first=place == 0):
            figure.add_trace(trace, **here)
        threshold = threshold_of(scores, found, name, at)
        if not math.isnan(threshold):
            figure.add_vline(threshold, line={"color": INK, "width": 1.2, "dash": "dash"}, **here)
    styled(
        figure,
        "How many neurons score so high",
        about(
            scores.metadata,
            f"site {at}",
            f"grey: {len(null)} permutations of the labels, mean and range" if null else "",
            "dashed: lowest score chosen" if found is not None else "",
            selector=str(scores.metadata.get("selector") or ""),
        ),
        1,
        legend=LEGEND_BELOW,
    )
    most = of_units(scores.scores[at][0], scores.metadata, at).numel()
    scale_axes(figure, most, rows, columns)
    top = figure.layout.margin.t + HEADINGS
    figure.update_layout(height=top + 120 + rows * (PANEL + 20), margin_t=top, margin_b=90)
    return figure


def scale_axes(figure: go.Figure, most: int, rows: int, columns: int) -> None:
    """Give all panels the same axes: scores, and up to ``most`` neurons by factors of ten."""
    figure.update_annotations(font={"size": 12, "color": INK})
    powers = list(range(math.ceil(math.log10(most)) + 1))
    figure.update_yaxes(
        type="log",
        range=[-0.15, math.log10(most) + 0.15],
        tickvals=[10**power for power in powers],
        ticktext=[f"{10**power:,}" for power in powers],
        showgrid=True,
        gridcolor=FAINT,
    )
    figure.update_xaxes(nticks=4)
    figure.update_yaxes(title_text="neurons with at least this score", col=1, row=(rows + 1) // 2)
    figure.update_xaxes(title_text="score", col=(columns + 1) // 2, row=rows)


def check_same(
    scores: NeuronScores, found: NeuronSet | None, null: Sequence[NeuronScores], site: str
) -> None:
    """Refuse neurons or permutations of another model or other cultures.

    Raises:
        InputError: They are.
    """
    shape = tuple(scores.scores[site].shape)
    for place, one in enumerate(null):
        held = one.scores.get(site)
        if held is None or tuple(held.shape) != shape or one.cultures != scores.cultures:
            raise InputError(f"null[{place}] is not of the neurons and cultures of these scores.")
    if found is not None and tuple(found.shapes.get(site, ())) != shape[1:]:
        raise InputError(f"found has other neurons at site {site!r} than these scores.")


def of_culture(scores: NeuronScores, culture: str, site: str) -> Float[np.ndarray, " neuron"]:
    """Give the scores of a culture in rising order, without neurons that cannot be chosen."""
    table = scores.scores[site][scores.cultures.index(culture)]
    values = of_units(table, scores.metadata, site).flatten()
    kept: np.ndarray = torch.sort(values[values > NEVER]).values.numpy()
    return kept


def grid_of(
    every: Sequence[NeuronScores], names: Sequence[str], site: str
) -> Float[np.ndarray, " step"]:
    """Give the scores at which neurons are counted, the same for all panels.

    Raises:
        InputError: No neuron has a score.
    """
    held = [values for one in every for name in names if len(values := of_culture(one, name, site))]
    if not held:
        raise InputError(f"no neuron of these cultures has a score at site {site!r}.")
    return np.linspace(min(v[0] for v in held), max(v[-1] for v in held), STEPS)


def counts(values: Float[np.ndarray, " neuron"], grid: np.ndarray) -> Float[np.ndarray, " step"]:
    """Count the neurons with at least each score.

    Example:
        >>> counts(np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0, 3.0])).tolist()
        [3.0, 2.0, 0.0]
    """
    return (len(values) - np.searchsorted(values, grid, side="left")).astype(float)


def threshold_of(scores: NeuronScores, found: NeuronSet | None, culture: str, site: str) -> float:
    """Give the lowest score among the neurons chosen for a culture; NaN where there are none."""
    if found is None or culture not in found.neurons:
        return math.nan
    places = found[culture].places.get(site, torch.zeros(0, 2, dtype=torch.long))
    if not len(places):
        return math.nan
    own = scores.scores[site][scores.cultures.index(culture)]
    return float(own[places[:, 0], places[:, 1]].min())


def lines(
    scores: NeuronScores,
    null: Sequence[NeuronScores],
    culture: str,
    site: str,
    grid: np.ndarray,
    *,
    first: bool,
) -> list[go.Scatter]:
    """Make the lines of one panel: chance with its band, and the data over it."""
    shared = {"x": grid.tolist(), "mode": "lines"}
    traces = []
    if null:
        drawn = np.stack([counts(of_culture(one, culture, site), grid) for one in null])
        for name, own, fill in (("least", drawn.min(0), None), ("most", drawn.max(0), "tonexty")):
            traces.append(
                go.Scatter(
                    y=seen(own, least=0.5),
                    name=f"permuted labels, {name}",
                    fill=fill,
                    fillcolor="rgba(122, 127, 135, 0.3)",
                    line={"width": 0},
                    showlegend=False,
                    hoverinfo="none",
                    meta={"panel": culture, "y": own.tolist()},
                    **shared,
                )
            )
        chance = line("permuted labels, mean", drawn.mean(0), RANDOM_COLOUR, culture, shared)
        traces.append(chance.update(line_dash="dot", showlegend=first))
    own = counts(of_culture(scores, culture, site), grid)
    data = line("these labels", own, FOUND_COLOUR, culture, shared)
    return [*traces, data.update(showlegend=first)]


def line(
    name: str, own: Float[np.ndarray, " step"], colour: str, culture: str, shared: dict[str, Any]
) -> go.Scatter:
    """Make one line of a panel; its counts are kept, because the axis has no 0."""
    return go.Scatter(
        y=seen(own),
        name=name,
        legendgroup=name,
        meta={"panel": culture, "y": own.tolist()},
        line={"color": colour, "width": 1.8},
        hovertext=[
            f"<b>{plain(culture)}</b>, {name}<br>{number:,.6g} neurons score {score:.3g} or more"
            for number, score in zip(own, shared["x"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        **shared,
    )


def seen(own: Float[np.ndarray, " step"], least: float = math.nan) -> list[float]:
    """Give counts for an axis of factors, which has no 0."""
    values: list[float] = np.where(own > 0, own, least).tolist()
    return values


__all__ = ["score_chart"]
