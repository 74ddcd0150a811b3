"""`culture-lens dose`: ever more of each culture's neurons ablated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import log_once, open_remembered
from culture_lens.cli.neurons import named_sets
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AblationValue,
    AskingFlags,
    EngineFlags,
    LoadingFlags,
    Methods,
    Others,
    RandomSeeds,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    Seen,
    with_value,
)


@dataclass(frozen=True)
class DoseFlags:
    """How much is ablated, and what is asked; see ``dose_curve``."""

    shares: Annotated[
        list[float] | None,
        typer.Option(
            "--share",
            help="Share of the neurons at the sites to ablate; may be given several times. By "
            "default the whole set, a half, a quarter and so on.",
        ),
    ] = None
    others: Others = None
    random_seeds: RandomSeeds = None
    seen: Seen = None
    scoring: ScoringFlag = None


@flags
def dose(
    *,
    run: RunFolder = DEFAULT_RUN,
    method: Methods = None,
    value: AblationValue = None,
    dosing: DoseFlags,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Ablate ever more of each culture's neurons, those of the highest scores first.

    Model and questions are those of `find` in the same run folder, unless given. Find more neurons
    than usual first, such as `find --share 0.02`. The curve is `dose/METHOD.parquet`.

    Example: `culture-lens dose --run runs/first --share 0.001 --share 0.005 --share 0.02`
    """
    from culture_lens.experiments.dose_curve import dose_curve
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run, create=False)
    sets = named_sets(folder, method)
    opened, questions, lens = open_remembered(folder, loading, asking)
    options = given(running, dosing, value=value, **engine.chosen)
    told = {**opened, **options, "method": list(sets)}
    for name, found in sets.items():
        curve = dose_curve(lens, found, questions, run=folder, **options)
        label = with_value(name, value)
        where = curve.to_parquet(folder.named("dose", label, ".parquet"))
        told = log_once(folder, "dose", told, began)
        typer.echo(f"{label}: {where}")
        typer.echo(curve.table("self").to_string(index=False))
    folder.finish("dose", lens.device)
