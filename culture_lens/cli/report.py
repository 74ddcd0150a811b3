"""`culture-lens report`: one page with the results of a run."""

from __future__ import annotations

import typer

from culture_lens.cli.options import DEFAULT_RUN, RunFolder


def report(run: RunFolder = DEFAULT_RUN) -> None:
    """Write one self-contained page with what a run found.

    Example: `culture-lens report --run runs/first`
    """
    from culture_lens.report.page import build_report
    from culture_lens.storage.runs import Run

    typer.echo(str(build_report(Run.open(run, create=False))))
