"""Where the numbered shards of a pass are kept, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from culture_lens.engine.shards import Shard
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import begin_pass, key_of
from culture_lens.storage.runs import Run
from culture_lens.storage.work import shard_place


def numbered_places(
    model: LensModel,
    run: Run,
    label: str,
    suffix: str,
    shards: Sequence[Shard],
    *facts: Any,
    data: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Callable[[Shard], list[Path]]:
    """Write down what a pass is made of, and say where each of its shards is kept.

    Args:
        model: The model; its name, weights and dtype are part of the key.
        run: The run folder.
        label: What sort of work, such as ``"statistics"``.
        suffix: The files' suffix.
        shards: All shards; their sizes are part of the key.
        *facts: Everything else that the pass depends on, what is asked included.
        data: What is asked, by the id of the question.
        options: What else it depends on, for people to read.

    Raises:
        InputError: Hooks are attached to the model, of which the key would not know.
    """
    key = key_of(model, *facts, [len(shard.items) for shard in shards])
    begin_pass(model, run, label, key, shards=len(shards), data=data, options=options)
    return lambda shard: [shard_place(run, label, key, shard.number, suffix)]


__all__ = ["numbered_places"]
