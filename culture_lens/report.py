"""A run folder -> one self-contained HTML page: what was done, what came out, how sure it is.

1. ``report_context`` reads the named results of the run and lays out everything the page says.
2. ``draw`` makes the figures of one selector.
3. ``build_report`` puts both into ``templates/report.html`` and writes ``report.html``.

The page needs no network: plotly.js is in it once, and its policy forbids loading anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from culture_lens.confidence import LEVEL, Estimate
from culture_lens.errors import InputError
from culture_lens.matrix import BASE, RANDOM, AblationMatrix
from culture_lens.neurons import NeuronSet
from culture_lens.plots.heatmaps import check_matrix
from culture_lens.plots.look import clear, percent, points, with_interval
from culture_lens.runs import Run
from culture_lens.storage import write_whole

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).parent / "templates"
FEW_ITEMS = 50
"""Questions per culture below which the page warns: intervals then span 25 points and more."""

COLUMNS = {
    "base": ("unmodified accuracy", "per cent of the culture’s questions answered correctly"),
    "self": ("self", "change on a culture’s questions when its own neurons are silenced"),
    "cross": ("cross", "change on the other cultures’ questions when its neurons are silenced"),
    "cross_masks": ("cross masks", "change on its questions when other cultures’ are silenced"),
    "gap": ("gap", "self minus cross"),
    "gap_masks": ("gap masks", "self minus cross masks"),
    "flips": ("flips", "per cent of own answers that change when its own neurons are silenced"),
}
SHARES = ("base", "flips")
Results: TypeAlias = "dict[str, tuple[NeuronSet | None, AblationMatrix | None]]"
RANDOM_SELF = ("random self", "as self, for random neurons, the same number in each layer")


def build_report(run: Run | str | Path) -> Path:
    """Write ``report.html`` into a run folder.

    Args:
        run: The run folder, with neurons, matrices, or both.

    Returns:
        The page: one file that opens from disk.

    Raises:
        InputError: No such folder, nothing in it to report, or a damaged file.

    Example:
        ``build_report("runs/first")``
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    folder = Run.open(run, create=False)
    results = load_results(folder)
    rooms = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = rooms.get_template("report.html").render(
        **lay_out(folder, results),
        figures={name: draw(found, matrix) for name, (found, matrix) in results.items()},
        comparison=compare(results),
        plotly=Markup(get_plotlyjs()),
    )
    return write_whole(
        folder.path / "report.html", lambda part: part.write_text(page, encoding="utf-8")
    )


def report_context(run: Run | str | Path) -> dict[str, Any]:
    """Lay out everything the page says, as plain text, lists and dictionaries.

    Args:
        run: The run folder.

    Raises:
        InputError: No such folder, nothing in it to report, or a damaged file.

    Example:
        ``report_context("runs/first")["selectors"][0]["findings"]``
    """
    folder = Run.open(run, create=False)
    return lay_out(folder, load_results(folder))


def lay_out(run: Run, results: Results) -> dict[str, Any]:
    """Lay out what ``report_context`` gives, from results already read."""
    selectors = [describe(name, found, matrix) for name, (found, matrix) in results.items()]
    cautions: dict[str, list[str]] = {}
    for selector in selectors:
        for caution in selector["cautions"]:
            cautions.setdefault(caution, []).append(selector["name"])
    metadata = first_metadata(results)
    steps = [
        {
            "command": str(step.get("command", "")),
            "date": str(step.get("date", "")),
            "options": [(name, str(value)) for name, value in step.get("options", {}).items()],
        }
        for step in run.steps()
    ]
    versions = next(
        (step["versions"] for step in reversed(run.steps()) if step.get("versions")),
        metadata.get("versions") or {},
    )
    model = metadata.get("model") or "a model that was not recorded"
    return {
        "title": f"Culture neurons of {model}",
        "run": run.path.resolve().name,
        "done": done(results, metadata),
        "outcome": [line for s in selectors for line in s["outcome"]],
        "cautions": [
            {"text": text, "names": names if len(selectors) > 1 else []}
            for text, names in cautions.items()
        ],
        "selectors": selectors,
        "steps": steps,
        "versions": [(name, str(value)) for name, value in sorted(versions.items())],
        "level": percent(LEVEL),
    }


