"""`culture-lens dose`: the call of Python, with the neurons of a run, kept in the run."""

import importlib

import pytest
import torch

from culture_lens.experiments.dose import DoseCurve
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.storage.runs import Run
from tests.helpers.cli import run as call
from tests.helpers.lm import lens
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions


@pytest.mark.slow
def test_a_curve_is_kept_and_drawn(capsys, tmp_path, monkeypatch):
    made = found_set(groups=[], looked_at={})
    scored = {
        culture: Neurons(made[culture].places, {"act": torch.arange(40.0)}) for culture in made
    }
    folder = Run.open(tmp_path / "run")
    NeuronSet(scored, made.shapes, made.metadata).save(
        folder.named("neurons", "conact", ".safetensors")
    )
    opened = ({}, toy_questions(), lens("llama"))
    command = importlib.import_module("culture_lens.cli.dose")  # the package has the function
    monkeypatch.setattr(command, "open_remembered", lambda *_: opened)
    words = ["--share", 0.02, "--share", 0.1, "--own-only", "--random-seeds", 1]
    code, out, said = call(
        capsys, "dose", "--run", folder.path, *words, "--scoring", "letter_options"
    )
    assert code == 0, said
    curve = DoseCurve.from_parquet(folder.path / "dose" / "conact.parquet")
    assert curve.shares == (0.02, 0.1) and curve.numbers(0.1)["Japan"] == 14
    assert curve.has_random and curve.metadata["others"] is False
    assert "Japan" in out and "neurons" in out
    (step,) = folder.steps()
    assert step["command"] == "dose" and step["options"]["shares"] == [0.02, 0.1]
    code, out, said = call(capsys, "plot", "--run", folder.path)
    assert code == 0 and (folder.path / "figures" / "conact-dose.html").exists(), said
