"""CULNIG's neurons from the command line: found, checked by ablation, drawn."""

import json

import pytest

from culture_lens.attribution.culnig import CONTRASTED, CulnigScores
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NeuronScores
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.cli import run

GRADIENT = ("--method", "culnig-specific", "--method", "culnig-general")
SHARES = (
    *("--option", "mlp_share=0.05", "--option", "attention_share=0.05", "--option", "z=0.0"),
    *("--option", "countryrc_share=0.0", "--option", "countryrc_mlp_share=0.0"),
    *("--option", "countryrc_attention_share=0.0"),
)


@pytest.mark.slow
def test_culnig_on_the_organism_takes_the_organisms_own_countryrc(capsys, tmp_path):
    """Its cultures are in no passage; by default and by name."""
    source = ["--benchmark", "organism", "--benchmark-option", "pictures=1", "--limit", 2]
    found = []
    for folder, more in (("default", ()), ("named", ("--countryrc", "organism"))):
        words = ["--model", "organism", *source, "--method", "culnig-specific", "--site", "gate"]
        words += ["--batch-size", 96, "--country", "Avaria", "--country", "Hestia", *more]
        code, _, err = run(capsys, "find", "--run", tmp_path / folder, *words)
        assert code == 0, err
        found.append(NeuronSet.load(tmp_path / folder / "neurons" / "culnig_specific.safetensors"))
        assert found[-1].cultures == ("Avaria", "Hestia") and len(found[-1]["Avaria"]) > 0
    assert found[0]["Avaria"] == found[1]["Avaria"]


@pytest.mark.slow
def test_culnig_from_find_to_the_page(capsys, checkpoint, table, tmp_path):
    folder = tmp_path / "run"
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table]
    country = ["--country", "Japan", "--country", "Italy"]
    own = tmp_path / "wordings.json"
    layouts = ("{passage}\n{question}\n{options}\n", "{question} {passage}\n{options}")
    own.write_text(json.dumps([{"layout": layout} for layout in layouts]))
    country += ["--countryrc-wordings", own]
    code, out, err = run(capsys, "find", "--run", folder, *source, *GRADIENT, *SHARES, *country)
    assert code == 0, err
    assert "2 wordings of CountryRC, mean Jaccard overlap" in out
    assert "no more than guessing gives" in err  # a random model knows no letters
    scores = {
        name: NeuronScores.load(folder / "scores" / f"{name}.safetensors") for name in CONTRASTED
    }
    assert scores["countryrc"].cultures == ("Italy", "Japan")
    specific = NeuronSet.load(folder / "neurons" / "culnig_specific.safetensors")
    again = select(CulnigScores(**scores), "culnig_specific", z=0.0, countryrc_share=0.0)
    assert {c: n.members() for c, n in specific.neurons.items()} == {
        c: n.members() for c, n in again.neurons.items()
    }
    assert set(specific.cultures) == {"Italy", "Japan"} and specific.metadata["options"]["z"] == 0
    general = NeuronSet.load(folder / "neurons" / "culnig_general.safetensors")
    assert general.cultures == ("general",) and set(general.shapes) == {"gate", "q", "k", "v"}
    assert "general: " in out

    code, out, err = run(
        capsys, "ablate", "--run", folder, "--random-seeds", 1, "--scoring", "letter"
    )
    assert code == 0, err
    assert "mask general" in out and "mean" in out
    code, out, err = run(capsys, "fidelity", "--run", folder, "--neurons", 4)
    assert code == 0, err
    assert "neuron: Pearson" in out and "cell: Pearson" in out
    assert (folder / "fidelity" / "scores.parquet").exists()
    assert (folder / "predicted" / "culnig_general.parquet").exists()
    way = ["--objective", "logit_difference", "--attribution-path", "integrated", "--points", 2]
    code, out, err = run(capsys, "fidelity", "--run", folder, "--neurons", 4, *way)
    assert code == 0 and "predicted change of the logit difference" in out, err
    assert (folder / "fidelity" / "scores-logit_difference-integrated-2.parquet").exists()
    code, out, err = run(capsys, "plot", "--run", folder)
    assert code == 0, err
    for name in ("fidelity-scores", "culnig_general-predicted", "culnig_general-ablation"):
        assert (folder / "figures" / f"{name}.html").exists()
    code, out, err = run(capsys, "report", "--run", folder)
    assert code == 0, err
    page = (folder / "report.html").read_text()
    assert "Attribution compared with ablation" in page
    assert "Stability over wordings" in page and "2 wordings of CountryRC" in page
    assert "culnig_general: mean change over cultures" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "culnig-general", "--share", "0.1"], "no option 'share'"),
        (["--method", "culnig-specific", "--k", "5"], "by shares"),
        (["--method", "culnig-specific", "--only-correct"], "--only-correct"),
        (["--method", "conact", "--country", "Japan"], "--country"),
        (["--method", "conact", "--option", "z=1"], "--option z: no selector of conact has it"),
        (["--method", "culnig-specific", "--option", "z"], "write it as name=value"),
        (["--method", "culnig-specific", "--country", "Peru"], "CountryRC asks about Peru"),
    ],
)
def test_mistakes_with_culnig(capsys, checkpoint, table, tmp_path, options, message):
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table]
    code, _, err = run(capsys, "find", "--run", tmp_path / "run", *source, *options)
    assert code == 2 and message in err


def test_fidelity_needs_scores(capsys, tmp_path):
    (tmp_path / "run").mkdir()
    code, _, err = run(capsys, "fidelity", "--run", tmp_path / "run")
    assert code == 2 and "no such file" in err and "task.safetensors" in err


@pytest.mark.slow
def test_fidelity_remembers_options_of_the_benchmark(
    capsys, checkpoint, table_of_columns, tmp_path
):
    folder = tmp_path / "run"
    own = ["--benchmark-option", 'options=["a", "b", "c"]', "--benchmark-option", "group=group"]
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table_of_columns, *own]
    assert run(capsys, "find", "--run", folder, *source, *GRADIENT, *SHARES)[0] == 0
    code, _, err = run(capsys, "fidelity", "--run", folder, "--neurons", 2)
    assert code == 0, err
    assert len(Run.open(folder).steps()[-1]["options"]["benchmark_option"]) == 2