def load_results(run: Run) -> Results:
    """Read the neurons and the matrix of every selector in a run.

    Raises:
        InputError: There are none, or a file is damaged.
    """
    neurons, matrices = run.names("neurons", ".safetensors"), run.names("matrix", ".parquet")
    if not neurons and not matrices:
        raise InputError(
            f"nothing to report: {run.path} has no neurons/*.safetensors and no matrix/*.parquet; "
            "find neurons first, with this folder as run."
        )
    results: Results = {}
    for name in sorted({*neurons, *matrices}):
        found = matrix = None
        if name in neurons:
            found = NeuronSet.load(run.named("neurons", name, ".safetensors"))
        if name in matrices:
            file = run.named("matrix", name, ".parquet")
            matrix = AblationMatrix.from_parquet(file)
            if matrix.frame.empty:
                raise InputError(f"{file} holds no records; make it again.")
        results[name] = found, matrix
    return results


def first_metadata(results: Results) -> Mapping[str, Any]:
    """Give the metadata of the first matrix, or of the first neurons where there is none."""
    matrices = [matrix.metadata for _, matrix in results.values() if matrix is not None]
    sets = [found.metadata for found, _ in results.values() if found is not None]
    return (matrices or sets)[0]


def done(results: Results, metadata: Mapping[str, Any]) -> str:
    """Say in plain words what was done."""
    names = join(list(results))
    model = metadata.get("model") or "a model that was not recorded"
    matrices = [matrix for _, matrix in results.values() if matrix is not None]
    text = (
        f"In {model}, neurons that carry knowledge of single cultures were sought "
        f"({'selector' if len(results) == 1 else 'selectors'}: {names}). "
    )
    if not matrices:
        return text + "They have not been silenced yet, so nothing is shown about what they do."
    frame = matrices[0].frame
    base = frame[frame["kind"] == BASE]
    value = metadata.get("value")
    return text + (
        f"Then each culture’s neurons were silenced{f' (set to {value})' if value else ''} in "
        f"turn, and the model was asked {len(base)} questions about "
        f"{base['culture'].nunique()} cultures ({metadata.get('benchmark') or 'benchmark'}"
        f"{'' if metadata.get('benchmark') else ' not recorded'}; question groups: "
        f"{base['group'].nunique()}). If the neurons carry knowledge of a culture, the model "
        "should lose accuracy on that culture’s questions, less on others’, and less when random "
        "neurons are silenced."
    )


def describe(name: str, found: NeuronSet | None, matrix: AblationMatrix | None) -> dict[str, Any]:
    """Lay out what is known of one selector."""
    missing = []
    if found is None:
        missing.append(f"neurons/{name}.safetensors is missing: where they sit is not shown.")
    if matrix is None:
        missing.append(
            f"matrix/{name}.parquet is missing: these neurons have not been silenced yet, so "
            "there is no evidence of what they do. Make it with ablation_matrix, and this page "
            "again."
        )
    told: dict[str, Any] = {
        "name": name,
        "facts": facts(found, matrix),
        "outcome": [],
        "findings": [],
        "cautions": [],
        "readings": None,
        "neurons": neuron_table(found) if found is not None else None,
        "missing": missing,
    }
    if matrix is None:
        told["outcome"] = [f"{name}: not tested, its neurons have not been silenced yet."]
        return told
    try:
        told |= evidence(name, matrix)
    except InputError as error:
        told["outcome"] = [f"{name}: not tested, {error}"]
        missing.append(str(error))
    return told


def facts(found: NeuronSet | None, matrix: AblationMatrix | None) -> list[tuple[str, str]]:
    """List what the results were made with."""
    known = {**(found.metadata if found is not None else {})}
    known |= matrix.metadata if matrix is not None else {}
    wanted = {
        "model": "model",
        "revision": "revision",
        "benchmark": "benchmark",
        "selector": "selector",
        "share": "share of neurons per culture",
        "k": "neurons per culture and site",
        "scoring": "answers read by",
        "value": "silenced neurons set to",
        "random_seeds": "sets of random neurons",
        "items": "questions asked" if matrix is not None else "questions used to find neurons",
        "left_out": "questions left out, as they or their group found the neurons",
    }
    listed = [(words, known.get(key)) for key, words in wanted.items()]
    return [(words, str(value)) for words, value in listed if value not in (None, "")]


