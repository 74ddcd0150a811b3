"""`culture-lens status`: how far a run is, and how long it will take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    check: Annotated[
        bool, typer.Option("--check", help="Read every file and compare its checksum.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that will do the rest.", show_default="those alive"),
    ] = None,
) -> None:
    """Say which steps and shards of a run are finished, and how long the rest will take.

    With `--check` damaged files are listed, and make the exit code 1.

    Example: `culture-lens status runs/first`
    """
    from culture_lens.storage.status import lines, run_status

    found = run_status(run, check=check, workers=workers)
    for line in lines(found):
        typer.echo(line)
    if found.damaged:
        raise typer.Exit(1)
