"""The first screen of a page: one sentence with the verdict, and one picture of the effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from culture_lens.plots.style import limits, points, ticks
from culture_lens.report.sentences import join, spoken
from culture_lens.report.standings import Standing
from culture_lens.statistics.estimates import Estimate

UNTESTED = "untested"
CLAUSES: dict[Standing | str, tuple[str, str]] = {
    "evidence": (
        "the neurons of {} matter more for their own culture’s questions than for others’, and "
        "more than random neurons",
        "evidence that ",
    ),
    "uncompared": (
        "the neurons of {} matter more for their own culture’s questions than for others’ (not "
        "compared with enough random neurons)",
        "evidence that ",
    ),
    "general evidence": (
        "the neurons of {} matter for these questions, and more than random neurons",
        "evidence that ",
    ),
    "general uncompared": (
        "the neurons of {} matter for these questions (not compared with enough random neurons)",
        "evidence that ",
    ),
    "as random": ("the effect of {} does not differ clearly from that of random neurons", ""),
    "not shown": (
        "this run does not show that the neurons of {} matter more for their own culture’s "
        "questions than for others’",
        "",
    ),
    "general not shown": (
        "this run does not show that the neurons of {} matter for these questions",
        "",
    ),
    "unable": ("no conclusion on {}, because the model hardly answers better than chance", ""),
    "seen": ("no conclusion on {}, because the questions asked also found the neurons", ""),
    UNTESTED: ("the neurons of {} have not been tested by ablation", ""),
}
"""Standing -> the clause of it, and what comes before; the strongest first."""
LANES = {
    "own": "own questions",
    "others": "others’ questions",
    "random": "random neurons",
}
ROW, HEAD, AXIS, LEFT, RIGHT = 20, 24, 34, 32.0, 88.0
"""Pixels of a lane, a selector's name and the axis; per cent where the scale begins and ends."""


def verdict_of_all(selectors: Sequence[dict[str, Any]]) -> str:
    """Write the verdict on all selectors of a run in one sentence.

    Args:
        selectors: Each with ``name`` and ``standing``, which is None where it was not tested.

    Example:
        >>> verdict_of_all([{"name": "lape", "standing": "as random"}])
        'The effect of lape does not differ clearly from that of random neurons.'
    """
    told = []
    for standing, (clause, before) in CLAUSES.items():
        names = [s["name"] for s in selectors if (s["standing"] or UNTESTED) == standing]
        if names:
            told.append(before + clause.format(join(names)))
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def picture(selectors: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Lay out the effects of every tested selector as dots with intervals on one scale.

    Positions along the scale are in per cent of the width, so that letters keep their size on
    narrow screens.

    Args:
        selectors: Each with ``name`` and ``effects``: own, others and random, Estimates or None.

    Returns:
        ``height``, ``zero``, ``ticks``, ``groups`` of ``lanes``, and ``alt``; None where nothing
        was tested.

    Example:
        ``picture(report_context(run)["selectors"])["alt"]``
    """
    tested = [s for s in selectors if s["effects"]]
    if not tested:
        return None
    shown = [e for s in tested for e in s["effects"].values() if e is not None]
    low, high = limits(shown)

    def place(share: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (share - low) / (high - low), 2)

    groups, top, said = [], 0, []
    for selector in tested:
        lanes = []
        for row, (key, words) in enumerate(
            (k, w) for k, w in LANES.items() if selector["effects"][k] is not None
        ):
            estimate = selector["effects"][key]
            lanes.append(lane(estimate, place) | {"kind": key, "words": words})
            lanes[-1]["y"] = top + HEAD + ROW * row + ROW // 2
            said.append(f"{selector['name']}, {words}: {spoken(estimate)}")
        groups.append({"name": selector["name"], "y": top + HEAD - 7, "lanes": lanes})
        top += HEAD + ROW * len(lanes) + 6
    return {
        "height": top + AXIS,
        "bottom": top,
        "zero": place(0.0),
        "ticks": [{"x": place(t), "text": points(t, 0)} for t in ticks(low, high, 4)],
        "groups": groups,
        "alt": f"Change in accuracy. {'; '.join(said)}.",
    }


def lane(estimate: Estimate, place: Any) -> dict[str, Any]:
    """Place the dot and the interval of one estimate."""
    held = not math.isnan(estimate.low + estimate.high)
    return {
        "x": place(estimate.value),
        "low": place(estimate.low) if held else None,
        "high": place(estimate.high) if held else None,
        "text": points(estimate.value),
    }
