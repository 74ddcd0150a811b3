"""Options of questions on pictures are scored as the raw model scores them."""

import numpy as np
import pytest

from culture_lens.evaluation.evaluate import evaluate
from culture_lens.prompts.batches import collate
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from tests.helpers.gold import gold_tokens
from tests.helpers.vlm import SHARING, lens, pictured_questions, prompts_of
from tests.helpers.vlm_items import (
    F64,
    assert_options,
    each,
    expected_logits,
    expected_options,
    questions,
)


@each
def test_option_log_probabilities_equal_the_reference(name):
    expected = expected_options(name)
    assert len({len(log) for row in expected for log in row}) > 4  # options of many lengths
    model = lens(name, F64)
    whole = prompts_of(name, questions(), "cloze")
    found = model.continuation_log_probs(collate(whole, model.pad_id))
    assert_options(found, expected)
    alone = [model.continuation_log_probs(collate([p], model.pad_id))[0] for p in whole[::5]]
    assert_options(alone, expected[::5])
    prompts = prompts_of(name, pictured_questions(), "cloze")  # the cloze question leads
    if name in SHARING:
        pictured = [i for i, p in enumerate(prompts) if p.question.image is not None]
        chosen = [prompts[i] for i in pictured]
        batch = collate(chosen, model.pad_id, shared_prefix_lengths(chosen))
        assert batch.prefixes is not None
        found = model.continuation_log_probs(batch)
        assert_options(found, [expected[i] for i in pictured])


@pytest.mark.parametrize("scoring", ["option_likelihood", "option_likelihood_sum"])
@each
def test_scoring_by_option_likelihood(name, scoring):
    found = evaluate(lens(name), questions(), scoring=scoring, batch_size=6, progress=False)
    assert found.frame["id"].tolist() == [question.id for question in questions()]
    for scores, prediction, logs in zip(
        found.frame["scores"], found.frame["prediction"], expected_options(name), strict=True
    ):
        its = [float(log.sum() if scoring.endswith("sum") else log.mean()) for log in logs]
        assert list(scores) == pytest.approx(its, rel=1e-4)
        assert prediction == int(np.argmax(its))


@pytest.mark.parametrize("scoring", ["letter", "letter_options"])
@each
def test_scoring_by_letter(name, scoring):
    found = evaluate(lens(name), questions(), scoring=scoring, batch_size=6, progress=False)
    golds = gold_tokens(prompts_of(name, questions()), lens(name).processor)
    for question, row, logits in zip(
        questions(), found.frame.itertuples(), expected_logits(name), strict=True
    ):
        assert row.id == question.id
        label = logits[golds[question.id]]
        assert row.scores[question.answer] == pytest.approx(float(label), rel=1e-4, abs=1e-4)
        if scoring == "letter":
            p = logits.softmax(-1)[golds[question.id]]
            assert row.p_gold == pytest.approx(float(p), rel=1e-3)