def evidence(name: str, matrix: AblationMatrix) -> dict[str, Any]:
    """Lay out readings, findings and cautions of a matrix.

    Raises:
        InputError: Fewer than two cultures were silenced and evaluated.
    """
    check_matrix(matrix)
    own, cross, gap = (matrix.overall(reading) for reading in ("self", "cross", "gap"))
    random = matrix.overall("self", RANDOM) if matrix.has_random else None
    beyond = matrix.beyond_random() if matrix.has_random else None
    base = matrix.overall("base")
    chance = chance_level(matrix.frame[matrix.frame["kind"] == BASE])
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
    compared = "" if random is None else f"; random neurons: {spoken(random)}"
    return {
        "outcome": [
            f"{name}: self {spoken(own)}, cross {spoken(cross)}, gap {spoken(gap)}{compared}. "
            + verdict(matrix, own, gap, beyond, clear(base, chance) and base.low > chance)
        ],
        "findings": findings,
        "cautions": cautions(matrix, own, gap, base, chance),
        "readings": readings_table(matrix),
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


def chance_level(frame: pd.DataFrame) -> float:
    """Give the accuracy of guessing: the mean of one over the number of options."""
    options = frame["scores"].map(len)
    return float((1 / options[options > 0]).mean())


def verdict(
    matrix: AblationMatrix, own: Estimate, gap: Estimate, beyond: Estimate | None, able: bool
) -> str:
    """Say what the readings are evidence of, and no more."""
    if matrix.metadata.get("seen"):
        return "No conclusion: the questions asked also found the neurons."
    if not able:
        return "No conclusion: the unmodified model does not clearly answer better than chance."
    if not (lost(own) and lost(gap)):
        return (
            "This run does not show that these neurons matter more for their own culture than for "
            "others; that is not proof that they do not."
        )
    if beyond is None:
        return (
            "Evidence that these neurons matter more for their own culture’s questions than for "
            "others’; random neurons were not run, so it is open whether any neurons would do so."
        )
    if not lost(beyond):
        return "The effect cannot be told from that of random neurons in the same layers."
    return (
        "Evidence that these neurons matter more for their own culture’s questions than for "
        "others’, and more than random neurons in the same layers."
    )


def cautions(
    matrix: AblationMatrix, own: Estimate, gap: Estimate, base: Estimate, chance: float
) -> list[str]:
    """List what weakens the evidence."""
    frame = matrix.frame[matrix.frame["kind"] == BASE]
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
            f"above chance ({percent(chance, 1)}): it has little knowledge that could be lost."
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
            f"The {percent(LEVEL)} interval of the mean {join(unclear)} includes 0: no effect at "
            "all would be compatible with these results."
        )
    if len(few):
        told.append(
            f"{len(few)} of {len(sizes)} cultures have fewer than {FEW_ITEMS} questions "
            f"(fewest: {few.index[0]}, {few.iloc[0]}): what is said of a single culture is "
            "uncertain."
        )
    if not matrix.has_random:
        told.append("No random neurons were silenced for comparison.")
    return told


def at_chance(matrix: AblationMatrix) -> list[str]:
    """List cultures whose unmodified accuracy is not clearly above their chance level."""
    frame = matrix.frame[matrix.frame["kind"] == BASE]
    base = matrix.summary()["base"]
    return [
        str(culture)
        for culture in base.index
        if not base[culture].low > chance_level(frame[frame["culture"] == culture])
    ]


def readings_table(matrix: AblationMatrix) -> dict[str, Any]:
    """Lay out the readings of every culture and their means, each with its interval."""
    summary = matrix.summary()
    random = matrix.summary(RANDOM)["self"] if matrix.has_random else None
    sizes = matrix.frame[matrix.frame["kind"] == BASE].groupby("culture").size()
    rows = []
    for culture in summary.index:
        cells = [cell(reading, summary.loc[culture, reading]) for reading in COLUMNS]
        if random is not None:
            cells.append(cell("self", random[culture]))
        rows.append({"culture": culture, "items": int(sizes[culture]), "cells": cells})
    means = [cell(reading, matrix.overall(reading)) for reading in COLUMNS]
    if random is not None:
        means.append(cell("self", matrix.overall("self", RANDOM)))
    columns = [*COLUMNS.values(), *([RANDOM_SELF] if random is not None else [])]
    return {
        "columns": [{"name": name, "meaning": meaning} for name, meaning in columns],
        "rows": rows,
        "mean": {"items": int(sizes[list(summary.index)].sum()), "cells": means},
    }


def cell(reading: str, estimate: Estimate) -> dict[str, Any]:
    """Lay out one estimate of a table."""
    write: Callable[..., str] = percent if reading in SHARES else points
    low, high = write(estimate.low, 1), write(estimate.high, 1)
    return {
        "value": write(estimate.value, 1),
        "interval": f"{low} to {high}",
        "excludes_0": reading not in SHARES and clear(estimate),
    }


