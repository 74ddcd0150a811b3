"""`culture-lens find`: neurons of each culture, by any number of selectors."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

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
    MethodOption,
    ModelOption,
    OnlyCorrectOption,
    PathOption,
    PerCultureOption,
    PresetOption,
    RevisionOption,
    RunOption,
    ScoringOption,
    TokensOption,
    TooLongOption,
    given,
    named_values,
    open_model,
    open_questions,
)
from culture_lens.errors import InputError


def own_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that a selector has."""
    from culture_lens.selectors import get_selector

    known = inspect.signature(get_selector(method)).parameters
    return {name: value for name, value in options.items() if name in known}


def find(
    run: RunOption = DEFAULT_RUN,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    preset: PresetOption = None,
    path: PathOption = None,
    benchmark_option: BenchmarkOptionsOption = None,
    method: MethodOption = None,
    share: Annotated[
        float | None, typer.Option(help="Share of the neurons at a site; not for culnig-general.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="Or how many neurons at a site.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="An option of the selector, such as z=1 or mlp_share=0.02."),
    ] = None,
    fdr: Annotated[
        float | None,
        typer.Option(help="Or a false discovery rate: as many neurons as hold it, maybe none."),
    ] = None,
    replicates: Annotated[
        int | None,
        typer.Option(help="Permutations and bootstrap samples counted in the pass; 20 for --fdr."),
    ] = None,
    strata: Annotated[
        list[str] | None,
        typer.Option(help="Compare cultures within these columns, such as category or length."),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(help="act, gate, up, post, q, k, v, z; encoder.act and so on."),
    ] = None,
    country: CountryOption = None,
    countryrc: CountryRCOption = None,
    identify_share: IdentifyShareOption = None,
    only_correct: OnlyCorrectOption = None,
    tokens: TokensOption = None,
    per_culture: PerCultureOption = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Find the neurons of each culture, by any number of selectors.

    The activation selectors share one pass over the model; the CULNIG selectors share three
    scorings, of the questions, their control twins, and CountryRC.

    Example: `culture-lens find --model smollm2-135m --benchmark everyday --method conact
    --method culnig-specific --run runs/first`
    """
    from culture_lens.activations.resampling import PERMUTATIONS
    from culture_lens.attribution.culnig import culnig_scores
    from culture_lens.find import default_sites, shapes_of, summarise
    from culture_lens.questions.splits import split_questions
    from culture_lens.selectors import check_fits, choose, plan
    from culture_lens.selectors.false_discovery import check_permutations
    from culture_lens.storage.runs import Run

    shared = named_values(option or [])
    methods = {name: own_options(name, shared) for name in method or ["conact"]}
    unused = sorted(set(shared) - {name for own in methods.values() for name in own})
    if unused:
        raise InputError(f"--option {unused[0]}: no selector of {', '.join(methods)} has it.")
    plans = [plan(name, share, k, own, fdr=fdr) for name, own in methods.items()]
    by_gradient = [selection for selection in plans if selection.gradient]
    by_activation = [selection for selection in plans if not selection.gradient]
    if not by_activation and (only_correct or scoring or tokens or strata or replicates):
        raise InputError(
            "--only-correct, --scoring, --tokens, --strata and --replicates are of activation "
            "selectors; CULNIG weighs items by the probability of the right letter and takes the "
            "best token of all."
        )
    if fdr is not None:
        replicates = PERMUTATIONS if replicates is None else replicates
        check_permutations(replicates)
    if not by_gradient and (country or countryrc):
        raise InputError("--country and --countryrc are of the CULNIG selectors.")
    loading = given(
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
    questions = open_questions(loading)
    identify, _ = split_questions(questions, **given(identify_share=identify_share))
    lens = open_model(loading)
    for selection in plans:
        check_fits(selection, shapes_of(lens, site or default_sites(lens, selection)))
    folder = Run.open(run)
    both = given(sites=site, per_culture=per_culture, too_long=too_long, batch_size=batch_size)
    activation = given(
        only_correct=only_correct,
        scoring=scoring,
        roles=tokens,
        replicates=replicates,
        strata=strata,
    )
    gradient = given(countries=country, countryrc=countryrc)
    loading = {"model": lens.name, "benchmark": questions[0].benchmark, **loading}
    numbers = {"share": share, "k": k, "fdr": fdr, "option": option}
    names = [selection.name for selection in plans]
    folder.log("find", {**loading, **both, **activation, **gradient, "method": names, **numbers})
    sources: list[tuple[Any, list[Any]]] = []
    if by_activation:
        summary = summarise(lens, identify, run=folder, **both, **activation)
        summary.save(folder.named("statistics", "summary", ".safetensors"))
        sources.append((summary, by_activation))
    if by_gradient:
        scores = culnig_scores(lens, identify, run=folder, **both, **gradient)
        sources.append((scores, by_gradient))
    for source, selections in sources:
        for selection in selections:
            found = choose(source, selection)
            where = found.save(folder.named("neurons", selection.name, ".safetensors"))
            typer.echo(f"{selection.name}: {where}")
            for label, neurons in found.neurons.items():
                typer.echo(f"  {label}: {len(neurons)} neurons")
