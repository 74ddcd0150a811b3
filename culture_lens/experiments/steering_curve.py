"""steering_curve: steer towards each culture, ever more strongly, and ask the questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, each, either, finite, flag, optional, text, whole
from culture_lens.errors import InputError, listed
from culture_lens.evaluation.evaluate import answer_prompts, prepare
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.direction_matrix import random_like
from culture_lens.experiments.masks import AblationMask, RandomMasks, joined
from culture_lens.experiments.steering import SteeringCurve
from culture_lens.interventions.hooks import steering_hooks
from culture_lens.models.checks import MODEL, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.transformer_lens import HookList
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.direction_hooks import addition_hooks
from culture_lens.neurons.directions import DIRECTIONS, Directions
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName
    from culture_lens.experiments.conditions import Condition

STRENGTHS = (0.5, 1.0, 2.0, 4.0)
STEERED = either(
    DIRECTIONS, FOUND_SET, remedy="the directions of fit_directions, or a NeuronSet of neurons"
)


@dataclass(frozen=True, eq=False)
class Steer:
    """What is done under one mask."""

    mask: AblationMask
    hooks: HookList


@check_arguments(
    model=MODEL,
    steered=STEERED,
    questions=QUESTIONS,
    strengths=each(finite),
    others=flag,
    random_seeds=whole(0),
    scoring=optional(text),
    seen=flag,
)
def steering_curve(
    model: LensModel,
    steered: NeuronSet | Directions,
    questions: Sequence[Question],
    *,
    strengths: Sequence[float] = STRENGTHS,
    others: bool = True,
    random_seeds: int = 3,
    scoring: ScoringName | None = None,
    seen: bool = False,
    **running: Unpack[RunningOptions],
) -> SteeringCurve:
    """Steer towards each culture in turn, ever more strongly, and ask every culture's questions.

    Args:
        model: The model.
        steered: Directions, which are added at their layer so many times; or neurons or heads,
            which are scaled by 1 + strength.
        questions: What to ask, such as ``without_country_named(questions)``. Questions that gave
            the directions or neurons are left out, with their groups; see ``unseen``.
        strengths: How strongly; below 0 a direction is subtracted and neurons are weakened.
        others: Ask other cultures' questions too, which ``cross`` and ``gap`` need.
        random_seeds: Random directions of the same length, or as many random neurons in each
            layer, beside each culture's, steered alike.
        scoring: How answers are read; the model's own scoring by default.
        seen: Ask the questions of the fit too, with a warning.
        **running: Batch size, progress, prompts that are too long; see ``Running``. Nothing is
            kept in a run folder.

    Raises:
        InputError: No strength, one that is 0 or given twice, directions or neurons of another
            model, no question left to ask, a run folder, or an unknown option.

    Example:
        ``steering_curve(model, directions, without_country_named(questions)).table("self")``
    """
    how = Running.of(running)
    given = check_strengths(strengths)
    how.check_no_folder("steering_curve", "curve.to_parquet(path)")
    steered.check_model(model)
    asked = unseen(steered, questions, seen)
    if isinstance(steered, NeuronSet):
        steered = align_cultures(steered, asked)
    steps = [one for strength in given for one in steps_at(model, steered, strength, random_seeds)]
    prompts, chosen = prepare(model, asked, scoring, how)
    base: dict[str, Any] = {"strength": 0.0}
    base |= {"neurons": 0} if isinstance(steered, NeuronSet) else {}
    steps = [Steer(AblationMask(UNMODIFIED, facts=base), []), *steps]
    records: list[pd.DataFrame] = []
    for one in steps:
        own = [p for p in prompts if others or one.mask.name in ("", p.question.culture)]
        with under(f"steered, {one.mask.label}"), model.hooks(one.hooks):
            label = one.mask.label
            records.append(answer_prompts(model, own, chosen, label=label, running=how))
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(asked),
        **facts_of(steered),
        "scoring": chosen.name,
        "random_seeds": random_seeds,
        "others": others,
        "seen": seen,
        "items": len(prompts),
        "versions": versions(),
    }
    return SteeringCurve(joined([one.mask for one in steps], records), metadata)


def check_strengths(strengths: Sequence[float]) -> list[float]:
    """Give the strengths, lowest first.

    Raises:
        InputError: None, one that is 0, or one given twice.
    """
    given = sorted(map(float, strengths))
    if not given or 0 in given or len(set(given)) < len(given):
        raise InputError(
            f"strengths: {listed(map(str, given)) or '(none)'}; give one or more, each once, and "
            "not 0, which is the unmodified model."
        )
    return given


def steps_at(
    model: LensModel, steered: NeuronSet | Directions, strength: float, random_seeds: int
) -> Iterator[Steer]:
    """List what is done at one strength: towards every culture, and random ones per seed."""

    def step(condition: Condition, culture: str, seed: int, of: NeuronSet | Directions) -> Steer:
        facts: dict[str, Any] = {"strength": strength}
        if isinstance(of, Directions):
            hooks = addition_hooks(model, of[culture], strength)
        else:
            hooks = steering_hooks(model, of[culture], strength)
            facts["neurons"] = len(of[culture])
        return Steer(AblationMask(condition, culture, seed, facts=facts), hooks)

    yield from (step(FOUND, culture, 0, steered) for culture in steered)
    draws: list[NeuronSet | Directions] = []
    if isinstance(steered, Directions):
        draws += [random_like(steered, seed) for seed in range(random_seeds)]
    else:
        draws += RandomMasks(random_seeds).draws(model, steered)
    for seed, drawn in enumerate(draws):
        yield from (step(RANDOM, culture, seed, drawn) for culture in steered)


def facts_of(steered: NeuronSet | Directions) -> dict[str, Any]:
    """Say what is steered."""
    if isinstance(steered, NeuronSet):
        return {NEURON_SET: steered.content, "selector": steered.method, "edit": "scaled"}
    contrast = steered.metadata.get("contrast")
    return {
        "selector": f"directions, {contrast}" if contrast else "directions",
        "site": steered.site,
        "layer": steered.layer,
        "edit": "added",
    }


__all__ = ["steering_curve"]
