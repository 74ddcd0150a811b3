"""`culture-lens modules`: in which modules a culture's neurons lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import open_model, remembered
from culture_lens.cli.neurons import the_neurons
from culture_lens.cli.options import DEFAULT_RUN, LoadingFlags, NeuronSetName, RunFolder

if TYPE_CHECKING:
    from culture_lens.finetune.modules import ModuleRanking
    from culture_lens.models.lens_model import LensModel
    from culture_lens.neurons.neuron_set import NeuronSet


@dataclass(frozen=True)
class RankingFlags:
    """By which neurons modules are ranked, and how many are trained; see ``rank_modules``."""

    panel: ClassVar[str] = "Modules"

    method: NeuronSetName = None
    whose: Annotated[
        str | None, typer.Option(help="Only this culture's neurons; all together if left out.")
    ] = None
    by: Annotated[str | None, typer.Option(help="number or density.")] = None
    unit: Annotated[
        str | None,
        typer.Option(help="block: MLP or attention of a layer, as in CULNIG; or projection."),
    ] = None
    part: Annotated[str | None, typer.Option(help="all, mlp or attention.")] = None
    parameter_share: Annotated[
        float | None, typer.Option(help="At most this share of all parameters; 0.10 as in CULNIG.")
    ] = None


@flags
def modules(
    *,
    run: RunFolder = DEFAULT_RUN,
    seed: Annotated[int | None, typer.Option(help="Draws the random choice.")] = None,
    wanted: RankingFlags,
    loading: LoadingFlags,
) -> None:
    """Rank modules by the neurons that they hold, and list what top, bottom and random would train.

    Example: `culture-lens modules --run runs/first --part mlp --parameter-share 0.1`
    """
    from culture_lens.finetune import choose_modules
    from culture_lens.finetune.modules import WHICH
    from culture_lens.storage.runs import Run

    folder = Run.open(run, create=False)
    found = the_neurons(folder, wanted.method)
    ranking = ranked(found, open_model(remembered(folder, loading)), wanted)
    typer.echo(ranking.to_pandas().to_string())
    for which in WHICH:
        number = given(parameter_share=wanted.parameter_share, seed=seed)
        chosen = choose_modules(ranking, which, **number)
        names = ", ".join(f"{module.name} {module.layer}" for module in chosen.modules)
        typer.echo(f"{which}: {chosen.share:.2%} of {chosen.total} parameters: {names}")


def ranked(found: NeuronSet, lens: LensModel, wanted: RankingFlags) -> ModuleRanking:
    """Rank modules as the options say."""
    from culture_lens.finetune import rank_modules

    options = given(culture=wanted.whose, by=wanted.by, unit=wanted.unit, part=wanted.part)
    return rank_modules(found, lens, **options)
