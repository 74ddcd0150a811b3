"""dose_curve: ablate ever more of each culture's neurons, the best first, and ask the questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, each, flag, optional, real, text, whole
from culture_lens.errors import InputError, listed, warn
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.evaluation.scoring import Scoring
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.dose import DoseCurve
from culture_lens.experiments.masks import (
    AblationMask,
    RandomMasks,
    cultures_to_ask,
    joined,
    labelled,
)
from culture_lens.interventions.hooks import Value, ablation_value
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import check_share
from culture_lens.neurons.with_units import number_of_units
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName
    from culture_lens.experiments.conditions import Condition

HALVINGS = 5
"""Doses by default: the whole set, and four times half of the last."""


@check_arguments(
    model=MODEL,
    found=FOUND_SET,
    questions=QUESTIONS,
    shares=optional(each(real)),
    others=flag,
    random_seeds=whole(0),
    scoring=optional(text),
    value=ablation_value,
    seen=flag,
)
def dose_curve(
    model: LensModel,
    found: NeuronSet,
    questions: Sequence[Question],
    *,
    shares: Sequence[float] | None = None,
    others: bool = True,
    random_seeds: int = 3,
    scoring: ScoringName | None = None,
    value: Value = "zero",
    seen: bool = False,
    **running: Unpack[RunningOptions],
) -> DoseCurve:
    """Ablate ever more of each culture's neurons, those of the highest scores first.

    Args:
        model: The model that the neurons were found on.
        found: The neurons with their scores; find more than usual, such as ``share=0.02``.
        questions: What to ask. Questions that were given to find the neurons are left out, with
            their groups; see ``unseen``.
        shares: Shares of all neurons at the set's sites; ``int(share * number)`` are ablated. By
            default the whole of the largest set, a half, a quarter and so on.
        others: Ask other cultures' questions under each mask too, which ``cross`` and ``gap``
            need. Own questions alone take as many times less time as there are cultures.
        random_seeds: Sets of random neurons at every share, as many in each layer.
        scoring: How answers are read; the model's own scoring by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        seen: Ask the questions that found the neurons too, with a warning.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: The set has no scores or fewer neurons than a share asks for, shares that
            choose nothing or the same number, or anything that ``ablation_matrix`` refuses.

    Warns:
        CultureLensWarning: Cultures without neurons or questions, which are left out, and those
            with fewer neurons than the largest share.

    Example:
        ``cl.plots.dose_chart(dose_curve(model, found, questions, shares=(0.001, 0.003, 0.01)))``
    """
    how = Running.of(running)
    found.check_model(model)
    asked = unseen(found, questions, seen)
    content = found.content
    found = align_cultures(found, asked)
    kept = cultures_to_ask(found, asked, "dose curve")
    found = replace(found, neurons={culture: found[culture] for culture in kept})
    check_scores(found)
    doses = doses_of(found, shares)
    prompts, chosen = prepare(model, asked, scoring, how)
    masks = [
        mask
        for share, dose in doses.items()
        for mask in masks_at(model, dose, share, RandomMasks(random_seeds))
    ]
    frame = answers_under(model, prompts, chosen, masks, others=others, value=value, running=how)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        NEURON_SET: content,
        "benchmark": benchmarks_of(asked),
        "selector": found.method,
        "scoring": chosen.name,
        "value": value if isinstance(value, (str, float, int)) else "tensors",
        "random_seeds": random_seeds,
        "others": others,
        "seen": seen,
        "items": int(frame["id"].nunique()),
        "versions": versions(),
    }
    return DoseCurve(frame, metadata)


def check_scores(found: NeuronSet) -> None:
    """Refuse neurons without scores, of which none come first.

    Raises:
        InputError: Names the culture.
    """
    for culture, neurons in found.neurons.items():
        if set(neurons.scores) != set(neurons.places):
            raise InputError(
                f"neurons of {culture!r} carry no scores, so none of them come first: give a set "
                "that a selector found."
            )


def doses_of(found: NeuronSet, shares: Sequence[float] | None) -> dict[float, NeuronSet]:
    """Give the best neurons of every culture at each share, smallest share first.

    Raises:
        InputError: No share, one outside (0, 1] or above the largest set, one that chooses no
            neuron, or two that choose the same number.
    """
    total = sum(number_of_units(found.shapes, found.metadata).values())
    most = max(len(found[culture]) for culture in found)
    if shares is None:
        numbers = sorted({most // 2**power for power in range(HALVINGS)} - {0})
        counted = {number / total: number for number in numbers}
    else:
        counted = {one: int(check_share(one) * total) for one in sorted(set(shares))}
    if not counted or min(counted.values()) < 1 or len(set(counted.values())) < len(counted):
        raise InputError(
            f"shares {listed(map(str, counted)) or '(none)'} choose "
            f"{listed(map(str, counted.values())) or 'nothing'} "
            f"of {total} neurons: each must choose at least one, and more than the last."
        )
    if max(counted.values()) > most:
        raise InputError(
            f"share {max(counted)} asks for {max(counted.values())} of {total} neurons and the "
            f"largest set has {most}: find more, or give shares up to {most / total:.6g}."
        )
    few = {c: len(found[c]) for c in found if len(found[c]) < max(counted.values())}
    if few:
        told = ", ".join(f"{culture} {number}" for culture, number in few.items())
        warn(f"fewer neurons than the {max(counted.values())} of the largest share: {told}.")
    return {
        share: replace(found, neurons={c: best_of(found[c], number) for c in found})
        for share, number in counted.items()
    }


def best_of(neurons: Neurons, number: int) -> Neurons:
    """Keep the neurons with the highest scores, all sites together; ties keep their order.

    Example:
        >>> import torch
        >>> places = {"act": torch.tensor([[0, 1], [0, 2]])}
        >>> best_of(Neurons(places, {"act": torch.tensor([1.0, 3.0])}), 1).members()
        {('act', 0, 2)}
    """
    every = [
        (float(score), site, *place)
        for site, places in neurons.places.items()
        for place, score in zip(places.tolist(), neurons.scores[site].tolist(), strict=True)
    ]
    best = {tuple(place) for _, *place in sorted(every, key=lambda one: -one[0])[:number]}
    return neurons.keep(lambda member: member in best)


def masks_at(
    model: LensModel, dose: NeuronSet, share: float, random: RandomMasks
) -> list[AblationMask]:
    """List the masks at one share: every culture's neurons, and random ones per seed."""

    def mask(condition: Condition, culture: str, seed: int, neurons: Neurons) -> AblationMask:
        facts = {"share": share, "neurons": len(neurons)}
        return AblationMask(condition, culture, seed, neurons, facts)

    masks = [mask(FOUND, culture, 0, dose[culture]) for culture in dose]
    for seed, drawn in enumerate(random.draws(model, dose)):
        masks += [mask(RANDOM, culture, seed, drawn[culture]) for culture in drawn]
    return masks


def answers_under(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    masks: Sequence[AblationMask],
    *,
    others: bool,
    value: Value,
    running: Running,
) -> pd.DataFrame:
    """Answer prompts without and under masks; without ``others`` those of its culture alone."""
    import pandas as pd

    base = AblationMask(UNMODIFIED, facts={"share": 0.0, "neurons": 0})
    work = [(list(prompts), list(masks))]
    if not others:
        work = [
            (
                [prompt for prompt in prompts if prompt.question.culture == culture],
                [mask for mask in masks if mask.name == culture],
            )
            for culture in dict.fromkeys(mask.name for mask in masks)
        ]
    frames = []
    for asked, own in work:
        every = [base, *own]
        label = "doses" if others else f"doses of {own[0].name}"
        records = answer_masks(
            model, asked, scoring, labelled(every), value=value, label=label, running=running
        )
        frames.append(joined(every, records))
    return pd.concat(frames, ignore_index=True)


__all__ = ["dose_curve"]
