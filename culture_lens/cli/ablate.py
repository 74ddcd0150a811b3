"""`culture-lens ablate`: every mask in turn, every question asked."""

from __future__ import annotations

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
    RandomSeeds,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    Seen,
    Until,
    with_value,
)


@flags
def ablate(
    *,
    run: RunFolder = DEFAULT_RUN,
    method: Methods = None,
    random_seeds: RandomSeeds = None,
    value: AblationValue = None,
    seen: Seen = None,
    until: Until = None,
    scoring: ScoringFlag = None,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Ablate each culture's neurons in turn and ask every culture's questions.

    Model and questions are those of `find` in the same run folder, unless given. The matrix is
    `matrix/METHOD.parquet`, with another value than zero `matrix/METHOD-VALUE.parquet`.

    Example: `culture-lens ablate --run runs/first --method conact --random-seeds 5`
    """
    from culture_lens.experiments.ablation_matrix import ablation_matrix
    from culture_lens.storage.display import format_table
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run, create=False)
    sets = named_sets(folder, method)
    opened, questions, lens = open_remembered(folder, loading, asking)
    asked = {"random_seeds": random_seeds, "seen": seen, "until": until}
    options = given(running, value=value, scoring=scoring, **asked, **engine.chosen)
    told = {**opened, **options, "method": list(sets)}
    for name, found in sets.items():
        matrix = ablation_matrix(lens, found, questions, run=folder, **options)
        label = with_value(name, value)
        where = matrix.to_parquet(folder.named("matrix", label, ".parquet"))
        told = log_once(folder, "ablate", told, began)
        typer.echo(f"{label}: {where}")
        if matrix.has_metrics:
            typer.echo(format_table(matrix.summary()).to_string())
        for mask in [] if matrix.has_metrics else matrix.masks:
            typer.echo(f"mask {mask}\n{format_table(matrix.effects(mask)).to_string()}")
    folder.finish("ablate", lens.device)
