"""NaN and infinite logits and scores are no answers: question, condition and remedy are named."""

import math

import numpy as np
import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.generation import write_answers
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.evaluation.summarise import summarise
from culture_lens.interventions.hooks import ablated, steered
from culture_lens.models.checks import check_logits
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers.errors import refused
from tests.helpers.lm import lens, spoilt
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.t5 import lens as t5

SOME = Neurons.of({"act": [(0, 1), (2, 7)]})
HUGE = Neurons.of({"gate": [(layer, i) for layer in range(3) for i in range(48)]})
SAID = ("NaN or infinite", "question 'food/", "bfloat16 or float32", "smaller values")


def written(model, neurons=None):
    prompts = build_prompts(toy_questions()[:4], model.processor, style="cloze")
    return write_answers(model, prompts, neurons, max_new_tokens=3, running=Running(**QUIET))


READ = {
    **{
        name: lambda model, name=name: evaluate(model, toy_questions()[:4], scoring=name, **QUIET)
        for name in SCORINGS
    },
    "generation": written,
    "gradients": lambda model: attribute(model, toy_questions()[:4], **QUIET),
    "records": lambda model: summarise(model, toy_questions(), **QUIET),
    "counts": lambda model: summarise(model, toy_questions(), magnitudes=False, **QUIET),
}
"""Every way to read something off a model."""


@pytest.mark.parametrize("way", READ)
def test_one_nan_weight_is_refused(way):
    with pytest.raises(InputError, match="(NaN or infinite|nan).* on question '") as caught:
        READ[way](spoilt(math.nan))
    said = str(caught.value)
    assert "unmodified model: " in said and "float16 overflows" in said and "weights" in said


@pytest.mark.parametrize("way", ["letter", "option_likelihood", "generation"])
def test_an_encoder_decoder_is_refused_too(way, monkeypatch):
    model = t5("flan")
    neurons = Neurons.of({"encoder.act": [(0, 1)]})
    monkeypatch.setattr("culture_lens.neurons.hooks.check_values", lambda *_: None)
    with pytest.raises(InputError, match="1 neurons ablated .value=nan.*question 'food/"):
        with ablated(model, neurons, math.nan):
            READ[way](model)


def test_the_condition_is_named(monkeypatch):
    monkeypatch.setattr("culture_lens.neurons.hooks.check_values", lambda *_: None)
    model, asked = lens("llama"), toy_questions()[:4]
    evaluating = {"scoring": "letter", **QUIET}
    refused(("evaluating, 2 neurons ablated (value=nan)", *SAID), evaluate, model, asked, SOME,
            value=math.nan, **evaluating)  # fmt: skip
    refused(("evaluating, unmodified model", *SAID), evaluate, spoilt(math.nan), asked,
            **evaluating)  # fmt: skip
    with pytest.raises(InputError, match="^2 neurons ablated .value=inf.: evaluating, hooks att"):
        with ablated(model, SOME, math.inf):
            evaluate(model, asked, **evaluating)
    with pytest.raises(InputError, match="2 neurons ablated .value=nan.*on question 'food/"):
        written(model, SOME) and write_answers(
            model,
            build_prompts(asked, model.processor, style="cloze"),
            SOME,
            value=math.nan,
            running=Running(**QUIET),
        )


def test_an_overflow_in_float16_is_no_effect():
    """The values fit into float16 and their products do not."""
    model = lens("llama", torch.float16)
    with pytest.raises(InputError, match="144 neurons ablated .value=60000.0.*question 'food/"):
        evaluate(model, toy_questions()[:4], HUGE, value=6e4, scoring="letter", **QUIET)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_values_are_checked_when_given(value, idle):
    tensors = {"act": torch.zeros(3, 48, dtype=torch.float64)}
    tensors["act"][1, 4] = value  # of a neuron that is not ablated, too
    for given in (value, tensors):
        refused(("not a finite number", "float32"), evaluate, idle, toy_questions()[:4], SOME,
                value=given, **QUIET)  # fmt: skip
    means = {"act": torch.tensor([0.1, value], dtype=torch.float64)}
    with pytest.raises(InputError, match="site 'act'.*(not a finite number|NaN: give numbers)"):
        Neurons(SOME.places, means=means).hooks(idle, "mean")


