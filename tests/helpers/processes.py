"""Code in a Python process of its own: what it prints, and what it imports."""

import ast
import os
import subprocess
import sys

from tests.helpers.places import ROOT


def run_python(code: str, **environment: str) -> str:
    """Run code with the package of this repository; give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported_by(code: str, *names: str) -> list[str]:
    """Those of the modules that are loaded once the code has run."""
    watched = f"import sys\n{code}\nprint([name for name in {names!r} if name in sys.modules])"
    return ast.literal_eval(run_python(watched).splitlines()[-1])
