"""Where finished work of a model is kept in a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from culture_lens.models.checks import check_unhooked
from culture_lens.models.lens_model import LensModel
from culture_lens.storage.runs import Run, content_key, versions
from culture_lens.storage.work import begin_work, item_hashes


def piece_of(model: LensModel, run: Run, kind: str, suffix: str, *facts: Any) -> Path:
    """Say where a piece of a model's work is or will be kept in a run folder.

    Args:
        model: The model; its name, weights and dtype are part of the key.
        run: The run folder.
        kind: What sort of piece, such as ``"records"``.
        suffix: The file's suffix.
        *facts: Everything else that the piece depends on: prompts, options, neurons.

    Raises:
        InputError: Hooks are attached to the model, of which the key would not know.

    Example:
        ``piece_of(model, run, "records", ".parquet", asked, scoring.name)``
    """
    return run.piece(kind, key_of(model, *facts), suffix)


def key_of(model: LensModel, *facts: Any) -> str:
    """Hash a model, and everything else that a piece of its work depends on; see ``piece_of``.

    Raises:
        InputError: Hooks are attached to the model, of which the key would not know.
    """
    check_unhooked(model)
    units = {site: units.content for site, units in model.units.items()}
    facts = (*facts, units) if units else facts
    return content_key(model.name, model.fingerprint, str(model.dtype), *facts)


def begin_pass(
    model: LensModel,
    run: Run,
    label: str,
    key: str,
    *,
    shards: int,
    data: Mapping[str, Any],
    options: Mapping[str, Any],
    conditions: int = 1,
    pieces: Iterable[str] = (),
) -> None:
    """Write down what a pass of the model is made of, before it begins; see ``begin_work``.

    Args:
        model: The model.
        run: The run folder.
        label: What sort of work, such as ``"statistics"``.
        key: The hash of all that it depends on.
        shards: How many files it makes.
        data: What is asked, by the id of the question.
        options: What else it depends on, for people to read.
        conditions: How many conditions each item is run under.
        pieces: Names of the files, where they are not numbered.
    """
    inputs = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "dtype": str(model.dtype).removeprefix("torch."),
        "options": dict(options),
        "units": {site: units.content for site, units in model.units.items()},
        "versions": versions(),
        "data": item_hashes(data),
    }
    items = len(data) * conditions
    begin_work(run, label, key, shards=shards, items=items, inputs=inputs, pieces=pieces)