def test_what_the_dtype_cannot_hold_is_refused():
    model = lens("llama", torch.float16)
    for value in (65520.0, -1e5):
        refused((f"{value:g} is not a finite number", "65504"), SOME.hooks, model, value)
    SOME.hooks(model, 65504.0)
    SOME.hooks(lens("llama"), 1e5)


@pytest.mark.parametrize("alpha", [1e5, -1e5, math.nan, math.inf])
def test_scaling_without_bounds_is_refused(alpha, idle):
    with pytest.raises(InputError, match="alpha=.*1 [+] alpha.*from -1000 to 1000.*at random"):
        with steered(idle, SOME, alpha):
            pass


@pytest.mark.parametrize("value", [True, None, [0.5], torch.zeros(3, 48), "nan"])
def test_what_is_no_value(value, idle):
    refused(("ablation value", "'zero', 'mean', 'double', a number or tensors"), SOME.hooks, idle,
            value)  # fmt: skip


def test_any_real_number_is_a_value():
    for value in (2, 0.5, np.float32(0.5), np.int64(3)):
        assert len(SOME.hooks(lens("llama"), value)) == 2


# ------------------------------------------------------------------ what a model may give


def masked_logits(monkeypatch, model, change):
    """The model's logits with some of them changed, as of a vocabulary that is filled up."""
    own = type(model).logits

    def changed(self, batch, cache=None):
        return change(own(self, batch, cache).clone())

    monkeypatch.setattr(type(model), "logits", changed)


def test_minus_infinity_at_tokens_that_are_never_written_is_an_answer(monkeypatch):
    model = lens("llama")
    prompts = build_prompts(toy_questions()[:3], model.tokenizer)
    batch, labels = collate(prompts, model.pad_id), set(label_ids(prompts[0], model.processor))
    never = [token for token in range(300, 400) if token not in labels]
    plain = SCORINGS["letter_options"].answers(model, batch)

    def masked(logits):
        logits[:, never] = -math.inf
        return logits

    masked_logits(monkeypatch, model, masked)
    assert SCORINGS["letter_options"].answers(model, batch) == plain
    whole = SCORINGS["letter"].answers(model, batch)
    assert all(math.isfinite(answer.p_gold) for answer in whole)


@pytest.mark.parametrize("scoring", ["letter", "letter_options"])
def test_minus_infinity_at_a_label_is_refused(scoring, monkeypatch):
    model = lens("llama")
    prompts = build_prompts(toy_questions()[:3], model.tokenizer)
    label = label_ids(prompts[0], model.processor)[2]

    def masked(logits):
        logits[1, label] = -math.inf
        return logits

    masked_logits(monkeypatch, model, masked)
    batch = collate(prompts, model.pad_id)
    option, name = batch.prompts[1].question.options[2], batch.prompts[1].question.id
    words = (repr(option), repr(name), "-inf", "never writes")
    refused(words, SCORINGS[scoring].answers, model, batch)


@pytest.mark.parametrize(
    ("row", "refuses"),
    [
        ([1.0, -math.inf, 0.0], False),
        ([1.0, math.nan, 0.0], True),
        ([1.0, math.inf, 0.0], True),
        ([-math.inf] * 3, True),
    ],
)
def test_which_logits_are_refused(row, refuses):
    batch = collate(build_prompts(toy_questions()[:2], lens("llama").tokenizer), 0)
    logits = torch.tensor([[0.0, 1.0, 2.0], row])
    if not refuses:
        check_logits(logits, batch)
        return
    refused((repr(batch.prompts[1].question.id), "NaN or infinite"), check_logits, logits, batch)


def test_squares_that_overflow_are_refused():
    model = lens("llama")
    with model.hooks([(model.hook_name("act", 0), lambda x, hook: x.abs() * 1e20 + 1e20)]):
        with pytest.raises(InputError, match="site 'act', layer 0.*on question"):
            summarise(model, toy_questions(), sites="act", **QUIET)
