"""`culture-lens generation`: score and fluency of written answers under interventions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.answers import ShortAnswerFlags, WritingFlags
from culture_lens.cli.flags import flags, given
from culture_lens.cli.neurons import open_masked
from culture_lens.cli.options import (
    DEFAULT_RUN,
    LoadingFlags,
    OneMaskFlags,
    RunFolder,
    RunningFlags,
)
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.models.lens_model import LensModel
    from culture_lens.neurons.directions import Direction
    from culture_lens.neurons.neurons import Neurons


@dataclass(frozen=True)
class DoseFlags:
    """The doses of steering, and a direction with its scales."""

    panel: ClassVar[str] = "Interventions"

    alpha: Annotated[
        list[float] | None,
        typer.Option(help="Scale the neurons by 1 + alpha; may be given several times."),
    ] = None
    directions: Annotated[
        Path | None, typer.Option(help="A file of `directions`; needs --direction.")
    ] = None
    direction: Annotated[str | None, typer.Option(help="The culture whose direction is added.")] = (
        None
    )
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Add the direction so many times; may be given several times."),
    ] = None


@flags
def generation(
    *,
    path: Annotated[Path, typer.Option(help="The folder of BLEnD's files REGION_data.json.")],
    run: RunFolder = DEFAULT_RUN,
    which: ShortAnswerFlags,
    mask: OneMaskFlags,
    doses: DoseFlags,
    writing: WritingFlags,
    loading: LoadingFlags,
    running: RunningFlags,
) -> None:
    """Let a model write short answers under interventions; judge score and fluency together.

    Neurons of the run folder are ablated and, with --alpha, steered; a direction is added with
    --scale.

    Example: `culture-lens generation --path data/blend --culture UK --asked english
    --run runs/first --ablate UK --alpha 0.5 --alpha 2`
    """
    from culture_lens.evaluation.short_answers import load_short_answers
    from culture_lens.experiments.generation_effect import generation_effect

    direction = the_direction(mask, doses)
    chosen = given(which)
    opened = open_masked(run, loading, mask, lambda: load_short_answers(path, **chosen))
    interventions = interventions_of(opened.lens, opened.neurons, mask.value, doses, direction)
    options = given(running, writing)
    result = generation_effect(opened.lens, interventions, opened.questions, **options)
    label = opened.label if direction is None else f"{opened.label}-{direction.name}"
    place = opened.folder.named("generation", f"{which.asked}-{label}", ".parquet")
    typer.echo(f"{result.to_parquet(place)}")
    told = {"path": path, "ablated": opened.label, **chosen, **options, **given(doses)}
    opened.folder.log("generation", {**opened.loading, "generation": told})
    for sentence in result.in_words():
        typer.echo(sentence)


def the_direction(mask: OneMaskFlags, doses: DoseFlags) -> Direction | None:
    """Read the direction that is added; all that is lacking is said before a model is loaded.

    Raises:
        InputError: Nothing to do, or flags that go together and do not stand together.
    """
    from culture_lens.neurons.directions import Directions

    neurons = mask.ablate is not None or bool(mask.union)
    if doses.alpha and not neurons:
        raise InputError("--alpha steers neurons: add --ablate CULTURE or --union.")
    parts = (doses.directions, doses.direction, doses.scale or None)
    if any(part is not None for part in parts) and None in parts:
        raise InputError("--directions, --direction and --scale go together: give all three.")
    if doses.directions is None or doses.direction is None:
        if not neurons:
            raise InputError(
                "no intervention: give --ablate CULTURE or --union, or a direction with "
                "--directions, --direction and --scale."
            )
        return None
    return Directions.load(doses.directions)[doses.direction]


def interventions_of(
    lens: LensModel,
    neurons: Neurons | None,
    value: str | None,
    doses: DoseFlags,
    direction: Direction | None,
) -> dict[str, Any]:
    """Make the interventions: ablated and steered neurons, and a direction that is added."""
    from culture_lens.neurons.direction_hooks import addition_hooks
    from culture_lens.neurons.hooks import ablation_hooks, steering_hooks

    found: dict[str, Any] = {}
    if neurons is not None:
        found["ablated"] = ablation_hooks(lens, neurons, **given(value=value))
        if doses.alpha:
            found["steered"] = {a: steering_hooks(lens, neurons, a) for a in doses.alpha}
    if direction is not None:
        found["added"] = {s: addition_hooks(lens, direction, s) for s in doses.scale or []}
    return found
