"""Scores of items summed per culture, in float64: shard by shard, merged in the order of shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from culture_lens.attribution.item_scores import ItemScores
from culture_lens.engine.places import numbered_places
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import Pass, Shard, by_culture, cut
from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.questions.question import Question
from culture_lens.questions.unseen import joined, looked_at
from culture_lens.storage.finished import check_key, keyed
from culture_lens.storage.runs import Run, content_key

FACTS = ("items", "p_gold", "right", "gap", "change")
"""What is summed per culture beside the scores."""


class AttributionSums:
    """An accumulator of item scores per culture, in float64: ``update``, ``merge``, ``scores``.

    Example:
        ``sums = AttributionSums(); sums.update(rows, batch.prompts); sums.scores({})``
    """

    def __init__(self) -> None:
        """Start with nothing summed."""
        self._totals: dict[str, dict[str, Tensor]] = {}
        self._facts: dict[str, dict[str, float | int]] = {name: {} for name in FACTS}
        self.ids: list[str] = []
        self._asked: list[Question] = []
        self._merged: list[Mapping[str, Any]] = []

    def update(self, rows: ItemScores, prompts: Sequence[Prompt]) -> None:
        """Add a batch."""
        cultures = [prompt.question.culture for prompt in prompts]
        names = sorted(set(cultures))
        device = rows.p_gold.device
        index = torch.tensor([names.index(culture) for culture in cultures], device=device)
        for site, scores in rows.scores.items():
            for position, name in enumerate(names):
                self._add(site, name, scores[index == position].sum(0, dtype=torch.float64))
        p_gold, right = rows.p_gold.tolist(), rows.right.tolist()
        for culture, p, hit in zip(cultures, p_gold, right, strict=True):
            self._count(culture, {"items": 1, "p_gold": p, "right": int(hit)})
        if rows.gap is not None and rows.change is not None:
            pairs = zip(rows.gap.abs().tolist(), rows.change.abs().tolist(), strict=True)
            for culture, (gap, change) in zip(cultures, pairs, strict=True):
                self._count(culture, {"gap": gap, "change": change})
        self.ids += [prompt.question.id for prompt in prompts]
        self._asked += [prompt.question for prompt in prompts]

    def _add(self, site: str, culture: str, values: Tensor) -> None:
        held = self._totals.setdefault(site, {})
        if culture in held:
            held[culture] += values.to(held[culture].device)
        else:
            held[culture] = values.clone()

    def _count(self, culture: str, facts: Mapping[str, float | int]) -> None:
        for name, value in facts.items():
            self._facts[name][culture] = self._facts[name].get(culture, 0) + value

    @property
    def _counted(self) -> Mapping[str, Mapping[str, float | int]]:
        """The facts that are there; gaps only of a path."""
        return {name: values for name, values in self._facts.items() if values}

    def merge(self, other: NeuronScores) -> int:
        """Add earlier or saved sums; return the number of items in the total.

        Raises:
            InputError: An item is in both.
        """
        twice = set(self.ids) & set(other.metadata["ids"])
        if twice:
            raise InputError(f"question {min(twice)!r} was scored in both sums to be merged.")
        for position, culture in enumerate(other.cultures):
            for site, values in other.scores.items():
                self._add(site, culture, values[position])
            held = {name: other.metadata[name] for name in FACTS if name in other.metadata}
            self._count(culture, {name: values[culture] for name, values in held.items()})
        self.ids += other.metadata["ids"]
        self._merged.append(other.metadata)
        return len(self.ids)

    def scores(self, metadata: Mapping[str, Any]) -> NeuronScores:
        """Give the sums so far as scores, cultures in alphabetical order.

        Raises:
            InputError: Nothing was summed.
        """
        cultures = tuple(sorted(self._facts["items"]))
        if not cultures:
            raise InputError("no items were scored, so there is nothing to sum.")
        sums = {
            site: torch.stack([held[culture].cpu() for culture in cultures])
            for site, held in self._totals.items()
        }
        facts = {"ids": sorted(self.ids), **joined(looked_at(self._asked), *self._merged)}
        return NeuronScores(cultures, sums, metadata={**metadata, **self._counted, **facts})


@dataclass(frozen=True, eq=False)
class Summing:
    """Sums what a step gives of a shard's batches; the same in every process."""

    step: Callable[[LensModel, Batch], ItemScores]
    batch_size: int
    picture_threads: int
    label: str

    def __call__(self, model: LensModel, shard: Shard, progress: bool) -> list[NeuronScores]:
        """Sum a shard by itself."""
        sums = AttributionSums()
        tokens, step = model.unit_tokens(), partial(self.step, model)
        work = batches(shard.items, self.batch_size, model.pad_id, tokens=tokens)
        with model.vision.ahead(work.images(), self.picture_threads):
            for batch, rows in run_batches(
                work, step, pad_id=model.pad_id, progress=progress, label=self.label
            ):
                sums.update(rows, batch.prompts)
        return [sums.scores({})]


def sum_in_shards(
    model: LensModel,
    prompts: Sequence[Prompt],
    step: Callable[[LensModel, Batch], ItemScores],
    settings: Mapping[str, Any],
    how: Running,
    batch_size: int,
    label: str,
) -> AttributionSums:
    """Sum what a step gives of each batch, in shards, which are merged in order.

    Args:
        model: The model.
        prompts: The prompts.
        step: From the model and a batch to one row per item.
        settings: What the sums depend on besides the prompts: their key in the run folder.
        how: Batch size, progress, run folder, workers.
        batch_size: Items per batch where nothing else is said.
        label: Label of the progress bar.
    """
    shards = cut(by_culture(prompts))
    work = Pass(
        label=label,
        run=Summing(step, how.rows(batch_size), how.speed.picture_threads, label),
        places=scores_places(model, prompts, settings, how.folder, shards),
        load=read_scores,
        save=write_scores,
    )
    sums = AttributionSums()
    for (part,) in run_shards(model, work, shards, how):
        sums.merge(part)
    return sums


def read_scores(place: Path) -> NeuronScores:
    """Read the scores of a shard.

    Raises:
        InputError: They are damaged, or another shard's.
    """
    scores = NeuronScores.load(place)
    check_key(place, scores.metadata)
    return scores


def write_scores(place: Path, scores: NeuronScores, facts: Mapping[str, Any]) -> None:
    """Write the scores of a shard, with its key."""
    # Of the items of a shard there is a number for each culture already.
    told = {name: value for name, value in facts.items() if name not in FACTS}
    replace(scores, metadata=keyed(place, {**scores.metadata, **told})).save(place)


def scores_places(
    model: LensModel,
    prompts: Sequence[Prompt],
    settings: Mapping[str, Any],
    run: Run | None,
    shards: Sequence[Shard],
) -> Callable[[Shard], list[Path]] | None:
    """Say where the scores of each shard are kept; None without a run folder."""
    if run is None:
        return None
    asked = {
        p.question.id: content_key(
            *(p.question.culture, p.question.answer, p.all_ids, p.labels),
            *(p.continuations, picture_key(p)),
        )
        for p in prompts
    }
    told = {name: value for name, value in settings.items() if name not in ("model", "weights")}
    facts = (settings, asked)
    kind = ("attribution", ".safetensors")
    return numbered_places(model, run, *kind, shards, *facts, data=asked, options=told)


__all__ = ["FACTS", "AttributionSums", "sum_in_shards"]
