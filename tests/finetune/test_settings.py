"""Tables of one's own, seeds, precision, and settings that are refused."""

import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.finetune import finetune, plain_copy
from culture_lens.finetune.examples import as_questions
from culture_lens.neurons.neurons import Neurons
from culture_lens.questions.question import PromptFormat, Question
from tests.helpers.finetune import FAST, of, three_modules, weights
from tests.helpers.questions import toy_questions


@pytest.mark.slow
def test_global_random_states_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    finetune(of("llama"), toy_questions()[:4], three_modules(of("llama")), **FAST)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_seeds():
    """GPT-2 has dropout, and the order of the questions is drawn too."""
    model = of("gpt2")
    runs = [finetune(model, toy_questions(), seed=s, **FAST) for s in (1, 1, 2)]
    one, two, other = (weights(plain_copy(run.model)) for run in runs)
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)


@pytest.mark.slow
def test_tables_of_ones_own():
    rows = [
        {"question": "2 + 2?", "options": ["3", "4"], "answer": "B"},
        {"question": "1 + 2?", "options": ["3", "4"], "answer": "A"},
    ]
    tuned = finetune(of("llama"), rows, three_modules(of("llama")), **FAST)
    assert tuned.settings["questions"] == 2 and tuned.settings["task"] == "task"
    assert {q.culture for q in as_questions(rows)} == {"task"}


def test_bad_input():
    model = of("llama")
    modules = three_modules(model)
    asked = toy_questions()[:4]
    with pytest.raises(InputError, match="no questions"):
        finetune(model, [], modules, **FAST)
    with pytest.raises(InputError, match="answer"):
        finetune(model, [{"question": "a?", "options": ["x", "y"]}], modules, **FAST)
    with pytest.raises(InputError, match="row 2"):
        rows = [{"question": "a?", "options": ["x", "y"], "answer": a} for a in ("x", "")]
        finetune(model, rows, modules, **FAST)
    two_tokens = PromptFormat(labels="AÉ", layout="{question}\n{options}\n", label_form="bare")
    odd = [Question("1", "a", "b?", ("x", "y"), 1, prompt=two_tokens)]
    with pytest.raises(InputError, match="not one token"):
        finetune(model, odd, modules, **FAST)
    with pytest.raises(InputError, match="no module 'transformer"):
        finetune(model, asked, three_modules(of("gpt2")), **FAST)
    with pytest.raises(InputError, match="has no module"):  # wider than the model's own
        finetune(of("qwen3"), asked, modules, **FAST)
    with pytest.raises(InputError, match="at least one module"):
        finetune(model, asked, [], **FAST)
    with pytest.raises(InputError, match="or 'all'"):
        finetune(model, asked, "top", **FAST)
    with pytest.raises(InputError, match="nothing is left"):
        finetune(model, asked, modules, only=Neurons.of({"gate": [(0, 0)]}), **FAST)
    with pytest.raises(InputError, match="no neuron 48"):
        finetune(model, asked, protect=Neurons.of({"act": [(0, 48)]}), **FAST)
    with pytest.raises(InputError, match="layer 3"):
        finetune(model, asked, protect=Neurons.of({"act": [(3, 0)]}), **FAST)
    with pytest.raises(InputError, match="cannot be kept"):
        finetune(model, asked, keep=Neurons.of({"z": [(0, 0)]}), **FAST)
    with pytest.raises(InputError, match="whole modules"):
        finetune(model, asked, modules, lora_rank=2, only=Neurons.of({"act": [(0, 0)]}), **FAST)
    with pytest.raises(InputError, match="lora_rank=0"):
        finetune(model, asked, modules, lora_rank=0, **FAST)
    for option in ({"learning_rate": 0.0}, {"epochs": -1.0}, {"accumulate": 0}, {"keep_weight": -1.0, "keep": Neurons.of({"act": [(0, 0)]})}):  # fmt: skip  # noqa: E501
        with pytest.raises(InputError, match=next(iter(option))):
            finetune(model, asked, modules, **{**FAST, **option})
    with pytest.raises(InputError, match="needs folder"):
        finetune(model, asked, modules, save_every=1, **FAST)
    with pytest.raises(InputError, match="keep="):
        finetune(model, asked, modules, keep_on=asked, **FAST)


def test_lora_without_peft_names_the_install_command(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "peft" else find(name, *a)
    )
    with pytest.raises(InputError, match=r"pip install 'culture-lens\[finetune\]'"):
        finetune(of("llama"), toy_questions()[:4], lora_rank=2, **FAST)


@pytest.mark.slow
def test_coarse_weights_are_warned_of():
    from tests.helpers.lm import lens

    with pytest.warns(CultureLensWarning, match="rounded away"):
        finetune(lens("llama", torch.bfloat16), toy_questions()[:2], **{**FAST, "max_steps": 1})


@pytest.mark.slow
def test_mixed_precision_computes_in_bfloat16_and_keeps_float32():
    options = {**FAST, "max_steps": 6, "learning_rate": 1e-3}
    exact, coarse = (
        finetune(of("llama"), toy_questions(), mixed_precision=mixed, **options)
        for mixed in (False, True)
    )
    assert all(w.dtype == torch.float32 for w in weights(plain_copy(coarse.model)).values())
    first, last = coarse.result["first_loss"], coarse.result["last_loss"]
    assert first != exact.result["first_loss"]  # computed otherwise
    assert first == pytest.approx(exact.result["first_loss"], rel=0.01)
    assert last == pytest.approx(exact.result["last_loss"], rel=0.02) and last < first
