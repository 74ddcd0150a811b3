"""`find` keeps what is done, and no command asks what found the neurons."""

import pandas as pd
import pytest

from culture_lens.neurons.neuron_set import NeuronSet
from tests.helpers import cli
from tests.helpers.cli import USED

TWO = ("--method", "conact", "--method", "culnig-specific", "--share", 0.05)


def found_in(capsys, place, folder, *words):
    source = ("--model", place / "llama", "--benchmark", "table", "--path", place / "rows.jsonl")
    return cli.run(capsys, "find", "--run", folder, *source, *words)


@pytest.mark.slow
@pytest.mark.parametrize("country", ["Peru", None])
def test_find_keeps_what_is_done_when_a_selector_fails(
    capsys, place, tmp_path, monkeypatch, country
):
    """Refused before the model runs, or failing while it does."""
    if country is None:

        def broken(*_, **__):
            raise ValueError("the gradient overflows")

        monkeypatch.setattr("culture_lens.attribution.culnig.attribute", broken)
        with pytest.raises(ValueError, match="overflows"):
            found_in(capsys, place, tmp_path, *TWO, "--country", "Japan")
        out, err = capsys.readouterr()
    else:
        code, out, err = found_in(capsys, place, tmp_path, *TWO, "--country", country)
        assert code == 2 and "error: CountryRC asks about Peru" in err.splitlines()[-1]
    assert "note: culnig_specific failed" in err and "conact: " in out
    kept = {file.relative_to(tmp_path).as_posix() for file in tmp_path.glob("*/*.safetensors")}
    assert {"neurons/conact.safetensors", "statistics/summary.safetensors"} <= kept
    assert "neurons/culnig_specific.safetensors" not in kept
    assert NeuronSet.load(tmp_path / "neurons" / "conact.safetensors").cultures == cli.CULTURES


@pytest.mark.slow
def test_evaluate_leaves_out_what_found_the_neurons(run, folder, place):
    words = ["--path", place / "rows.jsonl", "--benchmark", "table", "--limit", 6]
    words += ["--benchmark-option", "group=group", "--ablate", "Japan"]
    neurons = ("--neurons", folder.named("neurons", "conact", ".safetensors"))
    code, _, err = run("evaluate", *words, *neurons)
    assert code == 0 and "6 of 18 questions were given to find the neurons" in err
    records = folder.named("evaluations", "table-Japan", ".parquet")
    assert not set(pd.read_parquet(records)["group"]) & set(USED)
    code, _, err = run("evaluate", *words, *neurons, "--seen")
    assert code == 0 and "too large" in err and len(pd.read_parquet(records)) == 18


def test_answers_leave_out_what_found_the_neurons(run, folder, place, found):
    known = {**found.metadata, "groups": ["q1"]}
    where = folder.named("neurons", "conact", ".safetensors")
    NeuronSet(found.neurons, found.shapes, known).save(where)
    words = ("answers", "--path", place / "blend", "--ablate", "Japan", "--max-new-tokens", 2)
    code, _, err = run(*words, "--wording", 0)
    assert code == 0 and "2 of 3 questions were given to find the neurons" in err
    records = pd.read_parquet(folder.named("answers", "local-conact-Japan", ".parquet"))
    assert set(records["group"]) == {"q2"}
