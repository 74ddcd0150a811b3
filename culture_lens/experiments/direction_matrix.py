"""direction_matrix: edit along every culture's direction in turn and ask every culture's questions.

The matrix of ``ablation_matrix`` with directions in the place of neurons, beside random ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, finite, flag, optional, text, whole
from culture_lens.errors import unknown
from culture_lens.evaluation.evaluate import prepare
from culture_lens.experiments.conditions import UNMODIFIED
from culture_lens.experiments.edited_answers import Edit, answer_edits, edits_of, random_ones
from culture_lens.experiments.masks import AblationMask
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.transformer_lens import HookList
from culture_lens.neurons.direction_hooks import LAYERS, addition_hooks, removal_hooks
from culture_lens.neurons.directions import DIRECTIONS, Direction, Directions
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    from typing import Literal

    from culture_lens.evaluation.scoring import ScoringName

    DirectionEdit = Literal["removed", "mean", "added"]
else:
    DirectionEdit = str  # a wrong name reaches the check that lists the right ones

EDITS = ("removed", "mean", "added")


@check_arguments(
    model=MODEL,
    directions=DIRECTIONS,
    questions=QUESTIONS,
    edit=text,
    scale=finite,
    layers=LAYERS,
    random_seeds=whole(0),
    scoring=optional(text),
    seen=flag,
)
def direction_matrix(
    model: LensModel,
    directions: Directions,
    questions: Sequence[Question],
    *,
    edit: DirectionEdit = "removed",
    scale: float = -1.0,
    layers: Sequence[int] | None = None,
    random_seeds: int = 3,
    scoring: ScoringName | None = None,
    seen: bool = False,
    **running: Unpack[RunningOptions],
) -> AblationMatrix:
    """Edit along each culture's direction in turn and ask every culture's questions.

    Args:
        model: The model.
        directions: What ``fit_directions`` gives.
        questions: What to ask. Questions that the directions were fitted on are left out, with
            their groups; see ``unseen``.
        edit: ``"removed"`` (projected out), ``"mean"`` (set to the mean of the fit) or
            ``"added"``.
        scale: With ``"added"``, how many times; below 0 the direction is subtracted.
        layers: Where; by default at the directions' own layer.
        random_seeds: Random directions of the same length beside each culture's.
        scoring: How answers are read; the model's own scoring by default.
        seen: Ask the questions of the fit too, with a warning.
        **running: Batch size, progress, prompts that are too long; see ``Running``. It runs in
            this process, and nothing is kept in a run folder.

    Returns:
        The records under every direction; ``"random"`` are those under random ones.

    Raises:
        InputError: No such edit, every question was fitted on, directions of another model or
            width, a run folder, workers, or an unknown option.

    Example:
        ``direction_matrix(model, directions, questions, edit="added", scale=-2).summary()``
    """
    how = Running.of(running)
    if edit not in EDITS:
        raise unknown("edit", edit, EDITS)
    how.check_here("direction_matrix", "matrix.to_parquet(path)")
    directions.check_model(model)
    hooks_of: Callable[[Direction], HookList] = {
        "removed": partial(removal_hooks, model, layers=layers),
        "mean": partial(removal_hooks, model, value="mean", layers=layers),
        "added": partial(addition_hooks, model, scale=scale, layers=layers),
    }[edit]
    drawn = random_ones(model, directions, random_seeds)
    edits = [Edit(AblationMask(UNMODIFIED), []), *edits_of(directions, drawn, hooks_of)]
    asked = unseen(directions, questions, seen)
    prompts, chosen = prepare(model, asked, scoring, how)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(asked),
        "selector": f"directions {edit}" + (f" {scale:g} times" if edit == "added" else ""),
        "contrast": directions.metadata.get("contrast"),
        "site": directions.site,
        "layers": [directions.layer] if layers is None else list(layers),
        "scoring": chosen.name,
        "random_seeds": random_seeds,
        "seen": seen,
        "items": len(prompts),
        "left_out": len(questions) - len(prompts),
        "versions": versions(),
    }
    return AblationMatrix(answer_edits(model, edits, prompts, chosen, how), metadata)


__all__ = ["direction_matrix"]
