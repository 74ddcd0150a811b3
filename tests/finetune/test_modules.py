"""Modules are found in every architecture, ranked and counted by hand, and chosen by share."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.finetune import choose_modules, plain_copy, rank_modules
from culture_lens.finetune.projections import projections_of, transposed
from culture_lens.finetune.unwrap import skeleton
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.finetune import EVERY, TEXT, found_on, of, reference
from tests.helpers.marks import mostly_slow


@pytest.mark.parametrize("name", mostly_slow(EVERY, fast=("llama", "gpt2", "vlm-llava", "flan")))
def test_a_plain_copy_has_the_weights_and_ties_of_the_checkpoint(name):
    model, expected = of(name), reference(name)
    before = model.fingerprint
    plain = plain_copy(model)
    assert type(plain) is type(expected)
    own, held = plain.state_dict(), expected.state_dict()
    assert own.keys() == held.keys()
    assert all(torch.equal(own[key], held[key]) for key in held)
    assert len(list(plain.parameters())) == len(list(expected.parameters()))  # ties kept
    assert {b for b, _ in plain.named_buffers()} == {b for b, _ in expected.named_buffers()}
    assert not any(b.is_meta for b in plain.buffers())
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert model.bridge.original_model.get_input_embeddings().weight.any()
    assert model.fingerprint == before


@pytest.mark.parametrize("name", EVERY)
def test_every_projection_is_that_of_its_site(name):
    """A change of one output's weights, in plain transformers, changes that neuron and no other.

    Neurons of other heads or rows of a fused module would show a slip of the rows.
    """
    model = of(name)
    plain = plain_copy(model)
    torch.manual_seed(0)
    for (projection, layer), place in projections_of(model, plain).items():
        if projection.rpartition(".")[2] in ("down", "o"):
            continue
        module = plain.get_submodule(place.path)
        weight = module.weight.T if transposed(module) else module.weight
        neuron = place.width - 1
        inputs = torch.randn(4, place.inputs)
        with torch.no_grad():
            before = module(inputs)[:, place.start : place.stop]
            weight[place.start + neuron] += 1.0
            after = module(inputs)[:, place.start : place.stop]
        changed = (before != after).any(0).nonzero().flatten().tolist()
        assert changed == [neuron]
        held = bridged_weight(model, projection, layer)
        with torch.no_grad():
            weight[place.start + neuron] -= 1.0
        assert torch.allclose(weight[place.start : place.stop], held, atol=1e-6)


def bridged_weight(model, site, layer):
    """The weights, outputs x inputs, behind the hook that the site is read at."""
    name = model.hook_name(site, layer).removesuffix(".hook_out")
    component = model.bridge.get_submodule(name)
    inner = component.original_component
    weight = inner.weight
    return weight.T if transposed(inner) else weight


def test_ranking_counts_neurons_by_hand():
    model = of("llama")
    ranking = rank_modules(found_on(model), model, unit="projection")
    table = ranking.to_pandas()
    # Both cultures: gate 1 has 0, 1, 2, 40, 47; q, k, v have three in layer 1; layer 0 one each,
    # v there two. Of 48 gate neurons, 32 of q, and 16 of k and v.
    assert table[["projection", "layer", "neurons"]].head(5).values.tolist() == [
        ["gate", 1, 5],
        ["k", 1, 3],  # 3/16 before 3/32: the density decides between like numbers
        ["v", 1, 3],
        ["q", 1, 3],
        ["v", 0, 2],
    ]
    assert table["neurons"].sum() == 5 + 9 + 1 + 1 + 1 + 2
    assert len(table) == 4 * model.n_layers
    assert table["density"].iloc[0] == 5 / 48
    assert ranking.total == sum(p.numel() for p in reference("llama").parameters())
    assert table["share"].iloc[0] == 48 * 32 / ranking.total
    by_density = rank_modules(found_on(model), model, unit="projection", by="density").to_pandas()
    assert by_density["projection"].tolist()[:2] == ["k", "v"]
    own = rank_modules(found_on(model), model, unit="projection", culture="Mexico").to_pandas()
    assert own["neurons"].tolist()[:3] == [3, 1, 0]


def test_attention_and_mlp_apart():
    model = of("llama")
    found = found_on(model)
    mlp = rank_modules(found, model, unit="projection", part="mlp").to_pandas()
    attention = rank_modules(found, model, unit="projection", part="attention").to_pandas()
    assert set(mlp["projection"]) == {"gate"} and set(attention["projection"]) == {"q", "k", "v"}
    more = rank_modules(
        found, model, unit="projection", part="mlp", projections=("gate", "up", "down")
    ).to_pandas()
    assert set(more["projection"]) == {"gate", "up", "down"}
    assert more[more["projection"] != "gate"]["neurons"].sum() == 0


def test_sites_belong_to_the_projection_that_makes_or_reads_them():
    model = of("llama")
    shapes = {site: model.shape(site) for site in ("act", "gate", "post", "z")}
    neurons = Neurons.of({"act": [(0, 1)], "gate": [(0, 1)], "post": [(2, 0)], "z": [(1, 5)]})
    ranking = rank_modules(NeuronSet({"a": neurons}, shapes), model, unit="projection")
    held = {(m.name, m.layer): m.neurons for m in ranking.modules}
    assert {place: n for place, n in held.items() if n} == {
        ("gate", 0): 1,  # one neuron, at act and at gate
        ("down", 2): 1,
        ("o", 1): 1,
    }
    assert next(m.width for m in ranking.modules if m.name == "down") == 48


@pytest.mark.parametrize("name", TEXT)
def test_parameters_are_counted_exactly(name):
    """Over all projections, as the parameters of the decoder's linear modules."""
    model = of(name)
    plain = skeleton(model)
    places = projections_of(model, plain).values()
    modules = {plain.get_submodule(place.path) for place in places}
    linear = sum(p.numel() for module in modules for p in module.parameters())
    assert sum(place.parameters for place in places) == linear
    by_name = [
        p.numel()
        for n, p in plain.named_parameters()
        if any(part in n for part in (".mlp.", "attn.")) and "norm" not in n
    ]
    assert linear == sum(by_name)


