"""The command suite: files as Python's calls give."""

from dataclasses import replace

import pandas as pd
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.evaluation.short_answers import load_short_answers
from culture_lens.evaluation.values import load_values
from culture_lens.experiments.evaluate_suite import evaluate_suite
from culture_lens.experiments.suite import Suite
from culture_lens.questions.splits import at_most
from culture_lens.storage.display import format_table
from tests.helpers.cli import USED, forbid_running
from tests.helpers.marks import QUIET


def only(found, culture):
    return replace(found, neurons={culture: found[culture]})


@pytest.mark.slow
def test_suite_by_name_is_that_of_python(run, folder, model, found):
    words = ["--benchmark", "everyday", "--benchmark", "countryrc", "--limit", 1]
    code, out, err = run("suite", *words, "--whose", "Japan", "--random-seeds", 2)
    assert code == 0, err
    names = ["everyday", "countryrc"]
    expected = evaluate_suite(model, only(found, "Japan"), names, limit=1, random_seeds=2, **QUIET)
    written = Suite.from_parquet(folder.path / "suite" / "conact.parquet")
    pd.testing.assert_frame_equal(written.frame, expected.frame)
    assert written.metadata == expected.metadata
    assert written.benchmarks == ("everyday", "countryrc") and written.names == ("Japan",)
    assert expected.table().to_string() in out and "wording by wording" not in out
    for against in ("unmodified", "random"):
        assert format_table(expected.tests(against)).to_string(index=False) in out


@pytest.mark.slow
def test_suite_of_one_mask_leaves_out_what_identified_and_is_resumed(
    run, folder, place, model, found, monkeypatch
):
    rows = place / "rows.jsonl"
    words = ["--benchmark", f"table={rows},group=group", "--union", "--random-seeds", 1]
    words += ["--random-match", "pool", "--every-wording", "--scoring", "letter"]
    words += ["--culture", "Japan", "--culture", "Italy"]
    code, out, err = run("suite", *words)
    assert code == 0, err
    questions = load_benchmark("table", rows, group="group", cultures=["Japan", "Italy"])
    union = replace(found, neurons={"union": found["Japan"] | found["Italy"]})
    expected = evaluate_suite(
        model, union, {"table": questions},
        random_seeds=1, random_match="pool", every_wording=True, scoring="letter", **QUIET,
    )  # fmt: skip
    written = Suite.from_parquet(folder.path / "suite" / "conact-union.parquet")
    pd.testing.assert_frame_equal(written.frame, expected.frame)
    assert set(written.frame["group"]) == {str(n) for n in range(6)} - set(USED)
    assert expected.wordings().to_string(index=False) in out and "wording 3" in out
    # What `find` asked is still what the next command asks.
    assert folder.option("limit") == 5 and folder.option("culture") is None
    assert folder.steps()[-1]["options"]["suite"]["culture"] == ["Japan", "Italy"]
    forbid_running(monkeypatch)
    code, out, err = run("suite", *words, "--correction", "benjamini-hochberg")
    assert code == 0, err
    assert expected.table(correction="benjamini-hochberg").to_string() in out


@pytest.mark.slow
def test_suite_asks_tasks_without_cultures_whole(run, folder, tmp_path):
    lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
    lines += [f"{n % 2}\t{n}\t{n + 9}\tOne thing {n}.\tAnother thing {n}." for n in range(4)]
    (tmp_path / "dev.tsv").write_text("\n".join(lines) + "\n")
    words = ["--benchmark", "everyday", "--benchmark", f"mrpc={tmp_path / 'dev.tsv'}"]
    code, _, err = run("suite", *words, "--culture", "Japan", "--limit", 3, "--random-seeds", 0)
    assert code == 0, err
    frame = Suite.from_parquet(folder.path / "suite" / "conact.parquet").frame
    asked = frame[frame["condition"] == "unmodified"].groupby("benchmark")["culture"].value_counts()
    assert asked.to_dict() == {("everyday", "Japan"): 3, ("mrpc", "paraphrase"): 3}


@pytest.mark.slow
def test_suite_asks_values_and_short_answers_too(run, folder, place, model, found):
    asked = f"values={place / 'wvb'},answers={place / 'people.csv'},wordings=[1]"
    asked += ",least_answers=1"
    words = ["--benchmark", asked, "--benchmark", f"answers={place / 'blend'},asked=english"]
    words += ["--random-seeds", 0, "--whose", "Japan", "--limit", 3]
    code, _, err = run("suite", *words)
    assert code == 0, err
    one = {"wordings": [1], "least_answers": 1}
    values = at_most(load_values(place / "wvb", place / "people.csv", **one), 3)
    short = load_short_answers(place / "blend", asked="english")
    written = Suite.from_parquet(folder.path / "suite" / "conact.parquet").frame
    kept = set(written.loc[written["benchmark"] == "answers", "id"])
    chosen = [question for question in short if question.id in kept]
    assert [question.culture for question in chosen] == ["Spain"] * 3 + ["UK"] * 3
    questions = {"values": values, "answers": chosen}
    one = only(found, "Japan")
    expected = evaluate_suite(model, one, questions, random_seeds=0, **QUIET).frame
    pd.testing.assert_frame_equal(written, expected)


@pytest.mark.slow
def test_several_neuron_sets_are_all_evaluated_or_one_is_named(run, folder, place, found):
    found.save(folder.named("neurons", "lape", ".safetensors"))
    rows = place / "rows.jsonl"
    code, _, err = run("suite", "--benchmark", f"table={rows}", "--random-seeds", 0)
    assert code == 0, err
    assert folder.names("suite", ".parquet") == ["conact", "lape"]
    code, _, err = run("answers", "--path", place / "blend", "--ablate", "Japan")
    assert code == 2 and "several (conact, lape): name one" in err
