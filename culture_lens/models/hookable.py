"""What edits need to know of a model: a LensModel has it, of a bare bridge it is found out.

A TransformerBridge that ``load_model`` has not seen has no hook point after the activation function
of an MLP (site ``act``). It has all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch

from culture_lens.errors import InputError
from culture_lens.models.bridge import has_gate, site_widths, stacks_of
from culture_lens.models.sites import hook_name
from culture_lens.models.units import Units


@runtime_checkable
class Hookable(Protocol):
    """A model whose neurons can be edited; ``LensModel`` or ``BareBridge``."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def bridge(self) -> Any:
        """The ``TransformerBridge``."""

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate."""

    @property
    def widths(self) -> Mapping[str, int]:
        """Neurons per layer at each site."""

    @property
    def units(self) -> Mapping[str, Units]:
        """The units of the sites that are no plain activations."""

    @property
    def device(self) -> torch.device:
        """The device that inputs go to."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""

    def hook_name(self, site: str, layer: int) -> str:
        """Name the hook point of a site at a layer."""

    def shape(self, site: str) -> tuple[int, int]:
        """Layers, and neurons per layer, of a site."""


@dataclass(frozen=True, eq=False)
class BareBridge:
    """A TransformerBridge of any origin, with its sites and their widths.

    Attributes:
        name: The name it was booted by.
        bridge: The bridge; nothing of it is changed.
        gated: Whether the MLP has a gate.
        widths: Neurons per layer at each site.
        units: None: these are given to a ``LensModel``.
    """

    name: str
    bridge: Any = field(repr=False)
    gated: bool
    widths: Mapping[str, int]
    units: Mapping[str, Units] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The device that inputs go to."""
        device: torch.device = next(self.bridge.original_model.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""
        dtype: torch.dtype = next(self.bridge.original_model.parameters()).dtype
        return dtype

    def hook_name(self, site: str, layer: int) -> str:
        """Name the hook point of a site at a layer."""
        both = hasattr(self.bridge, "encoder_blocks")
        return hook_name(site, layer, gated=self.gated, encoder_decoder=both)

    def shape(self, site: str) -> tuple[int, int]:
        """Layers, and neurons per layer, of a site; no neurons where the model lacks the site."""
        stacks = stacks_of(self.bridge)
        stem = site.rpartition(".")[0].replace("cross", "decoder")
        stack = stacks.get(f"{stem}.act" if stem else "act", ())
        return len(stack), self.widths.get(site, 0)


def as_hookable(model: Any) -> Hookable:
    """Take a LensModel as it is, and find out what edits need to know of a bare bridge.

    A bridge runs two tokens for that; it is not changed.

    Raises:
        InputError: It is neither, or a bridge of an architecture that is not supported.

    Example:
        ``as_hookable(TransformerBridge.boot_transformers("gpt2")).widths``
    """
    if isinstance(model, Hookable):
        return model
    if not is_bridge(model):
        raise InputError(
            f"hooks are for a model of load_model or a TransformerBridge, not a "
            f"{type(model).__name__}: give it to load_model first."
        )
    name, gated = str(model.cfg.model_name), has_gate(model)
    return BareBridge(name, model, gated, site_widths(model, gated, name, own=False))


def is_bridge(model: Any) -> bool:
    """Whether something is a TransformerBridge; does not import TransformerLens."""
    return any(base.__name__ == "TransformerBridge" for base in type(model).__mro__)


__all__ = ["BareBridge", "Hookable", "as_hookable", "is_bridge"]
