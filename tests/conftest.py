"""Fixtures shared by the tests: tiny models of every architecture, toy questions, SmolLM2.

No test may use the network, and one thread is fastest for models of this size.

Fixtures import what they use: the process that hands tests out to others reads this file, too, and
runs none.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.helpers.checked_calls import leave_inner_functions

if TYPE_CHECKING:
    import torch

    from culture_lens.experiments.comparison.result import Comparison
    from culture_lens.models.lens_model import LensModel
    from culture_lens.questions.question import Question

os.environ.setdefault("HF_HUB_OFFLINE", "1")
leave_inner_functions()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is slow unless it is asked for, and let files with slow tests come first.

    The longest stand at the top of the folder (notebooks, documentation): they begin, so that no
    process is left alone with one of them at the end.
    """
    skip = pytest.mark.skip(reason="slow: run it with --runslow")
    slow = {item.path for item in items if "slow" in item.keywords}
    for item in items:
        if "slow" in item.keywords and not config.getoption("--runslow"):
            item.add_marker(skip)
    items.sort(key=lambda item: (item.path not in slow, len(item.path.parts)))


def pytest_collection_finish() -> None:
    """Leave what is imported, which is never garbage, out of every later search for garbage.

    A search takes a third of a second otherwise, and each training makes one. Tests leave little
    garbage: Python need not look for it after every 700 new objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="session", autouse=True)
def one_thread_everywhere():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., LensModel]:
    """``tiny(architecture, dtype=torch.float32)``: a loaded model, cached for the session."""
    from tests.helpers.lm import lens

    return lens


@pytest.fixture(scope="session")
def bare() -> Callable[..., torch.nn.Module]:
    """``bare(architecture, dtype=torch.float32)``: the raw model that ``tiny`` wraps a twin of."""
    from tests.helpers.lm import raw

    return raw


@pytest.fixture
def questions() -> list[Question]:
    """Sixteen toy questions: four topics, four cultures, four options each."""
    from tests.helpers.questions import toy_questions

    return toy_questions()


@pytest.fixture
def cache_apart(tmp_path_factory, monkeypatch) -> None:
    """Data sets that are read here leave nothing in the user's cache."""
    import datasets

    folder = tmp_path_factory.mktemp("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))


@pytest.fixture
def idle(monkeypatch) -> LensModel:
    """A tiny Llama that must not run: whatever is wrong is to be said before."""
    from tests.helpers.forwards import must_not_run
    from tests.helpers.lm import lens

    model = lens("llama")
    must_not_run(monkeypatch)
    return model


@pytest.fixture
def compared() -> Comparison:
    """All six selectors compared on a tiny Llama; tests must leave it as it was."""
    from tests.helpers.comparison import compared_on_llama

    return compared_on_llama()


@pytest.fixture(scope="session")
def smollm2() -> LensModel:
    """The embedded SmolLM2-135M-Instruct in float32."""
    from culture_lens.models.load import load_model
    from tests.helpers.smollm2 import needs_smollm2

    needs_smollm2()
    return load_model("smollm2-135m")
