"""`culture-lens steer`: the calls of Python, with neurons of a run or a file of directions."""

import pytest

import culture_lens as cl
from culture_lens.experiments.steering import SteeringCurve
from tests.helpers.cli import assert_records_are
from tests.helpers.marks import QUIET


@pytest.mark.slow
def test_curves_are_those_of_python_and_are_drawn(run, folder, place, model, found):
    asked = cl.load_benchmark("table", path=place / "rows.jsonl", limit=5)
    words = ["--path", place / "rows.jsonl", "--scoring", "letter", "--random-seeds", 1]
    options = {"scoring": "letter", "random_seeds": 1, **QUIET}
    code, out, err = run("steer", *words, "--alpha", -1, "--alpha", 2, "--own-only")
    assert code == 0, err
    curve = cl.steering_curve(model, found, asked, strengths=(-1.0, 2.0), others=False, **options)
    file = folder.named("steering", "conact", ".parquet")
    assert_records_are(file, curve.frame)
    assert str(file) in out and curve.table("self").to_string(index=False) in out

    directions = cl.fit_directions(model, asked[:4], layer=1, **QUIET)
    kept = directions.save(place / "mine.safetensors")
    code, out, err = run("steer", *words, "--directions", kept, "--scale", 2, "--unnamed")
    assert code == 0, err
    unnamed = cl.without_country_named(asked)
    curve = cl.steering_curve(model, directions, unnamed, strengths=[2.0], **options)
    assert_records_are(folder.named("steering", "mine-unnamed", ".parquet"), curve.frame)
    step = folder.steps()[-1]
    assert step["command"] == "steer" and step["options"]["unnamed"] is True
    code, out, err = run("plot")
    assert code == 0, err
    for name in ("conact", "mine-unnamed"):
        assert (folder.path / "figures" / f"{name}-steering.html").exists()
    again = SteeringCurve.from_parquet(file)
    assert again.strengths == (-1.0, 2.0) and again.metadata["selector"] == "mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scale", 1), "--directions FILE"),
        (("--directions", "mine.safetensors", "--alpha", 1), "leave out --alpha"),
        (("--method", "lape"), "unknown neuron set 'lape'"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(words, told, run):
    code, _, err = run("steer", "--path", "rows.jsonl", *words)
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1
