"""Ray itself, started once: the files of one process, and a worker that is killed."""

import os
import warnings

import pytest
import torch

import culture_lens as cl
from culture_lens.engine import pool as module
from culture_lens.engine.claims import Claims
from culture_lens.engine.cluster import start_ray
from culture_lens.engine.pool import Pool, close_pools
from culture_lens.evaluation import evaluate as evaluation
from culture_lens.models.loading import Loading
from culture_lens.models.recipe import Recipe
from culture_lens.storage import finished
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import save_tiny
from tests.helpers.passes import Killed, LightWorker, letters, shards_of
from tests.helpers.places import ROOT
from tests.helpers.questions import asked_twice, toy_questions

TWO = ("Japan", "Mexico")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Ray on this machine, whose workers find the helpers of the tests."""
    pytest.importorskip("ray")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    yield start_ray(cl.Ray(workers=1))
    close_pools()
    import ray

    ray.shutdown()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model in a folder, which workers load as this process does."""
    return cl.load_model(save_tiny("llama", tmp_path_factory.mktemp("model")), device="cpu")


def test_the_files_are_those_of_one_process(model, tmp_path, monkeypatch):
    """In several shards of each pass, with two conditions of neurons and a run folder."""
    monkeypatch.setattr(finished, "SHARD", 5)
    monkeypatch.setattr(evaluation, "LEAST_ITEMS", 6)
    questions = toy_questions()
    neurons = cl.Neurons.of({"act": [(0, 1), (2, 3)]})

    def files(folder, **options):
        options |= {"progress": False}
        summary = cl.summarise(model, questions, replicates=1, **options)
        scores = cl.attribute(model, questions, **options)
        answers = cl.evaluate(model, questions, neurons, scoring="letter", **options)
        held = summary.save(folder / "summary"), scores.save(folder / "scores")
        return [*(file.read_bytes() for file in held), answers.frame.to_json()]

    expected = files(tmp_path / "here")
    assert files(tmp_path / "ray", engine=cl.Ray(workers=1)) == expected
    assert files(tmp_path / "kept", engine=cl.Ray(workers=1), run=tmp_path / "run") == expected
    made = [file for file in (tmp_path / "run" / "pieces").rglob("*") if file.is_file()]
    assert len(made) == 4 + 4 + 3  # sixteen items, in shards of 5 and 5, and of 8, 6 and 2
    assert files(tmp_path / "again", run=tmp_path / "run") == expected


def test_units_are_compared_as_in_one_process(model, tmp_path, monkeypatch):
    """Neurons and directions of equal norm, the latter as units that workers are sent."""
    source = torch.Generator().manual_seed(3)
    held = {c: cl.Direction(c, "resid", 1, torch.randn(32, generator=source)) for c in TWO}
    units = {"neurons": ("act", "conact")}
    units |= {"directions": cl.Directions(held, metadata=cl.looked_at([]))}
    options = {"k": 2, "equal": "norm", "random_seeds": 1, "scoring": "letter", "progress": False}

    def compared(**more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CultureLensWarning)
            return cl.compare_units(
                model, asked_twice(toy_questions(cultures=TWO)), units, **options, **more
            )

    here = compared()
    there = compared(engine=cl.Ray(workers=1), run=tmp_path / "run")
    must_not_run(monkeypatch)  # all that the workers made is kept, under the keys of one process
    again = compared(run=tmp_path / "run")
    for other in (there, again):
        assert other.frame.equals(here.frame) and other.table().equals(here.table())
        assert other.metadata == here.metadata


def test_a_worker_that_is_killed_costs_nothing(tmp_path, monkeypatch, ray):
    monkeypatch.setattr(module, "Worker", LightWorker)
    workers = Pool(ray, Recipe("none", Loading(device="cpu")), "right", cl.Ray(workers=1))
    work, shards = letters(run=Killed(2, tmp_path / "killed")), shards_of("abcdefghij")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = {s.number: parts for s, parts, _ in workers.compute(work, Claims(work, shards))}
    workers.close()
    assert (tmp_path / "killed").exists()
    assert any("a worker died" in str(w.message) for w in caught)
    assert found == {0: ["ab", "abab"], 1: ["cd", "cdcd"], 2: ["ef", "efef"],
                     3: ["gh", "ghgh"], 4: ["ij", "ijij"]}  # fmt: skip
