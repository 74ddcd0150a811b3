"""find_culture_neurons: from questions to the neurons of each culture, through all stages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from culture_lens.activations.record import RecordingOptions
from culture_lens.activations.resampling import PERMUTATIONS
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.attribution.hones import hones_scores
from culture_lens.attribution.knowledge import knowledge_scores
from culture_lens.attribution.settings import AttributionOptions
from culture_lens.checks import OPTIONS, check_arguments, names, optional, whole
from culture_lens.errors import unknown
from culture_lens.evaluation.confirmed import confirmed_knowledge
from culture_lens.evaluation.summarise import summarise
from culture_lens.models.checks import MODEL_OR_NAME
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import (
    QUESTIONS_OR_NAME,
    Question,
)
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import Selection, check_fits, choose, plan
from culture_lens.selectors.failures import fail, raise_failures
from culture_lens.selectors.false_discovery import check_permutations
from culture_lens.selectors.ranking import Sources
from culture_lens.selectors.registry import Reads
from culture_lens.selectors.selection import Source, default_sites, shapes_of

RECORDING, RUNNING = RecordingOptions.__optional_keys__, RunningOptions.__optional_keys__
ATTRIBUTION = AttributionOptions.__optional_keys__
"""Names of the options that are handed on."""
OF_HEADS = ("heads", "top_heads", "scoring", "per_culture")
"""Options of ``hones_scores`` that it may share with gradient selectors."""


def sources_of(
    model: LensModel,
    questions: Sequence[Question],
    *,
    activation: Mapping[str, Any] | None = None,
    gradient: Mapping[str, Any] | None = None,
    knowledge: Mapping[str, Any] | None = None,
    heads: Mapping[str, Any] | None = None,
    strata: str | None = None,
) -> Sources:
    """Run each pass that selectors read once: a recording pass, CULNIG's scorings, knowledge's.

    Args:
        model: The model.
        questions: The questions that identify.
        activation: Options of ``summarise``; None where no selector needs a summary.
        gradient: Options of ``culnig_scores``; None where no selector needs the scorings.
        knowledge: Options of ``knowledge_scores``; None where no selector needs them.
        heads: Options of ``hones_scores``; None where no selector needs them.
        strata: Record once more, without replicates, with items weighted by these strata.

    Example:
        ``sources_of(model, identify, activation={"sites": "act"})``
    """
    # In this order: strata, then labels and countries, may be refused before anything runs.
    stratified = scores = known = summary = through = None
    if activation is not None and strata is not None:
        weighted = {**activation, "replicates": 0, "strata": strata}
        stratified = summarise(model, questions, **weighted)
    if gradient is not None:
        scores = culnig_scores(model, questions, **gradient)
    if knowledge is not None:
        known = knowledge_scores(model, questions, **knowledge)
    if heads is not None:
        through = hones_scores(model, questions, **heads)
    if activation is not None:
        summary = summarise(model, questions, **activation)
    return Sources(summary, scores, known, stratified, through)


STAGES: Mapping[Reads, Callable[..., Any]] = {
    "activations": summarise,
    "culnig": culnig_scores,
    "knowledge": knowledge_scores,
    "heads": hones_scores,
}
"""The passes that make what selectors choose from."""


def find_each(
    model: LensModel,
    questions: Sequence[Question],
    selections: Sequence[Selection],
    *,
    sites: str | Sequence[str] | None = None,
    activation: Mapping[str, Any] | None = None,
    gradient: Mapping[str, Any] | None = None,
    **shared: Any,
) -> Iterator[tuple[Selection, NeuronSet, Source]]:
    """Choose neurons by several selectors, from one run of whatever they read.

    Each set is given as soon as it is chosen. A selector that fails does not stop the others: its
    failure is raised at the end, when all that can be found has been given.

    Args:
        model: The model.
        questions: The questions that identify.
        selections: Made by ``plan``.
        sites: The sites; by default those of each selector.
        activation: Further options of ``summarise``.
        gradient: Further options of ``culnig_scores`` and ``knowledge_scores``.
        **shared: Options of both.

    Yields:
        The selection, its neurons, and what the selector read.

    Raises:
        InputError: Before the model runs, a share or number that chooses no neuron or too many; at
            the end, what a selector failed with.

    Example:
        ``{one.name: found for one, found, _ in find_each(model, questions, [plan("conact")])}``
    """
    for selection in selections:
        check_fits(selection, shapes_of(model, sites or default_sites(model, selection)))
    if sites is not None:
        shared["sites"] = sites
    failures: dict[str, Exception] = {}
    for selection in selections:
        if selection.reads == "knowledge" and selection.fdr is not None:
            asked = {**shared, **(gradient or {})}
            try:
                found, scores = confirmed_knowledge(model, questions, selection, asked)
            except Exception as error:
                fail(failures, [selection.name], error, len(selections))
            else:
                yield selection, found, scores
    # Gradients first: labels and countries may be refused before anything runs.
    passes: Mapping[Reads, Mapping[str, Any] | None] = {
        "culnig": gradient,
        "knowledge": gradient,
        "heads": {n: v for n, v in (gradient or {}).items() if n in OF_HEADS},
        "activations": activation,
    }
    for reads, options in passes.items():
        selected = [one for one in selections if one.reads == reads]
        if reads == "knowledge":
            selected = [one for one in selected if one.fdr is None]
        if not selected:
            continue
        try:
            source = STAGES[reads](model, questions, **{**shared, **(options or {})})
        except Exception as error:
            fail(failures, [one.name for one in selected], error, len(selections))
            continue
        for selection in selected:
            try:
                found = choose(source, selection)
            except Exception as error:
                fail(failures, [selection.name], error, len(selections))
            else:
                yield selection, found, source
    raise_failures(failures)


def check_options(stage: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a stage does not have, before anything runs.

    Raises:
        InputError: Names the option and the known ones.
    """
    own = inspect.signature(stage).parameters.values()
    known = {parameter.name for parameter in own if parameter.kind is parameter.KEYWORD_ONLY}
    known |= RUNNING | (RECORDING if stage is summarise else ATTRIBUTION)
    for name in options:
        if name not in known:
            raise unknown("option", name, known)


