"""Attribution in half precision agrees with float32, and scores that are no numbers are refused."""

import numpy as np
import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.models.load import load_model
from tests.helpers import reference_culnig as reference
from tests.helpers.gradients import reference_items, scored
from tests.helpers.lm import each_architecture, lens, spoilt
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_model, tiny_tokenizer


@pytest.mark.parametrize(
    "dtype", mostly_slow([torch.bfloat16, torch.float16], fast=[torch.bfloat16])
)
@each_architecture
def test_half_precision_agrees_with_float32(architecture, dtype):
    questions = toy_questions()
    full, half = scored(lens(architecture), questions), scored(lens(architecture, dtype), questions)
    for site, scores in half.scores.items():
        assert torch.isfinite(scores).all() and scores.dtype == torch.float64
        # Over all cultures: bfloat16 has 8 bits, and a culture of four items is mostly rounding.
        assert np.corrcoef(scores.flatten(), full.scores[site].flatten())[0, 1] > 0.99, site


def loud(scale, dtype):
    """A model whose logits are so far apart that most tokens have next to no probability."""
    hf = tiny_model("llama").half()
    with torch.no_grad():
        hf.lm_head.weight *= scale
    return hf.to(dtype)


def test_answers_too_unlikely_for_float16_keep_their_scores():
    tokenizer = tiny_tokenizer("llama")
    model = load_model("loud", hf_model=loud(12, torch.float16), tokenizer=tokenizer)
    hf = loud(12, torch.float64)
    seen = []
    for question in toy_questions()[4:8]:
        ids, gold, culture = reference_items(model, [question])[0]
        p, expected = reference.item_scores(hf, ids, gold)
        found = scored(model, [question], sites=reference.SITES)
        assert p < 6e-8 / 1000, "below the smallest number of float16"
        seen.append(p)
        assert found.metadata["p_gold"][culture] == pytest.approx(p, rel=0.2)
        for site, values in found.scores.items():
            assert torch.isfinite(values).all()
            assert np.corrcoef(values.flatten(), expected[site].flatten())[0, 1] > 0.99
    assert min(seen) < 1e-20  # P^2 is below the smallest normal number of float32


def test_answers_of_no_probability_at_all_score_nothing_and_are_finite():
    tokenizer = tiny_tokenizer("llama")
    model = load_model("louder", hf_model=loud(60, torch.float16), tokenizer=tokenizer)
    for site, values in scored(model, toy_questions()[4:8]).scores.items():
        assert torch.isfinite(values).all(), site


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers(value):
    with pytest.raises(InputError, match="NaN or infinite.*question 'food/"):
        scored(spoilt(value), toy_questions()[:4])


def test_scores_that_are_no_numbers_are_refused():
    """In the middle of a prompt, in the last layer, NaN does not reach the logits looked at."""
    model = lens("llama")

    def spoil(activation, hook):
        spoilt = activation.clone()
        spoilt[:, -25, 3] = float("nan")
        return spoilt

    with model.hooks([("blocks.2.mlp.gate.hook_out", spoil)]):
        with pytest.raises(InputError, match="attribution at site .* NaN or infinite.*'food/"):
            scored(model, toy_questions()[:4])
    assert not model.is_hooked
