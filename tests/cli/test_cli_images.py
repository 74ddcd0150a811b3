"""The command line on pictures: CVQA rows and photographs, from find to the page."""

import warnings

import pandas as pd
import pytest

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.transfer import TransferMatrix
from culture_lens.models.architectures import ARCHITECTURES, PRESETS
from culture_lens.neurons.neuron_set import NeuronSet
from tests.helpers.cli import run
from tests.helpers.cvqa import SUBSETS, dataset, made
from tests.helpers.lm import save_tiny
from tests.helpers.tiny_vlm import save_vlm

pytestmark = pytest.mark.usefixtures("cache_apart")

COUNTRIES = ("Chile", "India", "Indonesia", "Mexico", "South_Korea")
SMALL = ("--share", "0.1")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    save_vlm("llava_next_qwen2", folder)
    return str(folder)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A copy of CVQA as the hub has it: two parquet files in a folder `data`."""
    folder = tmp_path_factory.mktemp("cvqa") / "data"
    folder.mkdir()
    rows = [
        made(number, subset, picture=place * 4 + number // 2)
        for place, subset in enumerate(SUBSETS)
        for number in range(8)
    ]
    half = len(rows) // 2
    for part, some in enumerate((rows[:half], rows[half:])):
        dataset(some).to_parquet(str(folder / f"test-{part:05d}-of-00002.parquet"))
    return folder.parent


@pytest.mark.slow
def test_cvqa_from_find_to_the_page(checkpoint, shards, tmp_path, capsys):
    folder = tmp_path / "run"
    code, out, err = run(
        capsys, "find", "--model", checkpoint, "--benchmark", "cvqa", "--path", shards,
        "--method", "conact", "--method", "lape", *SMALL, "--run", folder,
    )  # fmt: skip
    assert code == 0, err
    found = NeuronSet.load(folder / "neurons" / "conact.safetensors")
    assert found.cultures == COUNTRIES and found.metadata["benchmark"] == "cvqa"
    code, out, err = run(capsys, "ablate", "--run", folder, "--random-seeds", 1)
    assert code == 0, err
    matrix = AblationMatrix.from_parquet(folder / "matrix" / "conact.parquet")
    assert matrix.cultures == COUNTRIES == matrix.masks
    assert matrix.metadata["items"] + matrix.metadata["left_out"] == 8 * len(SUBSETS)
    base = matrix.frame[matrix.frame["condition"] == "unmodified"]
    assert len(base) == matrix.metadata["items"] > 0
    for command in ("plot", "report"):
        code, out, err = run(capsys, command, "--run", folder)
        assert code == 0, err
    assert "cvqa" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_cvqa_by_language_and_in_the_native_language(checkpoint, shards, tmp_path, capsys):
    folder = tmp_path / "run"
    code, _, err = run(
        capsys, "find", "--model", checkpoint, "--benchmark", "cvqa", "--path", shards, *SMALL,
        "--benchmark-option", "grouping=language_country", "--benchmark-option",
        "language=native", "--run", folder,
    )  # fmt: skip
    assert code == 0, err
    found = NeuronSet.load(folder / "neurons" / "conact.safetensors")
    assert {"India (Hindi)", "India (Tamil)"} <= set(found.cultures) and len(found) == len(SUBSETS)
    code, _, err = run(capsys, "evaluate", "--run", folder)
    assert code == 0, err
    code, _, err = run(
        capsys, "find", "--model", checkpoint, "--benchmark", "cvqa", "--path", shards,
        "--benchmark-option", "groping=country", "--run", folder,
    )  # fmt: skip
    assert code == 2 and "grouping" in err


@pytest.mark.slow
def test_transfer_between_text_and_images(checkpoint, shards, tmp_path, capsys):
    rows = [
        {
            "id": f"{n}-{country}",
            "culture": country,
            "question": f"What is thing {n} of {country}?",
            "options": [f"{c} thing {n}" for c in COUNTRIES],
            "answer": country + f" thing {n}",
            "group": n,
        }
        for n in range(6)
        for country in COUNTRIES
    ]
    table = tmp_path / "text.jsonl"
    pd.DataFrame(rows).to_json(table, orient="records", lines=True)
    folder = tmp_path / "run"
    code, out, err = run(
        capsys, "transfer", "--model", checkpoint, "--benchmark", f"table={table}",
        "--benchmark", f"cvqa={shards},grouping=country", "--random-seeds", 1, *SMALL,
        "--run", folder,
    )  # fmt: skip
    assert code == 0, err
    assert "rows: neurons found on" in out
    result = TransferMatrix.from_parquet(folder / "transfer" / "conact.parquet")
    assert result.names == ("table", "cvqa")
    assert result.cultures == (*COUNTRIES[:4], "South Korea")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "too few question groups for intervals")
        code, _, err = run(capsys, "plot", "--run", folder)
    assert code == 0, err
    assert (folder / "figures" / "conact-transfer-self.html").exists()
    code, _, err = run(capsys, "transfer", "--model", checkpoint, "--benchmark", f"table={table}")
    assert code == 2 and "needs at least two" in err


def test_pictures_and_a_model_that_reads_text_only(shards, tmp_path, capsys):
    save_tiny("llama", tmp_path / "llama")
    code, _, err = run(
        capsys, "find", "--model", tmp_path / "llama", "--benchmark", "cvqa", "--path", shards,
        "--run", tmp_path / "run", *SMALL,
    )  # fmt: skip
    assert code == 2 and "reads text only" in err and "vision-language model" in err


def test_a_preset_is_of_a_named_model(checkpoint, shards, tmp_path, capsys):
    code, _, err = run(
        capsys, "find", "--model", checkpoint, "--benchmark", "cvqa", "--path", shards, "--preset",
        "--run", tmp_path / "run",
    )  # fmt: skip
    assert code == 2 and "unknown preset" in err and "Qwen/Qwen3-14B" in err


def test_models_are_listed_with_their_state(capsys):
    code, out, _ = run(capsys, "models")
    assert code == 0
    for name in [a.name for a in ARCHITECTURES] + [p.model for p in PRESETS]:
        assert name in out
    assert out.count("tested") == len(ARCHITECTURES)
