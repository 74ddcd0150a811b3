"""`culture-lens answers`: BLEnD's short answers, written by the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from culture_lens.cli.neurons import MethodName, UnionOption, ablated, one_mask
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AblateOption,
    BatchOption,
    CultureOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
    RevisionOption,
    RunOption,
    TooLongOption,
    ValueOption,
    WordingOption,
    check_ablation,
    given,
    named_values,
    open_model,
    recalled,
)


def answers(
    path: Annotated[Path, typer.Option(help="The folder of BLEnD's files REGION_data.json.")],
    run: RunOption = DEFAULT_RUN,
    method: MethodName = None,
    ablate: AblateOption = None,
    union: UnionOption = None,
    value: ValueOption = None,
    culture: CultureOption = None,
    asked: Annotated[
        str, typer.Option(help="local for each region's own language, or english.")
    ] = "local",
    wording: WordingOption = None,
    split: Annotated[
        str | None, typer.Option(help="identify or evaluate, for the topics of one of them.")
    ] = None,
    topics: Annotated[
        Path | None, typer.Option(help="BLEnD's US_questions.csv, where it lies elsewhere.")
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="The language of a region of your own, such as Brazil=Portuguese."),
    ] = None,
    stem: Annotated[
        bool | None, typer.Option("--stem", help="Match stems; needs snowballstemmer.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="At most so many tokens per answer.")
    ] = None,
    model: ModelOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Let a model answer BLEnD's short questions, and match what it writes with people's answers.

    Neurons to ablate, and the model, are those of `find` in the run folder.

    Example: `culture-lens answers --path data/blend --culture UK --asked english
    --run runs/first --ablate UK`
    """
    from culture_lens.evaluation.short_answers import evaluate_short_answers, load_short_answers
    from culture_lens.storage.runs import Run

    loading = recalled(run, model=model, dtype=dtype, device=device, revision=revision)
    check_ablation(value)
    mask = one_mask(Run(run), method, ablate, union, value)
    spoken = named_values(language or [], "--language", "Brazil=Portuguese")
    chosen = given(
        regions=culture,
        asked=asked,
        wordings=wording,
        split=split,
        topics=topics,
        languages={region: str(name) for region, name in spoken.items()} or None,
    )
    questions = load_short_answers(path, **chosen)
    lens = open_model(loading)
    label, neurons = ablated(mask, lens)
    folder = Run.open(run)
    options = given(
        value=value,
        stem=stem,
        max_new_tokens=max_new_tokens,
        too_long=too_long,
        batch_size=batch_size,
    )
    told = {"path": path, "ablated": label, **chosen, **options}
    folder.log("answers", {**loading, "answers": told})
    result = evaluate_short_answers(lens, questions, neurons, run=folder, **options)
    typer.echo(f"{result.to_parquet(folder.named('answers', f'{asked}-{label}', '.parquet'))}")
    for matching in ("exact", "contained"):
        weighted = result.accuracy(matching, weighted=True)
        typer.echo(f"all, {matching}: {result.accuracy(matching)}, by votes {weighted}")
    for column in ("culture", "wording"):
        contained = result.by(column, "contained")
        for name, estimate in result.by(column).items():
            typer.echo(f"  {column} {name}: exact {estimate}, contained {contained[name]}")
