"""NeuronScores.top, set algebra, overlap, files, and the check against a model."""

import math
import warnings

import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NEVER, NeuronScores, best, check_share
from culture_lens.storage.files import load_tensors, save_tensors
from tests.helpers.lm import lens


def scores(**sites):
    """Scores of two cultures at sites, from nested lists ``culture layer neuron``."""
    held = {site: torch.tensor(values, dtype=torch.float64) for site, values in sites.items()}
    return NeuronScores(("Japan", "Peru"), held)


ACT = [[[0.1, 0.9, 0.5], [0.9, 0.2, 0.9]], [[0.3, 0.3, 0.3], [0.3, 0.3, 0.4]]]


def found_set(**changes):
    fields = {
        "neurons": {
            "Japan": Neurons.of({"act": [(0, 1), (1, 2)], "q": [(1, 0)]}),
            "Peru": Neurons.of({"act": [(1, 2), (2, 3)], "q": []}),
            "Italy": Neurons.of({"act": [(1, 2)]}),
        },
        "shapes": {"act": (3, 4), "q": (3, 2)},
        "metadata": {"model": "tiny", "selector": "conact"},
    }
    return NeuronSet(**{**fields, **changes})


# ------------------------------------------------------------------ top


def test_top_k_and_ties_keep_layer_and_index_order():
    found = scores(act=ACT).top(k=2)
    assert found["Japan"].places["act"].tolist() == [[0, 1], [1, 0]]  # of three 0.9 the first two
    assert found["Japan"].scores["act"].tolist() == [0.9, 0.9]
    assert found["Peru"].places["act"].tolist() == [[0, 0], [1, 2]]
    assert found["Peru"].scores["act"].tolist() == [0.3, 0.4]
    assert found.shapes == {"act": (2, 3)}


def test_top_share_is_cut_off_not_rounded():
    assert len(scores(act=ACT).top(share=0.5)["Japan"]) == 3
    assert len(scores(act=ACT).top(share=0.49)["Japan"]) == 2
    assert len(scores(act=ACT).top(share=1.0)["Japan"]) == 6


def test_each_site_has_its_own_share():
    q = [[[1.0, 2.0, 3.0, 4.0]] * 2] * 2
    found = scores(act=ACT, q=q).top(share=0.5)
    assert len(found["Japan"].places["act"]) == 3 and len(found["Japan"].places["q"]) == 4


def test_what_may_never_be_chosen_is_not():
    never = [[[NEVER, 0.5, NEVER]], [[NEVER, NEVER, NEVER]]]
    found = scores(act=never).top(k=3)
    assert found["Japan"].places["act"].tolist() == [[0, 1]]
    assert found["Peru"].places["act"].shape == (0, 2)


def test_a_ranking_is_over_all_cultures():
    ranking = {"act": torch.tensor([[3.0, 2.0, NEVER, 1.0]])}
    table = torch.tensor([[[0.1, NEVER, 0.9, 0.8]], [[0.2, 0.5, 0.9, NEVER]]])
    found = NeuronScores(("Japan", "Peru"), {"act": table}, ranking).top(k=2)
    assert found["Japan"].places["act"].tolist() == [[0, 0]]
    assert found["Peru"].places["act"].tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.nan, math.inf])
def test_a_share_outside_is_refused(share):
    with pytest.raises(InputError, match=r"outside \(0, 1\]: 0.005 stands for 0.5%"):
        scores(act=ACT).top(share=share)
    with pytest.raises(InputError):
        check_share(share)


def test_number_of_neurons():
    for options in ({}, {"share": 0.5, "k": 1}):
        with pytest.raises(InputError, match="give share=... or k=..., one of them"):
            scores(act=ACT).top(**options)
    for options, number in (({"k": 0}, 0), ({"k": 7}, 7), ({"share": 0.1}, 0), ({"k": -1}, -1)):
        with pytest.raises(InputError, match=f"site 'act': {number} of 6 neurons asked for"):
            scores(act=ACT).top(**options)


def test_best_against_sorting_by_hand():
    source = torch.Generator().manual_seed(0)
    table = torch.randint(0, 5, (3, 7), generator=source).double()  # many ties
    allowed = torch.rand(3, 7, generator=source) < 0.7
    for count in (1, 5, 21):
        places = [(i, j) for i in range(3) for j in range(7) if allowed[i, j]]
        expected = sorted(sorted(places, key=lambda p: -table[p])[:count])
        assert [tuple(p) for p in best(table, allowed, count).tolist()] == expected


