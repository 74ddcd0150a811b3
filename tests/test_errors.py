"""Errors name the nearest known name; warnings name the line of the user's own code."""

import inspect
import warnings

import pytest

from culture_lens.benchmarks import questions_from_table
from culture_lens.errors import CultureLensWarning, InputError, unknown, warn


def test_unknown_names_are_answered_with_the_nearest_and_all():
    error = unknown("selector", "conac", ["lape", "conact"], "See select.")
    assert isinstance(error, InputError) and isinstance(error, ValueError)
    assert str(error) == (
        "unknown selector 'conac': did you mean 'conact'? Known: conact, lape. See select."
    )
    assert str(unknown("site", "zzz", ["act"])) == "unknown site 'zzz'. Known: act."


def test_a_warning_from_outside_names_the_line_that_calls_it():
    with pytest.warns(CultureLensWarning, match="^told$") as told:
        warn("told")
        line = inspect.currentframe().f_lineno - 1
    assert (told[0].filename, told[0].lineno) == (__file__, line)


def test_a_warning_from_deep_inside_names_the_users_line():
    """Two functions of the package lie between this line and the warning."""
    import subprocess
    import sys

    code = (
        "import warnings\n"
        "from culture_lens.benchmarks import questions_from_table\n"
        "rows = [{'culture': 'x', 'question': 'q', 'options': ['a', 'b'], 'answer': a} "
        "for a in ('a', 'zzz')]\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        "    questions_from_table(rows, on_bad='skip')\n"
        "print(told[0].filename, told[0].lineno, told[0].category.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["<string>", "6", "CultureLensWarning"]


def test_warnings_can_be_turned_into_errors():
    rows = [
        {"culture": "x", "question": "q", "options": ["a", "b"], "answer": answer}
        for answer in ("a", "zzz")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CultureLensWarning)
        with pytest.raises(CultureLensWarning, match="dropped 1 of 2 rows"):
            questions_from_table(rows, on_bad="skip")
