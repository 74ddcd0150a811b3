"""The demonstration on the organism, from end to end, held against what was planted."""

import pytest
from typer.testing import CliRunner

from culture_lens.cli import app, run_demo
from culture_lens.cli.demo import known_among


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run-organism"
    return folder, *run_demo.run_organism_demo(folder, progress=False)


@pytest.mark.slow
def test_the_page_holds_the_matrices(shown):
    folder, page, matrices, _ = shown
    assert page.exists() and page.parent == folder
    assert list(matrices) == ["planted", "conact", "culnig_specific"]
    text = page.read_text()
    assert all(name in text for name in matrices) and "Avaria" in text


@pytest.mark.slow
def test_what_was_planted_is_proven_and_what_was_found_is_less(shown):
    *_, matrices, sets = shown
    own = {name: matrix.overall("self").value for name, matrix in matrices.items()}
    assert own["planted"] < -0.6 and abs(matrices["planted"].overall("cross").value) < 0.05
    for name in ("conact", "culnig_specific"):
        assert own["planted"] < own[name] < -0.2
        assert matrices[name].beyond_random("self").high < -0.1
    hits, taken = known_among(sets["planted"])
    assert hits == taken == 8 * 46 + 4 * 12
    for name in ("conact", "culnig_specific"):
        hits, taken = known_among(sets[name])
        assert 0.15 * taken < hits < 0.6 * taken


@pytest.mark.slow
def test_the_command_shows_both_models(shown, monkeypatch, tmp_path):
    folder, page, matrices, sets = shown
    places = {}

    def organism(path, **_):
        places["organism"] = path
        return page, matrices, sets

    def smollm2(path, **_):
        places["smollm2"] = path
        return page, matrices

    monkeypatch.setattr(run_demo, "run_organism_demo", organism)
    monkeypatch.setattr(run_demo, "run_demo", smollm2)
    run = CliRunner().invoke(app, ["demo", "--run", str(tmp_path / "first")])
    assert run.exit_code == 0, run.output
    assert places == {"organism": tmp_path / "first-organism", "smollm2": tmp_path / "first"}
    assert "planted: 416 of the 416 neurons that it takes were planted" in run.output
    assert run.output.index("organism:") < run.output.index("SmolLM2-135M")