@check_arguments(
    model=MODEL_OR_NAME,
    questions=QUESTIONS_OR_NAME,
    sites=optional(names),
    summary_options=optional(OPTIONS),
)
def find_culture_neurons(
    model: LensModel | str | Path = "smollm2-135m",
    questions: Sequence[Question] | str = "everyday",
    *,
    method: str = "conact",
    share: float | None = None,
    k: int | None = None,
    fdr: float | None = None,
    identify_share: float = 0.5,
    sites: str | Sequence[str] | None = None,
    summary_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> NeuronSet:
    """Find the neurons of each culture: split, record or score, select.

    Args:
        model: A loaded model, or a name for ``load_model``.
        questions: Questions, or a name for ``load_benchmark``.
        method: A selector: ``"conact"``, ``"lap"``, ``"lape"``, ``"mad"``,
            ``"mad_probability"`` or ``"random"``; ``"knowledge"``, which runs its contributions;
            ``"hones"``, which runs every head;
            ``"culnig_specific"`` or ``"culnig_general"``, which run their three scorings (task,
            control, CountryRC).
        share: Share of the neurons at each site; 0.5% by default, 1% for LAPE. Of
            ``culnig_specific`` its own share; ``culnig_general`` has ``mlp_share`` and
            ``attention_share`` instead.
        k: Or how many neurons at each site; not for CULNIG.
        fdr: Or a false discovery rate, such as 0.05, which decides the number; it may be none. For
            activation selectors; see ``infer``. For ``knowledge`` half of the questions that
            identify find candidates, and the other half confirms them; see ``confirm``. Its
            options ``groups`` and ``candidate_share`` say how many.
        identify_share: Share of the question groups that identify, where the benchmark has no
            split of its own; the rest is left for evaluation.
        sites: One site or several. By default ``"act"``, ConAct's neuron, of an encoder-decoder
            ``"encoder.act"``; for CULNIG the gate and the q, k and v projections, of all stacks.
        summary_options: Further options of ``summarise``, such as ``{"only_correct": True}``, or
            of ``culnig_scores`` or ``knowledge_scores``, such as
            ``{"countries": ["Japan", "Italy"]}``.
        **options: Batch size, progress, run folder and prompts that are too long, of ``Running``;
            all others are options of the selector.

    Returns:
        The neurons. Their metadata name model, benchmark and the questions that were looked at,
        counted or not; they are left out of every evaluation, see ``unseen``.

    Raises:
        InputError: Anything unknown or unusable, before the model runs.

    Example:
        ``found = find_culture_neurons(model, questions, method="conact", share=0.005)``
    """
    from culture_lens.benchmarks import load_benchmark
    from culture_lens.models.load import load_model

    further = dict(summary_options or {})
    running = {name: options.pop(name) for name in list(options) if name in RUNNING}
    Running.of(running)
    selection = plan(method, share, k, options, fdr=fdr, magnitudes=further.get("magnitudes", True))
    if fdr is not None and selection.reads == "activations":
        further.setdefault("replicates", PERMUTATIONS)
        check_permutations(further["replicates"])
    check_options(STAGES[selection.reads], further)
    optional(whole(1))("per_culture", further.get("per_culture"))
    questions = load_benchmark(questions) if isinstance(questions, str) else questions
    model = model if isinstance(model, LensModel) else load_model(model)
    sites = default_sites(model, selection) if sites is None else sites
    identify, _ = split_questions(questions, identify_share)
    both = {"activation": further, "gradient": further}
    ((_, found, _),) = find_each(model, identify, [selection], sites=sites, **both, **running)
    return found
