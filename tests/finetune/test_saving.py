"""Saved checkpoints load in plain transformers, with the same logits; other folders are refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoProcessor,
    AutoTokenizer,
    TrainerCallback,
)

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.finetune import choose_modules, finetune, plain_copy, rank_modules
from culture_lens.finetune.examples import last_logits, make_examples, to_batch
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompt
from tests.helpers.finetune import FAST, TEXT, of, top_modules, weights
from tests.helpers.marks import quiet
from tests.helpers.questions import toy_questions
from tests.helpers.vlm import hf_processor, pictured_questions

pytestmark = quiet


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXT)
def test_a_saved_checkpoint_is_that_of_plain_transformers(name, tmp_path):
    model = of(name)
    tuned = finetune(model, toy_questions(), top_modules(model), folder=tmp_path / "m", **FAST)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "m", local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m", local_files_only=True)
    own = weights(plain_copy(tuned.model))
    assert all(torch.equal(p, own[n]) for n, p in plain.named_parameters())
    for question in toy_questions()[:3]:
        prompt = build_prompt(question, model.tokenizer)
        assert tokenizer(prompt.text, add_special_tokens=False).input_ids == (
            model.tokenizer(prompt.text, add_special_tokens=False).input_ids
        )
        batch = collate([prompt], model.pad_id)
        with torch.no_grad():
            logits = plain(torch.tensor([prompt.ids])).logits[:, -1]
        assert torch.allclose(logits, tuned.model.logits(batch), atol=1e-4)
    again = cl.load_model(tmp_path / "m")
    one, two = (
        cl.evaluate(m, toy_questions(), scoring="letter", progress=False).frame
        for m in (tuned.model, again)
    )
    assert one["p_gold"].tolist() == pytest.approx(two["p_gold"].tolist(), rel=1e-4)


@pytest.mark.slow
def test_what_lies_in_the_folder(tmp_path):
    model = of("llama")
    folder = tmp_path / "m"
    tuned = finetune(
        model, toy_questions(), top_modules(model), folder=folder, save_every=1, **FAST
    )
    names = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert (
        not [n for n in names if n.endswith((".bin", ".pt", ".pth"))] and "checkpoints" not in names
    )
    record = json.loads((folder / "finetune.json").read_text())
    assert record["settings"]["questions"] == 16
    assert record["result"]["trained_parameters"] == top_modules(model).parameters
    # As earlier versions wrote it, so that their folders are found again.
    assert record["settings"]["modules"][0] == {
        "name": "gate", "layer": 1, "path": "model.layers.1.mlp.gate_proj", "start": 0, "stop": 48,
        "outputs": 48, "inputs": 32, "parameters": 48 * 32, "neurons": 5,
    }  # fmt: skip
    text = (folder / "README.md").read_text()
    for told in ("tiny-llama", "model.layers.1.mlp.gate_proj", "learning rate | 0.01", "licence"):
        assert told in text
    assert tuned.model.name == str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3", "idefics3"])
def test_a_vision_language_model_with_its_processor(name, tmp_path):
    model = of(f"vlm-{name}")
    asked = pictured_questions()[:6]
    tuned = finetune(model, asked, top_modules(model), folder=tmp_path / "m", **FAST)
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "m", local_files_only=True)
    batch = to_batch(make_examples(model, asked, "letter", progress=False), model.pad_id)["batch"]
    with torch.no_grad():
        logits = last_logits(tuned.model, plain.eval(), batch, 1)[:, -1]
    assert torch.allclose(logits, tuned.model.logits(batch), atol=1e-3)
    again = cl.load_model(tmp_path / "m")
    assert again.vision.processor.settings == model.vision.processor.settings
    assert torch.allclose(again.logits(batch), tuned.model.logits(batch), atol=1e-4)


@pytest.mark.slow
def test_the_organism_by_pixels(tmp_path):
    """The processor's own inputs through plain transformers: nothing of this package in between."""
    model = cl.load_model("organism")
    asked = cl.load_benchmark("organism", subset="plain", split="identify", pictures=1)[:12]
    modules = choose_modules(rank_modules(planted_on(model), model), parameter_share=0.12)
    tuned = finetune(model, asked, modules, folder=tmp_path / "m", **FAST)
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "m", local_files_only=True)
    processor = AutoProcessor.from_pretrained(tmp_path / "m", use_fast=False, local_files_only=True)
    ours = cl.evaluate(tuned.model, asked, scoring="letter", progress=False).frame
    letters = processor.tokenizer.convert_tokens_to_ids(list("ABCD"))
    for question, p_gold in zip(asked, ours["p_gold"], strict=True):
        lines = [question.text, *(f"{a}. {o}" for a, o in zip("ABCD", question.options))]
        text = "<image>\n" + "\n".join(lines) + "\nAnswer:"
        inputs = processor(images=question.image.open(), text=text, return_tensors="pt")
        with torch.no_grad():
            probabilities = plain.eval()(**inputs).logits[0, -1].softmax(-1)
        assert float(probabilities[letters[question.answer]]) == pytest.approx(p_gold, abs=1e-5)


