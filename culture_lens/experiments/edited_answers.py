"""Answers while hooks edit the model: by every culture's directions or neurons, and random ones.

Random directions are Gaussian vectors of the same length at the same place, which any direction is
compared with: to add anything of that length changes answers too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from culture_lens.evaluation.evaluate import answer_prompts
from culture_lens.evaluation.scoring import Scoring
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.masks import AblationMask, RandomMasks, joined
from culture_lens.models.checks import under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.transformer_lens import HookList
from culture_lens.neurons.directions import Directions
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Edit:
    """What is done under one mask."""

    mask: AblationMask
    hooks: HookList


def edits_of(
    found: NeuronSet | Directions,
    drawn: Sequence[NeuronSet | Directions],
    hooks_of: Callable[[Any], HookList],
    facts_of: Callable[[Any], Mapping[str, Any]] = lambda _: {},
) -> Iterator[Edit]:
    """List the edits of one kind: of every culture, and of random ones for each seed.

    Args:
        found: The directions or neurons of every culture.
        drawn: Random ones, a set for each seed; see ``random_ones``.
        hooks_of: Gives the hooks of one culture's direction or neurons.
        facts_of: Gives further columns of their records.
    """
    for culture in found:
        own = found[culture]
        yield Edit(AblationMask(FOUND, culture, facts=facts_of(own)), hooks_of(own))
    for seed, one in enumerate(drawn):
        for culture in found:
            own = one[culture]
            yield Edit(AblationMask(RANDOM, culture, seed, facts=facts_of(own)), hooks_of(own))


def random_ones(
    model: LensModel, found: NeuronSet | Directions, seeds: int
) -> list[NeuronSet | Directions]:
    """Draw random directions of the same length, or as many random neurons in each layer."""
    if isinstance(found, Directions):
        return [random_like(found, seed) for seed in range(seeds)]
    return list(RandomMasks(seeds).draws(model, found))


def random_like(directions: Directions, seed: int) -> Directions:
    """Draw a Gaussian direction for each culture, as long as its own and at the same place.

    Its mean is 0, so that ``"mean"`` sets it to what it is on average over random directions.

    Example:
        ``random_like(directions, seed=0)["Japan"].norm == directions["Japan"].norm``
    """
    source = torch.Generator().manual_seed(seed)
    drawn = {}
    for culture in directions:
        own = directions[culture]
        vector = torch.randn(len(own.vector), generator=source, dtype=torch.float64)
        drawn[culture] = replace(own, vector=vector * (own.norm / vector.norm()), mean=0.0)
    return replace(directions, directions=drawn, agreement={})


def answer_edits(
    model: LensModel,
    edits: Sequence[Edit],
    prompts: Sequence[Prompt],
    read_by: Scoring,
    running: Running,
    *,
    others: bool = True,
) -> pd.DataFrame:
    """Ask the prompts under every edit, one after another.

    Args:
        model: The model.
        edits: The edits; one without hooks is the unmodified model.
        prompts: What to ask.
        read_by: How answers are read.
        running: Prompts per forward, progress.
        others: Ask other cultures' questions under a culture's edit too.

    Returns:
        One record per prompt and edit, with the columns of the edit's mask first.
    """
    records = []
    for edit in edits:
        mask = edit.mask
        asked = [p for p in prompts if others or mask.name in ("", p.question.culture)]
        with under(f"edited, {mask.label}"), model.hooks(edit.hooks):
            records.append(answer_prompts(model, asked, read_by, label=mask.label, running=running))
    return joined([edit.mask for edit in edits], records)


__all__ = ["Edit", "answer_edits", "edits_of", "random_like", "random_ones"]
