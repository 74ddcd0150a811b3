"""`culture-lens directions`: one direction per culture at a layer, kept in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import open_remembered
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    IdentifyShare,
    LoadingFlags,
    RunFolder,
    RunningFlags,
)


@dataclass(frozen=True)
class FittingFlags:
    """What is contrasted, and where; see ``fit_directions``."""

    site: Annotated[
        str | None, typer.Option(help="resid, encoder.resid, decoder.resid, or a site of neurons.")
    ] = None
    contrast: Annotated[
        str | None, typer.Option(help="cultures, or localization: the country named less not.")
    ] = None
    position: Annotated[
        str | None, typer.Option(help="Tokens that are read: last, content, text or image.")
    ] = None


@flags
def directions(
    *,
    layer: Annotated[int, typer.Option(min=0, help="The layer, counted from 0.")],
    run: RunFolder = DEFAULT_RUN,
    identify_share: IdentifyShare = None,
    fitting: FittingFlags,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
) -> None:
    """Fit one direction per culture, a difference of means, on the questions that identify.

    They are kept as `directions/CONTRAST-SITE-LAYER.safetensors`.

    Example: `culture-lens directions --layer 12 --contrast localization --run runs/first`
    """
    from culture_lens.activations.directions import fit_directions
    from culture_lens.questions.splits import split_questions
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run)
    opened, questions, lens = open_remembered(folder, loading, asking)
    identify, _ = split_questions(questions, **given(identify_share=identify_share))
    options = given(running, fitting)
    found = fit_directions(lens, identify, layer=layer, **options)
    name = f"{found.metadata['contrast']}-{found.site}-{layer}"
    place = folder.named("directions", name, ".safetensors")
    typer.echo(f"{found.save(place)}")
    told = {**opened, **options, "layer": layer, **given(identify_share=identify_share)}
    folder.log("directions", told, began=began)
    typer.echo(found.to_pandas().to_string(index=False))
    folder.finish("directions", lens.device)
