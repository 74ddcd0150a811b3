"""Gradient attribution: the contribution of each neuron to the right answer.

``item_scores`` scores single items; here they are summed per culture in float64 (CULNIG, arXiv
2510.08284, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from typing_extensions import Unpack

from culture_lens.attribution.baselines import StartMeans, start_means
from culture_lens.attribution.item_scores import ItemScores, item_scores
from culture_lens.attribution.points import check_path
from culture_lens.attribution.scoring import check_tokens
from culture_lens.attribution.settings import Attribution, AttributionOptions
from culture_lens.attribution.sums import sum_in_shards
from culture_lens.checks import check_arguments, flag, names, optional
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.packed import PackedPrompts
from culture_lens.prompts.prompt import Batch
from culture_lens.prompts.running import Running, RunningOptions, read_options
from culture_lens.questions.question import (
    QUESTIONS,
    Question,
    benchmarks_of,
    check_questions,
    control_twin,
)
from culture_lens.questions.unseen import joined, looked_at
from culture_lens.storage.runs import versions

GRADIENT_BATCH_SIZE = 8
"""Items per pass: a backward keeps activations, so less fits than in a forward."""


class AttributeOptions(AttributionOptions, RunningOptions, total=False):
    """The fields of ``Attribution`` and ``Running`` as keyword arguments."""


@check_arguments(model=MODEL, questions=QUESTIONS, sites=optional(names), control=flag)
def attribute(
    model: LensModel,
    questions: Sequence[Question],
    *,
    sites: str | Sequence[str] | None = None,
    control: bool = False,
    **options: Unpack[AttributeOptions],
) -> NeuronScores:
    """Score every neuron by gradient attribution, summed per culture (CULNIG, section 3).

    Args:
        model: The model.
        questions: The questions.
        sites: One site or several, scored in the same pass; by default the model's projections,
            gate, q, k and v (CULNIG), of an encoder-decoder in both stacks.
        control: Ask the control twins instead, without the question, and clamp scores at 0.
        **options: ``objective``, ``scoring``, ``path``, ``points``, ``baseline``, ``aggregation``
            and ``positions`` of ``Attribution``, by default those of CULNIG; batch size, progress,
            run folder and prompts that are too long of ``Running``.

    Returns:
        Sums over items, float64, ``culture layer neuron`` at each site. The metadata hold the
        ``ids`` of the questions that were scored, what was ``looked_at``, and, per culture, the
        number of ``items``, the sum of ``p_gold``, and the number of items answered ``right``; of
        a path also the sums of the absolute ``change`` of the objective along it, and of the
        ``gap`` by which integrated gradients miss it.

    Raises:
        InputError: An unknown site or option, a label that is not a single token, a site that
            the path cannot score, or logits that are NaN or infinite.

    Example:
        ``attribute(model, questions, objective="logit_difference", scoring="option_likelihood")``
    """
    attribution, how = read_options(options, Attribution, Running)
    chosen = check_sites(model.projections if sites is None else sites, model.sites)
    check_questions(questions, min_cultures=1)
    check_path(model, chosen, attribution.way)
    asked = [control_twin(question) for question in questions] if control else questions
    prompts = prepared(model, asked, attribution, how)
    settings = {
        "model": model.name,
        "weights": model.fingerprint,
        **model.units_facts(chosen),
        "dtype": str(model.dtype),
        "sites": list(chosen),
        **asdict(attribution),
        "control": control,
    }
    baseline = start_means(model, prompts, chosen, attribution, how)

    step = ItemScoring(tuple(chosen), attribution, control, baseline)
    label = "scoring control twins" if control else "scoring neurons"
    sums = sum_in_shards(model, prompts, step, settings, how, GRADIENT_BATCH_SIZE, label)
    benchmark = benchmarks_of(questions)
    facts = {"revision": model.revision, "benchmark": benchmark, "versions": versions()}
    return also_looked_at(sums.scores({**settings, **facts}), questions)


@dataclass(frozen=True, eq=False)
class ItemScoring:
    """Scores the items of a batch."""

    sites: tuple[str, ...]
    attribution: Attribution
    control: bool
    baseline: StartMeans | None

    def __call__(self, model: LensModel, batch: Batch) -> ItemScores:
        """Give one row per item."""
        start = self.baseline.rows(batch) if self.baseline else None
        how, control = self.attribution, self.control
        return item_scores(model, batch, self.sites, how, control=control, baseline=start)


def prepared(
    model: LensModel, questions: Sequence[Question], attribution: Attribution, how: Running
) -> PackedPrompts:
    """Make the prompts of questions in the style that their scoring reads, labels included.

    Raises:
        InputError: A prompt that is too long, a label that is not a single token, an option without
            tokens, or no tokens at the positions that count.
    """
    prompts = build_prompts(
        questions,
        model.processor,
        style=attribution.style,
        context=model.context,
        too_long=how.too_long,
        progress=how.progress,
    )
    if attribution.style == "choices":
        return labelled(prompts, model.processor)
    check_tokens(prompts)
    attribution.check_positions(prompts)
    return prompts


def also_looked_at(scores: NeuronScores, questions: Sequence[Question]) -> NeuronScores:
    """Record questions that were given and not scored, such as those that were too long."""
    return replace(
        scores, metadata={**scores.metadata, **joined(scores.metadata, looked_at(questions))}
    )
