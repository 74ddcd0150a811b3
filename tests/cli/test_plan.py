"""`culture-lens plan` prints what `cl.plan` says."""

import pytest

import culture_lens as cl
from culture_lens.cli.plan import measured, pixels
from culture_lens.experiments.planning import measure
from culture_lens.models import load
from tests.helpers.cli import run
from tests.helpers.questions import toy_questions

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def test_the_command_is_the_call(capsys):
    words = ["--items", "40", "--cultures", "4", "--device", "h100", "--random-seeds", "1"]
    code, out, _ = run(capsys, "plan", "--model", LLAMA, *words, "--attribution-path", "none")
    said = cl.plan(LLAMA, cl.Counts(40, 4), device="h100", random_seeds=1, path="none")
    assert code == 0 and out.startswith(repr(said))
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["record", "ablate", "all"]


@pytest.mark.parametrize("text", ["640", "640x", "x480", "640x480x3", "-1x5"])
def test_a_picture_is_width_x_height(text):
    assert pixels("640X480") == (640, 480)
    with pytest.raises(cl.InputError, match="width x height"):
        pixels(text)


def test_what_is_measured_is_what_will_be_asked(monkeypatch):
    """Numbers cannot be asked, and written answers are no scoring that is measured."""
    calls = []

    def rate(model, questions=None, **options):
        calls.append((model, questions, options))
        return cl.Rate(1e9, 0.0)

    monkeypatch.setattr(load, "load_model", lambda name, **options: name)
    monkeypatch.setattr(measure, "measure_rate", rate)
    asked = toy_questions(1)
    for questions, scoring in ((asked, "letter"), (asked, "generation"), (cl.Counts(4, 2), None)):
        measured("a model", None, questions, scoring)
    assert calls == [
        ("a model", asked, {"scoring": "letter"}),
        ("a model", asked, {}),
        ("a model", None, {}),
    ]
