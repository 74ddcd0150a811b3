"""compare_selectors: how much each selector's neurons change their culture, and the others.

Selectors are compared at equal numbers of neurons, over a range of shares: the first n neurons of
every selector's ranking are ablated (see ``ranking``), n being a share of the MLP neurons. On the
held-out half of the questions, for each selector and share (see ``matrix``):

    self(c)  = change of accuracy on c's own questions
    cross(c) = mean change on the other cultures' questions: collateral damage
    gap(c)   = self(c) - cross(c)

and their means over cultures. All selectors are asked the same questions, so differences between
them are paired. The result also has the number of each selector's neurons in every layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import Unpack

from culture_lens.attribution.countryrc import Wordings
from culture_lens.attribution.scoring import AttributionScoring, get_attribution_scoring
from culture_lens.checks import (
    OPTIONS,
    any_names,
    check_arguments,
    each,
    optional,
    real,
    text,
    whole,
)
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.comparison.plan import (
    checked,
    cultures_of,
    identify_and_held_out,
    numbers_of,
    warn_of_fewer,
)
from culture_lens.experiments.comparison.result import KEPT_COLUMNS, Comparison
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.masks import AblationMask, joined, labelled
from culture_lens.find import sources_of
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import PROJECTIONS, part_of, sites_reading
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.batches import check_batch_size
from culture_lens.prompts.running import BATCH_SIZE, Running, RunningOptions, read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.selectors import SELECTORS
from culture_lens.selectors.ranking import Sources, first, get_ranking
from culture_lens.selectors.registry import Reads, reads
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    from culture_lens.evaluation.scoring import ScoringName

COMPARED_SELECTORS = ("lap", "lape", "mad", "conact", "culnig_specific", "random")
COMPARED_SHARES = (0.001, 0.003, 0.01)


class ComparisonOptions(RunningOptions, total=False):
    """The fields of ``GradientScoring`` and ``Running`` as keyword arguments."""

    countries: Sequence[str] | Mapping[str, str] | None
    countryrc: str | Path | Sequence[Question] | None
    countryrc_wordings: Wordings | None
    attribution_scoring: AttributionScoring | None
    gradient_batch_size: int


@dataclass(frozen=True)
class GradientScoring:
    """How contributions are made for gradient selectors; see ``culnig_scores``.

    Attributes:
        countries: The cultures that CountryRC asks about; by default those that are compared.
        countryrc: CountryRC questions, a file of templates, or a benchmark that has its own.
        countryrc_wordings: Own wordings of CountryRC.
        attribution_scoring: How gradients read options, ``"letter"`` or ``"option_likelihood"``.
            By default CULNIG reads letters, as published, and ``knowledge`` reads as the answers
            are read.
        gradient_batch_size: Questions per forward and backward.

    Raises:
        InputError: A batch size below 1, or no such scoring.
    """

    countries: Sequence[str] | Mapping[str, str] | None = None
    countryrc: str | Path | Sequence[Question] | None = None
    countryrc_wordings: Wordings | None = None
    attribution_scoring: AttributionScoring | None = None
    gradient_batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        """Check batch size and scoring before the model runs."""
        check_batch_size(self.gradient_batch_size)
        if self.attribution_scoring is not None:
            get_attribution_scoring(self.attribution_scoring)

    @property
    def passages(self) -> Sequence[Question]:
        """The CountryRC questions that were given, if any."""
        return () if isinstance(self.countryrc, (str, Path, type(None))) else self.countryrc

    def options(self, cultures: Sequence[str], running: Running) -> dict[str, Any]:
        """Give the options of ``culnig_scores``, for the cultures that are compared."""
        read_by = {"scoring": self.attribution_scoring} if self.attribution_scoring else {}
        default = self.countries is None and self.countryrc is None
        return {
            **vars(running),
            "countries": cultures if default else self.countries,
            "countryrc": self.countryrc,
            "countryrc_wordings": self.countryrc_wordings,
            "batch_size": self.gradient_batch_size,
            **read_by,
        }


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    selectors=any_names,
    shares=each(real),
    cultures=any_names,
    identify_share=real,
    random_seeds=whole(),
    scoring=optional(text),
    summary_options=optional(OPTIONS),
)
def compare_selectors(
    model: LensModel,
    questions: Sequence[Question],
    selectors: Sequence[str] = COMPARED_SELECTORS,
    *,
    shares: Sequence[float] = COMPARED_SHARES,
    cultures: Sequence[str] = (),
    identify_share: float = 0.5,
    random_seeds: int = 3,
    scoring: ScoringName | None = None,
    summary_options: Mapping[str, Any] | None = None,
    **options: Unpack[ComparisonOptions],
) -> Comparison:
    """Ablate the same number of every selector's neurons, and compare the changes in accuracy.

    One recording pass serves all activation selectors, one run of CULNIG's three scorings all
    gradient selectors. Of an encoder-decoder the stack of the default site is compared.

    Args:
        model: The model.
        questions: All questions; ``split_questions`` takes some to identify, the rest evaluate.
        selectors: Names from ``ranking.RANKINGS``.
        shares: Shares of the MLP neurons of a stack; ``int(share * number)`` are ablated for each
            culture.
        cultures: The cultures whose neurons are ablated; by default all that both halves have. The
            questions of all cultures are asked.
        identify_share: Share of the question groups that identify, where the benchmark has no
            split of its own.
        random_seeds: Sets of random neurons for each culture, where ``"random"`` is compared.
        scoring: How answers are read; the model's own scoring by default.
        summary_options: Further options of ``summarise``, such as ``{"only_correct": True}``.
        **options: ``countries``, ``countryrc``, ``countryrc_wordings``, ``attribution_scoring``
            and ``gradient_batch_size``, see ``GradientScoring``; batch size, progress, run folder
            and prompts that are too long, see ``Running``.

    Raises:
        InputError: Before the model runs: unknown selectors, options or cultures, shares that
            choose nothing, halves without questions, or questions that CULNIG cannot use (labels
            of several tokens, cultures without a country's name).

    Example:
        ``compare_selectors(model, questions, ["conact", "culnig_specific", "random"]).table()``
    """
    running, gradients = read_options(options, Running, GradientScoring)
    further = dict(summary_options or {})
    names = checked(selectors, random_seeds, further)
    numbers = numbers_of(model, shares)
    identify, held_out = identify_and_held_out(questions, identify_share, gradients.passages)
    chosen = cultures_of(identify, held_out, cultures)
    prompts, read_by = prepare(model, held_out, scoring, running)
    shared = gradients.options(chosen, running)
    by_letter = read_by.style == "choices"
    passes: dict[Reads, dict[str, Any]] = {
        "activations": {"scoring": scoring, **vars(running), **further},
        "culnig": {"sites": gradient_sites(model, names), **shared},
        "knowledge": {"scoring": "letter" if by_letter else "option_likelihood", **shared},
        "heads": {"scoring": read_by.name, **vars(running)},
    }
    needed = {reads(name) for name in names}
    sources = sources_of(
        model,
        identify,
        activation=passes["activations"] if "activations" in needed else None,
        gradient=passes["culnig"] if "culnig" in needed else None,
        knowledge=passes["knowledge"] if "knowledge" in needed else None,
        heads=passes["heads"] if "heads" in needed else None,
    )
    masks = [
        AblationMask(
            FOUND, culture, seed, first(ranked, culture, number), {"selector": name, "share": at}
        )
        for name in names
        for seed, ranked in rankings(name, sources, random_seeds)
        for at, number in numbers.items()
        for culture in chosen
    ]
    warn_of_fewer(masks, numbers)
    every = [AblationMask(UNMODIFIED, facts={"selector": "", "share": 0.0}), *masks]
    records = answer_masks(
        model, prompts, read_by, labelled(every), label="selectors", running=running
    )
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(questions),
        "scoring": read_by.name,
        "numbers": list(numbers.values()),
        "identified_on": len(identify),
        "items": len(prompts),
        "random_seeds": random_seeds if RANDOM in names else 0,
        "layers": [layers_of(mask, model.layers(model.default_site)) for mask in masks],
        "versions": versions(),
    }
    kept = [frame[list(KEPT_COLUMNS)] for frame in records]
    return Comparison(joined(every, kept), metadata)


def gradient_sites(model: LensModel, names: Sequence[str]) -> list[str]:
    """Give the sites to score, all in the stack of the default site.

    Only the gate is scored, unless a selector ranks q, k and v too.
    """
    every = "culnig_all_projections" in names
    stem = model.default_site[: -len(part_of(model.default_site))]
    own = [site for site in model.sites if site == stem + part_of(site)]
    return sites_reading(PROJECTIONS if every else PROJECTIONS[:1], own)


def rankings(name: str, sources: Sources, seeds: int) -> list[tuple[int, NeuronScores]]:
    """Give a selector's ranking with its seed; of random neurons one for each seed."""
    if name != RANDOM:
        return [(0, get_ranking(name)(sources))]
    assert sources.summary is not None  # recorded for it
    return [(seed, SELECTORS[RANDOM](sources.summary, seed=seed)) for seed in range(seeds)]


def layers_of(mask: AblationMask, layers: int) -> dict[str, Any]:
    """Give the selector, share, culture and seed of a mask, and its neurons in every layer."""
    counts = per_layer(mask.neurons, layers) if mask.neurons is not None else [0] * layers
    return {**mask.facts, "mask": mask.name, "seed": mask.seed, "counts": counts}


def per_layer(neurons: Neurons, layers: int) -> list[int]:
    """Count neurons per layer, all sites together."""
    counts = [neurons.per_layer(site, layers).numpy() for site in neurons.places]
    return [int(count) for count in sum(counts, np.zeros(layers, int))]


__all__ = ["COMPARED_SELECTORS", "Comparison", "compare_selectors"]
