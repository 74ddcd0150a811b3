"""Units compared: records are those of evaluate, sizes as asked for, tables by hand."""

import functools
import pickle
import warnings
from collections import Counter

import pytest
import torch

import culture_lens as cl
from culture_lens.engine.shards import Shard
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments import unit_sizes
from culture_lens.experiments.compare_units import MEASURED
from culture_lens.experiments.equal_norm import ChangeOfStream
from culture_lens.experiments.unit_edits import RankedUnits, ScaledDirection, permuted
from culture_lens.experiments.unit_sizes import Sizing, UnitEdit
from culture_lens.experiments.units_compared import UnitsComparison
from culture_lens.neurons.direction_units import vector_units
from culture_lens.prompts.build import build_prompts
from tests.helpers import lm
from tests.helpers.forwards import must_not_run
from tests.helpers.marks import QUIET
from tests.helpers.questions import asked_twice, toy_questions
from tests.helpers.results import CULTURES
from tests.helpers.units import units_by_hand

TWO = ("Japan", "Mexico")


def own_set(**metadata):
    """Three neurons of each culture, whose scores are not in the order of their places."""
    neurons = {
        culture: cl.Neurons(
            {"act": torch.tensor([[0, at], [1, 5], [2, 7]])},
            {"act": torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)},
        )
        for at, culture in enumerate(TWO)
    }
    return cl.NeuronSet(neurons, {"act": (3, 48)}, {"selector": "mine", **metadata})


def directions():
    source = torch.Generator().manual_seed(3)
    held = {c: cl.Direction(c, "resid", 1, torch.randn(32, generator=source)) for c in TWO}
    return cl.Directions(held, metadata=cl.looked_at([]))


def questions():
    return asked_twice(toy_questions(cultures=TWO))


