"""A folder with all that the commands read, and a run folder as `find` leaves it."""

import json

import pandas as pd
import pytest

from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.storage.runs import Run
from tests.helpers import cli
from tests.helpers.cli import CULTURES, USED
from tests.helpers.lm import save_tiny
from tests.helpers.short_answers import entry, written_to
from tests.helpers.tiny import D_MLP, N_LAYERS
from tests.helpers.values import ASKED, metadata_of, people


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    """A checkpoint, a table of questions, value questions with answers, and short answers."""
    place = tmp_path_factory.mktemp("place")
    save_tiny("llama", place / "llama")
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


@pytest.fixture(scope="package")
def checkpoint(place):
    """The checkpoint's folder, as it is typed."""
    return str(place / "llama")


@pytest.fixture(scope="package")
def table(place):
    """The table of questions, as its path is typed."""
    return str(place / "rows.jsonl")


@pytest.fixture(scope="package")
def table_of_columns(place, table):
    """The same questions, with a column for each option: columns that a user has to name."""
    with open(table) as lines:
        rows = pd.DataFrame(map(json.loads, lines))
    options = pd.DataFrame(rows.pop("options").tolist(), columns=list("abc"))
    rows.join(options).to_csv(place / "rows.csv", index=False)
    return str(place / "rows.csv")


@pytest.fixture(scope="package")
def model(place):
    return load_model(str(place / "llama"))


@pytest.fixture(scope="package")
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
def run(capsys, folder):
    """Call a command in the run folder; give exit code, standard output and standard error."""

    return lambda command, *words: cli.run(capsys, command, "--run", folder.path, *words)
