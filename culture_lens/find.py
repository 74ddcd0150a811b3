"""find_culture_neurons: questions in, the neurons of each culture out; composes the stages."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.activations.record import Recording, RecordingOptions, record_activations
from culture_lens.activations.resampling import PERMUTATIONS, Design, make_design
from culture_lens.activations.statistics import ActivationStatistics, ActivationSummary
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.errors import CultureLensWarning, unknown
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import piece_of
from culture_lens.models.sites import check_sites
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.batches import build_prompts, picture_key
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions, read_options
from culture_lens.questions.question import Question, benchmarks_of, check_questions
from culture_lens.questions.splits import at_most, check_enough, split_questions
from culture_lens.questions.strata import strata_of
from culture_lens.selectors import Selection, check_fits, choose, plan
from culture_lens.selectors.false_discovery import check_permutations
from culture_lens.storage.finished import shards
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    from culture_lens.evaluation.evaluate import Evaluation
    from culture_lens.evaluation.scoring import ScoringName

SHARD = 64
"""Prompts per shard of statistics in a run folder: what an interruption can cost."""


def answered_right(questions: Sequence[Question], evaluation: Evaluation) -> list[Question]:
    """Keep the questions that an evaluation says were answered right; say how many.

    Example:
        ``answered_right(questions, evaluate(model, questions))``
    """
    frame = evaluation.frame
    right = set(frame.loc[frame["correct"], "id"])
    kept = [q for q in questions if q.id in right]
    warnings.warn(
        f"counting the {len(kept)} of {len(questions)} items that the model answers right "
        f"({evaluation.metadata['scoring']}).",
        CultureLensWarning,
        stacklevel=2,
    )
    return kept


def design_of(
    questions: Sequence[Question],
    replicates: int,
    strata: str | Sequence[str] | None,
    seed: int,
) -> Design | None:
    """Draw the design of a pass; nothing where every item counts once and there are none."""
    if not replicates and not strata:
        return None
    cells = strata_of(questions, strata) if strata else None
    return make_design(
        questions, permutations=replicates, bootstraps=replicates, strata=cells, seed=seed
    )


def record_in_shards(
    model: LensModel,
    prompts: Sequence[Prompt],
    recording: Recording,
    design: Design | None,
    running: Running,
) -> ActivationStatistics:
    """Record prompts; in a run folder with a snapshot after each shard, to go on from."""
    statistics = ActivationStatistics(design)

    def resume(place: Path) -> int:
        snapshot = ActivationSummary.load(place)
        statistics.merge(snapshot)
        return int(snapshot.metadata["done"])

    for shard in shards(
        statistics_place(model, prompts, recording, design, running.folder),
        len(prompts),
        SHARD,
        resume=resume,
        save=lambda place, done: statistics.summary({"done": done}, complete=False).save(place),
    ):
        record_activations(
            model,
            prompts[shard],
            into=statistics,
            batch_size=running.rows(),
            progress=running.progress,
            sites=recording.sites,
            roles=recording.roles,
            magnitudes=recording.magnitudes,
        )
    return statistics


def statistics_place(
    model: LensModel,
    prompts: Sequence[Prompt],
    recording: Recording,
    design: Design | None,
    run: Run | None,
) -> Path | None:
    """Say where the statistics of some prompts are or will be kept; nowhere without a folder."""
    if run is None:
        return None
    settings = (recording.chosen(model), recording.counted, recording.magnitudes)
    asked = [
        (p.question.id, p.question.culture, p.all_ids, p.roles, picture_key(p)) for p in prompts
    ]
    key = design.key if design is not None else None
    return piece_of(model, run, "statistics", ".safetensors", settings, asked, key)


RECORDING, RUNNING = RecordingOptions.__optional_keys__, RunningOptions.__optional_keys__
"""Names of the options that are handed on."""


class SummariseOptions(RecordingOptions, RunningOptions, total=False):
    """The fields of ``Recording`` and ``Running`` as keyword arguments."""


def summarise(
    model: LensModel,
    questions: Sequence[Question],
    *,
    style: str = "choices",
    only_correct: bool = False,
    scoring: ScoringName | None = None,
    per_culture: int | None = None,
    replicates: int = 0,
    strata: str | Sequence[str] | None = None,
    seed: int = 0,
    **options: Unpack[SummariseOptions],
) -> ActivationSummary:
    """Run questions through the model once and summarise activations per culture.

    Args:
        model: The model.
        questions: What identifies; see ``split_questions``.
        style: ``"choices"`` shows the options in the prompt, ``"cloze"`` does not.
        only_correct: Count only items that the unmodified model answers right, as ConAct's paper
            does.
        scoring: How answers are read for that.
        per_culture: At most so many items of each culture.
        replicates: So many permutations of the culture labels, and as many bootstrap samples,
            counted in the same pass: what ``fdr`` and ``selection_frequency`` need, 20 being
            enough. Each takes 4 bytes per culture and neuron, 12 with magnitudes.
        strata: Columns of the questions within which cultures are compared, such as
            ``"category"``; see ``strata_of``.
        seed: Draws the replicates.
        **options: ``sites``, ``roles`` and ``magnitudes`` of ``Recording``; batch size, progress,
            run folder and prompts that are too long of ``Running``.

    Raises:
        InputError: Fewer than two cultures, a culture with fewer than two items, no stratum that
            every culture has, labels that no permutation can exchange, or an unknown option.

    Example:
        ``select(summarise(model, questions), "lape", share=0.01)``
    """
    recording, running = read_options(options, Recording, Running)
    check_questions(questions)
    recording.chosen(model)
    roles = recording.counted
    if only_correct:
        answered = evaluate(model, questions, scoring=scoring, **vars(running))
        questions = answered_right(questions, answered)
    questions = at_most(questions, per_culture)
    check_enough(questions)
    prompts = build_prompts(
        questions,
        model.processor,
        style=style,
        context=model.context,
        too_long=running.too_long,
        progress=running.progress,
    )
    counted = [prompt.question for prompt in prompts]
    check_enough(counted)
    design = design_of(counted, replicates, strata, seed)
    statistics = record_in_shards(model, prompts, recording, design, running)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "dtype": str(model.dtype),
        "benchmark": benchmarks_of(questions),
        "style": style,
        "roles": list(roles),
        "only_correct": only_correct,
        "strata": [strata] if isinstance(strata, str) else list(strata or ()),
        "replicates": replicates,
        "items": len(prompts),
        "groups": sorted({question.group for question in counted}),
        "versions": versions(),
    }
    return statistics.summary(metadata)


def shapes_of(model: LensModel, sites: str | Sequence[str]) -> dict[str, tuple[int, int]]:
    """Give layers and neurons per layer at some sites of a model."""
    chosen = check_sites(sites, model.sites)
    return {site: model.shape(site) for site in chosen}


def default_sites(model: LensModel, selection: Selection) -> tuple[str, ...]:
    """Give the sites that a selector chooses from on a model, where none are given."""
    return model.projections if selection.gradient else (model.default_site,)


def check_options(stage: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a stage does not have, before anything runs.

    Raises:
        InputError: Names the option and the known ones.
    """
    own = inspect.signature(stage).parameters.values()
    known = {parameter.name for parameter in own if parameter.kind is parameter.KEYWORD_ONLY}
    known |= RECORDING | RUNNING if stage is summarise else RUNNING
    for name in options:
        if name not in known:
            raise unknown("option", name, known)


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
            ``"mad_probability"`` or ``"random"``; ``"culnig_specific"`` or ``"culnig_general"``,
            which run their three scorings (task, control, CountryRC).
        share: Share of the neurons at each site; 0.5% by default, 1% for LAPE. Of
            ``culnig_specific`` its own share; ``culnig_general`` has ``mlp_share`` and
            ``attention_share`` instead.
        k: Or how many neurons at each site; not for CULNIG.
        fdr: Or a false discovery rate, such as 0.05: as many neurons as hold it, which may be
            none; see ``infer``. For activation selectors.
        identify_share: Share of the question groups that identify, where the benchmark has no
            split of its own; the rest is left for evaluation.
        sites: One site or several. By default ``"act"``, ConAct's neuron, of an encoder-decoder
            ``"encoder.act"``; for CULNIG the gate and the q, k and v projections, of all stacks.
        summary_options: Further options of ``summarise``, such as ``{"only_correct": True}``, or
            of ``culnig_scores``, such as ``{"countries": ["Japan", "Italy"]}``.
        **options: Batch size, progress, run folder and prompts that are too long, of ``Running``;
            all others are options of the selector.

    Returns:
        The neurons, with what they were found on in their metadata; ``ablation_matrix`` keeps
        those question groups out of its evaluation.

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
    if fdr is not None:
        further.setdefault("replicates", PERMUTATIONS)
        check_permutations(further["replicates"])
    stage: Callable[..., Any] = culnig_scores if selection.gradient else summarise
    check_options(stage, further)
    if isinstance(questions, str):
        questions = load_benchmark(questions)
    if not isinstance(model, LensModel):
        model = load_model(model)
    if sites is None:
        sites = default_sites(model, selection)
    check_fits(selection, shapes_of(model, sites))
    identify, _ = split_questions(questions, identify_share)
    return choose(stage(model, identify, sites=sites, **{**further, **running}), selection)
