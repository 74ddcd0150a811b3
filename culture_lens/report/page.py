"""build_report: from a run folder to one self-contained HTML page with results and their certainty.

1. ``report_context`` reads the named results of the run and gives everything that the page says.
2. ``figures`` makes the figures.
3. ``build_report`` fills the template ``page.html`` with both and writes ``report.html``.

The page needs no network: it contains plotly.js, and its content policy forbids loading anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from culture_lens.cards.html import STYLE
from culture_lens.checks import check_arguments, either, file_path, instance
from culture_lens.errors import InputError
from culture_lens.experiments.conditions import UNMODIFIED
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.wordings import wording_stability_in_words
from culture_lens.plots.style import percent
from culture_lens.report.colours import DARK
from culture_lens.report.figures import (
    as_script_data,
    compare,
    draw,
    draw_predictions,
    draw_transfers,
)
from culture_lens.report.findings import evidence, neuron_table
from culture_lens.report.first_screen import picture, verdict_of_all
from culture_lens.report.neuron_list import MOST, listing
from culture_lens.report.repeat import python_of, steps_of
from culture_lens.report.results import Results, first_metadata, load_results, other_neurons
from culture_lens.report.sentences import join
from culture_lens.report.tables import matrix_tables
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL
from culture_lens.storage.files import write_whole
from culture_lens.storage.runs import Run

HERE = Path(__file__).parent
NO_MODEL = "a model that was not recorded"


@check_arguments(run=either(instance(Run), file_path, remedy="a run folder: its path, or a Run"))
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
    folder = Run.open(run, create=False)
    results = load_results(folder)
    page = template().render(
        **lay_out(folder, results),
        figures={name: draw(found, matrix) for name, (found, matrix) in results.items()},
        comparison=compare(results),
        attribution=draw_predictions(folder, results),
        transfers=draw_transfers(folder),
        listing=listing(folder, results),
        most=MOST,
        **scripts(),
    )
    return write_whole(
        folder.path / "report.html", lambda part: part.write_text(page, encoding="utf-8")
    )


def template() -> Any:
    """Read the template of the page, with escaping on."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counter"] = count(1).__next__
    return environment.get_template("page.html")


def scripts() -> dict[str, Any]:
    """Give the style and the scripts of the page, and the policy that lets no others run.

    A browser runs only scripts whose hash the policy names, and loads nothing from anywhere:
    ``connect-src``, forms and frames are closed. Styles may stand in the page, which plotly needs.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    both = {"script": (HERE / "page.js").read_text(encoding="utf-8"), "plotly": get_plotlyjs()}
    hashes = " ".join(f"'sha256-{hash_of(text)}'" for text in both.values())
    return {
        **{name: Markup(text) for name, text in both.items()},
        "style": Markup((HERE / "page.css").read_text(encoding="utf-8") + STYLE),
        "dark": Markup(as_script_data(json.dumps(DARK))),
        "policy": f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'",
    }


def hash_of(text: str) -> str:
    """Hash a script as a content policy names it.

    Example:
        >>> hash_of("alert(1)")
        'bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='
    """
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def report_context(run: Run | str | Path) -> dict[str, Any]:
    """Give everything that the page says, as plain text, lists and dictionaries.

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
    """Give what the page says, from results already read."""
    used = {name for name, (_, matrix) in results.items() if matrix is not None}
    left_out = sorted(set(run.names("matrix", ".parquet")) - used)
    selectors = [
        describe(name, found, matrix, left_out) for name, (found, matrix) in results.items()
    ]
    cautions: dict[str, list[str]] = {}
    for selector in selectors:
        for caution in selector["cautions"]:
            cautions.setdefault(caution, []).append(selector["name"])
    metadata = first_metadata(results)
    versions = next(
        (step["versions"] for step in reversed(run.steps()) if step.get("versions")),
        metadata.get("versions") or {},
    )
    return {
        "title": f"Culture neurons of {metadata.get('model') or NO_MODEL}",
        "run": run.path.resolve().name,
        "done": done(results, metadata),
        "outcome": [line for s in selectors for line in s["outcome"]],
        "cautions": [
            {"text": text, "names": names if len(selectors) > 1 else []}
            for text, names in cautions.items()
        ],
        "selectors": selectors,
        "steps": steps_of(run),
        "python": python_of(run),
        "verdict": verdict_of_all(selectors),
        "picture": picture(selectors),
        "versions": [(name, str(value)) for name, value in sorted(versions.items())],
        "level": percent(CONFIDENCE_LEVEL),
    }


def done(results: Results, metadata: Mapping[str, Any]) -> str:
    """Write what was done, in sentences."""
    names = join(list(results))
    matrices = [matrix for _, matrix in results.values() if matrix is not None]
    text = (
        f"In {metadata.get('model') or NO_MODEL}, neurons that carry knowledge of single cultures "
        "were sought "
        f"({'selector' if len(results) == 1 else 'selectors'}: {names}). "
    )
    if not matrices:
        return text + "They have not been ablated yet, so their effects are not known."
    frame = matrices[0].frame
    base = frame[frame["condition"] == UNMODIFIED]
    values = {str(matrix.metadata["value"]) for matrix in matrices if matrix.metadata.get("value")}
    value = " or ".join(sorted(values, reverse=True))
    return text + (
        f"Then each culture’s neurons were ablated{f' (set to {value})' if value else ''} in "
        f"turn, and the model was asked {len(base)} questions about "
        f"{base['culture'].nunique()} cultures ({metadata.get('benchmark') or 'benchmark'}"
        f"{'' if metadata.get('benchmark') else ' not recorded'}; question groups: "
        f"{base['group'].nunique()}). If the neurons carry knowledge of a culture, the model "
        "should lose accuracy on that culture’s questions, less on others’, and less when random "
        "neurons are ablated."
    )


def describe(
    name: str, found: NeuronSet | None, matrix: AblationMatrix | None, left_out: Sequence[str]
) -> dict[str, Any]:
    """Give what is known of one selector.

    Args:
        name: Its name.
        found: Its neurons.
        matrix: Their matrix.
        left_out: The matrices of the folder that are of other neurons than they are named after.
    """
    missing = [
        f"{other_neurons('matrix', other, name)} It is left out: ablate these neurons again."
        for other in left_out
        if other == name or other.startswith(f"{name}-")
    ]
    if found is None:
        missing.append(f"neurons/{name}.safetensors is missing: their layers are not shown.")
    if matrix is None and name not in left_out:
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
        "standing": None,
        "effects": None,
        "matrices": [],
        "neurons": neuron_table(found) if found is not None else None,
        "wordings": wording_stability_in_words(found.metadata) if found is not None else "",
        "missing": missing,
    }
    if matrix is None:
        told["outcome"] = [f"{name}: not tested, its neurons have not been ablated yet."]
        return told
    try:
        told |= evidence(name, matrix)
        told["matrices"] = matrix_tables(matrix)
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
        "left_out": "questions left out, because they or their group found the neurons",
    }
    listed = [(words, known.get(key)) for key, words in wanted.items()]
    return [(words, str(value)) for words, value in listed if value not in (None, "")]


__all__ = ["build_report", "report_context"]