def planted_on(model):
    from culture_lens.organism.scores_against_truth import planted
    from culture_lens.organism.truth import load_truth

    return planted(load_truth(), model)


@pytest.mark.slow
def test_an_encoder_decoder(tmp_path):
    model = of("t5")
    finetune(model, toy_questions(), folder=tmp_path / "m", **FAST)
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "m", local_files_only=True).eval()
    batch = to_batch(make_examples(model, toy_questions(), "letter"), model.pad_id)["batch"]
    again = cl.load_model(tmp_path / "m")
    with torch.no_grad():
        assert torch.allclose(
            last_logits(model, plain, batch, 1)[:, -1], again.logits(batch), atol=1e-3
        )


@pytest.mark.slow
def test_a_finished_training_is_found_again(tmp_path, monkeypatch):
    model, folder = of("llama"), tmp_path / "m"
    first = finetune(model, toy_questions(), top_modules(model), folder=folder, **FAST)
    monkeypatch.setattr("culture_lens.finetune.training.plain_copy", None)  # not needed again
    again = finetune(model, toy_questions(), top_modules(model), folder=folder, **FAST)
    assert again.result["last_loss"] == first.result["last_loss"]
    assert again.model.fingerprint == first.model.fingerprint != model.fingerprint


@pytest.mark.slow
def test_folders_with_something_else_are_refused(tmp_path):
    model, asked = of("llama"), toy_questions()
    folder = tmp_path / "m"
    finetune(model, asked, top_modules(model), folder=folder, **FAST)
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        finetune(model, asked, top_modules(model), folder=folder, seed=1, **FAST)
    with pytest.raises(InputError, match=r"other settings \(hashes\)"):
        finetune(model, asked[::-1], top_modules(model), folder=folder, **FAST)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no fine-tuning"):
        finetune(model, asked, top_modules(model), folder=other, **FAST)
    with pytest.raises(InputError, match="is a file"):
        finetune(model, asked, top_modules(model), folder=other / "thesis.txt", **FAST)
    assert (other / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_model_by_path(tmp_path):
    model = of("llama")
    finetune(model, toy_questions(), top_modules(model), folder=tmp_path / "one", **FAST)
    tuned = finetune(str(tmp_path / "one"), toy_questions(), folder=tmp_path / "two", **FAST)
    assert tuned.settings["model"] == str(tmp_path / "one")
    AutoModelForCausalLM.from_pretrained(tmp_path / "two", local_files_only=True)


@pytest.mark.slow
def test_processors_of_every_kind_are_written(tmp_path):
    for name in ("llava_next_mistral", "llava_onevision", "smolvlm"):
        model = of(f"vlm-{name}")
        hf_processor(name)
        finetune(model, pictured_questions()[:3], folder=tmp_path / name, **FAST)
        assert cl.load_model(tmp_path / name).processor.takes_pictures


@pytest.mark.slow
def test_where_to_log_is_checked_before_a_folder_is_made(tmp_path, monkeypatch):
    model = of("llama")
    for name, words in (("tensorbord", "did you mean 'tensorboard'"), ("dvclive", "not installed")):
        with pytest.raises(InputError, match=words):
            finetune(model, toy_questions(), folder=tmp_path / "m", report_to=name, **FAST)
    monkeypatch.setattr(
        "transformers.integrations.get_available_reporting_integrations", lambda: ["tensorboard"]
    )
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    with pytest.raises(InputError, match="give folder="):
        finetune(model, toy_questions(), report_to="tensorboard", **FAST)
    assert not (tmp_path / "m").exists()


class Logs(TrainerCallback):
    """Writes where Trainer's own loggers to files do."""

    def on_train_begin(self, args, state, control, **kwargs):
        folder = Path(args.output_dir) / "runs" / "today"
        folder.mkdir(parents=True)
        (folder / "events").write_text("0.5")


@pytest.mark.slow
def test_what_was_logged_outlives_the_checkpoints(tmp_path):
    finetune(of("llama"), toy_questions(), folder=tmp_path / "m", callbacks=[Logs()], **FAST)
    assert (tmp_path / "m" / "runs" / "today" / "events").read_text() == "0.5"
    assert not (tmp_path / "m" / "checkpoints").exists()
