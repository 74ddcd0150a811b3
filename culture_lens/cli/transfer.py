"""`culture-lens transfer`: neurons of one benchmark ablated on another."""

from __future__ import annotations

from typing import Annotated

import typer

from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchOption,
    BenchmarksOption,
    CultureOption,
    DeviceOption,
    DtypeOption,
    IdentifyShareOption,
    LimitOption,
    ModelOption,
    RandomSeedsOption,
    RevisionOption,
    RunOption,
    ScoringOption,
    given,
    named_values,
    open_model,
    open_questions,
    parse_benchmarks,
)


def transfer(
    benchmark: BenchmarksOption,
    run: RunOption = DEFAULT_RUN,
    model: ModelOption = None,
    method: Annotated[str | None, typer.Option(help="The selector; conact by default.")] = None,
    share: Annotated[float | None, typer.Option(help="Share of the neurons at a site.")] = None,
    k: Annotated[int | None, typer.Option(help="Or how many neurons at a site.")] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(help="act, gate, up, post, q, k, v, z; encoder.act and so on."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Another label for a culture, such as Northern_Nigeria=Nigeria."),
    ] = None,
    random_seeds: RandomSeedsOption = None,
    identify_share: IdentifyShareOption = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Find neurons on each benchmark and ablate them on every one, such as text and images.

    Example: `culture-lens transfer --model llava-hf/llava-v1.6-mistral-7b-hf
    --benchmark everyday --benchmark cvqa=data/cvqa,grouping=country --run runs/transfer`
    """
    from culture_lens.experiments.transfer import transfer_matrix
    from culture_lens.storage.runs import Run

    labels = {name: str(value) for name, value in named_values(label or [], "--label").items()}
    loading = given(model=model, dtype=dtype, device=device, revision=revision)
    both = given(culture=culture, limit=limit)
    asked = {
        name: open_questions({"benchmark": name, **both, **own})
        for name, own in parse_benchmarks(benchmark).items()
    }
    lens = open_model(loading)
    folder = Run.open(run)
    find_options = given(share=share, k=k, sites=site)
    options = given(
        method=method,
        random_seeds=random_seeds,
        identify_share=identify_share,
        scoring=scoring,
        batch_size=batch_size,
    )
    told = {**loading, **both, **options, **find_options, "transfer": benchmark, "label": label}
    folder.log("transfer", told)
    result = transfer_matrix(
        lens, asked, labels=labels, find_options=find_options, run=folder, **options
    )
    typer.echo("change in accuracy on a culture's own questions, mean over cultures")
    typer.echo("rows: neurons found on; columns: questions of\n")
    typer.echo(result.table("self").to_string())
    if random_seeds != 0:
        typer.echo("\nbeyond random neurons\n")
        typer.echo(result.table("self", "beyond").to_string())
    typer.echo("\nneurons in common\n")
    typer.echo(result.overlap().to_string(index=False))