# ------------------------------------------------------------------ sets


def test_set_algebra():
    a, b = found_set()["Japan"], found_set()["Peru"]
    assert (a & b).members() == {("act", 1, 2)}
    assert (a - b).members() == {("act", 0, 1), ("q", 1, 0)}
    assert (a | b).members() == a.members() | b.members()
    assert a | b == b | a and hash(a | b) == hash(b | a) and a != b
    assert len(a) == 3 and len(a & a) == 3 and len(a - a) == 0
    assert Neurons.of({"act": [(1, 2), (0, 1), (1, 2)]}).places["act"].tolist() == [[0, 1], [1, 2]]


def test_algebra_and_top_carry_scores_and_means_along():
    places = torch.tensor([[0, 1], [0, 2], [1, 0]])
    neurons = Neurons(
        {"act": places}, {"act": torch.tensor([0.3, 0.9, 0.3])}, {"act": torch.tensor([1.0, 2, 3])}
    )
    kept = neurons - Neurons.of({"act": [(0, 2)]})
    assert kept.scores["act"].tolist() == pytest.approx([0.3, 0.3])
    assert kept.means["act"].tolist() == [1.0, 3.0]
    two = neurons.top(2)
    assert two.places["act"].tolist() == [[0, 1], [0, 2]]
    assert two.means["act"].tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match="carry no scores"):
        Neurons.of({"act": [(0, 1)]}).top(1)


def test_per_layer_and_mask():
    neurons = found_set()["Japan"]
    assert neurons.per_layer("act", 3).tolist() == [1, 1, 0]
    assert neurons.per_layer("v", 3).tolist() == [0, 0, 0]
    mask = neurons.mask("act", (3, 4))
    assert mask.sum() == 2 and mask[0, 1] and mask[1, 2]
    assert not neurons.mask("v", (3, 4)).any()


def test_union_shared_only():
    found = found_set()
    assert found.union().members() == {
        ("act", 0, 1), ("act", 1, 2), ("act", 2, 3), ("q", 1, 0),
    }  # fmt: skip
    assert found.union("Peru", "Italy").members() == {("act", 1, 2), ("act", 2, 3)}
    assert found.shared().members() == {("act", 1, 2)}
    assert found.only("Japan").members() == {("act", 0, 1), ("q", 1, 0)}
    assert len(found.only("Italy")) == 0
    assert found.cultures == tuple(found) == ("Japan", "Peru", "Italy") and len(found) == 3


def test_unknown_culture():
    with pytest.raises(InputError, match="unknown culture 'Japn': did you mean 'Japan'"):
        found_set()["Japn"]


def test_overlap_is_jaccard():
    neurons = {**found_set().neurons, "Nobody": Neurons.of({}), "None": Neurons.of({})}
    table = found_set(neurons=neurons).overlap()
    assert table.loc["Japan", "Peru"] == table.loc["Peru", "Japan"] == pytest.approx(1 / 4)
    assert table.loc["Japan", "Italy"] == pytest.approx(1 / 3)
    assert table.loc["Japan", "Japan"] == 1 and table.loc["Japan", "Nobody"] == 0
    assert math.isnan(table.loc["Nobody", "None"]) and math.isnan(table.loc["None", "None"])


def test_layer_share():
    table = found_set().layer_share("act")
    assert table.loc["Japan"].tolist() == [0.5, 0.5, 0]
    assert table.loc["Peru"].tolist() == [0, 0.5, 0.5]
    assert found_set().layer_share().loc["Japan"].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    empty = found_set(neurons={"Nobody": Neurons.of({"act": []})})
    assert empty.layer_share("act").loc["Nobody"].tolist() == [0, 0, 0]


def test_to_pandas():
    found = scores(act=ACT).top(k=2)
    frame = found.to_pandas()
    assert list(frame.columns) == ["culture", "site", "layer", "index", "score"]
    assert frame.iloc[3].tolist() == ["Peru", "act", 1, 2, 0.4]
    assert len(found_set().to_pandas()) == 6 and found_set().to_pandas()["score"].isna().all()


# ------------------------------------------------------------------ files and models


