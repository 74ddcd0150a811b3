"""Where finished work of a model is kept in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from culture_lens.models.checks import check_unhooked
from culture_lens.models.lens_model import LensModel
from culture_lens.storage.runs import Run, content_key


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
    check_unhooked(model)
    units = {site: units.content for site, units in model.units.items()}
    facts = (*facts, units) if units else facts
    key = content_key(model.name, model.fingerprint, str(model.dtype), *facts)
    return run.piece(kind, key, suffix)
