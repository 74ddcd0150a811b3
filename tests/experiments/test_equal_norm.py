"""Edits made equally large: numbers and scales against plain search, norms against activations."""

import numpy as np
import pytest
import torch

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.experiments.equal_norm import ChangeOfStream, matched_factor, matched_number
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES
from tests.helpers import lm
from tests.helpers.questions import toy_questions


@pytest.mark.parametrize(
    ("norm", "number"), [(0.001, 1), (0.1, 1), (0.26, 2), (0.24, 1), (0.52, 3), (0.9, 4), (3.0, 5)]
)
def test_the_number_on_paper(norm, number):
    norms = [0.1, 0.4, 0.6, 0.9, 1.0]  # of the first unit, the first two, ...
    assert matched_number(lambda n: norms[n - 1], norm, 5) == number


def test_the_number_is_that_of_trying_every_one():
    source = np.random.default_rng(0)
    for most in (1, 2, 7, 40):
        norms = np.cumsum(source.random(most))
        for norm in source.uniform(0, norms[-1] * 1.1, 20):
            first = int(source.integers(1, most + 1))
            found = matched_number(lambda n, norms=norms: float(norms[n - 1]), norm, most, first)
            assert abs(norms[found - 1] - norm) == np.abs(norms - norm).min()


def test_the_scale_reaches_the_norm():
    assert matched_factor(lambda scale: 3 * scale, 0.6) == pytest.approx(0.2)
    bent = matched_factor(lambda scale: scale / (1 + 0.2 * scale), 2.0)
    assert bent / (1 + 0.2 * bent) == pytest.approx(2.0, rel=0.01)
    with pytest.raises(InputError, match="changes nothing"):
        matched_factor(lambda scale: 0.0, 1.0)


@pytest.mark.slow
def test_norms_are_those_of_plain_activations():
    model, asked = lm.lens("llama"), toy_questions(cultures=("Japan",))
    stream = ChangeOfStream(model, build_prompts(asked, model.processor), 2)
    vector = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = cl.Direction("Japan", "resid", model.n_layers - 1, vector)
    lengths, projections = [], []
    for prompt in build_prompts(asked, model.processor):
        kept = []
        name = f"blocks.{model.n_layers - 1}.hook_resid_post"
        with model.hooks([(name, lambda x, hook, kept=kept: kept.append(x.double()))]):
            model.bridge(torch.tensor([list(prompt.ids)]))
        counted = [role in CONTENT_ROLES for role in prompt.roles]
        x = kept[0][0][torch.tensor(counted)]
        lengths.append(float(x.norm(dim=1).mean()))
        projections.append(float((x @ direction.unit).abs().mean()))
    removed = stream.norm(cl.removal_hooks(model, direction))
    added = stream.norm(cl.addition_hooks(model, direction, -2.0))
    assert removed == pytest.approx(sum(projections) / sum(lengths), rel=1e-4)
    assert added == pytest.approx(2 * direction.norm / np.mean(lengths), rel=1e-4)
    assert stream.norm([]) == 0
