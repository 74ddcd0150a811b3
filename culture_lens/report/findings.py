"""Findings, conclusion and cautions of an ablation matrix in sentences, and its tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from culture_lens.evaluation.evaluation import chance_level
from culture_lens.experiments.cell_tables import few_in_words
from culture_lens.experiments.conditions import RANDOM, UNMODIFIED
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.with_units import number_of_units
from culture_lens.plots.ablation import check_matrix
from culture_lens.plots.style import DASH, clear, percent, points, with_interval
from culture_lens.report.sentences import join, lost, sentence, spoken
from culture_lens.report.standings import VERDICTS, Standing, standing, uncompared, verdict
from culture_lens.report.tests_in_words import in_words
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL, Estimate
from culture_lens.statistics.random_sets import FEWEST_SETS
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    from culture_lens.experiments.conditions import Metric

FEW_ITEMS = 50
"""Questions per culture below which the page warns: intervals then span 25 points and more."""
METRIC_COLUMNS: dict[Metric, tuple[str, str]] = {
    "base": ("unmodified accuracy", "per cent of the culture’s questions answered correctly"),
    "self": ("self", "change on a culture’s questions when its own neurons are ablated"),
    "cross": ("cross", "change on the other cultures’ questions when its neurons are ablated"),
    "cross_masks": ("cross masks", "change on its questions when other cultures’ are ablated"),
    "gap": ("gap", "self minus cross"),
    "gap_masks": ("gap masks", "self minus cross masks"),
    "flips": ("flips", "per cent of own answers that change when its own neurons are ablated"),
}
UNSIGNED = ("base", "flips")
"""Metrics that are shares and no changes."""
EFFECTS = {
    "base": ("base", *METRIC_COLUMNS["base"]),
    "change": ("self", "change", "change of accuracy when the neurons are ablated"),
    "flips": ("flips", "flips", "per cent of answers that change when the neurons are ablated"),
    "random": ("self", "random", "as change, for random neurons, the same number in each layer"),
}
RANDOM_SELF = ("random self", "as self, for random neurons, the same number in each layer")


def evidence(name: str, matrix: AblationMatrix) -> dict[str, Any]:
    """Give the metrics, findings and cautions of a matrix.

    Raises:
        InputError: Fewer than two cultures were ablated and evaluated.
    """
    check_matrix(matrix)
    if len(matrix.masks) == 1 and matrix.masks[0] not in matrix.cultures:
        return evidence_of_mask(name, matrix)
    own, cross, gap = (matrix.overall(metric) for metric in ("self", "cross", "gap"))
    random = matrix.overall("self", RANDOM) if matrix.has_random else None
    beyond = matrix.beyond_random() if matrix.has_random else None
    base = matrix.overall("base")
    chance = chance_level(matrix.frame[matrix.frame["condition"] == UNMODIFIED])
    findings = [
        sentence("Mean change on a culture’s own questions (self):", own),
        sentence("Mean change on other cultures’ questions (cross):", cross),
        sentence("Their difference (gap):", gap),
    ]
    if random is not None and beyond is not None:
        findings += [
            sentence("Random neurons, the same number in each layer, on own questions:", random),
            sentence("Found minus random neurons, on own questions:", beyond),
        ]
    held = "excludes" if clear(base, chance) else "includes"
    findings.append(
        f"Mean accuracy of the unmodified model: {with_interval(base, signed=False)}; chance is "
        f"{percent(chance, 1)}, which the interval {held}."
    )
    known = standing(matrix, own, gap, beyond, clear(base, chance) and base.low > chance)
    compared = "" if random is None else f"; random neurons: {spoken(random)}"
    return {
        "outcome": [
            f"{name}: self {spoken(own)}, cross {spoken(cross)}, gap {spoken(gap)}{compared}. "
            + verdict(known, beyond)
        ],
        "standing": known,
        "effects": {"own": own, "others": cross, "random": random},
        "findings": findings,
        "cautions": cautions(matrix, own, gap, base, chance),
        "tests": in_words(matrix),
        "metrics": metrics_table(matrix),
        "values": {
            "self": own,
            "cross": cross,
            "gap": gap,
            "random": random,
            "beyond_random": beyond,
            "base": base,
            "chance": chance,
        },
    }


def evidence_of_mask(name: str, matrix: AblationMatrix) -> dict[str, Any]:
    """Give the findings of one mask that belongs to no culture, such as culture-general neurons.

    It has no own questions to compare with others', so the findings are only whether cultural
    questions lose accuracy, and more than under random neurons.
    """
    (mask,) = matrix.masks
    effects = as_estimates(matrix.effects(mask))
    mean = effects.loc["mean"]
    beyond = matrix.effect_beyond_random(mask) if matrix.has_random else None
    chance = chance_level(matrix.frame[matrix.frame["condition"] == UNMODIFIED])
    able = clear(mean["base"], chance) and mean["base"].low > chance
    findings = [sentence("Mean change over cultures:", mean["change"])]
    if beyond is not None:
        findings.append(sentence("Random neurons, as many in each layer:", mean["random"]))
        findings.append(sentence("Found minus random neurons:", beyond))
    known: Standing = "general evidence"
    if not able:
        known, words = "unable", VERDICTS["unable"]
    elif not lost(mean["change"]):
        known = "general not shown"
        words = "This run does not show that these neurons matter for these questions."
    elif beyond is None or math.isnan(beyond.low):
        known, words = "general uncompared", f"These neurons matter; {uncompared(beyond)}."
    elif not lost(beyond):
        known, words = "as random", VERDICTS["as random"]
    else:
        words = "These neurons matter for these questions, more than random ones in their layers."
    sizes = matrix.frame[matrix.frame["condition"] == UNMODIFIED].groupby("culture").size()
    cells = {
        row: [cell(EFFECTS[column][0], effects.loc[row, column]) for column in effects]
        for row in effects.index
    }
    return {
        "outcome": [f"{name}: mean change over cultures {spoken(mean['change'])}. {words}"],
        "standing": known,
        "effects": {
            "own": mean["change"],
            "others": None,
            "random": mean["random"] if matrix.has_random else None,
        },
        "findings": findings,
        "cautions": [
            "Culture-general neurons have no own culture to compare with others: only a benchmark "
            "that needs no cultural knowledge can show whether the loss is one of such knowledge."
        ],
        "tests": in_words(matrix),
        "metrics": {
            "columns": [
                {"name": EFFECTS[column][1], "meaning": EFFECTS[column][2]} for column in effects
            ],
            "rows": [
                {"culture": culture, "items": int(sizes[culture]), "cells": cells[culture]}
                for culture in matrix.cultures
            ],
            "mean": {"items": int(sizes.sum()), "cells": cells["mean"]},
        },
    }


def cautions(
    matrix: AblationMatrix, own: Estimate, gap: Estimate, base: Estimate, chance: float
) -> list[str]:
    """List what weakens the evidence."""
    frame = matrix.frame[matrix.frame["condition"] == UNMODIFIED]
    sizes = frame.groupby("culture").size().sort_values(kind="stable")
    few = sizes[sizes < FEW_ITEMS]
    told = []
    if matrix.metadata.get("seen"):
        told.append(
            "Questions that found the neurons, or share a group with one that did, were asked "
            "again: the effects are too large."
        )
    if not (clear(base, chance) and base.low > chance):
        told.append(
            f"The unmodified model’s accuracy, {with_interval(base, signed=False)}, is not clearly "
            f"above chance ({percent(chance, 1)}): there is little knowledge to lose."
        )
    weak = at_chance(matrix)
    if weak:
        told.append(
            f"In {len(weak)} of {len(sizes)} cultures the interval of the unmodified accuracy "
            f"includes chance or lies below it: {join(weak)}."
        )
    unclear = [words for words, e in (("self", own), ("gap", gap)) if not clear(e)]
    if unclear:
        told.append(
            f"The {percent(CONFIDENCE_LEVEL)} interval of the mean {join(unclear)} includes 0: "
            "these results "
            "are compatible with no effect."
        )
    if len(few):
        told.append(
            f"{len(few)} of {len(sizes)} cultures have fewer than {FEW_ITEMS} questions "
            f"(fewest: {few.index[0]}, {few.iloc[0]}): results of single cultures are uncertain."
        )
    if matrix.too_few_groups:
        words = few_in_words(matrix.too_few_groups)
        told.append(f"{words[0].upper()}{words[1:]}.")
    if not matrix.has_random:
        told.append("No random neurons were ablated for comparison.")
    elif len(matrix.seeds) < FEWEST_SETS:
        told.append(
            "A single set of random neurons was ablated: how such sets differ is not known, so "
            "the difference to them has no interval. Run ablation_matrix with random_seeds=5."
        )
    return told


def at_chance(matrix: AblationMatrix) -> list[str]:
    """List cultures whose unmodified accuracy is not clearly above their chance level."""
    frame = matrix.frame[matrix.frame["condition"] == UNMODIFIED]
    base = matrix.summary()["base_low"]
    return [
        str(culture)
        for culture in base.index
        if not base[culture] > chance_level(frame[frame["culture"] == culture])
    ]


def metrics_table(matrix: AblationMatrix) -> dict[str, Any]:
    """Give the table of the metrics of every culture and their means, each with its interval."""
    summary = as_estimates(matrix.summary())
    random = as_estimates(matrix.summary(RANDOM))["self"] if matrix.has_random else None
    sizes = matrix.frame[matrix.frame["condition"] == UNMODIFIED].groupby("culture").size()
    rows = []
    for culture in summary.index:
        cells = [cell(metric, summary.loc[culture, metric]) for metric in METRIC_COLUMNS]
        if random is not None:
            cells.append(cell("self", random[culture]))
        rows.append({"culture": culture, "items": int(sizes[culture]), "cells": cells})
    means = [cell(metric, matrix.overall(metric)) for metric in METRIC_COLUMNS]
    if random is not None:
        means.append(cell("self", matrix.overall("self", RANDOM)))
    columns = [*METRIC_COLUMNS.values(), *([RANDOM_SELF] if random is not None else [])]
    return {
        "columns": [{"name": name, "meaning": meaning} for name, meaning in columns],
        "rows": rows,
        "mean": {"items": int(sizes[list(summary.index)].sum()), "cells": means},
    }


def cell(metric: str, estimate: Estimate) -> dict[str, Any]:
    """Write one estimate of a table."""
    write: Callable[..., str] = percent if metric in UNSIGNED else points
    low, high = write(estimate.low, 1), write(estimate.high, 1)
    return {
        "value": write(estimate.value, 1),
        "interval": f"{low} to {high}",
        "excludes_0": metric not in UNSIGNED and clear(estimate),
    }


def neuron_table(found: NeuronSet) -> list[dict[str, str]]:
    """Give the number, share, main layer and overlap of every culture's neurons."""
    total = sum(number_of_units(found.shapes, found.metadata).values())
    shares, overlap = found.layer_share(), found.overlap()
    rows = []
    for culture in found:
        number, others = len(found[culture]), overlap[culture].drop(culture).dropna()
        layer = shares.loc[culture].idxmax() if number else None
        nearest = others.idxmax() if len(others) and others.max() > 0 else None
        rows.append(
            {
                "culture": culture,
                "number": str(number),
                "share": percent(number / total, 2),
                "layer": DASH
                if layer is None
                else f"{layer} ({percent(shares.loc[culture, layer])})",
                "nearest": "none" if nearest is None else f"{nearest} ({others.max():.3f})",
            }
        )
    return rows
