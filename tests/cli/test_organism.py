"""`culture-lens organism`: what is typed reaches the training and the check."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from culture_lens.cli import app
from culture_lens.organism import checks, training
from culture_lens.organism.plan import Variant
from culture_lens.statistics.estimates import Estimate


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def train(folder, **options):
        calls.append((folder, options))
        return Path(folder) / "checkpoint"

    monkeypatch.setattr(training, "train_organism", train)
    return calls


def test_training_has_a_folder_of_its_own_for_each_seed_and_kind(asked):
    run = CliRunner().invoke(app, ["organism", "train", "--seed", "3"])
    assert run.exit_code == 0 and run.output.strip() == "runs/organism-3/checkpoint"
    CliRunner().invoke(app, ["organism", "train", "--seed", "3", "--shuffled"])
    assert [str(folder) for folder, _ in asked] == ["runs/organism-3", "runs/organism-3-shuffled"]
    assert [options["shuffled"] for _, options in asked] == [False, True]
    assert asked[0][1]["variant"] == Variant() and asked[0][1]["seed"] == 3


def test_variants_are_passed_on(asked):
    options = ["--layer", "2", "--style-strength", "2", "--knowledge", "4", "--sparsity", "0"]
    options += ["--n-layers", "7", "--layer", "4", "--dropout", "0.16"]
    run = CliRunner().invoke(app, ["organism", "train", *options, "--folder", "here"])
    assert run.exit_code == 0, run.output
    assert asked[0][1]["variant"] == Variant(
        layers=(2, 4), n_layers=7, style_strength=2.0, knowledge=4, sparsity=0.0, dropout=0.16
    )


@pytest.mark.parametrize(("held", "code"), [(True, 0), (None, 0), (False, 1)])
def test_a_check_that_fails_is_an_exit_code(monkeypatch, held, code):
    row = {
        "ablated": "decoys",
        "asked": "cultures, most changed: Avaria",
        "accuracy": Estimate(0.9, 0.8, 1.0),
        "change": Estimate(-0.1, -0.2, 0.0),
        "held": held,
    }
    first = row | {"ablated": "unmodified", "held": True}
    monkeypatch.setattr(checks, "check_organism", lambda *_, **__: pd.DataFrame([first, row]))
    run = CliRunner().invoke(app, ["organism", "check"])
    assert run.exit_code == code
    assert "decoys" in run.output and ("NO" in run.output) == (held is False)
