"""Random neurons that fire and write alike: norms against bare modules, matching by hand."""

from collections import Counter

import numpy as np
import pytest
import torch

import culture_lens.selectors.random as random_module
from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.weight_norms import outgoing_norms
from culture_lens.selectors import matched_random
from tests.helpers import t5
from tests.helpers import vlm as vlm_helpers
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.t5 import each_family
from tests.helpers.tiny import D_MLP, N_LAYERS
from tests.helpers.tiny_t5 import tiny_model as tiny_t5

# ------------------------------------------------------------------ outgoing weights


def by_probing(module):
    """What one neuron alone adds, by running a bare module on one-hot inputs."""
    width = getattr(module, "in_features", None) or module.nx
    with torch.no_grad():
        out = module(torch.eye(width)) - module(torch.zeros(1, width))
    return out.double().norm(dim=1)


def modules_of(architecture, hf):
    """The bare modules behind each site, layer by layer."""
    if architecture == "gpt2":
        blocks = hf.transformer.h
        down, out = [b.mlp.c_proj for b in blocks], [b.attn.c_proj for b in blocks]
    else:
        blocks = hf.model.layers
        down, out = [b.mlp.down_proj for b in blocks], [b.self_attn.o_proj for b in blocks]
    return {"act": down, "gate": down, "post": down, "z": out}


