"""Shares of items on which a neuron counts, against attribution of each item by itself."""

import math

import numpy as np
import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.attribution.instances import instance_share
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.estimates import mean_estimate
from culture_lens.statistics.tables import as_estimates
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions


@pytest.mark.slow
def test_instance_shares_equal_single_item_attribution():
    model, questions = lens("llama"), toy_questions(topics=2)
    source = np.random.default_rng(0)
    cultures = sorted({q.culture for q in questions})
    shape = model.shape("gate")
    picks = {
        c: {
            "gate": [divmod(int(p), shape[1]) for p in source.choice(shape[0] * shape[1], 12)],
            "q": [(0, int(p)) for p in source.choice(model.shape("q")[1], 3)],
        }
        for c in cultures[:3]
    }
    found = NeuronSet(
        {c: Neurons.of(own) for c, own in picks.items()},
        {"gate": shape, "q": model.shape("q")},
        {"model": "tiny-llama"},
    )
    result = instance_share(model, questions, found, batch_size=3, progress=False)
    scores = {
        q.id: attribute(model, [q], sites=["gate", "q"], progress=False).scores for q in questions
    }
    table = result.neurons.set_index(["neurons_of", "site", "layer", "index"])
    for c in found:
        members = sorted(found[c].members())
        positive = {
            q.id: {m: bool(scores[q.id][m[0]][0, m[1], m[2]] > 0) for m in members}
            for q in questions
        }
        rows = result.items[result.items["neurons_of"] == c].set_index("id")
        for q in questions:
            assert rows.loc[q.id, "positive"] == sum(positive[q.id].values())
            assert rows.loc[q.id, "neurons"] == len(members)
        for m in members:
            own = sum(positive[q.id][m] for q in questions if q.culture == c)
            other = sum(positive[q.id][m] for q in questions if q.culture != c)
            assert table.loc[(c, *m), ["own", "other"]].tolist() == [own, other]
        summary = as_estimates(result.summary()).loc[c]
        mine = [sum(positive[q.id].values()) / len(members) for q in questions if q.culture == c]
        assert summary["own"].value == pytest.approx(np.mean(mine))
        groups = [q.group for q in questions if q.culture == c]
        assert str(summary["own"]) == str(mean_estimate(mine, groups))
    assert 0 < result.items["positive"].sum() < result.items["neurons"].sum()
    whole = instance_share(model, questions, found, batch_size=16, progress=False)
    assert whole.items.equals(result.items) and whole.neurons.equals(result.neurons)
    others = instance_share(
        model, [q for q in questions if q.culture != cultures[0]], found, progress=False
    )
    assert math.isnan(as_estimates(others.summary()).loc[cultures[0], "own"].value)
    empty = NeuronSet(dict.fromkeys("AB", Neurons.of({})), found.shapes)
    with pytest.raises(InputError, match="hold no neurons"):
        instance_share(model, questions, empty, progress=False)
    with pytest.raises(InputError, match="unknown aggregation 'max': did you mean 'maximum'"):
        instance_share(model, questions, found, aggregation="max", progress=False)
    assert torch.is_grad_enabled()
