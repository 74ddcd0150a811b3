"""Run notebooks from top to bottom and keep their outputs, each figure as a picture too.

A site that has no plotly.js shows the picture. What is written to standard error is not kept. Needs
the extra ``plots`` and an installed Chrome or Chromium.

    python docs/_site/notebooks.py                       # all
    python docs/_site/notebooks.py 01_quickstart         # some
    python docs/_site/notebooks.py --pictures            # draw what is kept again, run nothing
"""

import argparse
import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import plotly.graph_objects as go
from gallery import make_small
from nbclient import NotebookClient

from culture_lens import plots

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
FIGURE, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"


def main() -> None:
    """Run the notebooks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="Notebooks, by their names; all by default.")
    parser.add_argument("--pictures", action="store_true", help="Run nothing.")
    asked = parser.parse_args()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if asked.names and path.stem not in asked.names:
            continue
        notebook = nbformat.read(path, as_version=4)
        if not asked.pictures:
            run(notebook)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                add_picture(output)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


def run(notebook: Any) -> None:
    """Run every cell, and keep what it shows but progress and warnings."""
    resources = {"metadata": {"path": NOTEBOOKS}}
    NotebookClient(notebook, timeout=900, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if is_kept(output)]


def is_kept(output: Any) -> bool:
    """Say whether an output is neither standard error nor a bar that moves."""
    return output.get("name") != "stderr" and WIDGET not in output.get("data", {})


def add_picture(output: Any) -> None:
    """Put a figure's PNG beside its numbers."""
    data = output.get("data", {})
    if FIGURE not in data:
        return
    figure = go.Figure({part: data[FIGURE][part] for part in ("data", "layout")})
    with TemporaryDirectory() as folder:
        where = plots.save(figure, Path(folder) / "figure.png")
        make_small(where)
        data["image/png"] = base64.b64encode(where.read_bytes()).decode()


if __name__ == "__main__":
    main()
