"""The notebooks run from top to bottom, and their outputs are kept."""

import ast
import base64
import importlib
import io

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

import culture_lens
from tests.helpers.places import ROOT
from tests.helpers.smollm2 import needs_smollm2

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURE = "application/vnd.plotly.v1+json"
SHARED = ("load_model", "load_benchmark", "split_questions", "load_truth")
BEFORE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import culture_lens
from tests.helpers.calls import made_once
for name in {SHARED!r}:
    setattr(culture_lens, name, made_once(getattr(culture_lens, name)))
"""
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all notebooks, so that packages are loaded once; names are cleared between.

    What many of them begin with, the model and its questions, is made for the first of them. Two
    threads beside another test process wait for each other more than they work.
    """
    manager = AsyncKernelManager(kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        execute(new_notebook(cells=[new_code_cell(BEFORE)]), manager)
        yield manager
    run_sync(manager.shutdown_kernel)(now=True)


def execute(notebook, kernel):
    resources = {"metadata": {"path": ROOT / "notebooks"}}
    NotebookClient(notebook, km=kernel, timeout=900, resources=resources).execute()


def code_of(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def outputs_of(path):
    return [output.get("data", {}) for cell in code_of(path) for output in cell.outputs]


@pytest.mark.slow
@each
def test_notebook_runs(path, kernel):
    needs_smollm2()
    notebook = nbformat.read(path, as_version=4)
    execute(new_notebook(cells=[new_code_cell("%reset -f")]), kernel)
    execute(notebook, kernel)


@each
def test_notebook_was_kept_after_a_whole_run(path):
    cells = code_of(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr"


@each
def test_every_figure_is_kept_as_a_picture_too(path):
    """A host without plotly.js shows the picture; nothing that is shown loads a script."""
    for data in outputs_of(path):
        assert "<script" not in data.get("text/html", "")
        if FIGURE in data:
            with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
                assert picture.format == "PNG" and picture.width > 600


@each
def test_notebook_uses_public_names_and_silences_nothing(path):
    """Names of ``culture_lens`` itself, or those that one of its folders lists."""
    tree = ast.parse("\n".join(cell.source for cell in code_of(path)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            own = [one.name for one in node.names if one.name.startswith("culture_lens")]
            assert set(own) <= {"culture_lens"}, own
        if isinstance(node, ast.ImportFrom) and node.module.startswith("culture_lens."):
            assert node.module.count(".") == 1, node.module
            listed = set(importlib.import_module(node.module).__all__)
            assert {one.name for one in node.names} <= listed
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id not in ("warnings", "logging")
            if node.value.id == "cl":
                assert node.attr in culture_lens.__all__
