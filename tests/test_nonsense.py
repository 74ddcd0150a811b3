"""Nonsense is refused by name, over the whole public API: the lines of ``tests/nonsense``.

As users have it: without the types that tests check at run time, and the model may not run.
"""

import jaxtyping
import pytest

from tests.helpers.forwards import must_not_run
from tests.helpers.nonsense import fixed, lines, outcome

EVERY = [line for name in ("questions", "models", "results") for line in lines(name)]


@pytest.fixture(scope="module", autouse=True)
def made():
    return fixed()


@pytest.mark.parametrize("line", EVERY)
def test_nonsense_is_refused(line, tmp_path, monkeypatch):
    must_not_run(monkeypatch)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.chdir(tmp_path)
    assert outcome(line, tmp_path) == "refused"


@pytest.mark.slow
@pytest.mark.parametrize("line", lines("sense"))
def test_what_means_something_is_not_refused(line, tmp_path, monkeypatch):
    """So that no line of the table is refused for another reason than its own."""
    must_not_run(monkeypatch)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.chdir(tmp_path)
    assert outcome(line, tmp_path) in ("accepted", "AssertionError: the model was run")


def test_every_public_function_is_in_the_table(made):
    """A function that is added gets its lines; records that only results hold need none."""
    text = "\n".join(EVERY).replace("question(", "cl.Question(")
    results = {"Comparison", "CultureLensWarning", "DoseCurve",
               "Fidelity", "FineTuned", "Forgetting",
               "ForgettingStudy", "Inference", "InputError", "LensModel", "LogitLens",
               "ModuleChoice", "ModuleRanking", "NeuronCard", "NeuronCards", "PermutationResult",
               "Plan", "PredictedMatrix", "Preset", "Prompt", "Rate", "Relations", "Role",
               "RunStatus",
               "SaeReport", "Scorecard", "ShortAnswers", "SteeringCurve", "Suite",
               "TokenActivations", "TransferMatrix", "Truth", "WorkStatus",
               "ValueAlignment", "VarianceShares", "plots"}  # fmt: skip
    cl = made["cl"]
    lacking = [name for name in cl.__all__ if f"cl.{name}" not in text and name not in results]
    lacking += [name for name in cl.plots.__all__ if f"cl.plots.{name}" not in text]
    assert lacking == ["benchmark_names"]  # takes no argument
