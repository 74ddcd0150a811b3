"""`culture-lens values`: how near a model's answers on values come to those of people."""

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
    ScoringOption,
    TooLongOption,
    ValueOption,
    WordingOption,
    check_ablation,
    given,
    open_model,
    recalled,
)


def values(
    path: Annotated[Path, typer.Option(help="The folder of WorldValuesBench's question files.")],
    answers: Annotated[
        Path,
        typer.Option(help="People's answers: one row per person, or per question and culture."),
    ],
    people: Annotated[
        Path | None, typer.Option(help="The table of people's countries, where answers have none.")
    ] = None,
    country: Annotated[str | None, typer.Option(help="The column of countries.")] = None,
    run: RunOption = DEFAULT_RUN,
    method: MethodName = None,
    ablate: AblateOption = None,
    union: UnionOption = None,
    value: ValueOption = None,
    culture: CultureOption = None,
    question: Annotated[
        list[str] | None, typer.Option(help="Only this ID, such as Q1; may be given several times.")
    ] = None,
    every_question: Annotated[
        bool, typer.Option("--every-question", help="Not only the 36 questions of the probe.")
    ] = False,
    persona: Annotated[
        list[str] | None, typer.Option(help="Whose answer is asked for: person or country.")
    ] = None,
    wording: WordingOption = None,
    model: ModelOption = None,
    scoring: ScoringOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Ask WorldValuesBench's questions and hold the answers against those of each culture's people.

    The answers of the World Values Survey may not be passed on, so they are a file of yours.
    Neurons to ablate, and the model, are those of `find` in the run folder.

    Example: `culture-lens values --path data/worldvaluesbench --answers my_answers.csv
    --run runs/first --ablate Japan`
    """
    from culture_lens.evaluation.values import evaluate_values, load_values
    from culture_lens.storage.runs import Run

    loading = recalled(run, model=model, dtype=dtype, device=device, revision=revision)
    check_ablation(value, scoring)
    mask = one_mask(Run(run), method, ablate, union, value)
    asked = given(
        people=people,
        country=country,
        cultures=culture,
        probe=False if every_question else None,
        questions=question,
        personas=persona,
        wordings=wording,
    )
    questions = load_values(path, answers, **asked)
    lens = open_model(loading)
    label, neurons = ablated(mask, lens)
    folder = Run.open(run)
    options = given(scoring=scoring, value=value, too_long=too_long, batch_size=batch_size)
    told = {"path": path, "answers": answers, "ablated": label, **asked, **options}
    folder.log("values", {**loading, "values": told})
    result = evaluate_values(lens, questions, neurons, run=folder, **options)
    typer.echo(f"{result.to_parquet(folder.named('values', label, '.parquet'))}")
    typer.echo(
        f"all: alignment {result.alignment()} (guessing {result.chance():.3f}), distance "
        f"{result.distance()}, answered {result.answered():.1%}"
    )
    for column in ("culture", "persona", "wording"):
        distances = result.by(column, "distance")
        for name, estimate in result.by(column).items():
            typer.echo(f"  {column} {name}: alignment {estimate}, distance {distances[name]}")
