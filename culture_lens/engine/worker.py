"""A worker: a process that holds one model and computes shards with it. Ray runs it as an actor."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from culture_lens.engine.shards import Shard
from culture_lens.errors import CultureLensWarning
from culture_lens.models.lens_model import LensModel
from culture_lens.models.recipe import Recipe
from culture_lens.models.units import Units

Answer = tuple[Sequence[Any], float, list[str]]
"""The parts of a shard, the seconds it took, and what was warned of."""


class Worker:
    """Holds a model; gets what a pass computes, and its items, once and not with every shard.

    Args:
        recipe: How the model is loaded, when it is first needed.
        threads: CPU threads.
        units: The units of the model's sites that are no plain activations.
    """

    def __init__(
        self, recipe: Recipe, threads: int, units: Mapping[str, Units] | None = None
    ) -> None:
        """Set the threads."""
        import torch

        torch.set_num_threads(threads)
        self.recipe, self.units = recipe, units or {}
        self._model: LensModel | None = None
        self._held: dict[str, tuple[Any, Any]] = {}

    def model(self) -> LensModel:
        """Give the model."""
        if self._model is None:
            from transformers.utils import logging

            from culture_lens.models.load import load_model

            logging.disable_progress_bar()
            model = load_model(self.recipe.name, **vars(self.recipe.loading))
            for site, units in self.units.items():
                model = model.with_units(site, units)
            self._model = model
        return self._model

    def ready(self) -> str:
        """Load the model, and give the fingerprint of its weights."""
        return self.model().fingerprint

    def compute(
        self, run: tuple[int, Any], items: tuple[int, Any], number: int, conditions: tuple[int, ...]
    ) -> Answer:
        """Compute a shard.

        Args:
            run: What a pass computes: a number and where Ray keeps it.
            items: The shard's items, likewise.
            number: The shard's number.
            conditions: Its conditions.
        """
        shard = Shard(number, self._get("items", items), conditions)
        step = self._get("run", run)
        began = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CultureLensWarning)
            parts = step(self.model(), shard, False)
        told = [str(w.message) for w in caught if issubclass(w.category, CultureLensWarning)]
        return parts, time.perf_counter() - began, told

    def _get(self, what: str, held: tuple[int, Any]) -> Any:
        """Fetch what was sent, unless it is what was used last."""
        number, reference = held
        if self._held.get(what, (None, None))[0] != number:
            self._held[what] = (number, fetch(reference))
        return self._held[what][1]


def fetch(reference: Any) -> Any:
    """Give what Ray keeps under a reference."""
    import ray

    return ray.get(reference)


__all__ = ["Answer", "Worker"]
