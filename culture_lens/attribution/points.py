"""The passes of a path: which are run, and what they give of every place.

``take(met, weight)`` is called for every place at every point; s_t is the sum over the points of
weight times value times gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from culture_lens.attribution.passes import (
    Baseline,
    Met,
    PassResult,
    attribution_pass,
    value_at,
)
from culture_lens.attribution.paths import Path, Place
from culture_lens.attribution.relp import check_relp, relp_hooks
from culture_lens.attribution.settings import Attribution
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Batch

Take = Callable[[Met, float], None]


def check_path(model: LensModel, sites: Sequence[str], path: Path) -> None:
    """Refuse sites or a model that a path cannot score.

    Raises:
        InputError: See ``check_relp``.
    """
    if path.name == "relp":
        check_relp(model, sites)


def along(
    model: LensModel,
    batch: Batch,
    places: Sequence[Place],
    take: Take,
    how: Attribution,
    baseline: Baseline | None = None,
) -> PassResult:
    """Run every point of a path over places that belong together.

    Returns:
        The results of the last pass; of the unmodified model where no activation is moved.
    """
    path = how.way
    run = partial(
        attribution_pass, model, batch, places, scores=how.reads.scores, objective=how.explains
    )
    if path.name == "inputs":
        return along_inputs(model, batch, places, take, how, run)
    weight = 1 / len(path.shares)
    beside = relp_hooks(model) if path.name == "relp" else ()
    for share in path.shares:
        done: PassResult = run(
            lambda met: take(met, weight), share=share, baseline=baseline, beside=beside
        )
    return done


def along_inputs(
    model: LensModel,
    batch: Batch,
    places: Sequence[Place],
    take: Take,
    how: Attribution,
    run: Callable[..., PassResult],
) -> PassResult:
    """Take gradients while the inputs are scaled, and values of the unmodified model."""
    own: dict[tuple[str, int, int], Tensor] = {}
    done = value_at(model, batch, places, how.reads.scores, how.explains, held=own)
    weight = 1 / how.points

    def met(place: Met) -> None:
        values = own[place.site, place.layer, place.visit]
        take(replace(place, values=values), weight)

    for share in how.way.shares:

        def scaled(inputs: Tensor, hook: Any, share: float = share) -> Tensor:
            return share * inputs

        run(met, beside=[(name, scaled) for name in model.entry_hooks])
    return done
