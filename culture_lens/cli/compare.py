"""`culture-lens compare`: selectors side by side, at equal numbers of neurons."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import check_names, open_model, open_questions, recalled
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    CountingFlags,
    CulnigFlags,
    EngineFlags,
    IdentifyShare,
    LoadingFlags,
    RandomSeeds,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    WhoseCultures,
)
from culture_lens.cli.plot import comparison_figures, write_figures
from culture_lens.errors import CultureLensWarning

if TYPE_CHECKING:
    from culture_lens.questions.question import Question


@dataclass(frozen=True)
class ComparisonFlags:
    """What is compared; see ``compare_selectors``."""

    panel: ClassVar[str] = "Comparison"

    selectors: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="A selector of `find`, random, gradient, or a part of CULNIG such as "
            "culnig-no-control; may be given several times.",
        ),
    ] = None
    shares: Annotated[
        list[float] | None,
        typer.Option(
            "--share", help="Share of the MLP neurons to ablate; may be given several times."
        ),
    ] = None
    cultures: WhoseCultures = None
    identify_share: IdentifyShare = None
    random_seeds: RandomSeeds = None
    scoring: ScoringFlag = None
    attribution_scoring: Annotated[
        str | None,
        typer.Option(help="Gradients read options by letter, or by option_likelihood."),
    ] = None
    gradient_batch_size: Annotated[
        int | None, typer.Option(help="Questions per forward and backward.")
    ] = None


@flags
def compare(
    *,
    run: RunFolder = DEFAULT_RUN,
    loading: LoadingFlags,
    asking: AskingFlags,
    comparing: ComparisonFlags,
    counting: CountingFlags,
    culnig: CulnigFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Ablate as many neurons of every selector, and compare the changes of each culture.

    Model and questions are those of `find` in the same run folder, unless given.

    Example: `culture-lens compare --run runs/first --method conact --method culnig-specific
    --method random --share 0.003 --share 0.01`
    """
    from culture_lens.experiments.comparison import compare_selectors
    from culture_lens.storage.display import format_table
    from culture_lens.storage.runs import Run, now

    opened = recalled(run, loading, asking)
    summary = given(counting)
    check_selectors(comparing, summary)
    questions = open_questions(opened)
    check_halves(questions, comparing)
    lens = open_model(opened)
    began = now()
    folder = Run.open(run)
    options = given(comparing, culnig, running, summary_options=summary or None, **engine.chosen)
    opened = {"model": lens.name, "benchmark": questions[0].benchmark, **opened}
    result = compare_selectors(lens, questions, run=folder, **options)
    name = questions[0].benchmark
    typer.echo(f"{result.to_parquet(folder.named('comparison', name, '.parquet'))}")
    folder.log("compare", {**opened, "compare": options}, began=began)
    write_figures(folder, comparison_figures(name, result))
    folder.finish("compare", lens.device)
    typer.echo("\nchange in accuracy on own and on other cultures' questions, mean over cultures\n")
    typer.echo(format_table(result.table()).to_string(index=False))


def check_selectors(comparing: ComparisonFlags, summary: dict[str, Any]) -> None:
    """Refuse unknown names and numbers before the model is loaded.

    Raises:
        InputError: Names the option.
    """
    from culture_lens.attribution.scoring import get_attribution_scoring
    from culture_lens.experiments.comparison.compare import COMPARED_SELECTORS
    from culture_lens.experiments.comparison.plan import checked
    from culture_lens.neurons.scores import check_share

    seeds = 1 if comparing.random_seeds is None else comparing.random_seeds
    checked(comparing.selectors or COMPARED_SELECTORS, seeds, summary)
    if comparing.attribution_scoring is not None:
        get_attribution_scoring(comparing.attribution_scoring)
    for share in comparing.shares or ():
        check_share(share)
    check_names(scoring=comparing.scoring)


def check_halves(questions: list[Question], comparing: ComparisonFlags) -> None:
    """Refuse questions and cultures that cannot be compared before the model is loaded.

    Raises:
        InputError: Too few questions to identify with, or a culture that a half lacks.
    """
    from culture_lens.experiments.comparison.plan import cultures_of
    from culture_lens.questions.splits import check_enough, split_questions

    share = given(identify_share=comparing.identify_share)
    identify, held_out = split_questions(questions, **share)
    check_enough(identify)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)  # compare_selectors warns
        cultures_of(identify, held_out, comparing.cultures or ())
