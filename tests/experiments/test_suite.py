"""The main table of ConAct's paper: cells by hand, random neurons, wordings, real benchmarks."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.evaluate_suite import evaluate_suite
from culture_lens.experiments.suite import Suite
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.selectors import matched_random
from culture_lens.statistics.tables import as_estimates
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import lens
from tests.helpers.marks import needs_data
from tests.helpers.places import DATA
from tests.helpers.questions import toy_questions

QUIET = {"progress": False, "scoring": "letter"}


def suite_of(found, base, random=None, groups=None, wording=0):
    """A suite of one set and one benchmark from values per item."""
    groups = groups or [str(i) for i in range(len(base))]
    conditions = [("unmodified", "", 0, base), ("found", "n", 0, found)]
    conditions += [("random", "n", seed, values) for seed, values in enumerate(random or [])]
    rows = [
        {"condition": condition, "name": name, "seed": seed, "benchmark": "b", "wording": wording,
         "id": str(i), "culture": "c", "group": group, "value": float(value)}
        for condition, name, seed, values in conditions
        for i, (value, group) in enumerate(zip(values, groups, strict=True))
    ]  # fmt: skip
    return Suite(pd.DataFrame(rows))


def test_cells_and_changes_by_hand():
    suite = suite_of([0, 0, 1, 0], [1, 1, 1, 0], random=[[1, 1, 1, 0], [1, 0, 1, 0]])
    assert suite.score("unmodified", "", "b").value == 0.75
    assert suite.score("found", "n", "b").value == 0.25
    assert suite.score("random", "n", "b").value == (0.75 + 0.5) / 2
    assert suite.change("n", "b").value == -0.5
    assert suite.change("n", "b", "random").value == pytest.approx(0.25 - 0.625)


def test_p_flips_whole_groups():
    """Six items lost in three groups: of eight ways to flip them two are as extreme."""
    suite = suite_of([0] * 6, [1] * 6, groups=["x", "x", "y", "y", "z", "z"])
    assert suite.tests().loc[0, "p"] == 2 / 8
    alone = suite_of([0] * 6, [1] * 6)
    assert alone.tests().loc[0, "p"] == 2 / 64


def test_p_is_that_of_all_sign_flips_for_values_that_are_no_counts():
    chance = np.random.default_rng(0)
    base, found = chance.uniform(size=9), chance.uniform(size=9)
    moved = found - base
    flips = np.array(list(itertools.product([1, -1], repeat=9))) @ moved
    expected = (np.abs(flips) >= abs(moved.sum()) - 1e-12).mean()
    assert suite_of(found, base).tests().loc[0, "p"] == pytest.approx(expected)


def test_stars_say_what_is_significant():
    base = [1] * 12
    lost = suite_of([0] * 12, base, random=[base] * 5)
    assert lost.table().loc["n", "b"].endswith("]**")
    as_random = suite_of([0] * 12, base, random=[[0] * 12] * 5)
    assert as_random.table().loc["n", "b"].endswith("]*")
    one = suite_of([0] * 12, base, random=[base])  # one set says nothing of others
    assert one.table().loc["n", "b"].endswith("]*")
    same = suite_of(base, base, random=[base] * 5)
    assert same.table().loc["n", "b"].endswith("]")
    assert list(same.table().index) == ["unmodified", "n", "random as n"]


def test_random_sets_that_differ_widen_the_interval():
    base = [1] * 40
    sets = [[0] * lost + [1] * (40 - lost) for lost in (6, 10, 14)]
    suite = suite_of([0] * 20 + [1] * 20, base, random=sets)
    row = as_estimates(suite.tests("random")).iloc[0]
    assert (row["rank"], row["sets"]) == (1, 3)
    # the sets' means are .85, .75, .65: a standard deviation of .1, t with 2 degrees of freedom
    reach = 4.302653 * 0.1 * (1 + 1 / 3) ** 0.5
    change = suite.change("n", "b", "random")
    assert row["change"] == change and change.value == pytest.approx(-0.25)
    assert change.high - change.low == pytest.approx(2 * reach)
    assert row["p"] > 0.1 and not row["significant"]


@pytest.fixture(scope="module")
def model():
    return lens("llama")


@pytest.fixture(scope="module")
def neurons(model):
    first = [(layer, index) for layer in range(2) for index in range(12)]
    return {"many": Neurons.of({"act": first}), "one": Neurons.of({"act": [(0, 3)]})}


@pytest.fixture(scope="module")
def suite(model, neurons):
    other = [replace(q, id=f"o-{q.id}", group=f"o-{q.group}") for q in toy_questions()]
    named = {"toys": toy_questions(), "others": other}
    return evaluate_suite(model, neurons, named, random_seeds=2, every_wording=True, **QUIET)


@pytest.mark.slow
def test_a_cell_is_what_evaluate_gives(model, neurons, suite):
    alone = evaluate_suite(model, neurons, {"toys": toy_questions()}, random_seeds=2, **QUIET)
    for name, chosen in neurons.items():
        expected = evaluate(model, toy_questions(), chosen, **QUIET).accuracy()
        assert alone.score("found", name, "toys") == expected
    found = NeuronSet(neurons, {"act": model.shape("act")})
    drawn = [matched_random(found, seed)["many"] for seed in (0, 1)]
    means = [evaluate(model, toy_questions(), one, **QUIET).accuracy().value for one in drawn]
    assert alone.score("random", "many", "toys").value == pytest.approx(np.mean(means))
    assert len(suite.frame) == 4 * len(alone.frame) * 2  # four wordings, two benchmarks


@pytest.mark.slow
def test_every_wording_is_scored_by_itself(suite):
    table = suite.wordings().set_index(["condition", "name", "benchmark"])
    row = table.loc[("unmodified", "", "toys")]
    means = [row[f"wording {n}"] for n in range(4)]
    assert row["sd"] == pytest.approx(np.std(means, ddof=1))
    assert suite.score("unmodified", "", "toys").value == pytest.approx(np.mean(means))


@pytest.mark.slow
def test_a_suite_is_read_back_and_resumed(model, neurons, suite, tmp_path, monkeypatch):
    again = Suite.from_parquet(suite.to_parquet(tmp_path / "suite.parquet"))
    pd.testing.assert_frame_equal(again.frame, suite.frame)
    options = {"random_seeds": 1, "run": tmp_path / "run", **QUIET}
    first = evaluate_suite(model, neurons, {"toys": toy_questions()}, **options)
    must_not_run(monkeypatch)
    second = evaluate_suite(model, neurons, {"toys": toy_questions()}, **options)
    pd.testing.assert_frame_equal(first.frame, second.frame)


def test_questions_that_identified_are_left_out(model, neurons):
    questions = toy_questions()
    used = sorted({q.group for q in questions})[:2]
    found = NeuronSet(neurons, {"act": model.shape("act")}, {"groups": used})
    suite = evaluate_suite(model, found, {"toys": questions}, random_seeds=0, **QUIET)
    assert not set(suite.frame["group"]) & set(used)
    assert suite.names == ("many", "one")


def test_what_cannot_be_asked_is_refused_before_anything_is(model, neurons, monkeypatch):
    questions = toy_questions()
    groups = sorted({question.group for question in questions})
    found = NeuronSet(neurons, {"act": model.shape("act")}, {"groups": groups})
    others = [replace(question, group=f"other {question.group}") for question in questions]
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match="every question was used"):
        evaluate_suite(model, found, {"others": others, "toys": questions}, **QUIET)


@pytest.mark.slow
def test_bundled_benchmarks_by_name(model, neurons):
    names = ["everyday", "countryrc"]
    one = {"one": neurons["one"]}
    suite = evaluate_suite(model, one, names, random_seeds=0, limit=3, **QUIET)
    assert suite.benchmarks == ("everyday", "countryrc")
    assert suite.frame.groupby("benchmark")["culture"].nunique().to_dict() == {
        "everyday": 8,
        "countryrc": 8,
    }


@pytest.mark.slow
@needs_data("")
def test_every_published_benchmark_runs(model, neurons):
    files = {
        "blend": "blend",
        "culturalbench": "culturalbench/CulturalBench-Easy.csv",
        "normad": "normad/normad_eti_2633_partial.csv",
        "commonsenseqa": "commonsenseqa/dev_rand_split.jsonl",
        "qnli": "qnli/dev.tsv",
        "mrpc": "mrpc/dev.tsv",
    }
    paths = {name: DATA / file for name, file in files.items()}
    one = {"one": neurons["one"]}
    with pytest.warns(match="dropped"):
        suite = evaluate_suite(model, one, paths, random_seeds=1, limit=1, **QUIET)
    assert suite.benchmarks == tuple(files)
    assert suite.table().shape == (3, 6)


def test_bad_input(model, neurons):
    with pytest.raises(InputError, match="no neurons to ablate"):
        evaluate_suite(model, {}, ["everyday"], **QUIET)
    with pytest.raises(InputError, match="no benchmarks"):
        evaluate_suite(model, neurons, [], **QUIET)
    with pytest.raises(InputError, match="unknown benchmark 'everyone'"):
        evaluate_suite(model, neurons, ["everyone"], **QUIET)
    with pytest.raises(InputError, match="unknown set of neurons 'x'"):
        suite_of([1], [0]).score("found", "x", "b")
    with pytest.raises(InputError, match="unknown benchmark 'x'"):
        suite_of([1], [0]).change("n", "x")
    with pytest.raises(InputError, match="unknown condition 'random'"):
        suite_of([1], [0]).change("n", "b", "random")
    with pytest.raises(InputError, match="unknown correction"):
        suite_of([1], [0]).tests(correction="none")
