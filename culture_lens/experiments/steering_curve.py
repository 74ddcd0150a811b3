"""steering_curve: steer towards each culture, ever more strongly, and ask the questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, each, either, finite, flag, optional, text, whole
from culture_lens.errors import InputError, listed
from culture_lens.evaluation.evaluate import prepare
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.experiments.conditions import UNMODIFIED
from culture_lens.experiments.edited_answers import Edit, answer_edits, edits_of, random_ones
from culture_lens.experiments.masks import AblationMask, cultures_to_ask
from culture_lens.experiments.steering import SteeringCurve
from culture_lens.interventions.hooks import steering_hooks
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.direction_hooks import addition_hooks
from culture_lens.neurons.directions import DIRECTIONS, Directions
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    from culture_lens.evaluation.scoring import ScoringName

STRENGTHS = (0.5, 1.0, 2.0, 4.0)
STEERED = either(
    DIRECTIONS, FOUND_SET, remedy="the directions of fit_directions, or a NeuronSet of neurons"
)


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
        **running: Batch size, progress, prompts that are too long; see ``Running``. It runs in
            this process, and nothing is kept in a run folder.

    Raises:
        InputError: No strength, one that is 0 or given twice, directions or neurons of another
            model, no question left to ask, a run folder, workers, or an unknown option.

    Warns:
        CultureLensWarning: Cultures without neurons or questions, which are left out.

    Example:
        ``steering_curve(model, directions, without_country_named(questions)).table("self")``
    """
    how = Running.of(running)
    given = check_strengths(strengths)
    how.check_here("steering_curve", "curve.to_parquet(path)")
    steered.check_model(model)
    asked = unseen(steered, questions, seen)
    if isinstance(steered, NeuronSet):
        steered = align_cultures(steered, asked)
    facts, steered = facts_of(steered), with_questions(steered, asked)
    drawn = random_ones(model, steered, random_seeds)
    base = {"strength": 0.0, **({"neurons": 0} if isinstance(steered, NeuronSet) else {})}
    edits = [Edit(AblationMask(UNMODIFIED, facts=base), [])]
    for strength in given:
        edits += edits_at(model, steered, drawn, strength)
    prompts, chosen = prepare(model, asked, scoring, how)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(asked),
        **facts,
        "scoring": chosen.name,
        "random_seeds": random_seeds,
        "others": others,
        "seen": seen,
        "items": len(prompts),
        "versions": versions(),
    }
    records = answer_edits(model, edits, prompts, chosen, how, others=others)
    return SteeringCurve(records, metadata)


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


def with_questions(
    steered: NeuronSet | Directions, asked: Sequence[Question]
) -> NeuronSet | Directions:
    """Leave out cultures that have no neurons or no questions, with a warning.

    Raises:
        InputError: None is left.
    """
    kept = cultures_to_ask(steered, asked, "steering curve")
    if isinstance(steered, NeuronSet):
        return replace(steered, neurons={culture: steered[culture] for culture in kept})
    held = {culture: steered[culture] for culture in kept}
    return replace(steered, directions=held, agreement={})


def edits_at(
    model: LensModel,
    steered: NeuronSet | Directions,
    drawn: Sequence[NeuronSet | Directions],
    strength: float,
) -> Iterator[Edit]:
    """List what is done at one strength: towards every culture, and random ones per seed."""
    if isinstance(steered, Directions):
        added = partial(addition_hooks, model, scale=strength)
        return edits_of(steered, drawn, added, lambda _: {"strength": strength})
    scaled = partial(steering_hooks, model, alpha=strength)
    return edits_of(steered, drawn, scaled, lambda n: {"strength": strength, "neurons": len(n)})


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
