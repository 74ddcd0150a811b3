"""Scores by likelihood and along paths: batches, run folders, memory and what is left behind."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution import passes
from culture_lens.errors import CultureLensWarning
from culture_lens.models.lens_model import LensModel
from tests.helpers.attributed import LIKELIHOOD, asked, found
from tests.helpers.forwards import must_not_run, rows_refused_beyond
from tests.helpers.gradients import as_tables, assert_equal_to, assert_same
from tests.helpers.lm import each_architecture, exact, lens
from tests.helpers.marks import mostly_slow
from tests.helpers.memory import tensors_alive
from tests.helpers.questions import lengthened, with_options

DIFFERENCE = {**LIKELIHOOD, "objective": "logit_difference"}
PATH = {**DIFFERENCE, "path": "integrated", "points": 2}
SITES = ("act", "v")


@each_architecture
@pytest.mark.parametrize("aggregation", mostly_slow(["maximum", "sum"], fast=[]))
def test_batch_size_order_and_padding_do_not_matter(architecture, aggregation):
    model, questions = exact(architecture), lengthened(asked(), 3)
    how = {**PATH, "aggregation": aggregation}
    alone = found(model, questions, SITES, how, batch_size=1)
    order = [questions[i] for i in np.random.default_rng(0).permutation(len(questions))]
    together = found(model, order, SITES, how, batch_size=4)
    assert_equal_to(together, as_tables(alone), 1e-9, 1e-11)
    for fact in ("change", "gap", "p_gold"):
        assert together.metadata[fact] == pytest.approx(alone.metadata[fact], rel=1e-8, abs=1e-12)


def test_options_of_one_token_need_no_pass_of_their_own(monkeypatch):
    """In a batch with longer ones, and in a batch of nothing else."""
    model = exact("llama")
    single = with_options(asked()[0], ("A", "B", "C"), 1)
    alone = found(model, [single], SITES, PATH)
    both = found(model, [single, *asked()[1:2]], SITES, PATH)
    row = both.cultures.index(single.culture)
    for site in SITES:
        its = alone.scores[site][0]
        assert (its != 0).any()
        assert torch.allclose(both.scores[site][row], its, rtol=1e-9, atol=1e-14)

    def refuse(*_):
        raise AssertionError("options were run")

    monkeypatch.setattr(LensModel, "_run_after", refuse)
    found(model, [single], SITES, PATH)
    with pytest.raises(AssertionError, match="options were run"):
        found(model, asked()[1:2], SITES, PATH)


def test_where_only_options_count_an_item_without_any_scores_nothing():
    model = exact("llama")
    single = with_options(asked()[0], ("A", "B"), 1)
    for how in (DIFFERENCE, PATH):
        for aggregation in ("maximum", "largest", "sum"):
            some = {**how, "positions": "options", "aggregation": aggregation}
            scores = found(model, [single, asked()[1]], "act", some)
            own = scores.scores["act"][scores.cultures.index(single.culture)]
            assert (own == 0).all()
            assert (scores.scores["act"] != 0).any()


@pytest.mark.slow
def test_prompt_and_options_add_up_to_all_tokens():
    model, how = exact("llama"), {**PATH, "aggregation": "sum"}
    parts = [
        found(model, asked()[:3], "v", {**how, "positions": where}).scores["v"]
        for where in ("prompt", "options", "all")
    ]
    assert torch.allclose(parts[0] + parts[1], parts[2], rtol=1e-9, atol=1e-15)
    highest = [
        found(model, asked()[:1], "v", {**PATH, "positions": where}).scores["v"]
        for where in ("prompt", "options", "all")
    ]
    assert torch.allclose(torch.maximum(*highest[:2]), highest[2], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "how",
    mostly_slow([PATH, {**PATH, "baseline": "others"}, DIFFERENCE], fast=[DIFFERENCE]),
    ids=str,
)
def test_an_interrupted_run_goes_on_where_it_was(monkeypatch, tmp_path, how):
    model, questions = exact("llama"), asked()
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 2)
    clean = found(model, questions, SITES, how, run=tmp_path / "clean", batch_size=2)
    calls, whole = [], LensModel.differentiable_log_probs
    passes_each = how.get("points", 1)

    def counted(self, batch):
        if len(calls) == passes_each:  # in the second shard
            raise KeyboardInterrupt
        calls.append(1)
        return whole(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LensModel, "differentiable_log_probs", counted)
        found(model, questions, SITES, how, run=tmp_path / "run", batch_size=2)
    assert not model.is_hooked
    again = found(model, questions, SITES, how, run=tmp_path / "run", batch_size=2)
    assert_same(again, clean)
    assert again.metadata == clean.metadata
    must_not_run(monkeypatch)
    assert_same(found(model, questions, SITES, how, run=tmp_path / "run"), clean)


@pytest.mark.slow
def test_a_run_tells_every_setting_apart(tmp_path):
    model, questions = lens("llama"), asked()[:2]
    kept = {**PATH, "baseline": "others", "run": tmp_path}
    first = found(model, questions, "act", kept)
    others = (
        {"objective": "log_probability"},
        {"points": 3},
        {"baseline": "zero"},
        {"path": "integrated_layerwise"},
        {"aggregation": "largest"},
        {"positions": "options"},
        {"scoring": "letter"},
    )
    for other in others:
        scores = found(model, questions, "act", {**kept, **other})
        assert not torch.equal(scores.scores["act"], first.scores["act"]), other


@pytest.mark.parametrize(
    "how", [DIFFERENCE, pytest.param(PATH, marks=pytest.mark.slow)], ids=["none", "path"]
)
def test_out_of_memory_halves_and_counts_nothing_twice(monkeypatch, how):
    model, questions = exact("llama"), asked()
    expected = found(model, questions, SITES, how, batch_size=4)
    refused = rows_refused_beyond(2, LensModel.differentiable_log_probs, [])
    monkeypatch.setattr(LensModel, "differentiable_log_probs", refused)
    with pytest.warns(CultureLensWarning, match="out of memory at 4 rows.*2 rows a batch"):
        halved = found(model, questions, SITES, how, batch_size=4)
    assert_equal_to(halved, as_tables(expected), 1e-9, 1e-11)
    assert halved.metadata["items"] == expected.metadata["items"]


def test_memory_that_runs_out_at_the_second_point_counts_nothing_twice(monkeypatch):
    model, questions = exact("llama"), asked()[1:3]
    expected = found(model, questions, SITES, PATH, batch_size=2)
    calls, whole = [], LensModel.differentiable_log_probs

    def once(self, batch):
        calls.append(len(batch.prompts))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, batch)

    monkeypatch.setattr(LensModel, "differentiable_log_probs", once)
    with pytest.warns(CultureLensWarning, match="out of memory"):
        halved = found(model, questions, SITES, PATH, batch_size=2)
    # Each item alone: two points, and F at both ends of the path.
    assert calls == [2, 2, *[1] * 8]
    assert_equal_to(halved, as_tables(expected), 1e-9, 1e-11)


@pytest.mark.parametrize("architecture", mostly_slow(["llama", "gemma3"], fast=["llama"]))
@pytest.mark.parametrize(
    "path", mostly_slow(["none", "integrated", "integrated_layerwise"], fast=["none"])
)
def test_no_activation_outlives_the_call(architecture, path):
    """Without the garbage collector; prompts of one length, and options behind them."""
    model, questions = lens(architecture), [replace(asked()[0], id=str(n)) for n in range(2)]
    how = {**DIFFERENCE, "path": path, "points": 2}
    found(model, questions, "act", how)  # what is made once, such as the model's own caches
    gc.collect()
    before = tensors_alive()
    gc.disable()
    try:
        scores = found(model, questions, "act", how, batch_size=1)
        assert tensors_alive() - before <= len(scores.scores)
    finally:
        gc.enable()
    assert not model.is_hooked and not torch.is_inference_mode_enabled()
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())
    assert not scores.scores["act"].requires_grad


@pytest.mark.slow
def test_what_fused_projections_hold_does_not_grow():
    """TransformerLens keeps the last output of a fused projection; of one pass, not of all."""
    model, questions = lens("phi3"), asked()[:2]
    counts = []
    for _ in range(3):
        found(model, questions, "gate", DIFFERENCE)
        gc.collect()
        counts.append(tensors_alive())
    assert counts[1] == counts[2]


def test_an_error_on_the_path_leaves_no_hooks(monkeypatch):
    model, questions = lens("llama"), asked()[:2]
    clean = found(model, questions, "act", PATH)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="boom"):
        patch.setattr(passes, "Met", lambda *_: (_ for _ in ()).throw(RuntimeError("boom")))
        found(model, questions, "act", PATH)
    assert not model.is_hooked
    assert_same(found(model, questions, "act", PATH), clean)
