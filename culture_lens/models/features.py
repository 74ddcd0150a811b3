"""Features of sparse autoencoders and transcoders as units, and what they leave over.

A feature's contribution is subtracted or scaled where the model runs, and the reconstruction error
is kept: x' = x + (f' - f) D. The error e = x - x^ is a unit of its own, at a site that ends in
``_error``: its activation is the norm of e, and ablating it puts the reconstruction in the place of
x. The contributions of the features, of e and of b_dec add up to that of x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.models.units import scaled_vector
from culture_lens.storage.hashing import content_hash


@runtime_checkable
class Dictionary(Protocol):
    """What features need of an autoencoder: an ``SAE``, or what ``Given`` makes of an object."""

    @property
    def width(self) -> int:
        """Number of features."""

    @property
    def content(self) -> str:
        """A hash of all that its features depend on."""

    def encode(self, x: Tensor) -> Tensor:
        """Compute the features of an activation."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Give what the features say that the activation is."""

    def change(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Give how much the reconstruction changes where features are edited."""

    def outgoing(self) -> Tensor | None:
        """Give what a feature of 1 adds; None where that depends on the activation."""


@dataclass(frozen=True, eq=False)
class Given:
    """An autoencoder of any origin, by two functions.

    Attributes:
        encoder: From activations, ``... d_in``, to features, ``... unit``.
        decoder: From features to the reconstruction, ``... d_out``.
        width: Number of features.
        content: A hash of what the functions give for fixed inputs.
    """

    encoder: Callable[[Tensor], Tensor]
    decoder: Callable[[Tensor], Tensor]
    width: int
    content: str

    @classmethod
    @torch.no_grad()
    def of(cls, sae: Any, d_in: int, device: torch.device, dtype: torch.dtype) -> Given:
        """Try an object with ``encode`` and ``decode`` on fixed activations, and take it."""
        draws = torch.randn(4, d_in, generator=torch.Generator().manual_seed(0))
        features = sae.encode(draws.to(device, dtype))
        shown = sae.decode(features)
        tried = {"features": features.cpu(), "reconstruction": shown.cpu()}
        return cls(sae.encode, sae.decode, features.shape[-1], content_hash(tried, {})[:32])

    def encode(self, x: Tensor) -> Tensor:
        """Compute the features of an activation."""
        return self.encoder(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Give what the features say that the activation is."""
        return self.decoder(self.encoder(x))

    def change(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Give how much the reconstruction changes where features are edited."""
        return self.decoder(after) - self.decoder(before)

    def outgoing(self) -> None:
        """Nothing is known of the decoder but what it gives."""


@dataclass(frozen=True, eq=False)
class Features:
    """The features of one autoencoder, or of one at each of several layers, as ``Units``.

    Attributes:
        read: The hook that is encoded, with ``{layer}``.
        write: The hook that an edit changes; another one for transcoders.
        dictionaries: The autoencoder of each layer; all of one width.
        excluded: Ids of tokens at which there are no features, and nothing is reconstructed.
    """

    read: str
    write: str
    dictionaries: Mapping[int, Dictionary] = field(repr=False)
    excluded: tuple[int, ...] = ()

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have an autoencoder."""
        return tuple(sorted(self.dictionaries))

    @property
    def width(self) -> int:
        """Features per layer."""
        return next(iter(self.dictionaries.values())).width

    @property
    def content(self) -> str:
        """A hash of the autoencoders, their hooks and the tokens that are left out."""
        facts: dict[str, Any] = {str(n): one.content for n, one in self.dictionaries.items()}
        facts |= {"excluded": list(self.excluded)} if self.excluded else {}
        return content_hash({}, {"read": self.read, "write": self.write, **facts})[:32]

    def encode(
        self, layer: int, activation: Float[Tensor, "batch pos d_in"]
    ) -> Float[Tensor, "batch pos unit"]:
        """Compute the features of an activation."""
        return self.dictionaries[layer].encode(activation)

    def change(
        self,
        layer: int,
        activation: Float[Tensor, "batch pos d_in"],
        before: Float[Tensor, "batch pos unit"],
        after: Float[Tensor, "batch pos unit"],
    ) -> Float[Tensor, "batch pos d_out"]:
        """Give (f' - f) D: what edited features add; the reconstruction error is kept."""
        return self.dictionaries[layer].change(activation, before, after)

    def outgoing(self, layer: int) -> Float[Tensor, "unit d_out"] | None:
        """Give the features' directions."""
        return self.dictionaries[layer].outgoing()


@dataclass(frozen=True, eq=False)
class Errors:
    """What an autoencoder leaves over, as one unit per layer: e = x - x^, by its norm.

    Attributes:
        features: The features that it is left over by, which read and write the same hook.
    """

    features: Features
    width: int = 1

    @property
    def excluded(self) -> tuple[int, ...]:
        """Ids of tokens at which nothing is left over."""
        return self.features.excluded

    @property
    def read(self) -> str:
        """The hook of the features."""
        return self.features.read

    @property
    def write(self) -> str:
        """The same hook."""
        return self.features.read

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have an autoencoder."""
        return self.features.layers

    @property
    def content(self) -> str:
        """A hash of the autoencoders and their hooks."""
        return content_hash({}, {"error of": self.features.content})[:32]

    def encode(
        self, layer: int, activation: Float[Tensor, "batch pos d_in"]
    ) -> Float[Tensor, "batch pos unit"]:
        """Give the norm of the reconstruction error."""
        error = self.error(layer, activation)
        norm: Tensor = torch.linalg.vector_norm(error, dim=-1, keepdim=True)
        return norm

    def change(
        self,
        layer: int,
        activation: Float[Tensor, "batch pos d_in"],
        before: Float[Tensor, "batch pos unit"],
        after: Float[Tensor, "batch pos unit"],
    ) -> Float[Tensor, "batch pos d_in"]:
        """Give what scaling the error to another norm adds: at 0 it is gone, and x' = x^."""
        return scaled_vector(self.error(layer, activation), before[..., 0], after[..., 0])

    def outgoing(self, layer: int) -> None:
        """It has no direction of its own."""

    def error(self, layer: int, activation: Tensor) -> Tensor:
        """Give x - x^."""
        shown = self.features.dictionaries[layer].reconstruct(activation)
        return activation.to(shown.dtype) - shown


__all__ = ["Dictionary", "Errors", "Features", "Given"]
