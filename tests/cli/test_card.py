"""`culture-lens card`: the same cards as in Python, one page in the run folder."""

import pytest

pytestmark = pytest.mark.slow
FEW = ("--path", "rows.jsonl", "--shown", 1, "--measured", 4, "--scoring", "letter")


def test_cards_of_named_neurons(run, folder, place, monkeypatch):
    monkeypatch.chdir(place)
    code, out, err = run("card", "--neuron", "act.0.0", "--neuron", "act.2.5", *FEW)
    assert code == 0, err
    page = folder.named("cards", "conact", ".html").read_text(encoding="utf-8")
    assert page.count('<details class="card"') == 2 and "act 2.5" in page
    assert out.count("NeuronCard act") == 2 and "conact for Italy" in out
    step = folder.steps()[-1]
    assert step["command"] == "card" and step["options"]["neuron"] == ["act.0.0", "act.2.5"]


def test_sets_without_scores_have_no_first_neurons(run, place, monkeypatch):
    monkeypatch.chdir(place)
    code, _, err = run("card", "--whose", "Japan", "--top", 2, *FEW)
    assert code == 2 and "no scores" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--neuron", "act.3"), "site.layer.index"),
        (("--neuron", "act.0.0", "--top", 2), "leave out --top"),
        (("--top", 0), "--top 0"),
        (("--whose", "Peru"), "unknown culture 'Peru'"),
        (("--method", "lape"), "unknown neuron set 'lape'"),
    ],
)
def test_mistakes_come_before_the_model(run, place, monkeypatch, words, told):
    def refuse(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.chdir(place)
    monkeypatch.setattr("culture_lens.models.load.load_model", refuse)
    code, out, err = run("card", *words, "--path", "rows.jsonl")
    assert code == 2 and not out and told in err
