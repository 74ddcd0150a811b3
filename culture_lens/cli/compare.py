"""`culture-lens compare`: selectors side by side, at equal numbers of neurons."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from culture_lens.cli.neurons import WhoseCulturesOption
from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchOption,
    BenchmarkOption,
    BenchmarkOptionsOption,
    CountryOption,
    CountryRCOption,
    CultureOption,
    DeviceOption,
    DtypeOption,
    IdentifyShareOption,
    LimitOption,
    ModelOption,
    OnlyCorrectOption,
    PathOption,
    PerCultureOption,
    PresetOption,
    RandomSeedsOption,
    RevisionOption,
    RunOption,
    ScoringOption,
    TokensOption,
    TooLongOption,
    check_ablation,
    given,
    open_model,
    open_questions,
    recalled,
)
from culture_lens.cli.show import comparison_figures, write_figures
from culture_lens.errors import CultureLensWarning


def compare(
    run: RunOption = DEFAULT_RUN,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A selector of `find`, random, gradient, or a part of CULNIG such as "
            "culnig-no-control; may be given several times."
        ),
    ] = None,
    share: Annotated[
        list[float] | None,
        typer.Option(help="Share of the MLP neurons to ablate; may be given several times."),
    ] = None,
    whose: WhoseCulturesOption = None,
    random_seeds: RandomSeedsOption = None,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    preset: PresetOption = None,
    path: PathOption = None,
    benchmark_option: BenchmarkOptionsOption = None,
    identify_share: IdentifyShareOption = None,
    country: CountryOption = None,
    countryrc: CountryRCOption = None,
    only_correct: OnlyCorrectOption = None,
    tokens: TokensOption = None,
    per_culture: PerCultureOption = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    gradient_batch_size: Annotated[
        int | None, typer.Option(help="Questions per forward and backward.")
    ] = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Ablate as many neurons of every selector, and compare what it does to whom.

    Model and questions are those of `find` in the same run folder, unless given.

    Example: `culture-lens compare --run runs/first --method conact --method culnig-specific
    --method random --share 0.003 --share 0.01`
    """
    from culture_lens.experiments.comparison import compare_selectors
    from culture_lens.experiments.comparison.compare import COMPARED
    from culture_lens.experiments.comparison.plan import checked, cultures_of
    from culture_lens.neurons.scores import check_share
    from culture_lens.questions.splits import check_enough, split_questions
    from culture_lens.storage.runs import Run

    loading = recalled(
        run,
        model=model,
        benchmark=benchmark,
        preset=preset,
        path=path,
        benchmark_option=benchmark_option,
        culture=culture,
        limit=limit,
        dtype=dtype,
        device=device,
        revision=revision,
    )
    summary = given(only_correct=only_correct, roles=tokens, per_culture=per_culture)
    checked(method or COMPARED, 1 if random_seeds is None else random_seeds, summary)
    for one in share or ():
        check_share(one)
    check_ablation(scoring=scoring)
    questions = open_questions(loading)
    identify, held_out = split_questions(questions, **given(identify_share=identify_share))
    check_enough(identify)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)  # compare_selectors says it
        cultures_of(identify, held_out, whose or ())
    lens = open_model(loading)
    folder = Run.open(run)
    options = given(
        shares=share,
        cultures=whose,
        identify_share=identify_share,
        random_seeds=random_seeds,
        countries=country,
        countryrc=countryrc,
        scoring=scoring,
        summary_options=summary or None,
        too_long=too_long,
        batch_size=batch_size,
        gradient_batch_size=gradient_batch_size,
    )
    loading = {"model": lens.name, "benchmark": questions[0].benchmark, **loading}
    folder.log("compare", {**loading, "compare": {**given(selectors=method), **options}})
    result = compare_selectors(lens, questions, **given(selectors=method), run=folder, **options)
    name = questions[0].benchmark
    typer.echo(f"{result.to_parquet(folder.named('comparison', name, '.parquet'))}")
    write_figures(folder, comparison_figures(name, result))
    typer.echo("\nchange in accuracy on own and on other cultures' questions, mean over cultures\n")
    typer.echo(result.table().to_string(index=False))
