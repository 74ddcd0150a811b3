"""Questions and activation counts drawn by chance, with or without an effect of the culture."""

import numpy as np
import torch

from culture_lens.activations.resampling import make_design
from culture_lens.activations.statistics import ActivationStatistics, ItemStatistics
from culture_lens.questions.question import Question

CULTURES = ("Brazil", "Iran", "Japan", "Kenya")
TOKENS = 20


def questions_of(groups=24, per_group=1, mixed=False, cultures=CULTURES, category=None):
    """So many groups of each culture; or, mixed, groups that ask all cultures the same."""
    made = []
    for number in range(groups):
        for at, culture in enumerate(cultures):
            for item in range(per_group):
                name = f"{number}/{culture}/{item}"
                kind = category(number, at) if category else "all"
                made.append(
                    Question(
                        id=name,
                        culture=culture,
                        text=f"{number:03}?",
                        options=("a", "b"),
                        answer=0,
                        group=f"{number}" if mixed else f"{number}/{culture}",
                        category=kind,
                        benchmark="simulated",
                    )
                )
    return made


def counts_of(
    questions,
    neurons,
    seed,
    *,
    effect=None,
    group_sd=0.5,
    cell_sd=0.0,
    common_sd=0.0,
    strata_effect=None,
):
    """Tokens and positive counts of each item: rates differ by neuron, group and item.

    Args:
        questions: The items.
        neurons: How many neurons, in two layers.
        seed: The seed.
        effect: ``culture neuron``, added to the logit of the rate.
        group_sd: What items of a group share, for each neuron by itself.
        cell_sd: What items of a group and culture share, likewise.
        common_sd: What all neurons share on a group: they are correlated.
        strata_effect: ``{category: neuron}``, added likewise.
    """
    chance = np.random.default_rng(seed)
    logit = chance.normal(-1, 1.5, size=neurons)
    groups = {g: None for g in dict.fromkeys(q.group for q in questions)}
    shared = {
        g: chance.normal(0, group_sd, neurons)
        + common_sd * chance.normal() * np.sign(np.sin(np.arange(neurons) + 1))
        for g in groups
    }
    cells = {
        cell: chance.normal(0, cell_sd, neurons) if cell_sd else 0.0
        for cell in dict.fromkeys((q.group, q.culture) for q in questions)
    }
    rows = []
    for question in questions:
        rate = logit + shared[question.group] + cells[question.group, question.culture]
        rate = rate + chance.normal(0, 0.3, neurons)
        if effect is not None:
            rate = rate + effect[CULTURES.index(question.culture)]
        if strata_effect is not None:
            rate = rate + strata_effect[question.category]
        rows.append(chance.binomial(TOKENS, 1 / (1 + np.exp(-rate))))
    return np.stack(rows)


def statistics_of(questions, counts, *, batch=16, magnitudes=False, strata=None, **options):
    """Stream the counts through the package, batch by batch."""
    design = make_design(questions, strata=strata, **options)
    statistics = ActivationStatistics(design)
    for start in range(0, len(questions), batch):
        part = questions[start : start + batch]
        rows = torch.from_numpy(counts[start : start + batch]).view(len(part), 2, -1)
        sums = {"act": rows.float() / 3} if magnitudes else {}
        statistics.update(
            ItemStatistics(
                tokens=torch.full((len(part),), TOKENS),
                counts={"act": rows},
                sums=sums,
                squares={site: values**2 for site, values in sums.items()},
            ),
            [question.culture for question in part],
            [question.id for question in part],
        )
    return statistics


def summary_of(questions, counts, **options):
    """Summarise the counts."""
    return statistics_of(questions, counts, **options).summary()
