"""`culture-lens transfer`: neurons of one benchmark ablated on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import named_values, open_model, open_questions, parse_benchmarks
from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchSize,
    Benchmarks,
    EngineFlags,
    IdentifyShare,
    LoadingFlags,
    RandomSeeds,
    RunFolder,
    ScoringFlag,
    Sites,
    SubsetFlags,
)
from culture_lens.errors import InputError


@dataclass(frozen=True)
class TransferFlags:
    """How neurons are found and ablated; see ``transfer_matrix``."""

    panel: ClassVar[str] = "Finding and ablating"

    method: Annotated[str | None, typer.Option(help="The selector; conact by default.")] = None
    random_seeds: RandomSeeds = None
    identify_share: IdentifyShare = None
    scoring: ScoringFlag = None
    batch_size: BatchSize = None


@dataclass(frozen=True)
class NumberFlags:
    """How many neurons are found, and where; see ``find_culture_neurons``."""

    panel: ClassVar[str] = "How many neurons"

    share: Annotated[float | None, typer.Option(help="Share of the neurons at a site.")] = None
    k: Annotated[int | None, typer.Option(help="Or how many neurons at a site.")] = None
    sites: Sites = None


@flags
def transfer(
    *,
    benchmark: Benchmarks,
    run: RunFolder = DEFAULT_RUN,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Another label for a culture, such as Northern_Nigeria=Nigeria."),
    ] = None,
    subset: SubsetFlags,
    loading: LoadingFlags,
    transferring: TransferFlags,
    number: NumberFlags,
    engine: EngineFlags,
) -> None:
    """Find neurons on each benchmark and ablate them on every one, such as text and images.

    Example: `culture-lens transfer --model llava-hf/llava-v1.6-mistral-7b-hf
    --benchmark everyday --benchmark cvqa=data/cvqa,grouping=country --run runs/transfer`
    """
    from culture_lens.experiments.transfer_matrix import transfer_matrix
    from culture_lens.storage.display import format_table
    from culture_lens.storage.runs import Run, now

    labels = {name: str(value) for name, value in named_values(label or [], "--label").items()}
    both = given(subset)
    asked = {
        name: open_questions({"benchmark": name, **both, **own})
        for name, own in parse_benchmarks(benchmark).items()
    }
    if len(asked) < 2:
        raise InputError("--benchmark: transfer needs at least two, such as text and images.")
    opened = given(loading)
    lens = open_model(opened)
    began = now()
    folder = Run.open(run)
    find_options, options = given(number), {**given(transferring), **engine.chosen}
    told = {**opened, **both, **options, **find_options, "transfer": benchmark, "label": label}
    result = transfer_matrix(
        lens, asked, labels=labels, find_options=find_options, run=folder, **options
    )
    folder.log("transfer", told, began=began)
    folder.finish("transfer", lens.device)
    typer.echo("change in accuracy on a culture's own questions, mean over cultures")
    typer.echo("rows: neurons found on; columns: questions of\n")
    typer.echo(format_table(result.table("self")).to_string())
    if transferring.random_seeds != 0:
        typer.echo("\nbeyond random neurons\n")
        typer.echo(format_table(result.table("self", "beyond")).to_string())
    typer.echo("\nneurons in common\n")
    typer.echo(result.overlap().to_string(index=False))
