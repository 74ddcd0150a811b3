"""Interrupted and resumed training ends in the same weights, to the bit."""

import pytest
import torch
from transformers import TrainerCallback

from culture_lens.finetune import finetune, plain_copy
from culture_lens.finetune.saving import last_checkpoint
from tests.helpers.finetune import FAST, of, top_modules, weights
from tests.helpers.marks import quiet
from tests.helpers.questions import toy_questions
from tests.helpers.vlm import pictured_questions

pytestmark = quiet
LONG = {**FAST, "max_steps": 6, "batch_size": 4}


class Interrupt(TrainerCallback):
    """Stop the training after some steps."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "vlm-llava"])
@pytest.mark.parametrize("way", ["modules", "lora"])
def test_interrupted_and_resumed_ends_in_the_same_weights(name, way, tmp_path):
    """GPT-2 has dropout, so that the random state must be taken up too."""
    model = of(name)
    asked = pictured_questions() if name.startswith("vlm-") else toy_questions()
    options = LONG | ({"lora_rank": 2} if way == "lora" else {})
    whole = finetune(model, asked, top_modules(model), **options)
    folder = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        finetune(
            model, asked, top_modules(model), folder=folder, save_every=2,
            callbacks=[Interrupt(5)], **options,
        )  # fmt: skip
    assert not (folder / "model.safetensors").exists()
    assert last_checkpoint(folder).endswith("checkpoint-4")
    resumed = finetune(model, asked, top_modules(model), folder=folder, save_every=2, **options)
    one, two = weights(plain_copy(whole.model)), weights(plain_copy(resumed.model))
    assert all(torch.equal(one[n], two[n]) for n in one)
    start = weights(plain_copy(model))
    assert any(not torch.equal(one[n], start[n]) for n in one)
    assert len(resumed.log()) == 6
    assert resumed.log()["loss"].tolist() == whole.log()["loss"].tolist()


@pytest.mark.slow
def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    model, folder = of("llama"), tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        finetune(
            model, toy_questions(), top_modules(model), folder=folder, save_every=1,
            callbacks=[Interrupt(3)], **LONG,
        )  # fmt: skip
    latest = last_checkpoint(folder)
    (folder / "checkpoints" / "checkpoint-3" / "trainer_state.json").unlink(missing_ok=True)
    half = folder / "checkpoints" / "checkpoint-9"
    half.mkdir()
    (half / "optimizer.pt").write_bytes(b"")
    assert last_checkpoint(folder) in (latest, str(folder / "checkpoints" / "checkpoint-2"))
    resumed = finetune(
        model, toy_questions(), top_modules(model), folder=folder, save_every=1, **LONG
    )
    whole = finetune(model, toy_questions(), top_modules(model), **LONG)
    one, two = weights(plain_copy(whole.model)), weights(plain_copy(resumed.model))
    assert all(torch.equal(one[n], two[n]) for n in one)