def neuron_table(found: NeuronSet) -> list[dict[str, str]]:
    """Lay out number, place and overlap of every culture's neurons."""
    total = sum(layers * width for layers, width in found.shapes.values())
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
                "layer": "–"
                if layer is None
                else f"{layer} ({percent(shares.loc[culture, layer])})",
                "nearest": "none" if nearest is None else f"{nearest} ({others.max():.3f})",
            }
        )
    return rows


def draw(found: NeuronSet | None, matrix: AblationMatrix | None) -> list[dict[str, Any]]:
    """Make the figures of one selector; those that need more cultures are left out."""
    from culture_lens import plots

    wanted: list[tuple[Callable[[], Any], str]] = []
    if matrix is not None:
        heatmap, cells = partial(plots.ablation_heatmap, matrix), "Heat map, silenced by asked:"
        wanted += [
            (partial(plots.self_cross_chart, matrix), "Dots with intervals, as in the table."),
            (heatmap, f"{cells} change in accuracy."),
            (partial(heatmap, what="flips"), f"{cells} share of answers that change."),
        ]
        if matrix.has_random:
            wanted.append((partial(heatmap, kind=RANDOM), f"{cells} change in accuracy."))
    if found is not None:
        wanted += [
            (partial(plots.layer_heatmap, found), "Heat map, cultures by layers."),
            (partial(plots.overlap_heatmap, found), "Heat map, cultures by cultures."),
        ]
    drawn = []
    for make, words in wanted:
        try:
            drawn.append(embed(make(), words))
        except InputError:
            continue  # describe() has said what is missing
    return drawn


def compare(results: Results) -> dict[str, Any] | None:
    """Draw the selectors side by side, where two or more were tested."""
    from culture_lens import plots

    tested = {
        name: matrix
        for name, (_, matrix) in results.items()
        if matrix is not None and len(set(matrix.masks) & set(matrix.cultures)) > 1
    }
    if len(tested) < 2:
        return None
    words = "Dots with intervals for every selector: mean self, cross and gap."
    return embed(plots.method_comparison(tested), words)


def embed(figure: Any, words: str) -> dict[str, Any]:
    """Take title and subtitle out of a figure, for the page to write them, and make it HTML."""
    import html

    import plotly.io
    from markupsafe import Markup

    title, subtitle = figure.layout.title.text, figure.layout.title.subtitle.text
    lines = subtitle.count("<br>") + 1
    figure.layout.title = None
    removed = 30 + 16 * lines  # what is left has room for plotly's buttons
    figure.update_layout(
        margin_t=figure.layout.margin.t - removed, height=figure.layout.height - removed
    )
    made = plotly.io.to_html(
        figure,
        include_plotlyjs=False,
        full_html=False,
        default_height=f"{figure.layout.height}px",
        config={"responsive": True, "displaylogo": False},
    )
    return {
        "title": html.unescape(title),
        "caption": html.unescape(subtitle.replace("<br>", " ")),
        "alt": words,
        "html": Markup(made),
    }


def lost(estimate: Estimate) -> bool:
    """Say whether the whole interval is a loss.

    Example:
        >>> lost(Estimate(-0.1, -0.2, -0.05))
        True
    """
    return clear(estimate) and estimate.high < 0


def spoken(estimate: Estimate) -> str:
    """Write points and interval for a sentence.

    Example:
        >>> spoken(Estimate(0.1, 0.05, 0.2))
        '+10.0 points (+5.0 to +20.0)'
    """
    low, high = points(estimate.low), points(estimate.high)
    return f"{points(estimate.value)} points ({low} to {high})"


def sentence(words: str, estimate: Estimate) -> str:
    """Say an estimate, and whether its interval excludes 0.

    Example:
        >>> sentence("Self:", Estimate(0.1, 0.05, 0.2))
        'Self: +10.0 points (+5.0 to +20.0); the interval excludes 0.'
    """
    if math.isnan(estimate.low + estimate.high):
        return f"{words} {points(estimate.value)} points; no interval could be made."
    held = "excludes" if clear(estimate) else "includes"
    return f"{words} {spoken(estimate)}; the interval {held} 0."


def join(names: Sequence[str]) -> str:
    """Write names as a list in a sentence.

    Example:
        >>> join(["a", "b", "c"])
        'a, b and c'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


__all__ = ["build_report", "report_context"]
