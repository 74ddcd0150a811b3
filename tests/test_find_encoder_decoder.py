"""From questions to figures with an encoder-decoder."""

import warnings

import pytest
import torch

from culture_lens import plots
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.errors import CultureLensWarning
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_fidelity import fidelity, matrix_fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.interventions.hooks import enhance, suppress
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.batches import collate
from culture_lens.questions.question import PromptFormat, with_format
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import matched_random, select
from tests.helpers.culnig import countryrc_questions
from tests.helpers.forwards import must_not_run
from tests.helpers.questions import toy_questions
from tests.helpers.t5 import lens, prompts_of
from tests.helpers.tiny_t5 import D_HEAD, D_MLP, N_HEADS


@pytest.mark.slow
def test_from_questions_to_plots(tmp_path):
    model, questions = lens("flan"), toy_questions()
    found = find_culture_neurons(model, questions, share=0.05, progress=False)
    assert found.shapes == {"encoder.act": model.shape("encoder.act")}
    assert all(len(found[culture]) for culture in found)
    again = NeuronSet.load(found.save(tmp_path / "t5.safetensors"), model)
    assert again.neurons == found.neurons and again.shapes == found.shapes
    matrix = ablation_matrix(model, found, questions, scoring="letter", progress=False)
    assert set(found.cultures) <= set(matrix.masks)
    assert set(matrix.cultures) == set(found.cultures)
    held = split_questions(questions)[1]
    predicted = predicted_ablation_matrix(model, found, held, progress=False)
    assert predicted.table().shape == (4, 4) and predicted.table().abs().to_numpy().min() > 0
    assert len(matrix_fidelity(predicted, matrix).frame)
    assert plots.layer_heatmap(found).data[0].z.shape == (4, 3)
    assert plots.ablation_heatmap(matrix).data
    assert matched_random(found, seed=1).layer_share().shape == (4, 3)
    for scoring in SCORINGS:
        frame = evaluate(model, held, found["Japan"], scoring=scoring, progress=False).frame
        assert frame["p_gold"].between(0, 1).all()


@pytest.mark.slow
def test_fidelity_over_all_stacks():
    model = lens("flan", torch.float64)
    questions = toy_questions()
    scores = attribute(model, questions, sites=model.sites, aggregation="sum", progress=False)
    assert len(
        fidelity(
            model, questions[:4], scores, neurons=3, shares=(0.01,), seen=True, progress=False
        ).frame
    )


@pytest.mark.slow
def test_stacks_of_different_depth_in_one_set():
    model = lens("flan")
    scores = attribute(model, toy_questions(), progress=False)
    found = scores.top(share=0.05)
    assert found.shapes["encoder.gate"][0] == 3 and found.shapes["decoder.gate"][0] == 2
    found.check_model(model)
    assert found.layer_share().shape == (4, 3)
    assert plots.layer_heatmap(found) is not None
    assert set(matched_random(found, match="pool").shapes) == set(found.shapes)
    with suppress(model, found["Japan"]), enhance(model, found["France"]):
        model.logits(collate(prompts_of(model), model.pad_id))


@pytest.mark.slow
def test_culnig_pools_the_sites_of_all_stacks():
    """Shares are of the gates of both stacks together, and of every q, k and v."""
    model, questions = lens("flan"), toy_questions()
    gates, attention = D_MLP * (3 + 2), 3 * N_HEADS * D_HEAD * (3 + 2 + 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        scores = culnig_scores(model, questions, countryrc=countryrc_questions(), progress=False)
    assert set(scores.sites) == set(model.projections)
    found = select(scores, "culnig_specific", share=0.03, countryrc_share=0.0, z=None)
    assert set(found.shapes) == set(model.projections)
    assert [len(found[c]) for c in found] == [int(0.03 * (gates + attention))] * len(found)
    whole = select(
        scores,
        "culnig_general",
        mlp_share=0.05,
        attention_share=0.03,
        countryrc_mlp_share=0.0,
        countryrc_attention_share=0.0,
    )["general"]
    at_gates = sum(len(places) for site, places in whole.places.items() if "gate" in site)
    assert (at_gates, len(whole) - at_gates) == (int(0.05 * gates), int(0.03 * attention))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["culnig_specific", "culnig_general"])
def test_culnig_needs_no_sites_named(method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        found = find_culture_neurons(
            lens("t5"),
            toy_questions(),
            method=method,
            summary_options={"countryrc": countryrc_questions()},
            progress=False,
        )
    assert set(found.shapes) == set(lens("t5").projections)


@pytest.mark.slow
def test_a_run_goes_on_and_knows_the_answer_prefix(tmp_path, monkeypatch):
    model, questions = lens("flan"), toy_questions()
    sites = "decoder.act"
    first = summarise(model, questions, sites=sites, progress=False, run=tmp_path)
    scored = attribute(model, questions, progress=False, run=tmp_path)
    answered = evaluate(model, questions, scoring="letter", progress=False, run=tmp_path)

    with monkeypatch.context() as patch:
        must_not_run(patch)
        again = summarise(model, questions, sites=sites, progress=False, run=tmp_path)
        assert torch.equal(again.counts[sites], first.counts[sites])
        kept = attribute(model, questions, progress=False, run=tmp_path)
        assert torch.equal(kept.scores["cross.k"], scored.scores["cross.k"])
        evaluate(model, questions, scoring="letter", progress=False, run=tmp_path)
        # The encoder reads the same tokens now; the decoder does not.
        begun = with_format(questions, PromptFormat(answer_prefix="Answer:"))
        with pytest.raises(AssertionError, match="was run"):
            summarise(model, begun, sites=sites, progress=False, run=tmp_path)
        with pytest.raises(AssertionError, match="was run"):
            attribute(model, begun, progress=False, run=tmp_path)
        with pytest.raises(AssertionError, match="was run"):
            evaluate(model, begun, scoring="letter", progress=False, run=tmp_path)
    assert len(answered.frame) == 16
