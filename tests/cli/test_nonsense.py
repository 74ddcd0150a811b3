"""Command lines that mean nothing end with code 2 and a sentence, before a model runs."""

import re
import shlex

import jaxtyping
import pytest

from culture_lens.models.loading import Loading
from tests.helpers.cli import run
from tests.helpers.forwards import must_not_run
from tests.helpers.marks import mostly_slow
from tests.helpers.nonsense import lines

FIND = "--model llama --benchmark table --path rows.jsonl"


@pytest.fixture
def call(capsys, folder, model, place, monkeypatch):
    """Call a line as users do, without the types that tests check; no model may run."""

    def load_model(name="smollm2-135m", **options):
        Loading.of(options)
        if str(name) not in ("llama", str(place / "llama")):
            raise AssertionError(f"the model {name!r} was loaded")
        return model

    def claim(*_):
        raise AssertionError("an organism was trained")

    monkeypatch.setattr("culture_lens.models.load.load_model", load_model)
    monkeypatch.setattr("culture_lens.organism.training.claim", claim)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.chdir(place)
    must_not_run(monkeypatch)

    def run_line(line):
        words = shlex.split(line.replace("FIND", FIND).replace("RUN", str(folder.path)))
        return run(capsys, *words)

    return run_line


@pytest.mark.parametrize("line", mostly_slow(lines("commands"), fast=lines("commands")[::5]))
def test_a_command_that_means_nothing_is_refused(line, call):
    code, _, err = call(line)
    assert code == 2, err
    assert "Traceback" not in err and err.strip()


@pytest.mark.slow
@pytest.mark.parametrize("line", lines("sense_commands"))
def test_a_command_that_means_something_comes_as_far_as_the_model(line, call):
    """So that no line of the table is refused for another reason than its own."""
    try:
        code, _, err = call(line)
    except AssertionError as stop:
        assert re.search("was (run|loaded|trained)", str(stop))
    else:
        assert code == 0, err


@pytest.mark.parametrize(
    "options",
    [{"benchmark": ["table"]}, {"benchmark": 3}, {"benchmark": ""}, {"benchmark_option": 3},
     {"benchmark_option": [3]}, {"path": 3}, {"limit": "five"}, {"limit": True}, {"culture": 3},
     {"culture": [None]}, {"model": 7}, {"model": {"a": 1}}, {"dtype": 3}, {"device": "gpu"},
     {"revision": 3}],
)  # fmt: skip
def test_options_of_a_crafted_run_json_are_refused(options, capsys, folder, place, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.chdir(place)
    must_not_run(monkeypatch)
    folder.log("find", {"path": str(place / "rows.jsonl"), **options})
    code, _, err = run(capsys, "evaluate", "--run", str(folder.path))
    assert code == 2 and "error:" in err, err
