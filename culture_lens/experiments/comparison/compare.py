"""compare_selectors: which way of finding neurons hits a culture, and how much else it hits.

Selectors are compared at equal numbers of neurons, over a range of shares: the first n of every
selector's ranking are ablated (``ranking``), n being a share of the MLP neurons. On the held-out
half of the questions, for each selector and share (see ``matrix``):

    self(c)  = change of accuracy on c's own questions
    cross(c) = mean change on the other cultures' questions: collateral damage
    gap(c)   = self(c) - cross(c)

and their means over cultures. All cells of all selectors share the draws of one clustered
bootstrap, so that differences between selectors are paired. Beside it stands where each selector's
neurons lie, layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.attribution.gradients import GRADIENT_BATCH_SIZE
from culture_lens.attribution.item_scores import gold_tokens
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.comparison.plan import (
    checked,
    cultures_of,
    halves,
    numbers_of,
    say_if_fewer,
)
from culture_lens.experiments.comparison.result import RANDOM, Comparison
from culture_lens.experiments.matrix import FOUND, UNMODIFIED
from culture_lens.find import sources_of
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import PROJECTIONS, part_of, sites_reading
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.batches import check_batch_size
from culture_lens.questions.question import Question, benchmarks_of
from culture_lens.selectors import SELECTORS
from culture_lens.selectors.ranking import Sources, first, get_ranking
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("lap", "lape", "mad", "conact", "culnig_specific", "random")
SHARES = (0.001, 0.003, 0.01)
KEPT = ("id", "culture", "group", "category", "prediction", "correct", "p_gold")
"""What is kept of every answer."""


def compare_selectors(
    model: LensModel,
    questions: Sequence[Question],
    selectors: Sequence[str] = COMPARED,
    *,
    shares: Sequence[float] = SHARES,
    cultures: Sequence[str] = (),
    identify_share: float = 0.5,
    random_seeds: int = 3,
    countries: Sequence[str] | Mapping[str, str] | None = None,
    countryrc: str | Path | Sequence[Question] | None = None,
    scoring: str | None = None,
    summary_options: Mapping[str, Any] | None = None,
    too_long: str = "error",
    batch_size: int = 16,
    gradient_batch_size: int = GRADIENT_BATCH_SIZE,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> Comparison:
    """Ablate as many neurons of every selector, and compare what it does to whom.

    One recording pass serves all activation selectors, one run of CULNIG's three scorings all
    gradient selectors. Of an encoder-decoder the stack of the default site is compared.

    Args:
        model: The model.
        questions: All questions: ``split_questions`` takes some to identify, the rest evaluate.
        selectors: Names from ``ranking.RANKINGS``.
        shares: Shares of the MLP neurons of a stack; ``int(share * number)`` are ablated for each
            culture.
        cultures: Whose neurons are ablated; by default all that both halves have. Everybody's
            questions are asked.
        identify_share: Share of the question groups that identify, where the benchmark has no
            split of its own.
        random_seeds: Sets of random neurons for each culture, where ``"random"`` is compared.
        countries: The cultures that CountryRC asks about, see ``culnig_scores``; by default those
            that are compared.
        countryrc: CountryRC questions, or a file of templates; see ``culnig_scores``.
        scoring: How answers are read; the model's own way by default.
        summary_options: Further options of ``summarise``, such as ``{"only_correct": True}``.
        too_long: What to do with prompts longer than the context.
        batch_size: Questions per forward; halved where memory runs out.
        gradient_batch_size: Questions per forward and backward.
        progress: Show progress bars.
        run: A run folder; finished pieces are kept and found again.

    Raises:
        InputError: Before the model runs: unknown selectors, options or cultures, shares that
            choose nothing, halves without questions, or questions that CULNIG cannot use (labels
            of several tokens, cultures without a country's name).

    Example:
        ``compare_selectors(model, questions, ["conact", "culnig_specific", "random"]).table()``
    """
    names, options = checked(selectors, random_seeds, summary_options or {})
    for size in (batch_size, gradient_batch_size):
        check_batch_size(size)
    numbers = numbers_of(model, shares)
    identify, held_out = halves(questions, identify_share)
    chosen = cultures_of(identify, held_out, cultures)
    common: dict[str, Any] = {"too_long": too_long, "progress": progress, "run": run}
    prompts, way = prepare(model, held_out, scoring, too_long=too_long, progress=progress)
    if way.style == "choices":
        gold_tokens(prompts, model.processor)  # refuses labels of several tokens
    gradient_options = {
        "sites": gradient_sites(model, names),
        "countries": chosen if countries is None and countryrc is None else countries,
        "countryrc": countryrc,
        "batch_size": gradient_batch_size,
        **common,
    }
    recording = {"scoring": scoring, "batch_size": batch_size, **common, **options}
    sources = sources_of(
        model,
        identify,
        scoring=gradient_options if any(name not in SELECTORS for name in names) else None,
        recording=recording if any(name in SELECTORS for name in names) else None,
    )
    masks: list[tuple[dict[str, Any], Neurons]] = []
    for name in names:
        for seed, ranked in rankings(name, sources, random_seeds):
            for share, number in numbers.items():
                for culture in chosen:
                    facts = {"selector": name, "share": share, "mask": culture, "seed": seed}
                    masks.append((facts, first(ranked, culture, number)))
    say_if_fewer(masks, numbers)
    records = answer_masks(
        model,
        prompts,
        way,
        [
            ("unmodified", None),
            *((f"{m['selector']} {m['share']:g} {m['mask']}", own) for m, own in masks),
        ],
        batch_size=batch_size,
        progress=progress,
        label="selectors",
        run=Run.open(run) if run is not None else None,
    )
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(questions),
        "scoring": way.name,
        "numbers": list(numbers.values()),
        "identified_on": len(identify),
        "items": len(prompts),
        "random_seeds": random_seeds if RANDOM in names else 0,
        "layers": [
            {**facts, "counts": per_layer(own, model.layers(model.default_site))}
            for facts, own in masks
        ],
        "versions": versions(),
    }
    return Comparison(joined(records, [facts for facts, _ in masks]), metadata)


# ------------------------------------------------------------------ what selectors read


def gradient_sites(model: LensModel, names: Sequence[str]) -> list[str]:
    """Give the sites to score, all of the stack of the default site.

    The gate is enough, unless a selector lets q, k and v compete.
    """
    every = "culnig_all_projections" in names
    stem = model.default_site[: -len(part_of(model.default_site))]
    own = [site for site in model.sites if site == stem + part_of(site)]
    return sites_reading(PROJECTIONS if every else PROJECTIONS[:1], own)


# ------------------------------------------------------------------ chosen and laid out


def rankings(name: str, sources: Sources, seeds: int) -> list[tuple[int, NeuronScores]]:
    """Rank by a selector, random neurons once for each seed."""
    if name != RANDOM:
        return [(0, get_ranking(name)(sources))]
    assert sources.summary is not None  # recorded for it
    return [(seed, SELECTORS[RANDOM](sources.summary, seed=seed)) for seed in range(seeds)]


def per_layer(neurons: Neurons, layers: int) -> list[int]:
    """Count neurons per layer, all sites together."""
    counts = [neurons.per_layer(site, layers).numpy() for site in neurons.places]
    return [int(count) for count in sum(counts, np.zeros(layers, int))]


def joined(records: Sequence[pd.DataFrame], masks: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lay out the records of the unmodified model and of every mask as one table."""
    import pandas as pd

    nothing = {"condition": UNMODIFIED, "selector": "", "share": 0.0, "mask": "", "seed": 0}
    facts = [nothing, *({"condition": FOUND, **mask} for mask in masks)]
    frames = [frame[list(KEPT)].assign(**one) for one, frame in zip(facts, records, strict=True)]
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*nothing, *KEPT]]


__all__ = ["COMPARED", "Comparison", "compare_selectors"]
