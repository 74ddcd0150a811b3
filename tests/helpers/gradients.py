"""Attribution as the tests call it, and what it must equal."""

import numpy as np
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import control_twin

SITES = ("gate", "q", "k", "v", "up")


def sites_of(model):
    return tuple(site for site in SITES if site in model.widths)


def reference_items(model, questions, control=False):
    asked = [control_twin(q) if control else q for q in questions]
    return [
        (p.ids, label_ids(p, model.processor)[p.question.answer], p.question.culture)
        for p in build_prompts(asked, model.processor)
    ]


def scored(model, questions, **options):
    return attribute(model, questions, **{"sites": sites_of(model), "progress": False, **options})


def assert_equal_to(found, expected, relative, of_largest=1e-12):
    """Neuron by neuron; differences below ``of_largest`` times the largest score do not count."""
    assert found.cultures == tuple(sorted(expected))
    for site, scores in found.scores.items():
        assert scores.dtype == torch.float64
        for position, culture in enumerate(found.cultures):
            mine, its = scores[position].numpy(), expected[culture][site]
            allowed = relative * np.abs(its) + of_largest * np.abs(its).max()
            worst = (np.abs(mine - its) / allowed).max()
            assert worst <= 1, f"{site}, {culture}: {worst} times what is allowed"
            assert np.abs(its).max() > 0


def as_tables(scores):
    return {
        culture: {site: values[position].numpy() for site, values in scores.scores.items()}
        for position, culture in enumerate(scores.cultures)
    }


def assert_same(one, other):
    assert one.cultures == other.cultures and set(one.scores) == set(other.scores)
    for site, scores in one.scores.items():
        assert torch.equal(scores, other.scores[site])
