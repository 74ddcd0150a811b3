"""The commands suite, compare, values and answers: files as Python's calls give, mistakes first."""

import json
import sys
from dataclasses import replace

import pandas as pd
import pytest

from culture_lens import cli
from culture_lens.benchmarks import load_benchmark
from culture_lens.evaluation import generation
from culture_lens.evaluation.short_answers import evaluate_short_answers, load_short_answers
from culture_lens.evaluation.values import evaluate_values, load_values
from culture_lens.experiments.comparison import Comparison, compare_selectors
from culture_lens.experiments.suite import Suite, evaluate_suite
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.questions.splits import at_most
from culture_lens.storage.runs import Run
from tests.evaluation.short_answers.test_short_answers import entry, written_to
from tests.evaluation.values.test_values import ASKED, metadata_of, people
from tests.helpers.tiny import D_MLP, N_LAYERS, tiny_model, tiny_tokenizer

CULTURES = ("Italy", "Japan", "Mexico")
USED = ("0", "1")
QUIET = {"progress": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkpoint, a table of questions, value questions with answers, and short answers."""
    place = tmp_path_factory.mktemp("place")
    for saved in (tiny_model("llama"), tiny_tokenizer("llama")):
        saved.save_pretrained(place / "llama")
    rows = [
        {
            "id": f"{group}-{culture}",
            "culture": culture,
            "question": f"What is thing {group} of {culture}?",
            "options": [f"{one} thing {group}" for one in CULTURES],
            "answer": f"{culture} thing {group}",
            "group": str(group),
        }
        for group in range(6)
        for culture in CULTURES
    ]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wvb = place / "wvb"
    wvb.mkdir()
    for name, content in (
        ("question_metadata", {q.id: metadata_of(q) for q in ASKED}),
        ("value_questions", {q.id: q.text for q in ASKED}),
    ):
        (wvb / f"{name}.json").write_text(json.dumps(content))
    people().to_csv(place / "people.csv", index=False)
    blend = place / "blend"
    blend.mkdir()
    tea, wine = (["tea", "a tea"], ["tea"], 4), (["vino"], ["wine"], 2)
    written_to(blend, "UK", {"q1": entry("Drink?", tea), "q2": entry("Sport?", tea)})
    written_to(blend, "Spain", {"q1": entry("Bebida?", wine)})
    return place


@pytest.fixture(scope="module")
def model(place):
    return load_model(str(place / "llama"))


@pytest.fixture(scope="module")
def found():
    """Neurons of two cultures, found on the first groups of the table."""
    places = {
        culture: [(layer, index) for layer in range(N_LAYERS) for index in range(first, D_MLP, 4)]
        for first, culture in enumerate(("Japan", "Italy"))
    }
    neurons = {culture: Neurons.of({"act": own}) for culture, own in places.items()}
    return NeuronSet(neurons, {"act": (N_LAYERS, D_MLP)}, {"selector": "mine", "groups": [*USED]})


@pytest.fixture
def folder(place, found, tmp_path):
    """A run folder as ``find`` leaves it; the set's file has another name than its selector."""
    run = Run.open(tmp_path / "run")
    found.save(run.named("neurons", "conact", ".safetensors"))
    run.log("find", {"model": str(place / "llama"), "benchmark": "table", "limit": 5})
    return run


@pytest.fixture
def run(capsys, folder, monkeypatch):
    """Call a command in the run folder; give exit code, standard output and standard error."""

    def call(command, *arguments):
        words = ["culture-lens", command, "--run", folder.path, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return call


def forbid_running(monkeypatch, model):
    """Make every forward an error: what is done already may not be done again."""
    monkeypatch.setattr(type(model), "logits", None)
    monkeypatch.setattr(generation, "greedy_tokens", None)


# ------------------------------------------------------------------ suite


def only(found, culture):
    return replace(found, neurons={culture: found[culture]})


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
        assert expected.tests(against).to_string(index=False) in out


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
    forbid_running(monkeypatch, model)
    code, out, err = run("suite", *words, "--correction", "benjamini-hochberg")
    assert code == 0, err
    assert expected.table(correction="benjamini-hochberg").to_string() in out


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


def test_suite_asks_values_and_short_answers_too(run, folder, place, model, found):
    asked = f"values={place / 'wvb'},answers={place / 'people.csv'},wordings=[1]"
    words = ["--benchmark", asked, "--benchmark", f"answers={place / 'blend'},asked=english"]
    words += ["--random-seeds", 0, "--whose", "Japan", "--limit", 3]
    code, _, err = run("suite", *words)
    assert code == 0, err
    values = at_most(load_values(place / "wvb", place / "people.csv", wordings=[1]), 3)
    short = load_short_answers(place / "blend", asked="english")
    written = Suite.from_parquet(folder.path / "suite" / "conact.parquet").frame
    kept = set(written.loc[written["benchmark"] == "answers", "id"])
    chosen = [question for question in short if question.id in kept]
    assert [question.culture for question in chosen] == ["Spain"] * 3 + ["UK"] * 3
    questions = {"values": values, "answers": chosen}
    one = only(found, "Japan")
    expected = evaluate_suite(model, one, questions, random_seeds=0, **QUIET).frame
    pd.testing.assert_frame_equal(written, expected)


# ------------------------------------------------------------------ compare


def test_compare_is_that_of_python_and_is_drawn(run, folder, place, model):
    rows = place / "rows.jsonl"
    words = ["--path", rows, "--method", "conact", "--method", "random", "--random-seeds", 2]
    words += ["--share", 0.05, "--share", 0.2, "--whose", "Japan", "--whose", "Italy"]
    code, out, err = run("compare", *words, "--scoring", "letter", "--per-culture", 3)
    assert code == 0, err
    # The benchmark and its limit are those of `find`.
    expected = compare_selectors(
        model, load_benchmark("table", rows, limit=5), ["conact", "random"],
        shares=[0.05, 0.2], cultures=["Japan", "Italy"], random_seeds=2, scoring="letter",
        summary_options={"per_culture": 3}, **QUIET,
    )  # fmt: skip
    written = Comparison.from_parquet(folder.path / "comparison" / "table.parquet")
    pd.testing.assert_frame_equal(written.frame, expected.frame)
    assert written.metadata["layers"] == expected.metadata["layers"]
    assert expected.table().to_string(index=False) in out
    figures = [
        folder.named("figures", f"table-{condition}", ".html")
        for condition in ("comparison", "comparison-layers")
    ]
    for figure in figures:
        assert str(figure) in out and "plotly" in figure.read_text()
        figure.unlink()
    code, out, err = run("plot")
    assert code == 0, err
    assert all(figure.exists() and str(figure) in out for figure in figures)


# ------------------------------------------------------------------ values and answers


def same_records(path, expected):
    """Hold a parquet file of records against a table; lists are read back as arrays."""
    written = pd.read_parquet(path)
    assert list(written.columns) == list(expected.columns) and len(written) == len(expected) > 0
    plain = [name for name in expected if name != "scores"]
    pd.testing.assert_frame_equal(written[plain], expected[plain])
    if "scores" in expected:
        assert [list(row) for row in written["scores"]] == [list(row) for row in expected["scores"]]


@pytest.mark.parametrize("ablate", [None, "Japan"])
def test_values_are_those_of_python(run, folder, place, model, found, ablate, monkeypatch):
    source = ["--path", place / "wvb", "--answers", place / "people.csv"]
    words = [*source, "--culture", "Peru", "--persona", "person", "--question", "Q1"]
    words += ["--question", "Q48", "--wording", 0, "--wording", 2, "--scoring", "letter"]
    words += ["--ablate", ablate] if ablate else []
    code, out, err = run("values", *words)
    assert code == 0, err
    questions = load_values(
        place / "wvb", place / "people.csv",
        cultures=["Peru"], personas=["person"], questions=["Q1", "Q48"], wordings=[0, 2],
    )  # fmt: skip
    neurons = found[ablate] if ablate else None
    expected = evaluate_values(model, questions, neurons, scoring="letter", **QUIET)
    label = f"conact-{ablate}" if ablate else "unmodified"
    same_records(folder.named("values", label, ".parquet"), expected.frame)
    assert f"alignment {expected.alignment()}" in out and f"{expected.chance():.3f}" in out
    assert f"culture Peru: alignment {expected.by()['Peru']}" in out
    assert f"wording 2: alignment {expected.by('wording')['2']}" in out
    forbid_running(monkeypatch, model)
    assert run("values", *words)[:2] == (0, out)


def test_values_with_countries_in_a_table_of_their_own(run, folder, place, tmp_path):
    whole = people().rename(columns={"B_COUNTRY": "land"})
    whole.drop(columns="land").to_csv(tmp_path / "answers.csv", index=False)
    whole[["D_INTERVIEW", "land"]].to_csv(tmp_path / "people.csv", index=False)
    words = ["--path", place / "wvb", "--answers", tmp_path / "answers.csv"]
    words += ["--people", tmp_path / "people.csv", "--country", "land", "--wording", 0]
    code, _, err = run("values", *words, "--every-question")
    assert code == 0, err
    written = pd.read_parquet(folder.path / "values" / "unmodified.parquet")
    expected = load_values(place / "wvb", place / "people.csv", wordings=[0], probe=False)
    assert list(written["id"]) == [question.id for question in expected]


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
    same_records(folder.named("answers", label, ".parquet"), expected.frame)
    for matching in ("exact", "contained"):
        scores = (expected.accuracy(matching, weighted=weighted) for weighted in (False, True))
        assert "all, {}: {}, by votes {}".format(matching, *scores) in out
    assert f"culture Spain: exact {expected.by()['Spain']}" in out
    forbid_running(monkeypatch, model)
    assert run("answers", *words)[:2] == (0, out)


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


# ------------------------------------------------------------------ bad input

VALUES = ("values", "--path", "wvb", "--answers", "people.csv")
ANSWERS = ("answers", "--path", "blend")
SUITE = ("suite", "--benchmark", "table=rows.jsonl")
COMPARE = ("compare", "--path", "rows.jsonl")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("suite", "--benchmark", "evryday"), ["unknown benchmark 'evryday'", "'everyday'"]),
        (("suite", "--benchmark", "table=no.jsonl"), ["no file no.jsonl"]),
        (("suite", "--benchmark", "=x"), ["name=path"]),
        (("suite", "--benchmark", "table=rows.jsonl,grp=x"), ["option of benchmark", "'grp'"]),
        ((*SUITE, "--benchmark", "table=rows.jsonl"), ["'table' was given twice"]),
        ((*SUITE, "--method", "lape"), ["no such file", "lape.safetensors"]),
        ((*SUITE, "--whose", "Jpan"), ["unknown culture 'Jpan'", "'Japan'"]),
        ((*SUITE, "--culture", "Peru"), ["unknown culture 'Peru'"]),
        ((*SUITE, "--scoring", "leter"), ["unknown scoring 'leter'"]),
        ((*SUITE, "--value", "nought"), ["--value 'nought'", "zero, mean or double"]),
        ((*SUITE, "--value", "mean"), ["--random-seeds 0"]),
        ((*SUITE, "--value", "mean", "--random-seeds", 0), ["no means were recorded", "'Japan'"]),
        ((*SUITE, "--random-seeds", -1), ["--random-seeds -1"]),
        ((*SUITE, "--random-match", "layers"), ["'layers'", "pool"]),
        ((*SUITE, "--random-match", "activity"), ["--random-match activity"]),
        ((*SUITE, "--correction", "none"), ["unknown correction 'none'", "holm"]),
        ((*SUITE, "--limit", 0), ["--limit 0"]),
        (
            ("suite", "--benchmark", "table=old.jsonl,group=group"),
            ["--benchmark table, neurons conact", "used"],
        ),
        (("suite", "--benchmark", "values=wvb"), ["values=FOLDER,answers=FILE"]),
        (("suite", "--benchmark", "answers"), ["answers=FOLDER"]),
        (("suite", "--benchmark", "answers=blend,stem=true"), ["option of answers: 'stem'"]),
        ((*COMPARE, "--method", "conac"), ["'conac'", "conact"]),
        ((*COMPARE, "--share", 0), ["share", "(0, 1]"]),
        ((*COMPARE, "--random-seeds", 0), ["random_seeds"]),
        ((*COMPARE, "--whose", "Japan", "--whose", "Peru"), ["culture of both halves", "'Peru'"]),
        ((*COMPARE, "--whose", "Japan"), ["at least two cultures"]),
        ((*COMPARE, "--scoring", "leter"), ["unknown scoring 'leter'"]),
        ((*COMPARE, "--benchmark", "evryday"), ["unknown benchmark 'evryday'"]),
        (("compare", "--path", "no.jsonl"), ["no file no.jsonl"]),
        (("values", "--path", "no", "--answers", "people.csv"), ["no such file", "metadata.json"]),
        (("values", "--path", "wvb", "--answers", "no.csv"), ["no file no.csv"]),
        ((*VALUES, "--culture", "Pru"), ["unknown culture 'Pru'", "'Peru'"]),
        ((*VALUES, "--persona", "king"), ["unknown persona 'king'"]),
        ((*VALUES, "--wording", 4), ["numbers from 0 to 3"]),
        ((*VALUES, "--question", "Q3"), ["unknown value question 'Q3'"]),
        ((*VALUES, "--ablate", "Peru"), ["unknown culture 'Peru'", "Japan"]),
        ((*VALUES, "--ablate", "Japan", "--union"), ["give one of them"]),
        ((*VALUES, "--method", "conact"), ["add --ablate CULTURE or --union"]),
        ((*VALUES, "--union", "--value", "mean"), ["no means were recorded", "'union'"]),
        (("answers", "--path", "no"), ["holds no file REGION_data.json"]),
        ((*ANSWERS, "--culture", "France"), ["unknown region 'France'"]),
        ((*ANSWERS, "--asked", "french"), ["asked='french'"]),
        ((*ANSWERS, "--wording", 9), ["numbers from 0 to 3"]),
        ((*ANSWERS, "--language", "Brazil"), ["--language 'Brazil'", "name=value"]),
        ((*ANSWERS, "--value", "nought"), ["--value 'nought'"]),
        ((*ANSWERS, "--ablate", "UK", "--method", "lape"), ["no such file", "lape.safetensors"]),
    ],
)
def test_a_mistake_is_one_line_before_the_model_is_loaded(run, place, monkeypatch, words, told):
    def refuse(*_, **__):
        raise AssertionError("the model was loaded")

    lines = (place / "rows.jsonl").read_text().splitlines(keepends=True)
    (place / "old.jsonl").write_text("".join(lines[: len(USED) * len(CULTURES)]))
    monkeypatch.chdir(place)
    monkeypatch.setattr("culture_lens.models.load.load_model", refuse)
    code, out, err = run(*words)
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert code == 2 and not out and len(errors) == 1, err
    for word in told:
        assert word in errors[0]


