"""A run folder -> one self-contained HTML page: what was done, what came out, how sure it is.

1. ``report_context`` reads the named results of the run and lays out everything the page says.
2. ``draw`` makes the figures of one selector.
3. ``build_report`` puts both into ``page.html`` and writes ``report.html``.

The page needs no network: plotly.js is in it once, and its policy forbids loading anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from culture_lens.errors import InputError
from culture_lens.experiments.matrix import RANDOM, UNMODIFIED, AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.plots.style import percent
from culture_lens.report.findings import evidence, neuron_table
from culture_lens.report.sentences import join
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL
from culture_lens.storage.files import write_whole
from culture_lens.storage.runs import Run

TEMPLATES = Path(__file__).parent

Results: TypeAlias = "dict[str, tuple[NeuronSet | None, AblationMatrix | None]]"


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
    page = rooms.get_template("page.html").render(
        **lay_out(folder, results),
        figures={name: draw(found, matrix) for name, (found, matrix) in results.items()},
        comparison=compare(results),
        attribution=hold_attribution(folder, results),
        transfers=draw_transfers(folder),
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
        "level": percent(CONFIDENCE_LEVEL),
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
        return text + "They have not been ablated yet, so nothing is shown about what they do."
    frame = matrices[0].frame
    base = frame[frame["condition"] == UNMODIFIED]
    value = metadata.get("value")
    return text + (
        f"Then each culture’s neurons were ablated{f' (set to {value})' if value else ''} in "
        f"turn, and the model was asked {len(base)} questions about "
        f"{base['culture'].nunique()} cultures ({metadata.get('benchmark') or 'benchmark'}"
        f"{'' if metadata.get('benchmark') else ' not recorded'}; question groups: "
        f"{base['group'].nunique()}). If the neurons carry knowledge of a culture, the model "
        "should lose accuracy on that culture’s questions, less on others’, and less when random "
        "neurons are ablated."
    )


def describe(name: str, found: NeuronSet | None, matrix: AblationMatrix | None) -> dict[str, Any]:
    """Lay out what is known of one selector."""
    missing = []
    if found is None:
        missing.append(f"neurons/{name}.safetensors is missing: where they sit is not shown.")
    if matrix is None:
        missing.append(
            f"matrix/{name}.parquet is missing: these neurons have not been ablated yet, so "
            "there is no evidence of what they do. Make it with ablation_matrix, and this page "
            "again."
        )
    told: dict[str, Any] = {
        "name": name,
        "facts": facts(found, matrix),
        "outcome": [],
        "findings": [],
        "cautions": [],
        "tests": None,
        "metrics": None,
        "neurons": neuron_table(found) if found is not None else None,
        "missing": missing,
    }
    if matrix is None:
        told["outcome"] = [f"{name}: not tested, its neurons have not been ablated yet."]
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
        "value": "ablated neurons set to",
        "random_seeds": "sets of random neurons",
        "items": "questions asked" if matrix is not None else "questions used to find neurons",
        "left_out": "questions left out, as they or their group found the neurons",
    }
    listed = [(words, known.get(key)) for key, words in wanted.items()]
    return [(words, str(value)) for words, value in listed if value not in (None, "")]


def draw(found: NeuronSet | None, matrix: AblationMatrix | None) -> list[dict[str, Any]]:
    """Make the figures of one selector; those that need more cultures are left out."""
    from culture_lens import plots

    wanted: list[tuple[Callable[[], Any], str]] = []
    if matrix is not None:
        heatmap, cells = partial(plots.ablation_heatmap, matrix), "Heat map, ablated by asked:"
        wanted += [
            (partial(plots.self_cross_chart, matrix), "Dots with intervals, as in the table."),
            (heatmap, f"{cells} change in accuracy."),
            (partial(heatmap, what="flips"), f"{cells} share of answers that change."),
        ]
        if matrix.has_random:
            wanted.append((partial(heatmap, condition=RANDOM), f"{cells} change in accuracy."))
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
        if matrix is not None and matrix.has_metrics
    }
    if len(tested) < 2:
        return None
    words = "Dots with intervals for every selector: mean self, cross and gap."
    return embed(plots.method_comparison(tested), words)


def hold_attribution(run: Run, results: Results) -> list[dict[str, Any]]:
    """Draw predicted beside measured effects, where a run holds predictions."""
    from culture_lens import plots
    from culture_lens.experiments.fidelity import Fidelity, comparable
    from culture_lens.experiments.predicted_matrix import PredictedMatrix

    drawn = []
    for name in run.names("fidelity", ".parquet"):
        held = Fidelity.from_parquet(run.named("fidelity", name, ".parquet"))
        drawn.append(embed(plots.fidelity_chart(held), "Dots: predicted against measured."))
    for name in run.names("predicted", ".parquet"):
        predicted = PredictedMatrix.from_parquet(run.named("predicted", name, ".parquet"))
        _, matrix = results.get(name, (None, None))
        measured = matrix if matrix is not None and comparable(matrix) else None
        figure = plots.predicted_heatmap(predicted, measured)
        drawn.append(embed(figure, "Heat map, ablated by asked: predicted change of P(gold)."))
    return drawn


def draw_transfers(run: Run) -> list[dict[str, Any]]:
    """Draw where neurons were found against what was asked, where a run compared benchmarks."""
    from culture_lens import plots
    from culture_lens.experiments.transfer import TransferMatrix

    drawn = []
    for name in run.names("transfer", ".parquet"):
        result = TransferMatrix.from_parquet(run.named("transfer", name, ".parquet"))
        for metric in ("self", "gap"):
            figure = plots.transfer_heatmap(result, metric=metric)
            drawn.append(embed(figure, "Heat map, found on by asked: change in accuracy."))
    return drawn


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


__all__ = ["build_report", "report_context"]
