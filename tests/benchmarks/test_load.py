"""load_benchmark: names, filters, limits and the hub, on the bundled set."""

from collections import Counter

import datasets
import pytest

from culture_lens.benchmarks import BENCHMARKS, Benchmark, benchmark_names, load_benchmark
from culture_lens.errors import InputError
from tests.helpers.processes import imported_by


@pytest.fixture(scope="module")
def everything():
    return load_benchmark("everyday")


def test_the_table_of_benchmarks_is_complete():
    assert {"everyday", "blend", "cvqa", "k_viscuit", "table"} <= set(benchmark_names())
    assert {"culturalbench", "normad", "commonsenseqa", "qnli", "mrpc"} <= set(benchmark_names())
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        assert benchmark.summary and benchmark.source and benchmark.licence


def test_unknown_benchmark_names_the_nearest():
    with pytest.raises(
        InputError, match="unknown benchmark 'blnd': did you mean 'blend'.*everyday"
    ):
        load_benchmark("blnd")


def test_filters_keep_what_they_say_in_order(everything):
    cultures, categories = ["Japan", "Italy"], ["Food", "Sport"]
    found = load_benchmark("everyday", cultures=cultures, categories=categories)
    assert found == [q for q in everything if q.culture in cultures and q.category in categories]
    assert len(found) == 40


def test_one_culture_may_be_asked_for(everything):
    one = [q for q in everything if q.culture == "Japan"]
    assert load_benchmark("everyday", cultures=["Japan"]) == one
    assert load_benchmark("everyday", cultures="Japan") == one


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"cultures": ["Japan", "Italia"]}, ["culture 'Italia'", "'Italy'", "South Korea"]),
        ({"categories": ["Foods"]}, ["category 'Foods'", "'Food'", "Work life"]),
        ({"cultures": []}, ["cultures is empty"]),
        ({"categories": []}, ["categories is empty"]),
        ({"limit": 0}, ["limit=0"]),
        ({"split": "identify"}, ["option of benchmark 'everyday'", "'split'"]),
    ],
)
def test_bad_filters_name_the_known_ones(filters, words):
    with pytest.raises(InputError) as caught:
        load_benchmark("everyday", **filters)
    for word in words:
        assert word in str(caught.value)


def test_a_culture_that_a_category_leaves_without_questions_is_named(tmp_path):
    path = tmp_path / "a.csv"
    lines = ["culture,topic,question,a,b,answer"]
    lines += ["Japan,x,Q?,u,v,A", "Italy,x,Q?,u,v,A", "Iran,y,Q?,u,v,A", "Iran,z,Q?,u,v,A"]
    path.write_text("\n".join(lines))
    own = {"options": ["a", "b"], "category": "topic"}
    wanted = ["Japan", "Italy", "Iran"]
    assert len(load_benchmark("table", path, cultures=wanted, **own)) == 4
    with pytest.raises(InputError, match="no question of culture 'Iran'.*Italy, Japan"):
        load_benchmark("table", path, cultures=wanted, categories="x", **own)
    with pytest.raises(InputError, match="unknown category 'w'.*Known: x, y, z"):
        load_benchmark("table", path, categories=["w"], **own)
    with pytest.raises(InputError, match=r"only 1 culture \(Iran\)"):
        load_benchmark("table", path, categories=["y"], **own)


def test_a_benchmark_says_how_many_cultures_it_needs(monkeypatch, everything):
    one = [q for q in everything if q.culture == "Japan"]
    for least in (1, 2):
        alone = Benchmark("alone", "x", "x", "x", rows=lambda read: one, min_cultures=least)
        monkeypatch.setitem(BENCHMARKS, "alone", alone)
        if least == 1:
            assert load_benchmark("alone") == one
        else:
            with pytest.raises(InputError, match=r"only 1 culture \(Japan\)"):
                load_benchmark("alone")


def test_limit_is_per_culture_and_nested(everything):
    five, nine = (load_benchmark("everyday", limit=n) for n in (5, 9))
    assert Counter(q.culture for q in five) == dict.fromkeys({q.culture for q in everything}, 5)
    assert {q.id for q in five} < {q.id for q in nine}
    order = [q.id for q in everything]
    assert [q.id for q in five] == sorted((q.id for q in five), key=order.index)
    # By hash and not by position: the first five of each culture would all be Food.
    assert len({q.category for q in five}) > 1
    assert load_benchmark("everyday", limit=1000) == everything


def test_limit_does_not_depend_on_the_other_cultures():
    together = load_benchmark("everyday", limit=7)
    alone = load_benchmark("everyday", cultures=["Iran"], limit=7)
    assert alone == [q for q in together if q.culture == "Iran"]


def test_table_needs_a_path_and_knows_its_options(tmp_path):
    with pytest.raises(InputError, match="'table' reads your own file: give path="):
        load_benchmark("table")
    with pytest.raises(InputError, match="option of benchmark 'table'.*'shufle'.*'shuffle'"):
        load_benchmark("table", tmp_path, shufle=True)


def test_a_hub_that_cannot_be_reached(monkeypatch):
    def load_dataset(*args, **options):
        raise ConnectionError("no route\nto the host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError) as caught:
        load_benchmark("blend")
    message = str(caught.value)
    for word in ("nayeon212/BLEnD", "multiple-choice-questions", "no route", "path="):
        assert word in message
    assert "to the host" not in message


def test_hub_rows_of_another_layout(monkeypatch):
    rows = datasets.Dataset.from_list([{"MCQID": "a", "question": "b"}])
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: rows)
    with pytest.raises(InputError, match=r"nayeon212/BLEnD.*'choices'.*missing.*'question'"):
        load_benchmark("blend")


def test_importing_benchmarks_is_light():
    heavy = ("pandas", "datasets", "pyarrow", "torch", "PIL")
    assert imported_by("import culture_lens.benchmarks", *heavy) == []
