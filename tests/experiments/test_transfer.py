"""Neurons found on one benchmark and ablated on another: each cell is the matrix it stands for."""

import functools
import warnings
from dataclasses import replace

import pandas as pd
import pytest

from culture_lens import TransferMatrix, ablation_matrix, find_culture_neurons, transfer_matrix
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.transfer_matrix import same_labels
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.plots import transfer_heatmap
from culture_lens.questions.splits import split_questions
from culture_lens.report.page import build_report, report_context
from culture_lens.statistics.tables import as_estimates
from tests.helpers.forwards import must_not_run
from tests.helpers.marks import QUIET
from tests.helpers.questions import one_of_each, toy_questions
from tests.helpers.tiny_vlm import picture, tiny_processor, tiny_vlm

SHARE = {"share": 0.1}
BY_LETTER = {"scoring": "letter", "random_seeds": 2, **QUIET}


@functools.cache
def model() -> LensModel:
    hf, processor = tiny_vlm("llava_next_qwen2"), tiny_processor("llava_next_qwen2")
    return load_model("tiny-vlm", hf_model=hf, processor=processor)


def pictured():
    """The toy questions with a picture each, in the labels that BLEnD would use."""
    asked = enumerate(toy_questions())
    return [
        replace(
            q,
            culture=q.culture.replace("Japan", "New_Japan"),
            image=picture(i, 30 + i, 40),
            benchmark="drawn",
        )
        for i, q in asked
    ]


@functools.cache
def result() -> TransferMatrix:
    return transfer_matrix(
        model(),
        {"text": toy_questions(), "images": pictured()},
        labels={"New_Japan": "Japan"},
        find_options=SHARE,
        **BY_LETTER,
    )


@pytest.mark.slow
def test_every_cell_is_the_matrix_of_its_stages():
    asked = same_labels({"text": toy_questions(), "images": pictured()}, {"New_Japan": "Japan"})
    found = find_culture_neurons(model(), asked["text"], **SHARE, **QUIET)
    _, held_out = split_questions(asked["images"], 0.5)
    alone = ablation_matrix(model(), found, held_out, **BY_LETTER)
    pair = result().matrix("text", "images")
    pd.testing.assert_frame_equal(pair.frame, alone.frame)
    for metric in ("base", "self", "cross", "gap", "flips"):
        assert result().cell("text", "images", metric) == alone.overall(metric)
    beyond = result().cell("text", "images", condition="beyond")
    assert str(beyond) == str(alone.beyond_random("self"))  # one set: no interval, NaN
    assert beyond.value == alone.beyond_random("self").value
    table = as_estimates(result().table("gap"))
    assert list(table.index) == list(table.columns) == ["text", "images"]
    gap = result().matrix("images", "text").overall("gap")
    assert str(table.loc["images", "text"]) == str(gap)  # NaN where groups are too few


@pytest.mark.slow
def test_questions_that_identify_are_never_asked():
    asked = same_labels({"text": toy_questions(), "images": pictured()}, {"New_Japan": "Japan"})
    frame = result().frame
    for name, questions in asked.items():
        first, rest = split_questions(questions, 0.5)
        ids = set(frame.loc[frame["target"] == name, "id"])
        assert ids == {q.id for q in rest} and not ids & {q.id for q in first}


@pytest.mark.slow
def test_questions_of_one_id_in_two_benchmarks_stay_apart():
    """The same groups in both benchmarks: none is taken for one that identified."""
    frame = result().frame
    ids = frame.groupby("target")["id"].unique()
    assert not set(ids["text"]) & set(ids["images"])
    sizes = {pair: len(part) for pair, part in frame.groupby(["source", "target"])}
    assert len(set(sizes.values())) == 1


@pytest.mark.slow
def test_overlap_counts_what_is_shared():
    asked = same_labels({"text": toy_questions(), "images": pictured()}, {"New_Japan": "Japan"})
    sets = {name: find_culture_neurons(model(), qs, **SHARE, **QUIET) for name, qs in asked.items()}
    rows = result().overlap().set_index("culture")
    assert list(rows.index) == ["Ethiopia", "France", "Japan", "Mexico"]
    for culture, row in rows.iterrows():
        one, other = (sets[name][culture].members() for name in ("text", "images"))
        assert row["shared"] == len(one & other)
        assert row["jaccard"] == len(one & other) / len(one | other)
        assert row["by_chance"] == pytest.approx(len(one) * len(other) / 144)


