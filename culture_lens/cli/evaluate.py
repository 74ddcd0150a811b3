"""`culture-lens evaluate`: one record per question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import check_names, open_remembered
from culture_lens.cli.neurons import left_to_ask
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AblatedCulture,
    AblationValue,
    AskingFlags,
    EngineFlags,
    LoadingFlags,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    Seen,
    with_value,
)
from culture_lens.errors import InputError


@flags
def evaluate(
    *,
    run: RunFolder = DEFAULT_RUN,
    neurons: Annotated[
        Path | None, typer.Option(help="A neuron set to ablate; needs --ablate.")
    ] = None,
    ablate: AblatedCulture = None,
    value: AblationValue = None,
    seen: Seen = None,
    scoring: ScoringFlag = None,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Ask a model the questions and write one record per item.

    With neurons ablated, questions that were given to find them are left out.

    Example: `culture-lens evaluate --benchmark everyday --scoring option_likelihood`
    """
    from culture_lens.evaluation.evaluate import evaluate as run_evaluation
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run, now

    if (neurons is None) != (ablate is None):
        raise InputError("--neurons and --ablate go together: a neuron set, and whose neurons.")
    check_names(value, scoring)
    began = now()
    folder = Run.open(run)
    opened, questions, lens = open_remembered(folder, loading, asking)
    chosen = None
    if neurons is not None and ablate is not None:
        found = NeuronSet.load(neurons, lens)
        chosen = found[ablate]
        questions = left_to_ask(found, questions, seen)
    options = given(running, value=value, scoring=scoring, **engine.chosen)
    name = with_value(f"{questions[0].benchmark}-{ablate or 'unmodified'}", value)
    place = folder.named("evaluations", name, ".parquet")
    result = run_evaluation(lens, questions, chosen, run=folder, **options)
    typer.echo(f"{result.to_parquet(place)}")
    folder.log("evaluate", {**opened, **options, "neurons": neurons, "ablate": ablate}, began=began)
    typer.echo(f"all: {result.accuracy()}  (chance {result.chance():.3f})")
    for label, estimate in result.by().items():
        typer.echo(f"  {label}: {estimate}")
    folder.finish("evaluate", lens.device)
