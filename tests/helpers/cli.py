"""The command line, called as a user calls it."""

import functools
import sys

import pandas as pd
import typer.main

from culture_lens import cli
from culture_lens.evaluation import generation
from tests.helpers.forwards import must_not_run

# A process of users has one command, and builds the parsers of all of them once. So do the tests.
typer.main.get_command = functools.cache(typer.main.get_command)


def run(capsys, *arguments):
    """Call the command line; give exit code, standard output and standard error."""
    code = 0
    held = sys.argv
    sys.argv = ["culture-lens", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv = held
    said = capsys.readouterr()
    return code, said.out, said.err


CULTURES = ("Italy", "Japan", "Mexico")
USED = ("0", "1")


def forbid_running(monkeypatch):
    """Make every forward an error: what is done already may not be done again."""
    must_not_run(monkeypatch)
    monkeypatch.setattr(generation, "greedy_tokens", None)


def assert_records_are(path, expected):
    """Hold a parquet file of records against a table; lists are read back as arrays."""
    written = pd.read_parquet(path)
    assert list(written.columns) == list(expected.columns) and len(written) == len(expected) > 0
    plain = [name for name in expected if name != "scores"]
    pd.testing.assert_frame_equal(written[plain], expected[plain])
    if "scores" in expected:
        assert [list(row) for row in written["scores"]] == [list(row) for row in expected["scores"]]


def leaves(group, before=""):
    """Every command below a group, with its name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name, command