def compare(equal, **running):
    units = {"neurons": ("act", "conact"), "dimensions": ("mlp_out", "mad")}
    units |= {"own": own_set(**cl.looked_at([])), "directions": directions()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        return cl.compare_units(
            lm.lens("llama"), questions(), units, k=2, equal=equal, random_seeds=1,
            scoring="letter", **QUIET, **running,
        )  # fmt: skip


compared = functools.cache(compare)


@pytest.mark.slow
def test_the_best_units_come_first():
    ranked = RankedUnits.of([("act", 2, 1), ("q", 0, 0), ("act", 0, 3)])
    assert ranked.first(2).members() == {("act", 2, 1), ("q", 0, 0)}
    assert compared("number").neurons("own")["Japan"].members() == {("act", 1, 5), ("act", 2, 7)}
    assert compared("number").neurons("directions") == {}
    chosen = compared("number").neurons("neurons")
    assert {culture: len(own) for culture, own in chosen.items()} == dict.fromkeys(TWO, 2)


def test_random_units_are_others_of_the_same_layers():
    members = tuple(("act", layer, index) for layer in (2, 0, 2) for index in range(9, 3, -1))
    members = tuple(dict.fromkeys(members))

    def draw(seed):
        return permuted(RankedUnits.of(members), lm.lens("llama"), seed, "Japan").members(99)

    drawn = draw(1)
    assert [place[:2] for place in drawn] == [place[:2] for place in members]
    assert len(set(drawn)) == len(members) and drawn != list(members)
    assert max(Counter(drawn).values()) == 1
    assert drawn == draw(1) and drawn != draw(2)


@pytest.mark.slow
def test_at_equal_numbers_records_are_those_of_evaluate():
    result, model = compared("number"), lm.lens("llama")
    frame = result.frame
    asked = [q for q in questions() if q.id in set(frame["id"])]
    identify, evaluate = cl.split_questions(questions())
    assert {q.id for q in asked} <= {q.id for q in evaluate}
    best = cl.Neurons.of({"act": [(1, 5), (2, 7)]})
    alone = {"own": cl.evaluate(model, asked, best, scoring="letter", **QUIET).frame}
    with cl.direction_removed(model, directions()["Japan"]):
        alone["directions"] = cl.evaluate(model, asked, scoring="letter", **QUIET).frame
    for units, expected in alone.items():
        rows = frame[frame["units"].eq(units) & frame["condition"].eq("found")]
        rows = rows[rows["mask"] == "Japan"].set_index("id")["p_gold"]
        expected = expected.set_index("id")["p_gold"]
        assert rows.to_dict() == pytest.approx(expected.to_dict(), rel=1e-5)
    assert set(frame["units"]) == {"", "neurons", "dimensions", "own", "directions"}


@pytest.mark.slow
def test_at_equal_norms_every_number_is_the_nearest():
    result, model = compared("norm"), lm.lens("llama")
    reference = result.metadata["reference"]
    number = compared("number").edits()
    number = number[(number["condition"] == "found") & (number["units"] != "directions")]
    assert reference == number.groupby("units")["norm"].mean().idxmin()
    wanted = number[number["units"] == reference].set_index("mask")["norm"]
    edits = result.edits()
    turned = edits[edits["units"] == "directions"]
    for row in turned.to_dict("records"):
        assert row["norm"] == pytest.approx(wanted[row["mask"]], rel=0.0101)
        assert row["scale"] > 0 and row["number"] == 1
    identify, _ = cl.split_questions(questions())
    japanese = [q for q in identify if q.culture == "Japan"][:MEASURED]
    stream = ChangeOfStream(model, build_prompts(japanese, model.processor), 16)
    ranked = RankedUnits.of([("act", 1, 5), ("act", 2, 7), ("act", 0, 0)])
    norms = [stream.norm(ranked.hooks(model, n)) for n in (1, 2, 3)]
    nearest = min(range(3), key=lambda at: abs(norms[at] - wanted["Japan"]))
    mine = edits[edits["units"].eq("own") & edits["condition"].eq("found")].set_index("mask")
    assert mine.loc["Japan", "number"] == nearest + 1
    assert mine.loc["Japan", "norm"] == pytest.approx(norms[nearest], rel=1e-4)


@pytest.mark.slow
def test_a_direction_is_subtracted_as_often_as_its_size_says():
    result, model = compared("norm"), lm.lens("llama")
    own = result.edits().query("units == 'directions' and condition == 'found'").set_index("mask")
    asked = [q for q in questions() if q.id in set(result.frame["id"])]
    with cl.direction_added(model, directions()["Japan"], -own.loc["Japan", "scale"]):
        expected = cl.evaluate(model, asked, scoring="letter", **QUIET).frame
    rows = result.frame.query("units == 'directions' and condition == 'found' and mask == 'Japan'")
    got = rows.set_index("id")["p_gold"].to_dict()
    assert got == pytest.approx(expected.set_index("id")["p_gold"].to_dict(), rel=1e-5)


@pytest.mark.slow
def test_a_comparison_that_was_cut_off_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    whole = compared("norm").to_parquet(tmp_path / "whole.parquet")
    sizes, original = [], unit_sizes.size_of

    def fails(*given):
        if len(sizes) == 9:  # six of the reference, and then three
            raise KeyboardInterrupt
        sizes.append(original(*given))
        return sizes[-1]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unit_sizes, "size_of", fails)
        compare("norm", run=tmp_path / "run")
    held = {file: file.read_bytes() for file in (tmp_path / "run" / "pieces").rglob("*.json")}
    assert len(held) == 9
    compare("norm", run=tmp_path / "run")
    must_not_run(monkeypatch)
    again = compare("norm", run=tmp_path / "run").to_parquet(tmp_path / "again.parquet")
    assert again.read_bytes() == whole.read_bytes()
    assert all(file.read_bytes() == content for file, content in held.items())


