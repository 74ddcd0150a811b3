"""The report of an autoencoder, against sums over a raw model; a good one and a bad one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import culture_lens as cl
from culture_lens.evaluation.sae_report import sae_report, warn_of
from culture_lens.models.attach import with_features
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import COUNTED
from tests.helpers import t5
from tests.helpers.gold import gold_tokens
from tests.helpers.lm import exact, exact_raw
from tests.helpers.questions import toy_questions
from tests.helpers.sae import plain_features, random_sae, stream_edited, tensors

HOOK = "blocks.1.hook_resid_post"
KINDS = ("", "_sae", "_zero", "_mean")


def by_hand(hf, prompts, gold, held):
    """FVU, active and dead features, the four losses, over one prompt after another."""
    kept, edits = [], {"": lambda x: x, "_zero": torch.zeros_like}

    def run(prompt, edit):
        with stream_edited(hf, 1, edit), torch.no_grad():
            logits = hf(input_ids=torch.tensor([prompt.ids])).logits[0]
        counted = torch.tensor([role in COUNTED["text"] for role in prompt.roles])
        log_p = torch.log_softmax(logits.float(), -1)[:-1]
        own = log_p.gather(1, torch.tensor(prompt.ids)[1:, None])[:, 0]
        answer = torch.log_softmax(logits.float(), -1)[-1, gold[prompt.question.id]]
        return counted, (float(-own[counted[1:]].double().mean()), -float(answer))

    for prompt in prompts:
        counted, _ = run(prompt, lambda x: kept.append(x[0]) or x)
        kept[-1] = kept[-1][counted]
    x = torch.cat(kept)
    features = plain_features(held, x)
    shown = features @ held["W_dec"] + held["b_dec"]
    edits["_mean"] = lambda y: x.mean(0).expand_as(y)
    edits["_sae"] = lambda y: plain_features(held, y) @ held["W_dec"] + held["b_dec"]
    numbers = {}
    for name, edit in edits.items():
        text, answer = np.mean([run(prompt, edit)[1] for prompt in prompts], axis=0)
        numbers |= {f"text_loss{name}": text, f"answer_loss{name}": answer}
    for kind in ("text", "answer"):
        plain, sae, _, mean = (numbers[f"{kind}_loss{name}"] for name in KINDS)
        numbers[f"{kind}_recovered"] = (mean - sae) / (mean - plain)
    numbers["fvu"] = float((x - shown).pow(2).sum() / (x - x.mean(0)).pow(2).sum())
    numbers["active"] = float((features > 0).sum(1).double().mean())
    return numbers | {"dead": int((~(features > 0).any(0)).sum())}


@pytest.mark.slow
def test_against_a_raw_model():
    sae = random_sae(HOOK)
    bias = sae.encoder_bias.clone()
    bias[:3] = -1e4  # three features that nothing activates
    model = with_features(exact("llama"), replace(sae, encoder_bias=bias))
    questions = toy_questions()
    with pytest.warns(cl.CultureLensWarning, match="layer 1 fits poorly here"):
        report = sae_report(model, questions, progress=False, batch_size=3)
    (row,) = report.frame.to_dict("records")
    prompts = build_prompts(questions, model.processor)
    gold = gold_tokens(prompts, model.processor)
    expected = by_hand(exact_raw("llama"), prompts, gold, {**tensors(), "b_enc": bias})
    assert expected["dead"] >= 3
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-5), name
    assert row["fvu_low"] < row["fvu"] < row["fvu_high"]
    assert row["features"] == 20 and row["layer"] == 1


def test_a_perfect_one(recwarn):
    """Features of both signs of every dimension: the model notices nothing."""

    class Both:
        def encode(self, x):
            return torch.cat([x, -x], -1).relu()

        def decode(self, f):
            return f[..., :32] - f[..., 32:]

    model = with_features(exact("llama"), Both(), hook=HOOK)
    (row,) = sae_report(model, toy_questions(), progress=False).frame.to_dict("records")
    assert row["fvu"] < 1e-20 and row["text_recovered"] == pytest.approx(1)
    assert row["answer_loss_sae"] == pytest.approx(row["answer_loss"])
    assert row["active"] == pytest.approx(32)
    assert not [w for w in recwarn if "fits poorly" in str(w.message)]


def test_what_is_refused():
    with pytest.raises(cl.InputError, match="unknown site of features 'sae'.*See with_features"):
        sae_report(exact("llama"), toy_questions())
    model = with_features(t5.lens("t5"), random_sae(f"encoder_{HOOK}"), site="encoder.sae")
    with pytest.raises(cl.InputError, match="needs a decoder alone"):
        sae_report(model, toy_questions(), site="encoder.sae")


@pytest.mark.parametrize(
    "answer, text, fvu, words",
    [
        ((0.05, 0.76, 1.44), (11.1, 11.3, 11.1), 0.24, "leaves out 24% of the variance, and rec"),
        ((0.05, 0.06, 1.44), (11.1, 11.3, 11.1), 0.6, "leaves out 60% of the variance"),
        ((0.05, 0.06, 1.44), (11.1, 11.3, 11.1), 0.24, ""),  # the text's mean costs nothing
    ],
)
def test_which_are_warned_of(answer, text, fvu, words, recwarn):
    row = {"layer": 1, "fvu": fvu}
    for kind, (plain, sae, mean) in {"answer": answer, "text": text}.items():
        recovered = (mean - sae) / (mean - plain) if mean != plain else float("nan")
        row |= {f"{kind}_loss": plain, f"{kind}_loss_mean": mean, f"{kind}_recovered": recovered}
    warn_of(cl.SaeReport(pd.DataFrame([row])))
    told = [str(one.message) for one in recwarn]
    assert len(told) == bool(words) and all(words in one for one in told)
