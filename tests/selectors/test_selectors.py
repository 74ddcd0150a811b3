"""Every selector against the plain reference, ties, order, randomness and what is refused."""

import math

import pytest
import torch

from culture_lens.activations.record import record_activations
from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.build import build_prompts
from culture_lens.selectors import SELECTORS, matched_random, select
from culture_lens.selectors.conact import conact
from culture_lens.selectors.lape import entropy, order_statistic
from tests.helpers import reference
from tests.helpers.lm import lens, raw
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.reference import reference_inputs
from tests.helpers.summaries import CULTURES, in_first_layer, places, summary_of_counts
from tests.helpers.tiny import ARCHITECTURES, D_MLP, N_LAYERS

# ------------------------------------------------------------------ against the reference


@pytest.fixture(scope="module", params=mostly_slow(ARCHITECTURES, fast=("llama",)))
def both(request):
    """The package's summary of a float64 model, and P and mean activations by the reference."""
    model, hf = lens(request.param, torch.float64), raw(request.param, torch.float64)
    prompts = build_prompts(toy_questions(), model.tokenizer)
    summary = record_activations(
        model, prompts, sites=("act", "q"), batch_size=5, progress=False
    ).summary()
    inputs = reference_inputs(prompts)
    counts, totals = reference.site_counts(hf, "act", *inputs)
    sums, _, _ = reference.act_sums(hf, *inputs)
    ordered = sorted(counts)  # as the package orders cultures
    probability = reference.per_token({c: counts[c] for c in ordered}, totals)
    mean = reference.per_token({c: sums[c] for c in ordered}, totals)
    return summary, probability, mean


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 1.0])
def test_selections_equal_those_of_the_reference(both, share):
    summary, probability, mean = both
    expected = {
        "lap": reference.lap(probability, share),
        "conact": reference.conact(probability, share),
        "mad_probability": reference.mad_probability(probability, share),
        "mad": reference.mad_activation(mean, share),
        "lape": reference.lape(probability, share=share),
    }
    assert sum(map(len, expected["conact"].values())) > 0
    for method, sets in expected.items():
        assert places(select(summary, method, share=share)) == sets, method


@pytest.mark.parametrize(
    "percentiles", [(0.5, 0.5), (0.9, 0.5), (0.5, 0.95), (0.99, 0.9), (1.0, 1.0)]
)
def test_lape_percentiles_equal_those_of_the_reference(both, percentiles):
    summary, probability, _ = both
    for share in (0.05, 0.3):
        found = select(
            summary,
            "lape",
            share=share,
            percentile_filter=percentiles[0],
            percentile_membership=percentiles[1],
        )
        assert places(found) == reference.lape(probability, *percentiles, share)


def test_every_site_is_selected_from_by_itself(both):
    summary, _, _ = both
    alone = ActivationSummary(
        summary.cultures, summary.items, summary.tokens, {"q": summary.counts["q"]}
    )
    for method in ("conact", "lap", "lape"):
        together = select(summary, method, share=0.1)
        by_itself = select(alone, method, share=0.1)
        for culture in summary.cultures:
            a, b = together[culture].places["q"], by_itself[culture].places["q"]
            assert torch.equal(a, b)


# ------------------------------------------------------------------ by hand


def test_by_hand():
    summary = summary_of_counts()
    assert places(select(summary, "lap", k=2)) == in_first_layer(x=[0, 1], y=[0, 1], z=[1, 2])
    # neuron 1 is a tie and neuron 3 never fires: neither is anyone's; y never wins
    assert places(select(summary, "conact", k=2)) == in_first_layer(x=[0], y=[], z=[2])
    # differences for z: -0.75, 0, 0.45, 0: of neurons 1 and 3 the earlier one
    assert places(select(summary, "mad_probability", k=2))["z"] == {(0, 1), (0, 2)}
    assert places(select(summary, "mad", k=2))["z"] == {(0, 1), (0, 2)}
    # sorted P: 0 0 0 .1 .1 .2 .5 .5 .5 .6 .8 .9: percentile 0.8 is the 10th smallest, 0.6, which
    # only neuron 0 exceeds; percentile 0.5 is 0.2, which x and y exceed there
    options = {"percentile_filter": 0.8, "percentile_membership": 0.5}
    assert places(select(summary, "lape", k=4, **options)) == in_first_layer(x=[0], y=[0], z=[])
    # with 0.5 for both, H: neuron 2 (.2 .1 .6) 0.85, neuron 0 (.9 .8 .1) 0.92, neuron 1 1.10
    options = {"percentile_filter": 0.5, "percentile_membership": 0.5}
    assert places(select(summary, "lape", k=1, **options)) == in_first_layer(x=[], y=[], z=[2])
    assert places(select(summary, "lape", k=2, **options)) == in_first_layer(x=[0], y=[0], z=[2])


