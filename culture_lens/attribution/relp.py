"""RelP: propagation rules in the place of gradients (arXiv 2508.21258), by one backward.

    s = n * rho        rho: dF/dn, where the backward of some parts follows a rule of its own

================================  ==================================================================
part                              rule
================================  ==================================================================
attention                         its patterns are held fixed: nothing goes back to q and k
norm, x / scale(x)                its scale is held fixed: it is linear (arXiv 2202.07304)
activation function               its secant through 0, act(x) = x * (act(x) / x), the ratio fixed
product of act and up             each factor takes one half of what comes back
linear                            its gradient, which is the rule's
================================  ==================================================================

The forward computes what it always does: each rule adds a term that is 0, x - x, whose gradient is
that of the rule. The objective is differentiated as it is.

A local slope of an activation function says little of what the neuron does where it is saturated;
the secant gives act(x) back to x whole. So ``act``, ``gate`` and ``up`` of a neuron have the same
score, one half of that of ``post``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import part_of

Hooks = list[tuple[str, Callable[..., Tensor]]]
FIXED = ("q", "k")
"""Sites that make attention patterns, to which nothing goes back."""


def check_relp(model: LensModel, sites: Sequence[str]) -> None:
    """Refuse sites that no rule gives a score, and a model that lacks what a rule needs.

    Raises:
        InputError: Names the sites, or the norm that is not known.
    """
    fixed = [site for site in sites if part_of(site) in FIXED]
    if fixed:
        others = [site for site in model.projections if part_of(site) not in FIXED]
        raise InputError(
            f"path='relp' holds attention patterns fixed, so {', '.join(fixed)} would score 0: "
            f"give sites={others}, or another path."
        )
    if not list(norms_of(model)):
        raise InputError(f"path='relp' needs norms, and none is known in {model.name!r}.")


def relp_hooks(model: LensModel) -> Hooks:
    """Make the hooks that give a backward its rules; they change no value."""
    hooks: Hooks = []
    for norm in norms_of(model):
        hooks += norm_hooks(norm)
    for site in model.sites:
        stem, part = site.removesuffix(part_of(site)), part_of(site)
        for layer in model.layers_of(site):
            name = model.hook_name(site, layer)
            if part in FIXED:
                hooks.append((name, detached))
            elif part == "post" and model.gated:
                hooks.append((name, halved))
            elif part == "act":
                hooks += secant_hooks(model.hook_name(f"{stem}gate", layer), name)
    return hooks


def with_slope(value: Tensor, linear: Tensor) -> Tensor:
    """Give a value the gradient of something else.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> y = with_slope(x**2, 3 * x)
        >>> y.item(), torch.autograd.grad(y, x)[0].item()
        (9.0, 3.0)
    """
    return value.detach() + (linear - linear.detach()).to(value.dtype)


def detached(activation: Tensor, hook: Any) -> Tensor:
    """Let nothing go back."""
    return activation.detach()


def halved(activation: Tensor, hook: Any) -> Tensor:
    """Let one half go back to each factor of a product."""
    return with_slope(activation, activation / 2)


def secant_hooks(before: str, after: str) -> Hooks:
    """Make the hooks around an activation function; the ratio is 0 where its input is 0."""
    held = list[Tensor]()

    def enter(activation: Tensor, hook: Any) -> Tensor:
        held[:] = [activation]
        return activation

    def leave(activation: Tensor, hook: Any) -> Tensor:
        (x,) = held
        held.clear()
        own, found = x.detach(), activation.detach()
        ratio = torch.where(own == 0, 0, found / torch.where(own == 0, 1, own))
        return with_slope(activation, ratio * x)

    return [(before, enter), (after, leave)]


def norm_hooks(norm: Any) -> Hooks:
    """Make the hooks around a norm, whose scale they hold fixed."""
    module, held = norm.original_component, list[Tensor]()
    centred, eps = isinstance(module, torch.nn.LayerNorm), epsilon(module)

    def enter(x: Tensor, hook: Any) -> Tensor:
        held[:] = [x]
        return x

    def leave(normed: Tensor, hook: Any) -> Tensor:
        (x,) = held
        held.clear()
        if not x.requires_grad:
            return normed
        x = x - x.mean(-1, keepdim=True) if centred else x
        scale = wide(x.detach()).square().mean(-1, keepdim=True).add(eps).rsqrt()
        return with_slope(normed, x * (scale * weight_of(module, x, eps)).to(x.dtype))

    return [(norm.hook_in.name, enter), (norm.hook_out.name, leave)]


def weight_of(module: torch.nn.Module, x: Tensor, eps: float) -> Tensor:
    """Give what a norm multiplies by.

    Classes keep it in two ways, as w or as w - 1; an RMSNorm of ones is w / sqrt(1 + eps).
    """
    if isinstance(module, torch.nn.LayerNorm):
        return wide(module.weight.detach())
    with torch.no_grad():
        return wide(module(torch.ones_like(x[..., :1, :][:1]))) * math.sqrt(1 + eps)


def epsilon(module: torch.nn.Module) -> float:
    """Give what a norm adds to the mean square."""
    name = "variance_epsilon" if hasattr(module, "variance_epsilon") else "eps"
    return float(getattr(module, name, None) or 0.0)


def norms_of(model: LensModel) -> Iterator[Any]:
    """Give the norms of a model's bridge.

    Raises:
        InputError: A norm of a class whose rule is not known.
    """
    from transformer_lens.model_bridge.generalized_components import normalization

    for module in model.bridge.modules():
        if isinstance(module, normalization.NormalizationBridge):
            name = type(module.original_component).__name__
            if not name.endswith(("RMSNorm", "LayerNorm")):
                raise InputError(
                    f"path='relp' has no rule for {name}, a norm of {model.name!r}: give "
                    "another path."
                )
            yield module
