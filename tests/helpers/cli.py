"""The command line, called as a user calls it."""

import sys

from culture_lens import cli


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
