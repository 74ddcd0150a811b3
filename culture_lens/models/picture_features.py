"""A cache of what the vision tower made of pictures, up to a limit of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt, Role

GIBIBYTE = 2**30
IMAGE_MEMORY = 4 * GIBIBYTE
"""Bytes of picture features that are kept by default."""


class PictureFeatures:
    """The features of the pictures that were last looked at, on the CPU.

    This cache is the only part of a loaded model that changes while it is used. It affects time
    and never results: features that are not kept are computed again.

    Args:
        memory: Bytes of features to keep.

    Attributes:
        memory: As given.
        runs: How many pictures have been run through the tower.
        grids: Of models that need it, the shape of each picture's grid of patches, by its key.

    Example:
        ``model.vision.kept.runs``
    """

    def __init__(self, memory: int = IMAGE_MEMORY) -> None:
        """Start empty."""
        self.memory = memory
        self.runs = 0
        self.grids: dict[str, Tensor] = {}
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        self._held = 0

    def __contains__(self, key: object) -> bool:
        """Whether the features of a picture are kept."""
        return key in self._features

    def __iter__(self) -> Iterator[str]:
        """Go through the keys of the pictures, the least recently used first."""
        return iter(self._features)

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._features)

    def get(self, key: str) -> Tensor | None:
        """Return the features of a picture, or None where they are not kept."""
        if key in self._features:
            self._features.move_to_end(key)
        return self._features.get(key)

    def keep(self, key: str, features: Tensor) -> None:
        """Keep the features of a picture; the least recently used ones make room."""
        size = features.nbytes
        self._drop(key)
        while self._features and self._held + size > self.memory:
            self._drop(next(iter(self._features)))
        if size <= self.memory:
            self._features[key] = features.cpu()
            self._held += size

    def _drop(self, key: str) -> None:
        dropped = self._features.pop(key, None)
        self._held -= 0 if dropped is None else dropped.nbytes

    def forget(self) -> None:
        """Drop all features."""
        self._features.clear()
        self._held = 0


def check_features(rows: Sequence[Tensor], prompts: Sequence[Prompt]) -> None:
    """Check that each picture has as many features as image tokens.

    Raises:
        InputError: It has not, so the processor is not the model's.
    """
    for features, prompt in zip(rows, prompts, strict=True):
        tokens = sum(role == Role.IMAGE for role in prompt.roles)
        if len(features) != tokens:
            raise InputError(
                f"question {prompt.question.id!r}: its picture gives {len(features)} features but "
                f"its prompt has {tokens} image tokens: this processor does not belong to the "
                "model; give load_model the processor of its own checkpoint."
            )
