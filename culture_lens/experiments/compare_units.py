"""compare_units: neurons, features, heads and directions on the same questions, equally large.

1. The units of each kind are ranked for every culture on the questions that identify.
2. Equal number: the first k of each are ablated; a direction is one unit and is projected out.
   Equal norm: the kind whose first k units change the residual stream least is the reference. Of
   every other kind as many units are ablated, culture by culture, as come nearest to its norm, and
   directions are subtracted as often as it takes (see ``equal_norm``).
3. Random units of each kind, in the same layers, are made as many, or as large.
4. All are asked the held-out questions, and ``self``, ``cross`` and ``gap`` are those of
   ``AblationMatrix``. Differences between kinds are paired.

Norms are measured on questions that identify, so nothing is fitted to those that evaluate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.activations.directions import prompts_of
from culture_lens.checks import any_names, check_arguments, mapping, optional, real, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.evaluate import prepare
from culture_lens.experiments.comparison.plan import cultures_of, identify_and_held_out
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.unit_edits import (
    RankedUnits,
    UnitKind,
    check_kind,
    random_kind,
    ranked_kind,
    unit_kind,
)
from culture_lens.experiments.unit_masks import answered
from culture_lens.experiments.unit_sizes import UnitEdit, smallest, warn_of_sizes, with_sizes
from culture_lens.experiments.units_compared import UnitsComparison
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.directions import Directions
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    from typing import Literal

    from culture_lens.evaluation.scoring import ScoringName

    Equal = Literal["number", "norm"]
else:
    Equal = str  # a wrong name reaches the check that lists the right ones

EQUAL = ("number", "norm")
MEASURED = 16
"""Questions of each culture on which norms are measured, at most."""


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    units=mapping(unit_kind, "{name: (site, selector)}"),
    k=whole(1),
    equal=text,
    cultures=any_names,
    identify_share=real,
    random_seeds=whole(0),
    scoring=optional(text),
)
def compare_units(
    model: LensModel,
    questions: Sequence[Question],
    units: Mapping[str, UnitKind],
    *,
    k: int = 20,
    equal: Equal = "number",
    cultures: Sequence[str] = (),
    identify_share: float = 0.5,
    random_seeds: int = 3,
    scoring: ScoringName | None = None,
    **running: Unpack[RunningOptions],
) -> UnitsComparison:
    """Edit units of several kinds, equally many or equally large, and compare what it does.

    Args:
        model: The model; with features, heads or directions of your own as sites.
        questions: All questions; ``split_questions`` takes some to identify, the rest evaluate.
        units: Name -> ``(site, selector)``, such as ``("sae", "knowledge")``; a ``NeuronSet`` of
            your own, best score first; or ``Directions``. What these two were found on is not
            asked.
        k: Units of each culture.
        equal: ``"number"``: k of each kind; ``"norm"``: as many as change the residual stream as
            much as the k units of the kind that changes it least.
        cultures: Whose units are edited; by default all that both halves have.
        identify_share: Share of the question groups that identify, where the benchmark has no
            split of its own.
        random_seeds: Random units beside each culture's.
        scoring: How answers are read; the model's own scoring by default.
        **running: Batch size, progress, run folder, prompts that are too long, workers; see
            ``Running``.

    Raises:
        InputError: Before the model runs: no kinds, unknown sites, selectors or cultures, more
            units than a site has, or equal norms of directions alone. Later, k units that change
            nothing, so that no other kind can be as small.

    Warns:
        CultureLensWarning: A kind ranks fewer units than k, or none of its numbers comes within
            10% of the norm, mean over cultures.

    Example:
        ``compare_units(model, questions, {"neurons": ("act", "conact")}, equal="norm").table()``
    """
    how = Running.of(running)
    check_asked(model, units, k, equal)
    identify, held_out = identify_and_held_out(questions, identify_share)
    for kind in units.values():
        if isinstance(kind, (NeuronSet, Directions)):
            held_out = unseen(kind, held_out)
    chosen = cultures_of(identify, held_out, cultures)
    check_cultures(units, chosen)
    prompts, read_by = prepare(model, held_out, scoring, how)
    edits: list[UnitEdit] = []
    for name, kind in units.items():
        ranked = ranked_kind(model, identify, kind, chosen, read_by, how)
        edits += [UnitEdit(name, culture, own) for culture, own in ranked.items()]
        for seed in range(random_seeds):
            drawn = random_kind(model, kind, ranked, seed)
            edits += [UnitEdit(name, c, own, RANDOM, seed) for c, own in drawn.items()]
    own = measured_on(model, identify, chosen, how)
    reference, norms = None, None
    if equal == "norm":
        found = [e for e in edits if e.condition == FOUND and isinstance(e.own, RankedUnits)]
        reference, norms = smallest(with_sizes(model, own, found, k, None, how))
    edits = with_sizes(model, own, edits, k, norms, how)
    warn_of_sizes(edits, k, norms)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(questions),
        "scoring": read_by.name,
        "equal": equal,
        "k": k,
        "reference": reference,
        "methods": {name: method_of(kind) for name, kind in units.items()},
        "identified_on": len(identify),
        "items": len(prompts),
        "random_seeds": random_seeds,
        "edits": [edit.record() for edit in edits],
        "versions": versions(),
    }
    return UnitsComparison(answered(model, prompts, read_by, edits, how), metadata)


def measured_on(
    model: LensModel, identify: Sequence[Question], cultures: Sequence[str], how: Running
) -> dict[str, Sequence[Prompt]]:
    """Build the prompts of each culture on which norms are measured."""
    own = {c: [q for q in identify if q.culture == c][:MEASURED] for c in cultures}
    return {culture: prompts_of(model, some, how) for culture, some in own.items()}


def check_asked(model: LensModel, units: Mapping[str, UnitKind], k: int, equal: str) -> None:
    """Refuse what cannot be compared, before the model runs.

    Raises:
        InputError: See ``compare_units``.
    """
    if not units:
        raise InputError("units is empty: give kinds, such as {'neurons': ('act', 'conact')}.")
    if equal not in EQUAL:
        raise unknown("way to be equal", equal, EQUAL)
    if equal == "norm" and all(isinstance(kind, Directions) for kind in units.values()):
        raise InputError("equal norms need a kind of units to measure: directions have any size.")
    for name, kind in units.items():
        check_kind(model, name, kind, k)


def check_cultures(units: Mapping[str, UnitKind], cultures: Sequence[str]) -> None:
    """Refuse neuron sets and directions that have nothing for a culture.

    Raises:
        InputError: Names the kind and the culture.
    """
    for name, kind in units.items():
        for culture in cultures if isinstance(kind, (NeuronSet, Directions)) else ():
            empty = isinstance(kind, NeuronSet) and not len(kind.neurons.get(culture, ()))
            if empty or culture not in set(kind):
                raise InputError(f"{name} has nothing for {culture}: name others in cultures=.")


def method_of(kind: UnitKind) -> str:
    """Give the selector of a kind of units."""
    if isinstance(kind, Directions):
        return f"directions, layer {kind.layer}"
    return (kind.method or "given") if isinstance(kind, NeuronSet) else kind[1]


__all__ = ["compare_units"]
