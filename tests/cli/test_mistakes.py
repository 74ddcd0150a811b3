"""Mistakes in suite, compare, values and answers are one line, before the model is loaded."""

import pytest

from tests.helpers.cli import CULTURES, USED

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
        ((*SUITE, "--method", "lape"), ["unknown neuron set 'lape'", "conact"]),
        ((*SUITE, "--whose", "Jpan"), ["unknown culture 'Jpan'", "'Japan'"]),
        ((*SUITE, "--culture", "Peru"), ["unknown culture 'Peru'"]),
        ((*SUITE, "--scoring", "leter"), ["unknown scoring 'leter'"]),
        ((*SUITE, "--value", "nought"), ["--value 'nought'", "double, mean, zero"]),
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
        ((*VALUES, "--wording", 4), ["numbers from 0 to 1"]),
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
        ((*ANSWERS, "--ablate", "UK", "--method", "lape"), ["unknown neuron set 'lape'"]),
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
    wrong = {COMPARE: ["--benchmark", "table"], VALUES: ["--least-answers", 1]}.get(words, [])
    code, _, err = run(*words, *wrong, "--run", fresh, "--model", "no-such-model")
    assert code == 2 and "no-such-model" in err and not fresh.exists()


@pytest.mark.parametrize("command", ["suite", "compare", "values", "answers"])
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0 and f"culture-lens {command}" in out
