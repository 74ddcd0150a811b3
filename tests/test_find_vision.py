"""From questions on pictures to neurons and a report, by every method."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution.culnig import culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.interventions.hooks import ablated
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.prompt import Role
from culture_lens.questions.splits import split_questions
from culture_lens.report.page import build_report
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET, quiet
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.tiny import N_LAYERS
from tests.helpers.vlm import (
    SIZES,
    assert_nearly_same_records,
    counting_tower,
    lens,
    native,
    pictured_questions,
    prompts_of,
    raw,
)

# ------------------------------------------------------------------ every method


@pytest.mark.slow
@pytest.mark.parametrize("method", ["conact", "lape", "mad", "lap"])
def test_from_questions_to_the_report(method, tmp_path):
    architecture = {"conact": "idefics3", "lape": "llava_onevision", "mad": "llava"}.get(
        method, "gemma3"
    )
    model, questions = lens(architecture), pictured_questions()
    run = Run.open(tmp_path)
    found = find_culture_neurons(model, questions, method=method, share=0.05, **QUIET)
    assert found.cultures == tuple(sorted(SIZES)) and sum(len(found[c]) for c in found) > 0
    matrix = ablation_matrix(model, found, questions, random_seeds=1, scoring="letter", **QUIET)
    assert len(matrix.frame) == 8 * (1 + 4 + 4)
    predicted = predicted_ablation_matrix(model, found, questions, **QUIET)
    assert predicted.table().shape == (4, 4) and len(predicted.frame) == 4 * 8
    found.save(run.named("neurons", method, ".safetensors"))
    matrix.to_parquet(run.named("matrix", method, ".parquet"))
    page = build_report(run).read_text()
    assert method in page and "Ethiopia" in page and "plotly" in page


@pytest.mark.slow
@quiet
def test_culnig_with_pictures(tmp_path):
    questions = pictured_questions()
    model = lens("qwen2_5_vl")
    options = {"countries": ["Japan", "Ethiopia"], "per_culture": 2}
    found = find_culture_neurons(
        model,
        questions,
        method="culnig_specific",
        share=0.05,
        summary_options=options,
        run=tmp_path,
        **QUIET,
    )
    assert all(len(found[culture]) > 0 for culture in ("Japan", "Ethiopia"))
    matrix = ablation_matrix(model, found, questions, random_seeds=1, scoring="letter", **QUIET)
    assert len(matrix.frame) == 8 * (1 + 2 + 2)
    identify, _ = split_questions(questions)
    scores = culnig_scores(model, identify, run=tmp_path, **options, **QUIET)
    general = select(scores, "culnig_general", mlp_share=0.05, attention_share=0.05)
    assert len(general["general"]) > 0
    # the control has the same items, asked without picture and question
    assert set(scores.control.metadata["ids"]) == set(scores.task.metadata["ids"])
    assert relative(scores.control.scores["gate"], scores.task.scores["gate"].clamp(min=0)) > 0.01


def test_the_control_does_not_look_at_pictures():
    model, runs = counting_tower("gemma3")
    attribute(model, pictured_questions(), sites="gate", control=True, **QUIET)
    assert runs == [] and model.vision.runs == 0


@pytest.mark.slow
@quiet
def test_only_correct():
    model, asked = lens("llava"), pictured_questions()
    answered = evaluate(model, asked, **QUIET).frame["prediction"]
    questions = [  # the model is right about the first eleven
        replace(question, answer=(prediction + (number > 10)) % 4)
        for number, (question, prediction) in enumerate(zip(asked, answered, strict=True))
    ]
    summary = summarise(model, questions, only_correct=True, **QUIET)
    assert int(summary.items.sum()) == 11
    expected = summarise(model, questions[:11], **QUIET)
    assert torch.equal(summary.counts["act"], expected.counts["act"])


@pytest.mark.parametrize("roles", [(Role.IMAGE,), (Role.QUESTION, Role.OPTIONS)])
def test_roles_of_a_summary(roles):
    questions = pictured_questions()
    model = lens("idefics3")
    summary = summarise(model, questions, roles=roles, **QUIET)
    prompts = prompts_of("idefics3", questions)
    tokens = Counter()
    for prompt in prompts:
        tokens[prompt.question.culture] += sum(role in roles for role in prompt.roles)
    assert summary.tokens.tolist() == [tokens[culture] for culture in summary.cultures]
    found = select(summary, "lap", share=0.05)
    assert all(len(found[culture]) == int(0.05 * N_LAYERS * 48) for culture in found)


def test_image_tokens_only_where_a_culture_has_no_picture():
    questions = [
        replace(q, image=None) if q.culture == "Japan" else q for q in pictured_questions()
    ]
    with pytest.raises(InputError, match="no token of Japan has a role that counts"):
        summarise(lens("idefics3"), questions, roles=(Role.IMAGE,), **QUIET)


@pytest.mark.slow
def test_questions_without_any_picture():
    """A vision-language model reads text as well, and its tower stays at rest."""
    model, runs = counting_tower("qwen2_5_vl")
    questions = [replace(q, image=None) for q in pictured_questions()]
    found = find_culture_neurons(model, questions, share=0.05, **QUIET)
    matrix = ablation_matrix(model, found, questions, random_seeds=1, **QUIET)
    assert len(matrix.frame) == 8 * (1 + 4 + 4) and runs == [] and model.vision.runs == 0
    batch = collate(prompts_of("qwen2_5_vl", questions), model.pad_id)
    items = [native("qwen2_5_vl", question) for question in questions]
    expected = torch.stack([vlm_logits(raw("qwen2_5_vl"), item) for item in items])
    assert relative(model.logits(batch), expected) < 1e-5


# ------------------------------------------------------------------ photographs


def test_neurons_ablated_around_an_evaluation():
    """``ablated`` around ``evaluate`` and neurons given to it are one and the same."""
    model, questions = lens("llava_onevision"), pictured_questions()
    neurons = Neurons.of({"act": [(0, 1), (1, 5), (2, 7)]})
    with ablated(model, neurons):
        around = evaluate(model, questions, **QUIET)
    given = evaluate(model, questions, neurons, **QUIET)
    assert_nearly_same_records(around.frame, given.frame)
    plain = evaluate(model, questions, **QUIET)
    assert not np.allclose(
        np.concatenate(plain.frame["scores"].tolist()),
        np.concatenate(given.frame["scores"].tolist()),
    )
