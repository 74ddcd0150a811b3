"""Record prompts in shards, here or on workers: statistics are merged in the order of shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from culture_lens.activations.record import Recording, record_activations
from culture_lens.activations.resampling import Design
from culture_lens.activations.statistics import ActivationStatistics
from culture_lens.activations.summary import ActivationSummary
from culture_lens.engine.places import numbered_places
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import Pass, Shard, by_culture, cut
from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.storage import finished
from culture_lens.storage.finished import check_key, keyed
from culture_lens.storage.runs import Run, content_key

MOST_WITH_REPLICATES = 16
"""Shards of a pass with replicates, each of which holds all cultures once for every replicate."""


@dataclass(frozen=True, eq=False)
class Counting:
    """Counts a shard's items; the same in every process."""

    recording: Recording
    design: Design | None
    batch_size: int
    picture_threads: int

    def __call__(self, model: LensModel, shard: Shard, progress: bool) -> list[ActivationSummary]:
        """Record a shard by itself."""
        statistics = record_activations(
            model,
            shard.items,
            into=ActivationStatistics(self.design),
            batch_size=self.batch_size,
            picture_threads=self.picture_threads,
            progress=progress,
            **vars(self.recording),
        )
        return [statistics.summary(complete=False)]


def record_in_shards(
    model: LensModel,
    prompts: Sequence[Prompt],
    recording: Recording,
    design: Design | None,
    running: Running,
) -> ActivationStatistics:
    """Record prompts in shards, which are merged in order.

    A shard has few cultures, so that its file is small; replicates have all of them, and fewer
    shards.
    """
    if not prompts:
        raise InputError("there are no prompts to record: make them with build_prompts.")
    size = finished.SHARD
    if design is not None:
        size = max(size, -(-len(prompts) // MOST_WITH_REPLICATES))
    shards = cut(by_culture(prompts), size)
    work = Pass(
        label="recording activations",
        run=Counting(recording, design, running.rows(), running.speed.picture_threads),
        places=statistics_places(model, prompts, recording, design, running.folder, shards),
        load=read_summary,
        save=write_summary,
    )
    statistics = ActivationStatistics(design)
    for (part,) in run_shards(model, work, shards, running):
        statistics.merge(part)
    return statistics


def read_summary(place: Path) -> ActivationSummary:
    """Read the statistics of a shard.

    Raises:
        InputError: They are damaged, or another shard's.
    """
    summary = ActivationSummary.load(place)
    check_key(place, summary.metadata)
    return summary


def write_summary(place: Path, summary: ActivationSummary, facts: Mapping[str, Any]) -> None:
    """Write the statistics of a shard, with its key."""
    replace(summary, metadata=keyed(place, facts)).save(place)


def statistics_places(
    model: LensModel,
    prompts: Sequence[Prompt],
    recording: Recording,
    design: Design | None,
    run: Run | None,
    shards: Sequence[Shard],
) -> Callable[[Shard], list[Path]] | None:
    """Say where the statistics of each shard are kept; None without a run folder."""
    if run is None:
        return None
    settings = {
        "sites": recording.chosen(model),
        "roles": recording.counted,
        "magnitudes": recording.magnitudes,
    }
    asked = {
        p.question.id: content_key(p.question.culture, p.all_ids, p.roles, picture_key(p))
        for p in prompts
    }
    drawn = design.key if design is not None else None
    facts = (settings, asked, drawn)
    kind = ("statistics", ".safetensors")
    return numbered_places(model, run, *kind, shards, *facts, data=asked, options=settings)


__all__ = ["record_in_shards"]
