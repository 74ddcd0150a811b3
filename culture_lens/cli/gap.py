"""`culture-lens gap`: accuracy with the country named minus accuracy without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import check_names, open_remembered
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    LoadingFlags,
    RunFolder,
    RunningFlags,
    ScoringFlag,
)


@dataclass(frozen=True)
class NamingFlags:
    """How the country is named and left out; see ``localization_gap``."""

    lead: Annotated[
        str | None,
        typer.Option(help="What names the country before a question; {country} is its name."),
    ] = None
    stand_in: Annotated[
        str | None, typer.Option(help="What stands where a question names its country.")
    ] = None
    scoring: ScoringFlag = None


@flags
def gap(
    *,
    run: RunFolder = DEFAULT_RUN,
    naming: NamingFlags,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
) -> None:
    """Ask every question with and without its country named, and compare the answers.

    Model and questions are those of earlier commands in the same run folder, unless given.

    Example: `culture-lens gap --benchmark everyday --scoring option_likelihood`
    """
    from culture_lens.experiments.localization import localization_gap
    from culture_lens.questions.country_named import lead_text
    from culture_lens.storage.runs import Run, now

    check_names(scoring=naming.scoring)
    if naming.lead is not None:
        lead_text("--lead", naming.lead)
    began = now()
    folder = Run.open(run)
    opened, questions, lens = open_remembered(folder, loading, asking)
    options = given(running, naming)
    result = localization_gap(lens, questions, run=folder, **options)
    place = folder.named("gap", questions[0].benchmark or "questions", ".parquet")
    typer.echo(f"{result.to_parquet(place)}")
    folder.log("gap", {**opened, **options}, began=began)
    typer.echo(result.table().to_string())
    folder.finish("gap", lens.device)
