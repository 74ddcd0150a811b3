"""Counting right answers only, and the whole way from questions to neurons."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from culture_lens.activations.record import record_activations
from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.evaluation import Evaluation, answered_right
from culture_lens.evaluation.summarise import summarise
from culture_lens.find import find_culture_neurons
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from tests.helpers import reference
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.marks import QUIET
from tests.helpers.questions import many, toy_questions
from tests.helpers.reference import reference_inputs

# ------------------------------------------------------------------ splits


def test_answered_right_says_how_many():
    questions = many(2)
    rows = [{"id": q.id, "culture": q.culture, "group": q.group} for q in questions]
    frame = pd.DataFrame(rows).assign(correct=[True, False, False, True])
    with pytest.warns(CultureLensWarning, match=r"the 2 of 4 items.*\(letter\)"):
        kept = answered_right(questions, Evaluation(frame, {"scoring": "letter"}))
    assert kept == [questions[0], questions[3]]


# ------------------------------------------------------------------ summarise


def test_a_summary_is_a_recording_with_its_provenance():
    model, questions = lens("llama", torch.float64), toy_questions()
    summary = summarise(model, questions, sites=("act", "q"), batch_size=5, **QUIET)
    prompts = build_prompts(questions, model.tokenizer)
    expected = record_activations(model, prompts, sites=("act", "q"), **QUIET).summary()
    for site in ("act", "q"):
        assert torch.equal(summary.counts[site], expected.counts[site])
    metadata = summary.metadata
    assert metadata["model"] == "tiny-llama" and metadata["items"] == 16
    assert metadata["groups"] == ["city", "drink", "food", "sport"]
    assert metadata["benchmark"] == "toy" and "torch" in metadata["versions"]


def test_roles_and_style():
    model, hf = lens("llama", torch.float64), raw("llama", torch.float64)
    questions = toy_questions()
    summary = summarise(model, questions, roles=(Role.QUESTION,), style="cloze", **QUIET)
    prompts = build_prompts(questions, model.tokenizer, style="cloze")
    counts, totals = reference.site_counts(hf, "act", *reference_inputs(prompts, (Role.QUESTION,)))
    for position, culture in enumerate(summary.cultures):
        assert int(summary.tokens[position]) == totals[culture]
        assert (summary.counts["act"][position].numpy() == counts[culture]).all()


def test_only_items_answered_right_are_counted():
    model = lens("qwen2", torch.float64)
    questions = toy_questions()
    right = evaluate(model, questions, scoring="option_likelihood_sum", **QUIET).frame
    # make each culture have two right answers: what the model says is right
    golden = [
        replace(q, answer=int(p)) if i % 3 else replace(q, answer=(int(p) + 1) % 4)
        for i, (q, p) in enumerate(zip(questions, right["prediction"], strict=True))
    ]
    kept = [q for i, q in enumerate(golden) if i % 3]
    options = {"scoring": "option_likelihood_sum", **QUIET}
    with pytest.warns(CultureLensWarning, match=f"counting the {len(kept)} of 16 items"):
        summary = summarise(model, golden, only_correct=True, **options)
    expected = summarise(model, kept, **QUIET)
    assert torch.equal(summary.counts["act"], expected.counts["act"])
    assert torch.equal(summary.items, expected.items)


def test_too_few_right_answers():
    model = lens("llama")
    predicted = evaluate(model, toy_questions(), **QUIET).frame["prediction"]
    wrong = [
        replace(q, answer=(int(p) + 1) % 4) for q, p in zip(toy_questions(), predicted, strict=True)
    ]
    with pytest.warns(CultureLensWarning), pytest.raises(InputError):
        summarise(model, wrong, only_correct=True, **QUIET)


def test_too_long_questions_in_a_summary():
    model = lens("llama")
    long = replace(toy_questions()[0], id="long", text="people " * 600)
    questions = [*toy_questions(), long]
    with pytest.raises(InputError, match="1 of 17 prompts"):
        summarise(model, questions, **QUIET)
    with pytest.warns(CultureLensWarning, match="left out"):
        assert summarise(model, questions, too_long="skip", **QUIET).metadata["items"] == 16


def test_shards_do_not_change_the_counts(tmp_path, monkeypatch):
    model = lens("llama", torch.float64)
    expected = summarise(model, toy_questions(), **QUIET)
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 3)
    found = summarise(model, toy_questions(), run=tmp_path, **QUIET)
    kept = [ActivationSummary.load(one) for one in tmp_path.glob("pieces/statistics-*/*")]
    assert sorted(int(one.items.sum()) for one in kept) == [1, 3, 3, 3, 3, 3]
    assert torch.equal(found.counts["act"], expected.counts["act"])
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.allclose(found.sums["act"], expected.sums["act"], rtol=1e-5, atol=1e-5)


def test_a_shard_may_hold_an_item_without_a_counted_token(tmp_path, monkeypatch):
    """A control twin has no question; alone in its shard it must not stop a run."""
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 1)
    model, questions = lens("llama", torch.float64), toy_questions()
    questions[0] = replace(questions[0], text="")
    options = {"roles": (Role.QUESTION,), **QUIET}
    expected = summarise(model, questions, **options)
    found = summarise(model, questions, run=tmp_path, **options)
    assert torch.equal(found.counts["act"], expected.counts["act"])
    assert torch.equal(found.items, expected.items)


# ------------------------------------------------------------------ the whole way


@each_architecture
def test_find_equals_the_reference_from_end_to_end(architecture):
    model, hf = lens(architecture, torch.float64), raw(architecture, torch.float64)
    questions = toy_questions()
    found = find_culture_neurons(model, questions, share=0.05, batch_size=3, **QUIET)
    identify, held_out = split_questions(questions)
    assert len({q.group for q in identify}) == 2 and len(held_out) == 8
    prompts = build_prompts(identify, model.tokenizer)
    counts, totals = reference.mlp_gate_counts(hf, *reference_inputs(prompts))
    expected = reference.conact(reference.per_token(counts, totals), 0.05)
    assert {c: {p[1:] for p in found[c].members()} for c in found} == expected
    assert sum(map(len, expected.values())) > 0
    assert found.metadata["groups"] == sorted({q.group for q in identify})
    assert found.metadata["model"] == model.name and found.method == "conact"


def test_options_go_through():
    model, questions = lens("llama"), toy_questions()
    found = find_culture_neurons(
        model,
        questions,
        method="lape",
        k=9,
        identify_share=1.0,
        sites=("act", "gate"),
        summary_options={"style": "cloze", "roles": (Role.QUESTION,)},
        percentile_filter=0.5,
        percentile_membership=0.5,
        **QUIET,
    )
    summary = summarise(
        model, questions, sites=("act", "gate"), style="cloze", roles=(Role.QUESTION,), **QUIET
    )
    expected = select(summary, "lape", k=9, percentile_filter=0.5, percentile_membership=0.5)
    assert all(found[c] == expected[c] for c in expected) and found.cultures == expected.cultures
    assert found.metadata["k"] == 9 and found.metadata["style"] == "cloze"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "conac"}, "unknown selector 'conac'"),
        ({"sites": "acts"}, "unknown site 'acts'"),
        ({"share": 0.0}, r"outside \(0, 1\]"),
        ({"share": 2.0}, r"outside \(0, 1\]"),
        ({"share": 0.001}, "0 of 144 neurons"),
        ({"k": 0}, "k"),
        ({"k": 1, "share": 0.1}, "one of them|not both"),
        ({"fdr": 0.05, "share": 0.1}, "one of them"),
        ({"fdr": 5.0, "share": None}, r"outside \(0, 1\)"),
        ({"fdr": 0.05, "share": None, "summary_options": {"replicates": 5}}, "at least 19"),
        ({"identify_share": 2.0}, "identify_share"),
        ({"batch_size": 0}, "batch_size"),
        ({"percentile_filter": 0.9}, "percentile_filter"),
        ({"method": "lape", "k": 3, "percentile_filter": 9.0}, r"outside \(0, 1\]"),
        ({"method": "mad", "summary_options": {"magnitudes": False}}, "magnitudes"),
        ({"summary_options": {"stile": "cloze"}}, "stile"),
        ({"summary_options": {"style": "chat"}}, "style 'chat'"),
        ({"questions": []}, "no questions"),
        ({"questions": toy_questions(cultures=["Japan"])}, "only 1 culture"),
        ({"questions": toy_questions(topics=1), "identify_share": 1.0}, "fewer than 2 items"),
        ({"questions": "everday"}, "unknown benchmark 'everday'"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(idle, options, words):
    arguments = {"questions": toy_questions(), **QUIET, **options}
    if "k" not in options:
        arguments.setdefault("share", 0.05)
    with pytest.raises(InputError, match=words):
        find_culture_neurons(idle, **arguments)


def test_an_unknown_selector_is_refused_before_the_model_is_loaded():
    with pytest.raises(InputError, match="unknown selector"):
        find_culture_neurons("no-such-model", "everyday", method="x")
    with pytest.raises(InputError, match="'no-such-model' cannot be loaded"):
        find_culture_neurons("no-such-model", toy_questions())
