"""Attention heads as units: the site ``head``, one unit for each head of a layer.

A head h writes W_O^h z_h into the residual stream at every token, z_h being its d_head values
before the output projection. Its activation is the norm of that,

    u_h = || W_O^h z_h || = sqrt(z_h^T G_h z_h),   G_h = W_O^h^T W_O^h,

which does not depend on how a head's inner basis is turned, needs no data, and is 0 where the head
writes nothing. An edit to u' scales the head's vector, z_h -> z_h u' / u_h: ablation to 0 removes
the head, steering by 1 + alpha scales it (alpha scaling of "Cultural Binding Heads",
arXiv 2605.28543), the mean gives it its mean length. Attribution at u = u_h dF/du_h is the sum over
the head of z dF/dz, gradient times z.

A norm is positive on all tokens: selectors that count positive tokens find no heads, ``mad`` and
those that read gradients do. Where a norm follows attention (Gemma 3), u is taken before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import check_arguments
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import ATTENTION_MASKS, hooks_of
from culture_lens.models.units import scaled_vector
from culture_lens.storage.hashing import content_hash

HEAD = "head"


@dataclass(frozen=True, eq=False)
class HeadUnits:
    """The heads of one stack as ``Units``; made by ``with_heads``.

    Attributes:
        read: The hook of z, with ``{layer}``.
        grams: Layer -> G of each head, ``head d_head d_head``.
        content: A hash of them.
    """

    read: str
    grams: Mapping[int, Float[Tensor, "head d_head d_head"]] = field(repr=False)
    content: str

    @property
    def write(self) -> str:
        """The hook that an edit changes."""
        return self.read

    @property
    def layers(self) -> tuple[int, ...]:
        """All layers."""
        return tuple(self.grams)

    @property
    def width(self) -> int:
        """Heads of a layer."""
        return len(self.grams[0])

    def encode(
        self, layer: int, activation: Float[Tensor, "batch pos d_in"]
    ) -> Float[Tensor, "batch pos head"]:
        """Compute the norm of what each head writes."""
        gram = self.grams[layer].to(activation.device)
        z = self._apart(activation).to(gram.dtype)
        squares = torch.einsum("bphi,hij,bphj->bph", z, gram, z)
        some = squares > 0  # the root of 0 has no gradient
        return torch.where(some, torch.where(some, squares, 1).sqrt(), 0)

    def change(
        self,
        layer: int,
        activation: Float[Tensor, "batch pos d_in"],
        before: Float[Tensor, "batch pos head"],
        after: Float[Tensor, "batch pos head"],
    ) -> Float[Tensor, "batch pos d_in"]:
        """Scale each head's vector."""
        z = self._apart(activation).to(before.dtype)
        return scaled_vector(z, before, after).flatten(-2)

    def _apart(self, activation: Tensor) -> Float[Tensor, "batch pos head d_head"]:
        return activation.reshape(*activation.shape[:-1], self.width, -1)

    def outgoing(self, layer: int) -> None:
        """Nothing: the direction that a head writes in depends on its z."""


@check_arguments(model=MODEL)
def with_heads(model: LensModel) -> LensModel:
    """Give the same model with its attention heads as units, at the site ``head``.

    Of an encoder-decoder the sites are ``encoder.head``, ``decoder.head`` and ``cross.head``.
    Weights are shared and nothing is run.

    Raises:
        InputError: The output projections are quantised or not of one shape.

    Example:
        ``find_culture_neurons(with_heads(model), questions, method="mad", sites="head", k=10)``
    """
    both = any("." in site for site in model.sites)
    for stack in stacks_of(model):
        stem = f"{stack}." if stack else ""
        if f"{stem}{HEAD}" in model.sites:
            continue
        grams = {layer: gram(model, f"{stem}z", layer) for layer in range(model.layers(f"{stem}z"))}
        content = content_hash({f"{la}": g.cpu() for la, g in grams.items()}, {"unit": HEAD})[:32]
        units = HeadUnits(hooks_of(model.gated, both)[f"{stem}z"], grams, content)
        model = model.with_units(f"{stem}{HEAD}", units)
    return model


def gram(model: LensModel, site: str, layer: int) -> Float[Tensor, "head d_head d_head"]:
    """Compute W_O^T W_O of each head, in float32 or wider."""
    weight = output_weights(model, site, layer)
    found: Tensor = torch.einsum("hid,hjd->hij", weight, weight)
    return found


def output_weights(model: LensModel, site: str, layer: int) -> Float[Tensor, "head d_head d_model"]:
    """Give what each value of a head's z writes, in float32 or wider.

    Raises:
        InputError: The output projection is quantised, offloaded or of another shape.

    Example:
        ``output_weights(model, "z", 3)``
    """
    from transformers.pytorch_utils import Conv1D

    place = model.hook_name(site, layer).removesuffix(".hook_in")
    module: Any = model.bridge.get_submodule(place).original_component
    weight: Any = getattr(module, "weight", None)
    width = model.widths[site]
    axis = 0 if isinstance(module, Conv1D) else 1
    plain = isinstance(weight, Tensor) and weight.is_floating_point() and not weight.is_meta
    if not plain or weight.ndim != 2 or weight.shape[axis] != width or width % count_heads(model):
        raise InputError(
            f"the output projection {place} of {model.name!r} is quantised, offloaded or of "
            f"another shape than {width} inputs: heads need its weights; load the model in "
            "float16, bfloat16 or float32."
        )
    rows: Tensor = weight.detach() if axis == 0 else weight.detach().T
    wide = torch.promote_types(rows.dtype, torch.float32)
    return rows.to(wide).reshape(count_heads(model), -1, rows.shape[1])


def stacks_of(model: LensModel) -> tuple[str, ...]:
    """List the stacks of a model's attention; one without a name for decoder-only models."""
    several = any("." in site for site in model.sites)
    return tuple(stack for stack in ATTENTION_MASKS if bool(stack) == several)


def count_heads(model: LensModel) -> int:
    """Count the heads of a layer: those that queries have."""
    config = model.bridge.original_model.config.get_text_config()
    found = getattr(config, "num_attention_heads", None) or getattr(config, "num_heads", None)
    return int(found or config.n_head)


__all__ = ["HEAD", "HeadUnits", "count_heads", "output_weights", "stacks_of", "with_heads"]
