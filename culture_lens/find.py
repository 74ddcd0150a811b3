"""find_culture_neurons: questions in, the neurons of each culture out; composes the stages."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.activations.record import record_activations
from culture_lens.activations.resampling import PERMUTATIONS, Design, make_design
from culture_lens.activations.statistics import ActivationStatistics, ActivationSummary
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.errors import CultureLensWarning, unknown
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.models.lens_model import LensModel, check_unhooked
from culture_lens.models.sites import check_sites
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.batches import build_prompts, check_batch_size, picture_key
from culture_lens.prompts.prompt import Prompt, roles_of
from culture_lens.questions.question import Question, benchmarks_of, check_questions
from culture_lens.questions.splits import at_most, check_enough, split_questions
from culture_lens.questions.strata import strata_of
from culture_lens.selectors import Selection, check_fits, choose, plan
from culture_lens.selectors.false_discovery import check_permutations
from culture_lens.storage.runs import Run, content_key, versions

if TYPE_CHECKING:
    from culture_lens.evaluation.evaluate import Evaluation

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
    run: Run | None,
    design: Design | None,
    **options: Any,
) -> ActivationStatistics:
    """Record prompts; in a run folder with a snapshot after each shard, to go on from."""
    if run is None:
        return record_activations(model, prompts, into=ActivationStatistics(design), **options)
    check_unhooked(model)
    settings = {name: options[name] for name in ("sites", "roles", "magnitudes")}
    asked = [
        (p.question.id, p.question.culture, p.all_ids, p.roles, picture_key(p)) for p in prompts
    ]
    parts = [model.name, model.fingerprint, str(model.dtype), settings, asked]
    key = content_key(*parts, *([design.key] if design is not None else []))
    where = run.piece("statistics", key, ".safetensors")
    statistics, done = ActivationStatistics(design), 0
    if where.exists():
        snapshot = ActivationSummary.load(where)
        statistics.merge(snapshot)
        done = int(snapshot.metadata["done"])
    for start in range(done, len(prompts), SHARD):
        shard = prompts[start : start + SHARD]
        record_activations(model, shard, into=statistics, **options)
        statistics.summary({"done": start + len(shard)}, complete=False).save(where)
    return statistics


def summarise(
    model: LensModel,
    questions: Sequence[Question],
    *,
    sites: str | Sequence[str] | None = None,
    roles: str | Sequence[int] = "content",
    style: str = "choices",
    only_correct: bool = False,
    scoring: str | None = None,
    per_culture: int | None = None,
    magnitudes: bool = True,
    replicates: int = 0,
    strata: str | Sequence[str] | None = None,
    seed: int = 0,
    too_long: str = "error",
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> ActivationSummary:
    """Run questions through the model once and summarise activations per culture.

    Args:
        model: The model.
        questions: What identifies; see ``split_questions``.
        sites: One site or several, the model's default where not given; see
            ``record_activations``.
        roles: Tokens that count: ``"content"`` (question, options and picture), ``"text"``
            (without the picture), ``"image"`` (the picture only), or roles.
        style: ``"choices"`` shows the options in the prompt, ``"cloze"`` does not.
        only_correct: Count only items that the unmodified model answers right, as ConAct's paper
            does.
        scoring: How answers are read for that.
        per_culture: At most so many items of each culture.
        magnitudes: Record sums and squares too, which MAD and mean ablation need.
        replicates: So many permutations of the culture labels, and as many bootstrap samples,
            counted in the same pass: what ``fdr`` and ``selection_frequency`` need, 20 being
            enough. Each takes 4 bytes per culture and neuron, 12 with magnitudes.
        strata: Columns of the questions within which cultures are compared, such as
            ``"category"``; see ``strata_of``.
        seed: Draws the replicates.
        too_long: What to do with prompts longer than the context.
        batch_size: Questions per forward; halved where memory runs out.
        progress: Show progress bars.
        run: A run folder; finished shards are kept and found again.

    Raises:
        InputError: Fewer than two cultures, a culture with fewer than two items, no stratum that
            every culture has, or labels that no permutation can exchange.

    Example:
        ``select(summarise(model, questions), "lape", share=0.01)``
    """
    counted = roles_of(roles)
    folder = Run.open(run) if run is not None else None
    check_questions(questions)
    chosen = check_sites(model.default_site if sites is None else sites, model.sites)
    model.check_together(chosen)
    if only_correct:
        answered = evaluate(
            model,
            questions,
            scoring=scoring,
            too_long=too_long,
            batch_size=batch_size,
            progress=progress,
            run=folder,
        )
        questions = answered_right(questions, answered)
    questions = at_most(questions, per_culture)
    check_enough(questions)
    prompts = build_prompts(
        questions,
        model.processor,
        style=style,
        context=model.context,
        too_long=too_long,
        progress=progress,
    )
    check_enough([prompt.question for prompt in prompts])
    statistics = record_in_shards(
        model,
        prompts,
        folder,
        design_of([prompt.question for prompt in prompts], replicates, strata, seed),
        sites=chosen,
        roles=counted,
        magnitudes=magnitudes,
        batch_size=batch_size,
        progress=progress,
    )
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "dtype": str(model.dtype),
        "benchmark": benchmarks_of(questions),
        "style": style,
        "roles": list(counted),
        "only_correct": only_correct,
        "strata": [strata] if isinstance(strata, str) else list(strata or ()),
        "replicates": replicates,
        "items": len(prompts),
        "groups": sorted({prompt.question.group for prompt in prompts}),
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


def check_options(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse options that a function does not have, before anything runs.

    Raises:
        InputError: Names the option and the known ones.
    """
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return dict(options)


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
    batch_size: int | None = None,
    progress: bool = True,
    run: Run | str | Path | None = None,
    summary_options: dict[str, Any] | None = None,
    **selector_options: Any,
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
        batch_size: Questions per forward, 16 by default, 8 where gradients are taken; halved where
            memory runs out.
        progress: Show progress bars.
        run: A run folder; what is done in it is kept and found again.
        summary_options: Further options of ``summarise``, such as ``{"only_correct": True}``, or
            of ``culnig_scores``, such as ``{"countries": ["Japan", "Italy"]}``.
        **selector_options: Options of the selector.

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

    further = summary_options or {}
    selection = plan(
        method, share, k, selector_options, fdr=fdr, magnitudes=further.get("magnitudes", True)
    )
    stage: Callable[..., Any] = culnig_scores if selection.gradient else summarise
    if fdr is not None:
        further = {"replicates": PERMUTATIONS, **further}
        check_permutations(further["replicates"])
    further = check_options(stage, further)
    if batch_size is not None:
        check_batch_size(batch_size)
        further["batch_size"] = batch_size
    if isinstance(questions, str):
        questions = load_benchmark(questions)
    if not isinstance(model, LensModel):
        model = load_model(model)
    if sites is None:
        sites = default_sites(model, selection)
    check_fits(selection, shapes_of(model, sites))
    identify, _ = split_questions(questions, identify_share)
    source = stage(
        model,
        identify,
        sites=sites,
        progress=progress,
        run=run,
        **further,
    )
    return choose(source, selection)