@pytest.mark.parametrize("words", [SUITE, (*VALUES, "--ablate", "UK"), (*ANSWERS, "--union")])
def test_a_run_without_neurons(run, folder, place, monkeypatch, words):
    monkeypatch.chdir(place)
    folder.named("neurons", "conact", ".safetensors").unlink()
    code, out, err = run(*words)
    assert code == 2 and not out and "find" in err and str(folder.path) in err


@pytest.mark.parametrize("words", [COMPARE, VALUES, ANSWERS])
def test_a_mistake_leaves_no_run_folder_behind(run, place, tmp_path, monkeypatch, words):
    monkeypatch.chdir(place)
    fresh = tmp_path / "fresh"
    wrong = ["--benchmark", "table"] if words is COMPARE else []
    code, _, err = run(*words, *wrong, "--run", fresh, "--model", "no-such-model")
    assert code == 2 and "no-such-model" in err and not fresh.exists()


def test_several_neuron_sets_are_all_evaluated_or_one_is_named(run, folder, place, found):
    found.save(folder.named("neurons", "lape", ".safetensors"))
    rows = place / "rows.jsonl"
    code, _, err = run("suite", "--benchmark", f"table={rows}", "--random-seeds", 0)
    assert code == 0, err
    assert folder.names("suite", ".parquet") == ["conact", "lape"]
    code, _, err = run("answers", "--path", place / "blend", "--ablate", "Japan")
    assert code == 2 and "several (conact, lape): name one" in err


@pytest.mark.parametrize("command", ["suite", "compare", "values", "answers"])
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0 and f"culture-lens {command}" in out
