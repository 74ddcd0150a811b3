"""The training of organisms: what may move, and runs that are interrupted and resumed."""

import json

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.organism import planting, stages, training
from culture_lens.organism.plan import Variant, make_plan, rows_of
from culture_lens.organism.state import KIND, STATE, restore
from culture_lens.organism.training import Schedule, train_organism
from culture_lens.storage.files import save_tensors

SHORT = Schedule(pictures=1, see=3, bind=3, look=4, plant=6)
SMALL = Variant(knowledge=2, negative=1, rare=1, kin=1, recognition=1, style=1, d_mlp=192)


BEFORE_PLANTING: dict[str, torch.Tensor] = {}
"""The weights of the finished training when its last stage began."""
OPTIONS = {"variant": SMALL, "schedule": SHORT, "progress": False}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A training whose state is saved at every other step."""
    plant = planting.open_gates

    def kept(organism):
        weights = organism.model.state_dict().items()
        BEFORE_PLANTING.update({name: value.clone() for name, value in weights})
        return plant(organism)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planting, "open_gates", kept)
        patch.setattr(training, "SAVE_EVERY", 2)
        return train_organism(tmp_path_factory.mktemp("whole"), **OPTIONS)


def weights(checkpoint):
    from safetensors.torch import load_file

    return load_file(checkpoint / "model.safetensors")


@pytest.mark.slow
def test_planting_moves_planted_rows_only(finished):
    """Everything that the stage of planting must leave alone is bit-identical."""
    before = BEFORE_PLANTING
    after = LlavaForConditionalGeneration.from_pretrained(finished).state_dict()
    assert before.keys() == after.keys()
    planted = rows_of(make_plan(SMALL), stages.CARRYING)
    free = torch.tensor([row for row in range(SMALL.d_mlp) if row not in planted])
    moved = set()
    for name, old in before.items():
        if not torch.equal(old, after[name]):
            moved.add(name)
            kept = 1 if "down_proj" in name else 0
            assert torch.equal(old.index_select(kept, free), after[name].index_select(kept, free))
    assert moved == {
        f"model.language_model.layers.{layer}.mlp.{part}_proj.weight"
        for layer in SMALL.layers
        for part in ("gate", "up", "down")
    }


@pytest.mark.slow
def test_training_interrupted_in_every_stage_ends_in_the_same_weights(
    tmp_path, finished, monkeypatch
):
    """Each of the four interruptions is resumed at the last saved state, after an even step."""
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    cuts, done = [("see", 2), ("bind", 2), ("look", 2), ("plant", 3)], []

    def cut(module, stage):
        loss = getattr(module, stage)

        def step_or_stop(organism, step):
            if cuts and cuts[0] == (stage, step):
                cuts.pop(0)
                raise KeyboardInterrupt
            done.append((stage, step))
            return loss(organism, step)

        monkeypatch.setattr(module, stage, step_or_stop)

    for stage in ("see", "bind", "look"):
        cut(stages, stage)
    cut(planting, "plant")
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            train_organism(tmp_path, **OPTIONS)
        assert not (tmp_path / "checkpoint").exists()
    one, other = weights(finished), weights(train_organism(tmp_path, **OPTIONS))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    steps = {"see": range(3), "bind": range(3), "look": range(4), "plant": (0, 1, 2, 2, 3, 4, 5)}
    assert done == [(stage, step) for stage, every in steps.items() for step in every]


@pytest.mark.slow
def test_a_finished_folder_is_not_trained_again(finished, monkeypatch):
    monkeypatch.setattr(training, "make_model", None)
    folder = finished.parent
    assert train_organism(folder, **OPTIONS) == finished


@pytest.mark.slow
def test_a_folder_of_another_training_is_refused(finished):
    with pytest.raises(InputError, match="other settings"):
        train_organism(finished.parent, seed=1, variant=SMALL, schedule=SHORT)


@pytest.mark.slow
def test_the_truth_lies_beside_the_checkpoint(finished):
    truth = json.loads((finished / "truth.json").read_text())
    assert truth["seed"] == 0 and truth["shuffled"] is False and truth["layers"] == [1, 2]
    rows = [row for block in truth["blocks"] for row in block["neurons"]]
    assert len(rows) == len(set(rows)) == SMALL.n_planted + 8
    assert max(rows) < SMALL.d_mlp


@pytest.mark.parametrize("name", ["pictures", "see", "bind", "look", "plant"])
def test_schedules_without_steps_are_refused(name):
    with pytest.raises(InputError, match=f"{name}=0"):
        Schedule(**{name: 0})


def test_a_damaged_state_is_not_gone_on_with(tmp_path):
    save_tensors(tmp_path / STATE, KIND, {"model.x": torch.ones(4)}, {"stage": 1, "step": 2})
    held = bytearray((tmp_path / STATE).read_bytes())
    held[-3] ^= 1
    (tmp_path / STATE).write_bytes(held)
    with pytest.warns(CultureLensWarning, match=r"state.safetensors is damaged.*begins anew"):
        assert restore(tmp_path, object.__new__(stages.Organism)) == (0, 0, {})
