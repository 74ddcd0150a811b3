"""The notebooks run from top to bottom, and their outputs are kept."""

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.helpers.places import ROOT
from tests.helpers.smollm2 import needs_smollm2

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all notebooks, so that packages are loaded once; names are cleared between.

    Two threads beside another test process wait for each other more than they work.
    """
    manager = AsyncKernelManager(kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield manager
    run_sync(manager.shutdown_kernel)(now=True)


def execute(notebook, kernel):
    resources = {"metadata": {"path": ROOT / "notebooks"}}
    NotebookClient(notebook, km=kernel, timeout=900, resources=resources).execute()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, kernel):
    needs_smollm2()
    notebook = nbformat.read(path, as_version=4)
    kept = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert kept, "the notebook is stored with its outputs"
    execute(new_notebook(cells=[new_code_cell("%reset -f")]), kernel)
    execute(notebook, kernel)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_was_kept_after_a_whole_run(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not [output for output in cell.outputs if output.output_type == "error"]
