"""The commands values and answers: files as Python's calls give."""

import json

import pandas as pd
import pytest

from culture_lens.evaluation.short_answers import evaluate_short_answers, load_short_answers
from culture_lens.evaluation.values import evaluate_values, load_values
from tests.helpers.cli import assert_records_are, forbid_running
from tests.helpers.marks import QUIET
from tests.helpers.short_answers import entry, written_to
from tests.helpers.values import people


def assert_finished(folder, command):
    """The latest step says how long it took, and where."""
    step = folder.steps()[-1]
    assert step["command"] == command and step["device"] == "cpu" and step["seconds"] >= 0


@pytest.mark.slow
@pytest.mark.parametrize("ablate", [None, "Japan"])
def test_values_are_those_of_python(run, folder, place, model, found, ablate, monkeypatch):
    source = ["--path", place / "wvb", "--answers", place / "people.csv"]
    words = [*source, "--culture", "Peru", "--persona", "person", "--question", "Q1"]
    words += ["--question", "Q48", "--wording", 0, "--wording", 1, "--scoring", "number"]
    words += ["--least-answers", 1]
    words += ["--ablate", ablate] if ablate else []
    code, out, err = run("values", *words)
    assert code == 0, err
    questions = load_values(
        place / "wvb", place / "people.csv",
        cultures=["Peru"], personas=["person"], questions=["Q1", "Q48"], wordings=[0, 1],
        least_answers=1,
    )  # fmt: skip
    neurons = found[ablate] if ablate else None
    expected = evaluate_values(model, questions, neurons, scoring="number", **QUIET)
    label = f"conact-{ablate}" if ablate else "unmodified"
    assert_records_are(folder.named("values", label, ".parquet"), expected.frame)
    assert f"alignment {expected.alignment()}" in out and f"{expected.chance():.3f}" in out
    assert f"culture Peru: alignment {expected.by()['Peru']}" in out
    assert f"wording 1: alignment {expected.by('wording')['1']}" in out
    assert folder.steps()[-1]["seconds"] >= 0  # the step is finished
    forbid_running(monkeypatch)
    assert run("values", *words)[:2] == (0, out)
    assert_finished(folder, "values")


def test_values_with_countries_in_a_table_of_their_own(run, folder, place, tmp_path):
    whole = people().rename(columns={"B_COUNTRY": "land"})
    whole.drop(columns="land").to_csv(tmp_path / "answers.csv", index=False)
    whole[["D_INTERVIEW", "land"]].to_csv(tmp_path / "people.csv", index=False)
    words = ["--path", place / "wvb", "--answers", tmp_path / "answers.csv"]
    words += ["--people", tmp_path / "people.csv", "--country", "land", "--wording", 0]
    words += ["--least-answers", 2]
    code, _, err = run("values", *words, "--every-question")
    assert code == 0, err
    written = pd.read_parquet(folder.path / "values" / "unmodified.parquet")
    expected = load_values(
        place / "wvb", place / "people.csv", wordings=[0], questions="all", least_answers=2
    )
    assert list(written["id"]) == [question.id for question in expected]


def test_values_in_own_words(run, folder, place, tmp_path):
    own = {"personas": {"as": "In {culture}."}, "instructions": ["{question} {low}-{high}?"]}
    (tmp_path / "own.json").write_text(json.dumps(own))
    words = ["--path", place / "wvb", "--answers", place / "people.csv", "--least-answers", 1]
    code, _, err = run("values", *words, "--prompts", tmp_path / "own.json", "--persona", "as")
    assert code == 0, err
    written = pd.read_parquet(folder.path / "values" / "unmodified.parquet")
    assert set(written["persona"]) == {"as"} and len(written) == 6
    code, _, err = run("values", *words[:4], "--persona", "person")
    assert code == 2 and "has 10 answers" in err


@pytest.mark.slow
@pytest.mark.parametrize("union", [False, True])
def test_answers_are_those_of_python(run, folder, place, model, found, union, monkeypatch):
    words = ["--path", place / "blend", "--asked", "english", "--wording", 1, "--wording", 3]
    words += ["--max-new-tokens", 4, *(["--union"] if union else [])]
    code, out, err = run("answers", *words)
    assert code == 0, err
    questions = load_short_answers(place / "blend", asked="english", wordings=[1, 3])
    neurons = found.union() if union else None
    expected = evaluate_short_answers(model, questions, neurons, max_new_tokens=4, **QUIET)
    label = "english-conact-union" if union else "english-unmodified"
    assert_records_are(folder.named("answers", label, ".parquet"), expected.frame)
    for matching in ("exact", "contained"):
        scores = (expected.accuracy(matching, weighted=weighted) for weighted in (False, True))
        assert "all, {}: {}, by votes {}".format(matching, *scores) in out
    assert f"culture Spain: exact {expected.by()['Spain']}" in out
    forbid_running(monkeypatch)
    assert run("answers", *words)[:2] == (0, out)
    assert_finished(folder, "answers")


def test_answers_of_a_region_with_a_language_given(run, folder, place, tmp_path):
    own = {"q1": entry("Bebida?", (["caju"], ["cashew"], 2)), "q2": entry("B?", (["a"], ["a"], 1))}
    written_to(tmp_path, "Brazil", own)
    words = ["--path", tmp_path, "--culture", "Brazil", "--wording", 0, "--max-new-tokens", 2]
    code, _, err = run("answers", *words)
    assert code == 2 and "the language of 'Brazil' is not known" in err
    code, _, err = run("answers", *words, "--language", "Brazil=Portuguese")
    assert code == 0, err
    written = pd.read_parquet(folder.path / "answers" / "local-unmodified.parquet")
    assert set(written["language"]) == {"Portuguese"} and len(written) == 2
