"""`culture-lens answers`: BLEnD's short answers, written by the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import named_values
from culture_lens.cli.neurons import open_masked
from culture_lens.cli.options import (
    DEFAULT_RUN,
    Cultures,
    EngineFlags,
    LoadingFlags,
    OneMaskFlags,
    RunFolder,
    RunningFlags,
    WordingNumbers,
)


@dataclass(frozen=True)
class ShortAnswerFlags:
    """Which questions are asked, in which language; see ``load_short_answers``."""

    panel: ClassVar[str] = "Questions"

    regions: Cultures = None
    asked: Annotated[
        str, typer.Option(help="local for each region's own language, or english.")
    ] = "local"
    wordings: WordingNumbers = None
    split: Annotated[
        str | None, typer.Option(help="identify or evaluate, for the topics of one of them.")
    ] = None
    topics: Annotated[
        Path | None, typer.Option(help="BLEnD's US_questions.csv, where it lies elsewhere.")
    ] = None


@dataclass(frozen=True)
class WritingFlags:
    """How answers are written and matched; see ``evaluate_short_answers``."""

    panel: ClassVar[str] = "Answers"

    stem: Annotated[
        bool | None, typer.Option("--stem", help="Match stems; needs snowballstemmer.")
    ] = None
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="At most so many tokens per answer.")
    ] = None


@flags
def answers(
    *,
    path: Annotated[Path, typer.Option(help="The folder of BLEnD's files REGION_data.json.")],
    run: RunFolder = DEFAULT_RUN,
    language: Annotated[
        list[str] | None,
        typer.Option(help="The language of a region of your own, such as Brazil=Portuguese."),
    ] = None,
    which: ShortAnswerFlags,
    mask: OneMaskFlags,
    writing: WritingFlags,
    loading: LoadingFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Let a model answer BLEnD's short questions, and match its answers with people's answers.

    Neurons to ablate, and the model, are those of `find` in the run folder.

    Example: `culture-lens answers --path data/blend --culture UK --asked english
    --run runs/first --ablate UK`
    """
    from culture_lens.evaluation.short_answers import evaluate_short_answers, load_short_answers
    from culture_lens.storage.runs import now

    began = now()
    spoken = named_values(language or [], "--language", "Brazil=Portuguese")
    languages = {region: str(name) for region, name in spoken.items()} or None
    chosen = given(which, languages=languages)
    opened = open_masked(run, loading, mask, lambda: load_short_answers(path, **chosen))
    place = opened.folder.named("answers", f"{which.asked}-{opened.label}", ".parquet")
    options = given(running, writing, value=mask.value, **engine.chosen)
    told = {"path": path, "ablated": opened.label, **chosen, **options}
    result = evaluate_short_answers(
        opened.lens, opened.questions, opened.neurons, run=opened.folder, **options
    )
    typer.echo(f"{result.to_parquet(place)}")
    opened.folder.log("answers", {**opened.loading, "answers": told}, began=began)
    for matching in ("exact", "contained"):
        weighted = result.accuracy(matching, weighted=True)
        typer.echo(f"all, {matching}: {result.accuracy(matching)}, by votes {weighted}")
    for column in ("culture", "wording"):
        contained = result.by(column, "contained")
        for label, estimate in result.by(column).items():
            typer.echo(f"  {column} {label}: exact {estimate}, contained {contained[label]}")
    opened.folder.finish("answers", opened.lens.device)
