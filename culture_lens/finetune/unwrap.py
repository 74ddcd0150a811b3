"""The plain Hugging Face model inside a LensModel: what transformers can train and save.

A TransformerBridge wraps a model in place, module by module, so that the wrapped model can neither
be saved nor trained. Here a model of the same class is built without weights and given copies of
them by name: names without the wrapping, and the fused projection where the bridge has split one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel

WRAPPED = "._original_component"
RENAMED = {
    "self_attn.qkv_proj.": "self_attn.qkv.",
    "self_attn.o_proj.": "self_attn.o.",
    ".attn.c_attn.": ".attn.qkv.",
    ".attn.c_proj.": ".attn.o.",
}
"""Name of a projection in the model -> its name in a bridge that has split it."""


def skeleton(model: LensModel) -> Any:
    """Build the plain model without weights (on torch's device ``meta``): names and shapes only.

    Example:
        ``sum(p.numel() for p in skeleton(model).parameters())``
    """
    wrapped = model.bridge.original_model
    config = copy.deepcopy(wrapped.config)
    config._attn_implementation = None  # booting may have made it eager; its own choice is wanted
    with torch.device("meta"):
        plain = type(wrapped)(config)
    plain.generation_config = copy.deepcopy(wrapped.generation_config)
    return plain.eval()


def plain_copy(model: LensModel) -> Any:
    """Give the plain Hugging Face model with a copy of a loaded model's weights.

    Args:
        model: The model; it stays as it is, so that twice its memory is needed.

    Returns:
        A model of the class of the checkpoint, in evaluation mode, that takes gradients.

    Raises:
        InputError: Weights are offloaded, or have names in the bridge that are not known here.

    Example:
        ``plain_copy(load_model("organism")).save_pretrained("organism")``
    """
    wrapped = model.bridge.original_model
    plain = skeleton(model)
    held = without_wrapping(dict(wrapped.named_parameters(remove_duplicate=False)))
    held |= without_wrapping(dict(wrapped.named_buffers(remove_duplicate=False)))
    copies: dict[int, Any] = {}  # tied weights stay tied, others stay apart
    for named in (plain.named_parameters, plain.named_buffers):
        for name, empty in list(named(remove_duplicate=False)):
            found = held.get(name, held.get(bridged_name(name)))
            if found is None or found.shape != empty.shape or found.is_meta:
                why = "is offloaded" if found is not None and found.is_meta else "is not found"
                raise InputError(
                    f"{model.name!r} cannot be unwrapped: {name} {why} in the loaded model; load "
                    "it whole on one device, in an architecture that the tests cover."
                )
            if id(found) not in copies:
                value = found.detach().clone(memory_format=torch.contiguous_format)
                own = isinstance(empty, torch.nn.Parameter)
                copies[id(found)] = torch.nn.Parameter(value) if own else value
            put_tensor(plain, name, copies[id(found)])
    return plain.eval()


def without_wrapping(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors of a wrapped model without the wrapping.

    Example:
        >>> list(without_wrapping({"h.0._original_component.attn.weight": torch.zeros(1)}))
        ['h.0.attn.weight']
    """
    return {name.replace(WRAPPED, ""): tensor for name, tensor in tensors.items()}


def bridged_name(name: str) -> str:
    """Give the bridge's name of a projection that it has split, or of its output projection.

    Example:
        >>> bridged_name("transformer.h.0.attn.c_attn.weight")
        'transformer.h.0.attn.qkv.weight'
    """
    for own, bridged in RENAMED.items():
        if own in name:
            return name.replace(own, bridged)
    return name


def put_tensor(model: Any, name: str, value: Tensor) -> None:
    """Set a parameter or buffer by its full name."""
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    (module._parameters if leaf in module._parameters else module._buffers)[leaf] = value
