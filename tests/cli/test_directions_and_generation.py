"""The commands gap, directions and generation: files as Python's calls give."""

import pytest

import culture_lens as cl
from tests.helpers.cli import assert_records_are
from tests.helpers.marks import QUIET

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(place):
    return cl.load_benchmark("table", path=place / "rows.jsonl", limit=5)


def test_the_gap_is_that_of_python(run, folder, place, model, asked):
    words = ["--path", place / "rows.jsonl", "--scoring", "letter", "--lead", "{country}: "]
    code, out, err = run("gap", *words, "--stand-in", "some country")
    assert code == 0, err
    expected = cl.localization_gap(
        model, asked, scoring="letter", lead="{country}: ", stand_in="some country", **QUIET
    )
    assert_records_are(folder.named("gap", "table", ".parquet"), expected.frame)
    assert expected.table().to_string() in out and folder.steps()[-1]["command"] == "gap"


def test_directions_are_fitted_on_what_identifies_and_added_to_answers(
    run, folder, place, model, found, asked
):
    code, out, err = run("directions", "--path", place / "rows.jsonl", "--layer", 1)
    assert code == 0, err
    file = folder.named("directions", "cultures-resid-1", ".safetensors")
    assert str(file) in out
    held = cl.Directions.load(file)
    identify, _ = cl.split_questions(asked)
    expected = cl.fit_directions(model, identify, layer=1, **QUIET)
    for culture in expected:
        assert held[culture].vector.tolist() == expected[culture].vector.tolist()

    words = ["--path", place / "blend", "--asked", "english", "--wording", 1, "--ablate", "Japan"]
    words += ["--alpha", 2, "--directions", file, "--direction", "Italy", "--scale", 1]
    code, out, err = run("generation", *words, "--scale", -3, "--max-new-tokens", 4)
    assert code == 0, err
    one, neurons = held["Italy"], found["Japan"]
    effect = cl.generation_effect(
        model,
        {
            "ablated": cl.ablation_hooks(model, neurons),
            "steered": {2.0: cl.steering_hooks(model, neurons, 2.0)},
            "added": {scale: cl.addition_hooks(model, one, scale) for scale in (1.0, -3.0)},
        },
        cl.load_short_answers(place / "blend", asked="english", wordings=[1]),
        max_new_tokens=4,
        **QUIET,
    )
    label = "english-conact-Japan-Italy"
    assert_records_are(folder.named("generation", label, ".parquet"), effect.frame)
    assert all(sentence in out for sentence in effect.in_words())
