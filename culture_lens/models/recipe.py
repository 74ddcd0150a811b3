"""Recipe: how a model was loaded, so that another process can load the same one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from culture_lens.models.loading import Loading


@dataclass(frozen=True)
class Recipe:
    """What ``load_model`` was called with, where that is all that a model depends on.

    Attributes:
        name: The name, folder or hub id.
        loading: The options.

    Example:
        ``load_model(model.recipe.name, **model.recipe.options)``
    """

    name: str
    loading: Loading

    def for_worker(self, dtype: torch.dtype, revision: str, gpus: float | int) -> Recipe:
        """Give the recipe for another process, in the dtype in which the model was loaded.

        Args:
            dtype: The dtype; by default it would depend on the device.
            revision: The commit; the default would be what a branch points to by then.
            gpus: GPUs of that process; of none it loads the model on the CPU, over several it
                spreads the model.
        """
        device_map = self.loading.device_map if gpus > 1 else None
        loading = replace(
            self.loading,
            dtype=dtype,
            revision=revision or None,
            device=None if gpus else "cpu",
            device_map=(device_map or "auto") if gpus > 1 else None,
        )
        return replace(self, loading=loading)


__all__ = ["Recipe"]
