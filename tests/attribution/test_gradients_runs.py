"""Attribution in parts: merged, saved, halved where memory runs out, interrupted and resumed."""

from dataclasses import replace

import pytest
import torch

from culture_lens.attribution import aggregation
from culture_lens.attribution.sums import AttributionSums
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.interventions.hooks import ablated
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores
from tests.helpers.forwards import counting, must_not_run, rows_refused_beyond
from tests.helpers.gradients import as_tables, assert_equal_to, assert_same, scored
from tests.helpers.lm import exact, lens
from tests.helpers.questions import toy_questions

# ------------------------------------------------------------------ parts and files


def test_two_halves_add_up_to_all():
    model, questions = exact("qwen2"), toy_questions()
    whole = scored(model, questions)
    halves = [scored(model, part) for part in (questions[:8], questions[8:])]
    for site, scores in whole.scores.items():
        both = halves[0].scores[site] + halves[1].scores[site]
        assert torch.allclose(both, scores, rtol=1e-9, atol=1e-18)
    for name in ("items", "right"):
        for culture in whole.cultures:
            parts = [half.metadata[name][culture] for half in halves]
            assert sum(parts) == whole.metadata[name][culture]


def test_merging_adds_cultures_that_only_one_part_has():
    model, questions = exact("llama"), toy_questions()
    whole = scored(model, questions)
    sums = AttributionSums()
    for part in (questions[:3], questions[3:5], questions[5:]):
        sums.merge(scored(model, part))
    merged = sums.scores({})
    assert_equal_to(merged, as_tables(whole), 1e-12, 1e-13)
    for name in ("ids", "groups", "items", "right"):
        assert merged.metadata[name] == whole.metadata[name], name
    assert merged.metadata["p_gold"] == pytest.approx(whole.metadata["p_gold"])
    with pytest.raises(InputError, match="scored in both"):
        sums.merge(scored(model, questions[4:6]))


def test_saved_and_loaded_scores_are_the_same_bits(tmp_path):
    scores = scored(exact("llama"), toy_questions())
    loaded = NeuronScores.load(scores.save(tmp_path / "task.safetensors"))
    assert loaded.cultures == scores.cultures and set(loaded.scores) == set(scores.scores)
    for site, values in scores.scores.items():
        assert loaded.scores[site].dtype == torch.float64
        assert torch.equal(loaded.scores[site], values)
    assert loaded.metadata == scores.metadata
    again = NeuronScores.load(loaded.save(tmp_path / "again.safetensors"))
    assert_same(again, loaded)


def test_the_same_call_gives_the_same_bits():
    model = lens("llama")
    assert_same(scored(model, toy_questions()), scored(model, toy_questions()))


# ------------------------------------------------------------------ going on


def test_out_of_memory_halves_and_says_so(monkeypatch):
    model, questions = exact("llama"), toy_questions()
    expected = scored(model, questions, batch_size=4)
    rows = []
    refused = rows_refused_beyond(2, LensModel.differentiable_logits, rows)
    monkeypatch.setattr(LensModel, "differentiable_logits", refused)
    with pytest.warns(CultureLensWarning, match="out of memory at 4 rows.*2 rows a batch"):
        found = scored(model, questions, batch_size=4)
    assert rows == [2] * 8
    assert_equal_to(found, as_tables(expected), 1e-10)
    assert found.metadata["items"] == expected.metadata["items"]


def test_memory_that_runs_out_in_the_backward_counts_nothing_twice(monkeypatch):
    model, questions = exact("llama"), toy_questions()
    expected = scored(model, questions, batch_size=4)
    whole = aggregation.AGGREGATIONS["maximum"]

    def small_only(products, mask):
        if len(products) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole.tokens(products, mask)

    limited = replace(whole, tokens=small_only)
    monkeypatch.setitem(aggregation.AGGREGATIONS, "maximum", limited)
    with pytest.warns(CultureLensWarning, match="out of memory"):
        found = scored(model, questions, batch_size=4)
    assert_equal_to(found, as_tables(expected), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [0, 1, 4, 5])
def test_an_interrupted_run_goes_on_where_it_was(monkeypatch, tmp_path, stop_after):
    model, questions = exact("llama"), toy_questions()
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 4)
    options = {"batch_size": 2, "control": True}
    clean = scored(model, questions, run=tmp_path / "clean", **options)
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counting(patch, stop_after)
        scored(model, questions, run=run, **options)
    assert not model.is_hooked
    with monkeypatch.context() as patch:
        calls = counting(patch)
        found = scored(model, questions, run=run, **options)
    assert len(calls) == 8 - stop_after // 2 * 2, "finished shards are not run again"
    assert_same(found, clean)
    assert found.metadata == clean.metadata
    assert_equal_to(scored(model, questions, **options), as_tables(clean), 1e-12, 1e-13)
    must_not_run(monkeypatch)
    assert_same(scored(model, questions, run=run, **options), clean)


@pytest.mark.slow
def test_a_run_does_not_mistake_one_thing_for_another(monkeypatch, tmp_path):
    model, questions = lens("llama"), toy_questions()[:4]
    scored(model, questions, run=tmp_path)
    other_gold = [replace(q, answer=(q.answer + 1) % 4) for q in questions]
    other_culture = [replace(q, culture="elsewhere") for q in questions]
    changed = [
        (questions, {"control": True}),
        (questions, {"aggregation": "sum"}),
        (questions, {"sites": ("gate", "q")}),
        (other_gold, {}),
        (other_culture, {}),
        (questions[:3], {}),
    ]
    for asked, options in changed:
        with monkeypatch.context() as patch:
            calls = counting(patch)
            found = scored(model, asked, run=tmp_path, **options)
        assert calls, (options, "was taken from another piece")
        assert_same(found, scored(model, asked, **options))


def test_a_run_folder_refuses_hooks_around_the_call(tmp_path):
    model = lens("llama")
    with ablated(model, Neurons.of({"act": [(0, 1)]})), pytest.raises(InputError, match="hooks"):
        scored(model, toy_questions()[:4], run=tmp_path)