@each_architecture
def test_norms_are_those_of_what_a_neuron_adds(architecture):
    model, hf = lens(architecture), raw(architecture)
    for site, modules in modules_of(architecture, hf).items():
        norms = outgoing_norms(model, site)
        assert norms.shape == model.shape(site) and norms.dtype == torch.float64
        expected = torch.stack([by_probing(module) for module in modules])
        torch.testing.assert_close(norms, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(outgoing_norms(model), outgoing_norms(model, "act"))


@each_family
def test_norms_of_both_stacks(family):
    model, hf = t5.lens(family), tiny_t5(family)
    encoder, decoder = hf.encoder.block, hf.decoder.block
    expected = {
        "encoder.act": [b.layer[1].DenseReluDense.wo for b in encoder],
        "decoder.gate": [b.layer[2].DenseReluDense.wo for b in decoder],
        "encoder.z": [b.layer[0].SelfAttention.o for b in encoder],
        "decoder.z": [b.layer[0].SelfAttention.o for b in decoder],
        "cross.z": [b.layer[1].EncDecAttention.o for b in decoder],
    }
    for site, modules in expected.items():
        norms = outgoing_norms(model, site)
        assert norms.shape == model.shape(site)
        torch.testing.assert_close(norms, torch.stack([by_probing(m) for m in modules]))


def test_norms_of_a_vision_language_model_are_those_of_its_text_stack():
    model, hf = vlm_helpers.lens("llava"), vlm_helpers.raw("llava")
    layers = hf.model.language_model.layers
    expected = torch.stack([by_probing(layer.mlp.down_proj) for layer in layers])
    torch.testing.assert_close(outgoing_norms(model), expected)


def test_sites_without_outgoing_weights_are_refused():
    with pytest.raises(InputError, match="site 'q' have no outgoing weights"):
        outgoing_norms(lens("llama"), "q")
    with pytest.raises(InputError, match="unknown site 'mlp'"):
        outgoing_norms(lens("llama"), "mlp")


def test_offloaded_weights_are_refused(monkeypatch):
    model = lens("llama")
    module = model.bridge.get_submodule("blocks.1.mlp.out").original_component
    gone = torch.nn.Parameter(module.weight.to("meta"), requires_grad=False)
    monkeypatch.setitem(module._parameters, "weight", gone)
    with pytest.raises(InputError, match=r"blocks\.1\.mlp\.out in 'tiny-llama' cannot be read"):
        outgoing_norms(model)


# ------------------------------------------------------------------ matching


def made(rates, site="act", tokens=1000):
    """A summary of two cultures of unlike size, whose rates over all tokens are as given."""
    counts = torch.tensor(rates) * tokens
    return ActivationSummary(
        cultures=("x", "y"),
        items=torch.tensor([1, 1]),
        tokens=torch.tensor([tokens // 4, tokens - tokens // 4]),
        counts={site: torch.stack([counts // 5, counts - counts // 5]).long()},
    )


def set_of(places, shape, site="act", method="conact"):
    neurons = {culture: Neurons.of({site: own}) for culture, own in places.items()}
    return NeuronSet(neurons, {site: shape}, {"selector": method})


@pytest.fixture(scope="module")
def drawn_from():
    """Two layers of 200 neurons whose rates and norms are unlike, a set of strong ones."""
    chance = np.random.default_rng(0)
    rates = chance.integers(1, 999, size=(2, 200)) / 1000
    norms = {"act": torch.from_numpy(chance.gamma(2.0, size=(2, 200)))}
    strong = np.flatnonzero((rates[1] > 0.6) & (norms["act"][1].numpy() > 2))
    high = chance.choice(strong, 12, replace=False)
    found = set_of({"x": [(1, int(i)) for i in high], "y": [(0, 3), (1, 5)]}, (2, 200))
    return found, made(rates.tolist()), norms, rates


def test_by_hand(monkeypatch):
    """Ranks of rate 1 2 3 4 5, of norm 3 1 2 5 4: from neuron 1 the nearest is neuron 2."""
    monkeypatch.setattr(random_module, "NEAREST", 1)
    summary = made([[0.1, 0.2, 0.3, 0.8, 0.9]])
    norms = {"act": torch.tensor([[2.0, 0.5, 1.0, 9.0, 8.0]])}
    # Distances squared from 1: to 0 1 + 4, to 2 1 + 1, to 3 4 + 16, to 4 9 + 9.
    one = matched_random(
        set_of({"x": [(0, 1)]}, (1, 5)), match="activity", summary=summary, norms=norms
    )
    assert one["x"].places["act"].tolist() == [[0, 2]]
    apart = one.metadata["matched"]["x"]["act"]
    assert apart == pytest.approx({"rate": 0.1, "norm": 0.5})
    # Neuron 2 being chosen too, 0 is the nearest of both: whoever is second takes what is next.
    two = set_of({"x": [(0, 1), (0, 2)]}, (1, 5))
    for seed in range(8):
        drawn = matched_random(two, seed, match="activity", summary=summary, norms=norms)
        # From 2 (3, 2): to 0 4 + 1, to 3 1 + 9, to 4 4 + 4. From 1, 4 before 3.
        assert drawn["x"].places["act"].tolist() == [[0, 0], [0, 4]]


def test_only_what_is_left_over_is_drawn_and_every_layer_has_its_number(drawn_from):
    found, summary, norms, _ = drawn_from
    for seed in range(5):
        drawn = matched_random(found, seed, match="activity", summary=summary, norms=norms)
        for culture in found:
            assert not drawn[culture].members() & found[culture].members()
            expected = found[culture].per_layer("act", 2)
            assert torch.equal(drawn[culture].per_layer("act", 2), expected)
        assert len(drawn["x"]) == 12
    again = matched_random(found, 4, match="activity", summary=summary, norms=norms)
    assert again["x"] == drawn["x"]
    assert again["x"] != matched_random(found, 3, match="activity", summary=summary, norms=norms)
    assert again.metadata["match"] == "activity" and again.method == "random"


@pytest.mark.slow
def test_one_of_the_ten_nearest_is_drawn_each_as_often(drawn_from):
    _, summary, norms, rates = drawn_from
    place = [np.argsort(np.argsort(v[1])) + 1.0 for v in (rates, norms["act"].numpy())]
    # Rates repeat here and there; ties share their rank.
    place[0] = np.array([np.mean(place[0][rates[1] == r]) for r in rates[1]])
    far = (place[0] - place[0][17]) ** 2 + (place[1] - place[1][17]) ** 2
    expected = {int(i) for i in np.argsort(far)[1:11]}
    found = set_of({"x": [(1, 17)]}, (2, 200))
    hits = Counter()
    for seed in range(600):
        drawn = matched_random(found, seed, match="activity", summary=summary, norms=norms)
        hits[int(drawn["x"].places["act"][0, 1])] += 1
    assert set(hits) == expected
    # 60 each; five standard deviations of a binomial of 600 at a tenth.
    assert all(abs(n - 60) < 5 * (600 * 0.1 * 0.9) ** 0.5 for n in hits.values())


def test_they_are_far_more_alike_than_neurons_of_the_layer(drawn_from):
    found, summary, norms, rates = drawn_from
    rate = torch.from_numpy(rates)

    def apart(match):
        gaps = []
        for seed in range(10):
            drawn = matched_random(found, seed, match=match, summary=summary, norms=norms)["x"]
            pairs = [
                values[1, drawn.places["act"][:, 1]].mean()
                - values[1, found["x"].places["act"][:, 1]].mean()
                for values in (rate, norms["act"])
            ]
            gaps.append([abs(float(gap)) for gap in pairs])
        return np.mean(gaps, 0)

    assert (apart("activity") < 0.4 * apart("layer")).all()


def test_the_metadata_say_how_alike_they_are(drawn_from):
    """Of one neuron per layer the pair is known, so the difference can be taken again."""
    _, summary, norms, rates = drawn_from
    found = set_of({"x": [(0, 7), (1, 9)]}, (2, 200))
    drawn = matched_random(found, 2, match="activity", summary=summary, norms=norms)
    a, b = drawn["x"].places["act"][:, 1].tolist()
    said = drawn.metadata["matched"]["x"]["act"]
    norm = norms["act"]
    assert said["rate"] == pytest.approx(
        (abs(rates[0, 7] - rates[0, a]) + abs(rates[1, 9] - rates[1, b])) / 2
    )
    assert said["norm"] == pytest.approx(
        float(abs(norm[0, 7] - norm[0, a]) + abs(norm[1, 9] - norm[1, b])) / 2
    )


def test_rates_are_over_the_tokens_of_all_cultures(monkeypatch):
    """x has few tokens: a mean of P over cultures would put neuron 2 nearest to neuron 0."""
    monkeypatch.setattr(random_module, "NEAREST", 1)
    summary = ActivationSummary(
        ("x", "y"),
        torch.tensor([1, 1]),
        torch.tensor([10, 90]),
        # Rates over tokens 0.10, 0.20, 0.30, 0.90; means of P 0.10, 0.51, 0.17, 0.94.
        {"act": torch.tensor([[[1, 9, 0, 10]], [[9, 11, 30, 80]]])},
    )
    drawn = matched_random(
        set_of({"x": [(0, 0)]}, (1, 4)),
        match="activity",
        summary=summary,
        norms={"act": torch.ones(1, 4)},
    )
    assert drawn["x"].places["act"].tolist() == [[0, 1]]


@pytest.mark.slow
def test_equally_near_neurons_are_drawn_alike_often():
    found = set_of({"x": [(0, 0)]}, (1, 61))
    summary, norms = made([[0.5] * 61]), {"act": torch.ones(1, 61)}
    hits = Counter(
        int(
            matched_random(found, seed, match="activity", summary=summary, norms=norms)["x"].places[
                "act"
            ][0, 1]
        )
        for seed in range(1200)
    )
    assert len(hits) == 60 and max(hits.values()) < 20 + 5 * 20**0.5


def test_norms_come_from_the_model_too():
    model = lens("gpt2")
    chance = torch.Generator().manual_seed(0)
    rates = torch.randint(1, 999, (N_LAYERS, D_MLP), generator=chance) / 1000
    found = set_of({"x": [(0, 1), (2, 4)], "y": [(1, 1)]}, (N_LAYERS, D_MLP))
    given = {"act": outgoing_norms(model)}
    options = {"match": "activity", "summary": made(rates.tolist())}
    of_model = matched_random(found, 1, model=model, **options)
    of_norms = matched_random(found, 1, norms=given, **options)
    assert of_model["x"] == of_norms["x"] and of_model["y"] == of_norms["y"]
    assert of_model.metadata["matched"] == of_norms.metadata["matched"]


def test_sites_without_outgoing_weights_are_matched_by_rate_and_it_is_said(monkeypatch):
    monkeypatch.setattr(random_module, "NEAREST", 1)
    found = set_of({"x": [(0, 1)], "y": []}, (1, 4), site="q")
    with pytest.warns(CultureLensWarning, match="'q' have no outgoing weights"):
        drawn = matched_random(
            found, match="activity", summary=made([[0.1, 0.5, 0.9, 0.56]], "q"), norms={}
        )
    assert drawn["x"].places["q"].tolist() == [[0, 3]]
    assert drawn.metadata["matched"] == {"x": {"q": {"rate": pytest.approx(0.06)}}, "y": {}}
    assert len(drawn["y"]) == 0


def test_other_ways_to_match_are_as_they_were():
    found = set_of({"x": [(0, 1), (0, 2)]}, (1, 30))
    for match in ("layer", "pool"):
        drawn = matched_random(found, 3, match=match)
        assert len(drawn["x"]) == 2 and "matched" not in drawn.metadata


def test_bad_input(drawn_from):
    found, summary, norms, _ = drawn_from
    with pytest.raises(InputError, match="needs firing rates"):
        matched_random(found, match="activity", norms=norms)
    with pytest.raises(InputError, match="needs norms"):
        matched_random(found, match="activity", summary=summary)
    with pytest.raises(InputError, match="unknown way to match"):
        matched_random(found, match="activities")
    with pytest.raises(InputError, match="holds nothing for site 'act'"):
        matched_random(found, match="activity", summary=summary, norms={})
    with pytest.raises(InputError, match=r"sites='gate'"):
        gates = set_of({"x": [(0, 1)]}, (2, 200), site="gate")
        matched_random(gates, match="activity", summary=summary, norms=norms)
    with pytest.raises(InputError, match=r"rate at site 'act' has the shape \(1, 3\)"):
        other = made([[0.1, 0.2, 0.3]])
        matched_random(found, match="activity", summary=other, norms=norms)
    with pytest.raises(InputError, match="norm at site 'act'"):
        bad = {"act": norms["act"] * float("nan")}
        matched_random(found, match="activity", summary=summary, norms=bad)
    with pytest.raises(InputError, match="3 of the 5 neurons at site 'act', layer 0"):
        many = set_of({"x": [(0, 0), (0, 1), (0, 2)]}, (1, 5))
        small = made([[0.1, 0.2, 0.3, 0.4, 0.5]])
        matched_random(many, match="activity", summary=small, norms={"act": torch.ones(1, 5)})
