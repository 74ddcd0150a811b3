"""Activity is the largest absolute activation over a prompt's tokens, summed per culture."""

import numpy as np
import pytest
import torch

from culture_lens.attribution.activity import SQUARES, activity_sums
from culture_lens.attribution.settings import Attribution
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers import reference, reference_t5
from tests.helpers.attributed import asked
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import exact, exact_raw
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import lengthened
from tests.helpers.t5 import exact as exact_t5
from tests.helpers.t5 import exact_raw as exact_raw_t5

LIKELIHOOD = Attribution(scoring="option_likelihood")


def expected(values, prompts):
    """Per culture the sum of A and of its square; ``values(prompt)`` is [layer, pos, neuron]."""
    sums = {}
    for prompt in prompts:
        largest = np.abs(values(prompt)).max(1)
        held = sums.setdefault(prompt.question.culture, [0, 0])
        held[0] = held[0] + largest
        held[1] = held[1] + largest**2
    return sums


def assert_is(found, site, sums):
    assert found.cultures == tuple(sorted(sums))
    for row, culture in enumerate(found.cultures):
        for name, its in zip((site, SQUARES + site), sums[culture], strict=True):
            np.testing.assert_allclose(found.scores[name][row].numpy(), its, rtol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("architecture", mostly_slow(["llama", "gpt2", "phi3"], fast=["llama"]))
@pytest.mark.parametrize("how", [Attribution(), LIKELIHOOD], ids=["letter", "likelihood"])
def test_activity_is_that_of_the_raw_model(architecture, how, batch_size):
    model, questions = exact(architecture), lengthened(asked(), 3)
    running = Running(batch_size=batch_size, progress=False)
    found = activity_sums(model, questions, ("act", "k"), how, running)
    prompts = build_prompts(questions, model.processor, style=how.style)
    for site in ("act", "k"):
        values = {p.question.id: reference.site_values(exact_raw(architecture), site, p.ids)
                  for p in prompts}  # fmt: skip
        assert_is(found, site, expected(lambda p, held=values: held[p.question.id], prompts))
    assert found.metadata["items"] == {"Ethiopia": 1, "Japan": 2, "Mexico": 1}


@pytest.mark.parametrize("site", ["encoder.act", "decoder.v", "cross.k"])
def test_activity_of_encoder_decoders(site):
    model, hf = exact_t5("flan"), exact_raw_t5("flan")
    found = activity_sums(model, asked(), (site,), LIKELIHOOD, Running(progress=False))
    prompts = build_prompts(asked(), model.processor, style="cloze")

    def values(prompt):
        return reference_t5.values(hf, site, prompt.ids, prompt.decoder_ids).numpy()

    assert_is(found, site, expected(values, prompts))


def test_what_is_kept_is_found_again(monkeypatch, tmp_path):
    model, running = exact("llama"), Running(batch_size=2, progress=False, run=tmp_path)
    plain = activity_sums(model, asked(), ("act",), LIKELIHOOD, Running(2, progress=False))
    first = activity_sums(model, asked(), ("act",), LIKELIHOOD, running)
    must_not_run(monkeypatch)
    again = activity_sums(model, asked(), ("act",), LIKELIHOOD, running)
    for site, table in plain.scores.items():
        assert torch.equal(first.scores[site], table) and torch.equal(again.scores[site], table)
    with pytest.raises(AssertionError, match="the model was run"):
        activity_sums(model, asked(), ("act",), Attribution(), running)
