"""`find --method knowledge`: the flags of attribution, a rate, and what is kept."""

import json
import re
from pathlib import Path

import pytest

from culture_lens.attribution.knowledge import knowledge_scores
from culture_lens.benchmarks.table import questions_from_table
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers import cli
from tests.helpers.confirmed import drawn_questions
from tests.helpers.countryrc import made_template
from tests.helpers.culnig import members

CHEAP = ("--attribution-path", "integrated", "--points", 1, "--attribution-scoring", "letter")
CHEAP += ("--countryrc", "templates.json", "--batch-size", 64)
RATE = ("--fdr", 0.05, "--identify-share", 1)


@pytest.fixture
def find(capsys, place, tmp_path, monkeypatch):
    """Call find on a tiny model and 14 groups of questions; give code, output and messages."""
    rows = [
        {
            "id": q.id,
            "culture": q.culture,
            "question": q.text,
            "options": list(q.options),
            "answer": q.options[q.answer],
            "group": q.group,
        }
        for q in drawn_questions(14)
    ]
    table = tmp_path / "drawn.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    Path("templates.json").write_text(json.dumps([made_template("t1"), made_template("t2")]))
    source = ("--model", place / "llama", "--benchmark", "table", "--path", table)
    source += ("--benchmark-option", "group=group", "--method", "knowledge")

    def call(*words):
        return cli.run(capsys, "find", "--run", tmp_path / "run", *source, *words)

    call.rows, call.kept = rows, tmp_path / "run" / "neurons" / "knowledge.safetensors"
    return call


@pytest.mark.slow
def test_it_finds_what_python_finds(find, model):
    code, out, err = find("--k", 5, *CHEAP, "--objective", "log_probability")
    assert code == 0, err
    assert "knowledge: " in out and "  Japan: 5 neurons" in out
    kept = NeuronSet.load(find.kept)
    run = Run.open(find.kept.parents[1])
    # The path of the questions is not overwritten by that of the gradients.
    assert run.option("path").endswith("drawn.jsonl")
    assert run.option("attribution_path") == "integrated"
    identify, _ = split_questions(questions_from_table(find.rows, group="group"))
    options = {"path": "integrated", "points": 1, "scoring": "letter"}
    with pytest.warns(match="no more than guessing"):
        scores = knowledge_scores(
            model, identify, objective="log_probability", countryrc="templates.json",
            batch_size=64, progress=False, **options,
        )  # fmt: skip
    assert members(kept) == members(select(scores, "knowledge", k=5))
    assert {name: kept.metadata[name] for name in options} == options


@pytest.mark.slow
def test_a_rate_confirms(find):
    code, out, err = find(*RATE, *CHEAP, "--option", "candidate_share=0.4")
    assert code == 0, err
    kept = NeuronSet.load(find.kept)
    assert kept.metadata["fdr"] == 0.05 and len(kept.metadata["confirmed"]) == 40
    assert f"  Japan: {len(kept['Japan'])} neurons" in out


@pytest.mark.slow
def test_too_few_candidates_end_with_a_sentence(find):
    code, _, err = find(*RATE, *CHEAP, "--option", "groups=20")
    assert code == 2 and "7 candidates for 20 groups" in err.splitlines()[-1]


ATTRIBUTING = {
    "--attribution-scoring": "letter",
    "--objective": "probability",
    "--attribution-path": "integrated",
    "--points": "3",
    "--baseline": "zero",
    "--aggregation": "sum",
    "--positions": "prompt",
}


@pytest.mark.parametrize("flag", ATTRIBUTING)
def test_flags_of_attribution_are_refused_where_nothing_is_attributed(
    capsys, place, tmp_path, monkeypatch, flag
):
    cli.forbid_running(monkeypatch)
    source = ("--model", place / "llama", "--benchmark", "table", "--path", place / "rows.jsonl")
    words = ("find", "--run", tmp_path, *source, "--method", "conact", "--share", 0.05)
    code, _, err = cli.run(capsys, *words, flag, ATTRIBUTING[flag])
    assert code == 2 and flag in err and "knowledge" in err


@pytest.mark.parametrize("words", [("--roles", "text"), ("--only-correct",), ("--strata", "id")])
def test_flags_of_counting_are_refused_where_nothing_is_counted(find, monkeypatch, words):
    cli.forbid_running(monkeypatch)
    code, _, err = find("--k", 3, *words)
    assert code == 2 and words[0] in err


def test_the_help_names_the_selector(capsys):
    code, out, _ = cli.run(capsys, "find", "--help")
    assert code == 0 and re.search(r"random,\W+knowledge,\W+culnig-specific", out)
