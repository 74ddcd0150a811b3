"""Warnings name the line of the user's own code, and can be turned into errors."""

import subprocess
import sys
import warnings

import pytest

from culture_lens.benchmarks import questions_from_table
from culture_lens.errors import CultureLensWarning


def told_by(line: str) -> list[str]:
    """Run a line of user code by itself; file, line and class of its first warning.

    Apart from these tests, whose type checks put frames of their own around every function.
    """
    code = f"""
import warnings
import culture_lens as cl
from culture_lens.errors import warn
rows = [dict(culture="x", question="q", options=["a", "b"], answer=a) for a in ("a", "zzz")]
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    {line}
print(told[0].filename, told[0].lineno, told[0].category.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        'warn("told")',
        'cl.questions_from_table(rows, on_bad="skip")',  # warned of one function further in
    ],
)
def test_a_warning_names_the_users_line(line):
    assert told_by(line) == ["<string>", "8", "CultureLensWarning"]


def test_warnings_can_be_turned_into_errors():
    rows = [
        {"culture": "x", "question": "q", "options": ["a", "b"], "answer": answer}
        for answer in ("a", "zzz")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CultureLensWarning)
        with pytest.raises(CultureLensWarning, match="dropped 1 of 2 rows"):
            questions_from_table(rows, on_bad="skip")
