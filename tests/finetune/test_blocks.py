"""Blocks of layers, as CULNIG trains them: what belongs to one, how it is counted, what moves."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.finetune import choose_modules, finetune, plain_copy, rank_modules
from culture_lens.finetune.modules import ModuleRanking, RankedModule
from culture_lens.finetune.projections import Projection
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.finetune import FAST, found_on, of, questions_for, weights
from tests.helpers.marks import mostly_slow, quiet

pytestmark = quiet


def found_at(model, places):
    """One culture's neurons; only the sites named were searched."""
    shapes = {site: model.shape(site) for site in places}
    return NeuronSet({"a": Neurons.of(places)}, shapes, {"selector": "made up"})


def held(ranking):
    """Name and layer of each module -> its neurons, in order."""
    return {(module.name, module.layer): module.neurons for module in ranking.modules}


def test_blocks_are_counted_by_hand():
    model = of("llama")
    ranking = rank_modules(found_on(model), model)
    # Layer 1: gate 0, 1, 2, 40, 47; three each of q, k and v. Layer 0: gate 3; one of q, one of k,
    # two of v. Layer 2 has none: attention stands before the MLP there, as in the model.
    assert list(held(ranking).items()) == [
        (("attention", 1), 9),
        (("mlp", 1), 5),
        (("attention", 0), 4),
        (("mlp", 0), 1),
        (("attention", 2), 0),
        (("mlp", 2), 0),
    ]
    table = ranking.to_pandas()
    assert list(table.columns)[0] == "block" and ranking.unit == "block"
    assert table["density"].tolist()[:2] == [9 / (32 + 16 + 16), 5 / 48]
    assert table["parameters"].tolist()[:2] == [32 * (32 + 16 + 16 + 32), 3 * 32 * 48]
    assert table["module"].tolist()[:2] == ["model.layers.1.self_attn", "model.layers.1.mlp"]
    own = rank_modules(found_on(model), model, culture="Mexico")
    assert list(held(own).items())[:3] == [
        (("mlp", 1), 3),
        (("attention", 0), 1),
        (("mlp", 0), 0),  # of those with none, the lower layer
    ]


@pytest.mark.parametrize(
    ("name", "mlp", "attention"),
    [
        ("llama", ["gate", "up", "down"], ["q", "k", "v", "o"]),
        ("phi3", ["gate", "up", "down"], ["q", "k", "v", "o"]),
        ("gpt2", ["gate", "down"], ["q", "k", "v", "o"]),
    ],
)
def test_a_block_has_every_projection_of_its_half_of_the_layer(name, mlp, attention):
    model = of(name)
    blocks = {m.name: m for m in rank_modules(found_on(model), model).modules if m.layer == 1}
    assert sorted(p.name for p in blocks["mlp"].projections) == sorted(mlp)
    assert sorted(p.name for p in blocks["attention"].projections) == sorted(attention)
    # A fused module is in its block with all its outputs, without a gap.
    for block in blocks.values():
        for path in {p.path for p in block.projections}:
            parts = sorted((p.start, p.stop) for p in block.projections if p.path == path)
            whole = next(p.outputs for p in block.projections if p.path == path)
            ends = [0, *(stop for _, stop in parts)]
            assert [start for start, _ in parts] == ends[:-1] and ends[-1] == whole


def test_gpt2_blocks_have_their_biases():
    model = of("gpt2")
    blocks = {m.name: m for m in rank_modules(found_on(model), model).modules if m.layer == 0}
    assert blocks["mlp"].parameters == (32 * 48 + 48) + (48 * 32 + 32)
    assert blocks["attention"].parameters == (32 * 96 + 96) + (32 * 32 + 32)


def test_one_neuron_of_an_mlp_counts_once_at_whatever_sites():
    model = of("llama")
    places = {"act": [(1, 5), (1, 6)], "gate": [(1, 5)], "up": [(1, 5)], "post": [(1, 7), (2, 0)]}
    ranking = rank_modules(found_at(model, places), model)
    assert held(ranking) == {("mlp", 1): 3, ("mlp", 2): 1, ("mlp", 0): 0}
    assert ranking.modules[0].width == 48


def test_neurons_of_attention_are_added_and_z_is_one_of_its_sites():
    model = of("llama")
    places = {"q": [(0, 5)], "z": [(0, 5), (0, 6)]}
    ranking = rank_modules(found_at(model, places), model)
    assert held(ranking) == {("attention", 0): 3, ("attention", 1): 0, ("attention", 2): 0}
    assert ranking.modules[0].width == 32 + 32  # k and v were not searched


def test_only_searched_blocks_are_ranked():
    """Otherwise the modules with fewest neurons would be those in which nobody looked."""
    model = of("llama")
    assert {m.name for m in rank_modules(found_at(model, {"act": [(0, 0)]}), model).modules} == {
        "mlp"
    }
    found = found_at(model, {"v": [(0, 0)]})
    assert {m.name for m in rank_modules(found, model).modules} == {"attention"}
    with pytest.raises(InputError, match="none of the projections v is in the part 'mlp'"):
        rank_modules(found, model, part="mlp")
    both = found_on(model)
    assert {m.name for m in rank_modules(both, model, part="mlp").modules} == {"mlp"}
    assert {m.name for m in rank_modules(both, model, part="attention").modules} == {"attention"}


