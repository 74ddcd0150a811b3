"""`culture-lens steer`: towards each culture, ever more strongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import check_names, log_once, open_remembered
from culture_lens.cli.neurons import named_sets
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    LoadingFlags,
    Methods,
    Others,
    RandomSeeds,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    Seen,
)
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.neurons.directions import Directions
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run


@dataclass(frozen=True)
class SteeringFlags:
    """What is asked while the model is steered; see ``steering_curve``."""

    others: Others = None
    random_seeds: RandomSeeds = None
    seen: Seen = None
    scoring: ScoringFlag = None


@flags
def steer(
    *,
    run: RunFolder = DEFAULT_RUN,
    method: Methods = None,
    alpha: Annotated[
        list[float] | None,
        typer.Option(help="Scale neurons or heads by 1 + alpha; may be given several times."),
    ] = None,
    directions: Annotated[
        Path | None, typer.Option(help="A file of `directions`, in the place of neurons.")
    ] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Add each direction so many times; may be given several times."),
    ] = None,
    unnamed: Annotated[
        bool, typer.Option("--unnamed", help="Ask without the country named, as `gap` does.")
    ] = False,
    steering: SteeringFlags,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
) -> None:
    """Steer towards each culture in turn, ever more strongly, and ask every culture's questions.

    The neurons of the run folder are scaled, heads where `find` was given --heads, or directions
    are added. Model and questions are those of `find` in the same run folder, unless given. The
    curve is `steering/METHOD.parquet`.

    Example: `culture-lens steer --run runs/heads --alpha -1 --alpha 0.5 --alpha 1`
    """
    from culture_lens.experiments.steering_curve import steering_curve
    from culture_lens.questions.country_named import without_country_named
    from culture_lens.storage.runs import Run, now

    check_names(scoring=steering.scoring)
    if directions is None and scale:
        raise InputError("--scale adds directions: add --directions FILE, or give --alpha.")
    if directions is not None and (alpha or method):
        raise InputError(
            "--directions stands in the place of neurons: leave out --alpha, --method."
        )
    began = now()
    folder = Run.open(run, create=False)
    sets = steered_in(folder, method, directions)
    opened, questions, lens = open_remembered(folder, loading, asking)
    asked = without_country_named(questions) if unnamed else questions
    options = given(running, steering, strengths=alpha or scale or None)
    told = {**opened, **options, "steered": list(sets), "unnamed": unnamed}
    for name, steered in sets.items():
        curve = steering_curve(lens, steered, asked, **options)
        label = f"{name}-unnamed" if unnamed else name
        where = curve.to_parquet(folder.named("steering", label, ".parquet"))
        told = log_once(folder, "steer", told, began)
        typer.echo(f"{label}: {where}")
        typer.echo(curve.table("self").to_string(index=False))
    folder.finish("steer", lens.device)


def steered_in(
    folder: Run, method: list[str] | None, directions: Path | None
) -> dict[str, NeuronSet] | dict[str, Directions]:
    """Read what is steered: the neuron sets of a run folder, or a file of directions."""
    from culture_lens.neurons.directions import Directions

    if directions is None:
        return named_sets(folder, method)
    return {directions.stem: Directions.load(directions)}
