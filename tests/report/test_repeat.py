"""The Python of a page does what the commands did, and the commands are given as they were."""

import inspect
import json
import sys

import culture_lens as cl
from culture_lens.report.repeat import python_of, steps_of
from culture_lens.storage.runs import Run

FIND = {
    "model": 'org/"tiny"',
    "dtype": "float32",
    "benchmark": "cvqa",
    "path": "data/cvqa",
    "culture": ["Japan", "Iran"],
    "limit": 5,
    "benchmark_option": ["grouping=language_country", "pictures=1"],
    "method": ["conact", "lape", "culnig_specific"],
    "share": 0.01,
    "identify_share": 0.4,
    "only_correct": True,
    "scoring": "letter",
    "attribution_path": "integrated",
    "points": 4,
    "countries": ["Japan"],
    "option": ["percentile_filter=0.9"],
    "batch_size": 8,
}
CALLED = ("load_model", "with_heads", "with_features", "load_benchmark", "find_culture_neurons")
CALLED += ("ablation_matrix",)
ABLATE = {"method": ["conact"], "random_seeds": 3, "value": "mean", "batch_size": 8}


def called(monkeypatch, code):
    """Run code with stand-ins that check arguments against the real functions and note them."""
    calls = []

    class Kept:
        def save(self, path):
            calls.append(("save", path))

        def to_parquet(self, path):
            calls.append(("to_parquet", path))

    def stand_in(name):
        signature = inspect.signature(inspect.unwrap(getattr(cl, name)))

        def call(*args, **kwargs):
            signature.bind(*args, **kwargs)
            calls.append((name, *(a for a in args if isinstance(a, str)), kwargs))
            return Kept()

        return call

    for name in CALLED:
        monkeypatch.setattr(cl, name, stand_in(name), raising=False)
    exec(code, {})
    return calls


def test_python_gives_every_function_the_options_of_the_commands(tmp_path, monkeypatch):
    run = Run.open(tmp_path)
    run.log("find", FIND)
    run.log("ablate", ABLATE)
    shared = {"share": 0.01, "identify_share": 0.4, "batch_size": 8}
    counted = {"only_correct": True, "scoring": "letter"}
    gradients = {"countries": ["Japan"], "path": "integrated", "points": 4}
    assert called(monkeypatch, python_of(run)) == [
        ("load_model", 'org/"tiny"', {"dtype": "float32"}),
        (
            "load_benchmark",
            "cvqa",
            {
                "path": "data/cvqa",
                "cultures": ["Japan", "Iran"],
                "limit": 5,
                "grouping": "language_country",
                "pictures": 1,
            },
        ),
        ("find_culture_neurons", {"method": "conact", "summary_options": counted} | shared),
        ("save", "conact.safetensors"),
        ("ablation_matrix", {"random_seeds": 3, "value": "mean", "batch_size": 8}),
        ("to_parquet", "conact.parquet"),
        (
            "find_culture_neurons",
            {"method": "lape", "summary_options": counted, "percentile_filter": 0.9} | shared,
        ),
        ("save", "lape.safetensors"),
        (
            "find_culture_neurons",
            {"method": "culnig_specific", "summary_options": gradients} | shared,
        ),
        ("save", "culnig_specific.safetensors"),
    ]


def test_heads_and_features_are_given_to_the_model(tmp_path, monkeypatch):
    run = Run.open(tmp_path)
    saes = ["saes/layer5", "saes/layer6"]
    features = {"sae": saes, "exclude_special_tokens": True}
    run.log("find", {"model": "org/tiny", "heads": True, **features, "sites": ["head"]})
    code = python_of(run)
    calls = called(monkeypatch, code)
    assert calls[:2] == [("load_model", "org/tiny", {}), ("with_heads", {})]
    assert calls[2] == ("with_features", {"exclude_special_tokens": True})
    assert f"with_features(model, {json.dumps(saes)}, exclude_special_tokens=True)" in code
    assert calls[4][0] == "find_culture_neurons" and calls[4][-1]["sites"] == ["head"]


def test_without_find_there_is_no_python(tmp_path):
    run = Run.open(tmp_path)
    run.log("demo", {"model": "organism"})
    assert python_of(run) == ""
    run.log("find", {"method": ["no such selector"]})
    assert python_of(run) == ""


def test_a_step_has_its_words_device_and_duration(tmp_path, monkeypatch):
    run = Run.open(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/bin/culture-lens", "find", "--culture", "South Korea"])
    run.log("find", {"k": 5})
    (begun,) = steps_of(run)
    assert begun["line"] == "culture-lens find --culture 'South Korea'"
    assert (begun["device"], begun["duration"]) == ("not recorded", "not recorded")
    run.log("ablate", {})
    run.finish("find", "cpu")
    done, other = steps_of(run)
    assert done["device"] == "cpu" and done["duration"].endswith(" s")
    assert other["device"] == "not recorded"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    run.log("find", {})
    assert steps_of(run)[-1]["line"] == ""