@pytest.mark.parametrize(("name", "mlp"), [("t5", 2 * 32 * 48), ("flan", 3 * 32 * 48)])
def test_stacks_and_the_attention_between_them_are_blocks_of_their_own(name, mlp):
    model = of(name)
    places = {
        "encoder.act": [(1, 0), (1, 1)], "decoder.act": [(1, 0)], "decoder.q": [(0, 3)],
        "cross.q": [(1, 1)], "cross.v": [(1, 1), (1, 2)],
    }  # fmt: skip
    ranking = rank_modules(found_at(model, places), model)
    counts = held(ranking)
    assert list(counts.items())[:4] == [
        (("cross.attention", 1), 3),
        (("encoder.mlp", 1), 2),
        (("decoder.attention", 0), 1),  # 1 of 24, before 1 of 48
        (("decoder.mlp", 1), 1),
    ]
    # The encoder's attention was not searched.
    assert len(counts) == model.layers("encoder.act") + 3 * model.layers("decoder.act")
    by_name = {m.name: m for m in ranking.modules}
    assert by_name["encoder.mlp"].parameters == mlp
    assert by_name["cross.attention"].parameters == 4 * 32 * 24
    assert by_name["cross.attention"].width == 24 + 24


@pytest.mark.parametrize("name", mostly_slow(["llama", "phi3", "gpt2", "flan"], fast=["gpt2"]))
def test_a_trained_block_moves_whole_and_nothing_else_does(name):
    """By the names of plain transformers, written out here."""
    model = of(name)
    stem = "encoder." if name == "flan" else ""
    places = {f"{stem}act": [(1, 0)], f"{stem}q": [(0, 0)]}
    top = choose_modules(rank_modules(found_at(model, places), model), parameter_share=1.0)
    chosen = [m for m in top.modules if m.neurons]
    tuned = finetune(model, questions_for(name), chosen, **FAST)
    before, after = weights(plain_copy(model)), weights(plain_copy(tuned.model))
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    leaves = {
        "llama": (
            "model.layers.1.mlp.{}_proj",
            "gate up down",
            "model.layers.0.self_attn.{}_proj",
            "q k v o",
        ),
        "phi3": (
            "model.layers.1.mlp.{}_proj",
            "gate_up down",
            "model.layers.0.self_attn.{}_proj",
            "qkv o",
        ),
        "gpt2": ("transformer.h.1.mlp.c_{}", "fc proj", "transformer.h.0.attn.c_{}", "attn proj"),
        "flan": (
            "encoder.block.1.layer.1.DenseReluDense.{}",
            "wi_0 wi_1 wo",
            "encoder.block.0.layer.0.SelfAttention.{}",
            "q k v o",
        ),
    }[name]
    paths = [leaves[i].format(leaf) for i in (0, 2) for leaf in leaves[i + 1].split()]
    kinds = ("weight", "bias") if name == "gpt2" else ("weight",)
    assert moved == {f"{path}.{kind}" for path in paths for kind in kinds}
    assert tuned.result["trained_parameters"] == sum(before[key].numel() for key in moved)


def published(layer, neurons, width=15360, d_model=3840):
    """An MLP block of gemma-3-12b."""
    sizes = [("gate", width, d_model), ("up", width, d_model), ("down", d_model, width)]
    parts = [
        Projection(n, layer, f"layers.{layer}.mlp.{n}_proj", 0, o, o, i, o * i) for n, o, i in sizes
    ]
    return RankedModule("mlp", tuple(parts), neurons, width)


def test_the_published_choice_is_seven_mlp_blocks():
    """The list in CULNIG's train/config.yaml, which is 10.2% of the 12,187,325,040 parameters."""
    counts = {13: 785, 12: 685, 14: 612, 10: 491, 11: 469, 7: 429, 9: 409, 35: 0}
    modules = tuple(published(layer, n) for layer, n in counts.items())
    ranking = ModuleRanking(modules, "number", "block", 12_187_325_040, "google/gemma-3-12b-it")
    top = choose_modules(ranking, parameter_share=0.11)
    assert [module.layer for module in top.modules] == [13, 12, 14, 10, 11, 7, 9]
    assert round(top.share, 4) == 0.1016
    assert len(choose_modules(ranking, parameter_share=0.10).modules) == 6  # at most, not about


def test_bad_units():
    model = of("llama")
    found = found_on(model)
    with pytest.raises(InputError, match="'block' or 'projection'"):
        rank_modules(found, model, unit="layer")
    with pytest.raises(InputError, match="give unit='projection' too"):
        rank_modules(found, model, projections=("gate", "up"))
    ranking = rank_modules(found_at(model, {"act": [(0, 0)]}), model)
    share = 3 * 32 * 48 / ranking.total
    with pytest.raises(
        InputError, match="mlp of layer 0 has 4608 of .*unit='projection'"
    ) as refused:
        choose_modules(ranking, parameter_share=0.05)
    least = float(str(refused.value).split("at least ")[1].split(",")[0])
    assert share <= least < share + 0.001
    assert (
        len(choose_modules(ranking, parameter_share=least).modules) == 1
    )  # what it names is enough