@pytest.mark.slow
def test_saved_and_read(tmp_path):
    again = TransferMatrix.from_parquet(result().to_parquet(tmp_path / "t.parquet"))
    pd.testing.assert_frame_equal(again.frame, result().frame)
    assert again.table("self").equals(result().table("self"))
    assert again.overlap().equals(result().overlap())


@pytest.mark.slow
def test_a_run_folder_resumes_and_has_a_page(tmp_path, monkeypatch):
    asked = {"text": toy_questions(), "images": pictured()}
    options = {"labels": {"New_Japan": "Japan"}, "find_options": SHARE, **BY_LETTER}
    first = transfer_matrix(model(), asked, run=tmp_path, **options)
    pd.testing.assert_frame_equal(first.frame, result().frame)

    must_not_run(monkeypatch)
    again = transfer_matrix(model(), asked, run=tmp_path, **options)
    pd.testing.assert_frame_equal(again.frame, first.frame)
    page = build_report(tmp_path).read_text()
    assert "From one benchmark to another" in page and "conact-text" in page
    assert [told["missing"] for told in report_context(tmp_path)["selectors"]] == [[], []]


@pytest.mark.slow
def test_the_figure_shows_the_table():
    figure = transfer_heatmap(result(), metric="self")
    values = as_estimates(result().table("self")).map(lambda cell: cell.value).to_numpy()
    assert (figure.data[0].z == values).all()
    assert len(figure.layout.shapes) == 2  # the diagonal
    beyond = transfer_heatmap(result(), metric="gap", condition="beyond")
    assert beyond.data[0].z[0][1] == result().cell("text", "images", "gap", "beyond").value
    flips = transfer_heatmap(result(), metric="flips").data[0]
    assert flips.zmin == 0
    assert flips.z[1][0] == result().cell("images", "text", "flips").value
    with pytest.raises(InputError, match="unknown metric 'selff'"):
        transfer_heatmap(result(), metric="selff")
    with pytest.raises(InputError, match="unknown condition 'all'"):
        transfer_heatmap(result(), condition="all")


def one_culture():
    return toy_questions(cultures=["Japan"])


@pytest.mark.parametrize(
    ("benchmarks", "options", "words"),
    [
        ({"text": toy_questions()}, {}, "at least two benchmarks"),
        ({"text": toy_questions(), "a/b": toy_questions()}, {}, "benchmark name 'a/b'"),
        ({"text": toy_questions(), "one": one_culture()}, {}, "1 cultures in common"),
        (
            {"text": toy_questions(), "more": toy_questions()},
            {"labels": {"Jpan": "Japan"}},
            "unknown culture 'Jpan': did you mean 'Japan'",
        ),
        (
            {"text": toy_questions(), "more": toy_questions()},
            {"identify_share": 1.0},
            "no questions left to ask",
        ),
        ({"text": toy_questions(), "more": toy_questions()}, {"method": "conac"}, "selector"),
    ],
)
def test_bad_input_is_refused_before_the_model_runs(monkeypatch, benchmarks, options, words):
    asked = model()
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match=words):
        transfer_matrix(asked, benchmarks, **options, **QUIET)


@pytest.mark.slow
def test_pictures_go_through_the_tower_once():
    model().vision.forget()
    before = model().vision.runs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transfer_matrix(
            model(),
            {"text": toy_questions(), "images": pictured()},
            labels={"New_Japan": "Japan"},
            find_options=SHARE,
            random_seeds=3,
            **QUIET,
        )
    assert model().vision.runs - before == len(pictured())


def test_benchmarks_of_other_names_have_cultures_in_common():
    benchmarks = {
        "blend": one_of_each("South_Korea", "UK", "US", "West_Java", "Northern_Nigeria"),
        "culturalbench": one_of_each("South Korea", "United Kingdom", "United States", "Nigeria"),
        "normad": one_of_each(
            "south_korea", "united_kingdom", "united_states_of_america", "indonesia"
        ),
    }
    with pytest.warns(CultureLensWarning) as said:
        named = same_labels(benchmarks, {})
    assert [str(w.message).count("is taken for") for w in said] == [2, 3]
    assert "in benchmark 'normad': 'south korea' is taken for 'South Korea'" in str(said[1].message)
    for name, questions in named.items():
        assert [q.culture for q in questions] == ["South Korea", "UK", "US"]
        assert [q.id for q in questions] == [f"{name}/{q.id}" for q in benchmarks[name][:3]]
    with pytest.warns(CultureLensWarning):
        two = same_labels({k: benchmarks[k] for k in ("blend", "culturalbench")},
                          {"Northern_Nigeria": "Nigeria"})  # fmt: skip
    assert {q.culture for q in two["blend"]} == {"South Korea", "UK", "US", "Nigeria"}