@pytest.mark.slow
def test_workers_find_the_sizes_that_this_process_finds():
    """What Ray sends to its workers gives the same where it arrives."""
    model, asked = lm.lens("llama"), questions()
    prompts = [p for p in build_prompts(asked, model.processor) if p.question.culture == "Japan"]
    ranked, turned = RankedUnits.of([("act", 1, 5), ("act", 2, 7)]), directions()["Japan"]
    edits = [UnitEdit("a", "Japan", ranked), UnitEdit("b", "Japan", ScaledDirection(turned))]
    shard, sizing = Shard(0, prompts, (0, 1)), Sizing(edits, 2, {"Japan": 0.1}, 4)
    sent = pickle.loads(pickle.dumps(sizing))
    assert sent(model, shard, False) == sizing(model, shard, False)
    units = vector_units(model, [turned, turned], [0.5, 2.0])
    arrived = pickle.loads(pickle.dumps(units))
    assert arrived.content == units.content and torch.equal(arrived.rows, units.rows)
    assert torch.equal(arrived.rows[1], 2.0 * turned.vector)


def test_the_table_by_hand(tmp_path):
    result = units_by_hand()
    table = result.table().set_index("units")
    # a culture's own mask breaks items 0, 2, 4, ... of 12, of which none was wrong before
    assert table.loc["neurons", ["self", "cross", "gap"]].tolist() == [-0.5, 0.0, -0.5]
    assert table.loc["features", ["self", "cross", "gap"]].tolist() == [0.0, 0.0, 0.0]
    assert table.loc["neurons", "random_self"] == pytest.approx(-1 / 12)
    assert table.loc["neurons", "beyond_random"] == pytest.approx(-0.5 + 1 / 12)
    sizes = table.loc["features", ["number", "norm", "random_number"]].tolist()
    assert sizes == pytest.approx([2, 0.1, 6])
    assert table.loc["neurons", "selector"] == "conact"
    assert result.difference("neurons", "features", "self").value == -0.5
    estimate = result.estimate("neurons", "self")
    assert (estimate.low, estimate.high) == tuple(table.loc["neurons", ["self_low", "self_high"]])
    again = UnitsComparison.from_parquet(result.to_parquet(tmp_path / "units.parquet"))
    assert again.table().equals(result.table())
    with pytest.raises(InputError, match="kind of units"):
        result.matrix("heads")
    assert result.matrix("features").masks == tuple(sorted(CULTURES))


@pytest.mark.slow
def test_the_chart_holds_the_table():
    result = units_by_hand()
    figure = cl.plots.units_chart(result)
    marks = {trace.name: trace for trace in figure.data}
    assert (marks["neurons"].x[0], marks["neurons"].y[0]) == (0.0, -0.5)
    assert marks["random neurons"].y[0] == pytest.approx(-1 / 12)
    assert marks["neurons"].marker.symbol == marks["random neurons"].marker.symbol
    assert "equal numbers of units" in figure.layout.title.subtitle.text.replace("<br>", " ")


def test_what_cannot_be_compared_is_refused(idle):
    with pytest.raises(InputError, match="nothing for France"):
        cl.compare_units(
            idle, toy_questions(cultures=("Japan", "France")), {"own": own_set(**cl.looked_at([]))}
        )
    with pytest.raises(InputError, match="every question was used"):
        cl.compare_units(idle, questions(), {"own": own_set(**cl.looked_at(questions()))})
    with pytest.raises(InputError, match="found on 'another'"):
        cl.compare_units(idle, questions(), {"own": own_set(model="another")})
    none = cl.NeuronSet(dict.fromkeys(TWO, cl.Neurons.of({})), {"act": (3, 48)}, cl.looked_at([]))
    with pytest.raises(InputError, match="nothing for Japan"):
        cl.compare_units(idle, questions(), {"own": none})
    with pytest.raises(InputError, match="name more in cultures="):
        cl.compare_units(idle, questions(), {"neurons": ("act", "mad")}, cultures=["Japan"])
    with pytest.raises(InputError, match="has 144 units"):
        cl.compare_units(idle, questions(), {"neurons": ("act", "mad")}, k=145)