def test_scores_by_hand():
    found = select(summary_of_counts(), "conact", k=2)
    assert found["x"].scores["act"].tolist() == [0.9 - 0.8]
    assert found["z"].scores["act"].tolist() == [0.6 - 0.2]
    mad = select(summary_of_counts(), "mad_probability", k=1)
    assert mad["x"].scores["act"].item() == pytest.approx(0.9 - (0.8 + 0.1) / 2)
    lape = select(
        summary_of_counts(), "lape", k=1, percentile_filter=0.5, percentile_membership=0.5
    )
    shares = [p / 0.9 for p in (0.2, 0.1, 0.6)]
    expected = sum(p * math.log(p) for p in shares)
    assert lape["z"].scores["act"].item() == pytest.approx(expected, abs=1e-12)


def test_mad_weighs_cultures_not_tokens():
    summary = summary_of_counts()
    # z has a hundred times the tokens at the same rates
    tokens = torch.tensor([10, 10, 1000])
    counts = summary.counts["act"].clone()
    sums = summary.sums["act"].clone()
    counts[2], sums[2] = counts[2] * 100, sums[2] * 100
    heavy = ActivationSummary(
        CULTURES, summary.items, tokens, {"act": counts}, {"act": sums}, {"act": sums}
    )
    for method in ("mad", "mad_probability"):
        a, b = (SELECTORS[method](s).scores["act"] for s in (summary, heavy))
        assert torch.allclose(a, b, atol=1e-12)


def test_conact_sets_are_disjoint_and_never_hold_a_score_of_zero(both):
    found = select(both[0], "conact", share=1.0)
    members = [found[culture].members() for culture in found]
    assert sum(map(len, members)) == len(set().union(*members))
    for culture in found:
        assert (found[culture].scores["act"] > 0).all()


def test_conact_on_two_cultures_and_on_ties():
    found = select(summary_of_counts({"x": [3, 2, 1, 1], "y": [1, 2, 3, 1]}), "conact", k=4)
    assert places(found) == in_first_layer(x=[0], y=[2])
    tied = conact(summary_of_counts({"x": [5], "y": [5], "z": [1]})).scores["act"]
    assert torch.isneginf(tied).all()


def test_entropy_of_neurons_that_never_fire_and_of_even_ones():
    table = torch.tensor([[[0.0, 0.5, 0.3]], [[0.0, 0.5, 0.0]]], dtype=torch.float64)
    assert entropy(table).tolist() == [[0.0, pytest.approx(math.log(2)), 0.0]]
    # a neuron that never fires has entropy 0, the lowest there is, and must not be selected for it
    options = {"percentile_filter": 0.5, "percentile_membership": 0.5}
    found = select(summary_of_counts({"x": [0, 9, 5], "y": [0, 9, 1]}), "lape", k=1, **options)
    assert places(found) == in_first_layer(x=[2], y=[])


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1001])
@pytest.mark.parametrize("percentile", [0.001, 0.05, 0.5, 0.95, 0.99, 1.0])
def test_order_statistic(n, percentile):
    values = torch.randn(n, generator=torch.Generator().manual_seed(n)).double()
    rank = min(max(round(percentile * n), 1), n)
    assert order_statistic(values, percentile) == sorted(values.tolist())[rank - 1]


def test_the_order_of_cultures_does_not_matter():
    turned = summary_of_counts(order=("z", "x", "y"))
    for method in ("conact", "lap", "lape", "mad", "mad_probability", "random"):
        one, other = select(summary_of_counts(), method, k=2), select(turned, method, k=2)
        assert places(one) == places(other), method


# ------------------------------------------------------------------ random


def test_random_depends_on_the_seed_only(both):
    summary = both[0]
    one = select(summary, "random", share=0.1)
    assert places(one) == places(select(summary, "random", share=0.1, seed=0))
    assert places(one) != places(select(summary, "random", share=0.1, seed=1))
    sets = list(places(one).values())
    assert all(len(chosen) == int(0.1 * N_LAYERS * D_MLP) for chosen in sets)
    assert len({frozenset(chosen) for chosen in sets}) == len(sets)


def test_random_does_not_change_the_global_state():
    state = torch.get_rng_state()
    matched_random(select(summary_of_counts(), "random", k=2), 3)
    assert torch.equal(state, torch.get_rng_state())


