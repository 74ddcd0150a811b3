"""`culture-lens find`: neurons of each culture, by any number of selectors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import log_once, named_values, open_model, open_questions
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    AttributionFlags,
    CountingFlags,
    CulnigFlags,
    EngineFlags,
    IdentifyShare,
    LoadingFlags,
    Methods,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    Sites,
    attribution_options,
)
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.selectors import Selection


@dataclass(frozen=True)
class ChoosingFlags:
    """Which selectors choose, and how many neurons; see ``plan``."""

    panel: ClassVar[str] = "Selectors"

    method: Methods = None
    share: Annotated[
        float | None, typer.Option(help="Share of the neurons at a site; not for culnig-general.")
    ] = None
    k: Annotated[int | None, typer.Option(help="Or how many neurons at a site.")] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="An option of the selector, such as z=1 or mlp_share=0.02; of "
            "knowledge with --fdr also groups=10 and candidate_share=0.1."
        ),
    ] = None
    fdr: Annotated[
        float | None,
        typer.Option(help="Or a false discovery rate: as many neurons as hold it, maybe none."),
    ] = None


@dataclass(frozen=True)
class SummaryFlags(CountingFlags):
    """What activation selectors read; see ``summarise``."""

    scoring: ScoringFlag = None
    replicates: Annotated[
        int | None,
        typer.Option(help="Permutations and bootstrap samples counted in the pass; 20 for --fdr."),
    ] = None
    strata: Annotated[
        list[str] | None,
        typer.Option(help="Compare cultures within these columns, such as category or length."),
    ] = None


@flags
def find(
    *,
    run: RunFolder = DEFAULT_RUN,
    loading: LoadingFlags,
    asking: AskingFlags,
    choosing: ChoosingFlags,
    sites: Sites = None,
    identify_share: IdentifyShare = None,
    counting: SummaryFlags,
    culnig: CulnigFlags,
    attributing: AttributionFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Find the neurons of each culture, by any number of selectors.

    The activation selectors share one pass over the model; the CULNIG selectors share three
    scorings, of the questions, their control twins, and CountryRC; knowledge has two of its own,
    of the questions and CountryRC. Each set is kept as soon as it
    is found; a selector that fails does not stop the others, and its error comes at the end.

    Example: `culture-lens find --model smollm2-135m --benchmark everyday --method conact
    --method culnig-specific --run runs/first`
    """
    from culture_lens.activations.summary import ActivationSummary
    from culture_lens.find import find_each
    from culture_lens.neurons.wordings import wording_stability_in_words
    from culture_lens.questions.splits import split_questions
    from culture_lens.storage.runs import Run, now

    selections = planned(choosing)
    check_needed(selections, counting, culnig, attributing)
    counting = with_replicates(counting, choosing.fdr)
    options = given(loading, asking)
    questions = open_questions(options)
    identify, _ = split_questions(questions, **given(identify_share=identify_share))
    lens = open_model(options)
    activation, gradient = given(counting), {**given(culnig), **attribution_options(attributing)}
    shared = {
        **given(running, per_culture=activation.pop("per_culture", None)),
        **engine.chosen,
    }
    began = now()
    folder = Run.open(run)
    told = {"model": lens.name, "benchmark": questions[0].benchmark, **options}
    # Under the names of their flags: `path` and `scoring` are options of the benchmark, too.
    told |= {**given(sites=sites), **shared, **activation, **given(culnig, attributing)}
    told |= {**vars(choosing), "method": [selection.name for selection in selections]}
    kept = None
    for selection, one, source in find_each(
        lens,
        identify,
        selections,
        sites=sites or None,
        activation=activation,
        gradient=gradient,
        run=folder,
        **shared,
    ):
        if isinstance(source, ActivationSummary) and source is not kept:
            kept = source
            source.save(folder.named("statistics", "summary", ".safetensors"))
        where = one.save(folder.named("neurons", selection.name, ".safetensors"))
        told = log_once(folder, "find", told, began)
        typer.echo(f"{selection.name}: {where}")
        for label, neurons in one.neurons.items():
            typer.echo(f"  {label}: {len(neurons)} neurons")
        if words := wording_stability_in_words(one.metadata):
            typer.echo(f"  {words}")
    folder.finish("find", lens.device)


def planned(choosing: ChoosingFlags) -> list[Selection]:
    """Check the selectors that were asked for, activation selectors first.

    Raises:
        InputError: An unknown selector, number or option.
    """
    from culture_lens.selectors import plan

    shared = named_values(choosing.option or [])
    names = choosing.method or ["conact"]
    methods = {name: own_options(name, shared, choosing.fdr) for name in names}
    unused = sorted(set(shared) - {name for own in methods.values() for name in own})
    if unused:
        raise InputError(f"--option {unused[0]}: no selector of {', '.join(methods)} has it.")
    selections = [
        plan(name, choosing.share, choosing.k, own, fdr=choosing.fdr)
        for name, own in methods.items()
    ]
    return sorted(selections, key=lambda selection: selection.reads)


def own_options(method: str, options: dict[str, Any], fdr: float | None) -> dict[str, Any]:
    """Keep the options that a selector has; knowledge at a rate has those of its candidates too."""
    from culture_lens.selectors import get_selector
    from culture_lens.selectors.registry import KNOWLEDGE_SELECTORS, key_of
    from culture_lens.selectors.selection import TESTED

    known = {*inspect.signature(get_selector(method)).parameters}
    if fdr is not None and key_of(method) in KNOWLEDGE_SELECTORS:
        known |= {*TESTED}
    return {name: value for name, value in options.items() if name in known}


def check_needed(
    selections: list[Selection],
    counting: SummaryFlags,
    culnig: CulnigFlags,
    attributing: AttributionFlags,
) -> None:
    """Refuse options that none of the selectors reads.

    Raises:
        InputError: Names the options and the selectors that read them.
    """
    kinds = {selection.reads for selection in selections}
    only_activation = given(replace(counting, per_culture=None))
    if "activations" not in kinds and only_activation:
        raise InputError(
            "--only-correct, --scoring, --roles, --strata and --replicates are of activation "
            "selectors; gradient selectors read answers as --attribution-scoring says, and count "
            "the tokens of --positions."
        )
    if kinds <= {"activations", "heads"} and given(culnig, attributing):
        raise InputError(
            "--country, --countryrc, --countryrc-wordings, --attribution-scoring, --objective, "
            "--attribution-path, --points, --baseline, --aggregation and --positions are of the "
            "CULNIG selectors and of knowledge."
        )


def with_replicates(counting: SummaryFlags, fdr: float | None) -> SummaryFlags:
    """Add the replicates that a false discovery rate needs.

    Raises:
        InputError: Fewer were asked for than it needs.
    """
    from culture_lens.activations.resampling import PERMUTATIONS
    from culture_lens.selectors.false_discovery import check_permutations

    if fdr is None:
        return counting
    replicates = PERMUTATIONS if counting.replicates is None else counting.replicates
    check_permutations(replicates)
    return replace(counting, replicates=replicates)