def test_the_share_is_held_and_filled_in_order():
    model = of("llama")
    ranking = rank_modules(found_on(model), model, unit="projection")
    for share in (0.05, 0.10, 0.3, 1.0):
        top = choose_modules(ranking, "top", parameter_share=share)
        n = len(top.modules)
        assert top.modules == ranking.modules[:n]
        assert top.share <= share
        if n < len(ranking.modules):
            following = ranking.modules[n].parameters
            assert top.parameters + following > share * ranking.total
        bottom = choose_modules(ranking, "bottom", parameter_share=share)
        assert bottom.modules == ranking.modules[::-1][: len(bottom.modules)]
    assert len(top.modules) == len(ranking.modules)


def test_random_modules_follow_from_the_seed():
    model = of("llama")
    ranking = rank_modules(found_on(model), model, unit="projection")
    drawn = [choose_modules(ranking, "random", seed=seed).modules for seed in range(20)]
    assert drawn[3] == choose_modules(ranking, "random", seed=3).modules
    assert len({tuple(m.path for m in modules) for modules in drawn}) > 10
    by_density = rank_modules(found_on(model), model, unit="projection", by="density")
    again = choose_modules(by_density, "random", seed=3).modules
    assert [m.projections for m in again] == [m.projections for m in drawn[3]]


def test_bad_choices():
    model = of("llama")
    ranking = rank_modules(found_on(model), model, unit="projection")
    for share in (0.0, -0.1, 1.01):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            choose_modules(ranking, parameter_share=share)
    with pytest.raises(InputError, match="no module fits a share of 0.001.*gate of layer 1"):
        choose_modules(ranking, parameter_share=0.001)
    with pytest.raises(InputError, match="'top', 'bottom' or 'random'"):
        choose_modules(ranking, "best")
    found = found_on(model)
    with pytest.raises(InputError, match="number"):
        rank_modules(found, model, by="size")
    with pytest.raises(InputError, match="part of a layer"):
        rank_modules(found, model, part="mpl")
    with pytest.raises(InputError, match="projection of this model 'gait'"):
        rank_modules(found, model, unit="projection", projections=("gait",))
    with pytest.raises(InputError, match="none of the projections"):
        rank_modules(found, model, unit="projection", part="attention", projections=("gate",))
    with pytest.raises(InputError, match="culture"):
        rank_modules(found, model, culture="Peru")
    wide = NeuronSet(found.neurons, {**found.shapes, "gate": (3, 49)})
    with pytest.raises(InputError, match="49"):
        rank_modules(wide, model)


def test_a_fused_projection_that_is_laid_out_otherwise_is_refused():
    model = of("phi3")
    plain = skeleton(model)
    plain.model.layers[1].mlp.gate_up_proj = torch.nn.Linear(32, 97, device="meta")
    with pytest.raises(InputError, match="97 outputs"):
        projections_of(model, plain)
    plain = skeleton(of("llama"))
    del plain.model.layers[2].self_attn.k_proj
    with pytest.raises(InputError, match="'k' of layer 2"):
        projections_of(of("llama"), plain)
