"""`culture-lens values`: how near a model's answers on values come to those of people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.neurons import open_masked
from culture_lens.cli.options import (
    DEFAULT_RUN,
    Cultures,
    EngineFlags,
    LoadingFlags,
    OneMaskFlags,
    RunFolder,
    RunningFlags,
    ScoringFlag,
)


@dataclass(frozen=True)
class ValueFlags:
    """Which questions are asked about which people; see ``load_values``."""

    panel: ClassVar[str] = "Questions"

    people: Annotated[
        Path | None, typer.Option(help="The table of people's countries, where answers have none.")
    ] = None
    country: Annotated[str | None, typer.Option(help="The column of countries.")] = None
    cultures: Cultures = None
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", help="Only this ID, such as Q1; may be given several times."),
    ] = None
    personas: Annotated[
        list[str] | None,
        typer.Option(
            "--persona", help="Whose answer is asked for: person, country, or a name in --prompts."
        ),
    ] = None
    prompts: Annotated[
        Path | None,
        typer.Option(help="A JSON file of system prompts and instructions instead of ours."),
    ] = None
    wordings: Annotated[
        list[int] | None,
        typer.Option("--wording", help="Only this instruction, from 0; all where left out."),
    ] = None
    least_answers: Annotated[
        int | None,
        typer.Option(help="Leave out questions with fewer answers of a culture; 10 by default."),
    ] = None


@flags
def values(
    *,
    path: Annotated[Path, typer.Option(help="The folder of WorldValuesBench's question files.")],
    answers: Annotated[
        Path,
        typer.Option(help="People's answers: one row per person, or per question and culture."),
    ],
    run: RunFolder = DEFAULT_RUN,
    every_question: Annotated[
        bool, typer.Option("--every-question", help="Not only the 36 questions of the probe.")
    ] = False,
    scoring: ScoringFlag = None,
    which: ValueFlags,
    mask: OneMaskFlags,
    loading: LoadingFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Ask WorldValuesBench's questions and compare the answers with those of each culture's people.

    The answers of the World Values Survey may not be passed on, so they are a file of yours.
    Neurons to ablate, and the model, are those of `find` in the run folder. CULNIG's protocol is
    --every-question --culture culnig.

    Example: `culture-lens values --path data/worldvaluesbench --answers my_answers.csv
    --run runs/first --ablate Japan`
    """
    from culture_lens.evaluation.values import evaluate_values, load_values
    from culture_lens.storage.runs import now

    began = now()
    asked = {**given(questions="all" if every_question else None), **given(which)}
    opened = open_masked(run, loading, mask, lambda: load_values(path, answers, **asked), scoring)
    place = opened.folder.named("values", opened.label, ".parquet")
    options = given(running, scoring=scoring, value=mask.value, **engine.chosen)
    told = {"path": path, "answers": answers, "ablated": opened.label, **asked, **options}
    result = evaluate_values(
        opened.lens, opened.questions, opened.neurons, run=opened.folder, **options
    )
    typer.echo(f"{result.to_parquet(place)}")
    opened.folder.log("values", {**opened.loading, "values": told}, began=began)
    typer.echo(
        f"all: alignment {result.alignment()} (guessing {result.chance():.3f}), distance "
        f"{result.distance()}, answered {result.answered():.1%}"
    )
    for column in ("culture", "persona", "wording"):
        distances = result.by(column, "distance")
        for name, estimate in result.by(column).items():
            typer.echo(f"  {column} {name}: alignment {estimate}, distance {distances[name]}")
    opened.folder.finish("values", opened.lens.device)