def test_save_and_load(tmp_path):
    found = scores(act=ACT, q=[[[1.0, 2.0]] * 2] * 2).top(k=1)
    found = NeuronSet(
        {
            c: Neurons(n.places, n.scores, {"act": torch.tensor([0.25])})
            for c, n in found.neurons.items()
        },
        found.shapes,
        {"model": "tiny", "groups": ["ä", "b"], "date": "2020-01-01"},
    )
    loaded = NeuronSet.load(found.save(tmp_path / "f.safetensors"))
    assert loaded.cultures == found.cultures and loaded.shapes == found.shapes
    assert loaded.metadata == found.metadata
    for culture in found:
        assert loaded[culture] == found[culture]
        assert torch.equal(loaded[culture].scores["act"], found[culture].scores["act"])
        assert loaded[culture].means["act"].tolist() == [0.25]
    empty = found_set(neurons={"a.b/c": Neurons.of({}), "d": Neurons.of({"act": []})})
    loaded = NeuronSet.load(empty.save(tmp_path / "e.safetensors"))
    assert loaded.cultures == ("a.b/c", "d") and len(loaded.union()) == 0
    assert loaded.metadata["date"]


def test_scores_save_and_load(tmp_path):
    ranking = {"act": torch.tensor([[3.0, NEVER, 1.0], [0.0, 1.0, 2.0]])}
    given = NeuronScores(("Japan", "Peru"), scores(act=ACT).scores, ranking, {"selector": "lape"})
    loaded = NeuronScores.load(given.save(tmp_path / "s.safetensors"))
    assert loaded.cultures == given.cultures and loaded.metadata == given.metadata
    assert torch.equal(loaded.scores["act"], given.scores["act"])
    assert torch.equal(loaded.ranking["act"], given.ranking["act"])
    with pytest.raises(InputError, match="holds 'neuron scores', not a neuron set"):
        NeuronSet.load(tmp_path / "s.safetensors")


def test_damaged_files(tmp_path):
    path = found_set().save(tmp_path / "f.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="f.safetensors is damaged or truncated"):
        NeuronSet.load(path)


@pytest.mark.parametrize("place", [(3, 0), (0, 4), (-1, 0), (0, -1)])
def test_neurons_outside_the_model_are_refused(tmp_path, place):
    tensors, metadata = load_tensors(found_set().save(tmp_path / "f.safetensors"), "neuron set")
    tensors["0.places.act"][0] = torch.tensor(place)
    path = save_tensors(tmp_path / "g.safetensors", "neuron set", tensors, metadata)
    with pytest.raises(InputError, match=r"g.safetensors: a neuron of Japan.*\(3, 4\).*'act'"):
        NeuronSet.load(path)


def test_another_model_is_refused(tiny, tmp_path):
    model = tiny("llama")
    shapes = {"act": (model.n_layers, model.widths["act"])}
    neurons = {"Japan": Neurons.of({"act": [(0, 1)]})}
    good = NeuronSet(neurons, shapes, {"model": "tiny-llama"})
    good.check_model(model)
    NeuronSet(neurons, shapes).check_model(model)  # a model that was not recorded
    path = good.save(tmp_path / "f.safetensors")
    assert NeuronSet.load(path, model)["Japan"] == neurons["Japan"]
    with pytest.raises(InputError, match="found on 'tiny-llama', not on 'tiny-qwen2'.*load that"):
        NeuronSet.load(path, tiny("qwen2"))
    with pytest.raises(InputError, match=r"12 layers of 3072 neurons at site 'act'.*3 of 48.*gpt2"):
        NeuronSet(neurons, {"act": (12, 3072)}, {"model": "gpt2"}).check_model(model)
    with pytest.raises(InputError, match="at site 'up'"):
        up = {"Japan": Neurons.of({"up": [(0, 1)]})}
        NeuronSet(up, {"up": (3, 48)}, {}).check_model(tiny("gpt2"))


def test_other_weights_under_the_same_name_are_noticed():
    model = lens("llama")
    shapes = {"act": (model.n_layers, model.widths["act"])}
    neurons = {"Japan": Neurons.of({"act": [(0, 1)]})}
    known = {"model": model.name, "weights": model.fingerprint}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NeuronSet(neurons, shapes, known).check_model(model)
    with pytest.warns(CultureLensWarning, match="trained further"):
        NeuronSet(neurons, shapes, {**known, "weights": "other"}).check_model(model)
    with pytest.warns(CultureLensWarning, match=r"version 0\.1\.0.* cannot be told"):
        NeuronSet(neurons, shapes, {**known, "weights": "0" * 20}).check_model(model)