def test_matched_random_has_the_numbers_of_every_layer(both):
    found = select(both[0], "conact", share=0.2)
    drawn = [matched_random(found, seed) for seed in range(4)]
    for one in drawn:
        assert one.shapes == found.shapes and one.cultures == found.cultures
        assert one.metadata["matched_to"] == "conact" and one.method == "random"
        for culture in found:
            for site, (n_layers, width) in found.shapes.items():
                mine, its = (
                    one[culture].per_layer(site, n_layers),
                    found[culture].per_layer(site, n_layers),
                )
                assert mine.tolist() == its.tolist()
                assert (one[culture].places[site] < torch.tensor([n_layers, width])).all()
    assert len({frozenset(one[found.cultures[0]].members()) for one in drawn}) == 4
    assert matched_random(found, 2)[found.cultures[0]] == drawn[2][found.cultures[0]]


def test_matched_random_is_uniform():
    neurons = {"x": Neurons.of({"act": [(0, 0), (0, 1)]})}
    found = NeuronSet(neurons, {"act": (1, 8)})
    hits = torch.zeros(8)
    for seed in range(400):
        hits[matched_random(found, seed)["x"].places["act"][:, 1]] += 1
    # each of the 8 is in a draw of 2 with probability 1/4: 100 expected, deviation 8.7
    assert hits.sum() == 800 and (hits - 100).abs().max() < 40


@pytest.mark.slow
def test_random_neurons_from_the_pool_keep_the_whole_number_only():
    found = NeuronSet(
        {"x": Neurons.of({"gate": [(0, i) for i in range(30)], "q": [(1, 0)]})},
        {"gate": (2, 40), "q": (2, 20)},
    )
    drawn = matched_random(found, 0, match="pool")["x"]
    assert len(drawn) == 31 and drawn == matched_random(found, 0, match="pool")["x"]
    assert drawn != matched_random(found, 1, match="pool")["x"]
    hits = {"gate": torch.zeros(2, 40), "q": torch.zeros(2, 20)}
    for seed in range(400):
        for site, chosen in matched_random(found, seed, match="pool")["x"].places.items():
            hits[site][chosen[:, 0], chosen[:, 1]] += 1
    # each of the 120 neurons is in a draw of 31: 103 expected, deviation 8.8
    every = torch.cat([table.flatten() for table in hits.values()])
    assert every.sum() == 400 * 31 and (every - 400 * 31 / 120).abs().max() < 45
    with pytest.raises(InputError, match="way to match random neurons 'site'"):
        matched_random(found, match="site")


# ------------------------------------------------------------------ names, defaults, refusals


def test_defaults_and_metadata(both):
    summary = both[0]
    metadata = select(summary, "lap", share=0.1).metadata
    assert metadata["selector"] == "lap" and metadata["share"] == 0.1 and metadata["k"] is None
    counts = torch.zeros(2, 2, 1000, dtype=torch.long)
    counts[0] = 1
    wide = ActivationSummary(
        ("x", "y"), torch.ones(2).long(), torch.tensor([3, 3]), {"act": counts}
    )
    assert len(select(wide)["x"]) == 10  # conact, 0.5% of 2000
    assert select(wide, "lape").metadata["share"] == 0.01


def test_means_of_the_chosen_neurons_are_over_all_tokens(both):
    summary = both[0]
    found = select(summary, "conact", share=0.1)
    total = summary.tokens.sum().double()
    for culture in found:
        for (layer, index), mean in zip(
            found[culture].places["act"].tolist(), found[culture].means["act"].tolist(), strict=True
        ):
            expected = summary.sums["act"][:, layer, index].sum() / total
            assert mean == pytest.approx(float(expected), abs=1e-12)


def test_unknown_option():
    with pytest.raises(InputError, match="selector 'conact'.*percentile_filter"):
        select(summary_of_counts(), "conact", k=1, percentile_filter=0.9)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_outside_is_refused(share):
    with pytest.raises(InputError, match=r"outside \(0, 1\]"):
        select(summary_of_counts(), "conact", share=share)


@pytest.mark.parametrize("option", ["percentile_filter", "percentile_membership"])
@pytest.mark.parametrize("value", [0.0, 1.2, -1.0, 95.0])
def test_percentiles_outside_are_refused(option, value):
    with pytest.raises(InputError, match=r"outside \(0, 1\]"):
        select(summary_of_counts(), "lape", k=1, **{option: value})


def test_one_culture_is_refused():
    for method in ("conact", "lap", "lape", "mad", "random"):
        with pytest.raises(InputError, match="holds only x: .*at least two cultures"):
            select(summary_of_counts({"x": [1, 2]}), method, k=1)


def test_mad_without_magnitudes_is_refused():
    summary = summary_of_counts()
    bare = ActivationSummary(CULTURES, summary.items, summary.tokens, summary.counts)
    with pytest.raises(InputError, match="record with magnitudes=True"):
        select(bare, "mad", k=1)
    assert select(bare, "mad_probability", k=1)["x"].means == {}
