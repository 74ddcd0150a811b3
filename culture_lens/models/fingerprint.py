"""A hash of all weights of a loaded model, made anew when they were changed.

The fingerprint is a SHA-256 over the bytes of every parameter and every saved buffer: of what is in
memory, so that a file, a model of one's own and weights edited in place are treated alike. Buffers
that are not saved, such as rotary frequencies, are left out: some models change them with the
length of the prompt.

Hashing takes 0.7 to 0.9 seconds for each GB and thread, so the hash is kept. Before each use every
tensor's place in memory, version counter and a sum of its bits are compared with those at the time
of hashing, 0.07 seconds for each GB; the sum shows changes through ``parameter.data``, which the
counter does not see. Offloaded weights are hashed, but not watched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 26
"""Bytes that are hashed at a time."""
ROW = 4096
"""Numbers that are summed without regard to their order."""


@dataclass(eq=False)
class Fingerprint:
    """The hash of a model's weights, kept as long as they are unchanged.

    Attributes:
        module: The model.
        on_change: Called when the weights are no longer those that were hashed before.
    """

    module: torch.nn.Module = field(repr=False)
    on_change: Callable[[], object] = field(default=lambda: None, repr=False)
    _hash: str = ""
    _seen: tuple[Any, ...] = field(default=(), repr=False)

    def now(self) -> str:
        """Give the hash of the weights as they are."""
        held = list(weights(self.module))
        seen = tuple((name, *change_mark(tensor)) for name, _, tensor in held)
        if seen != self._seen:
            if self._seen:
                self.on_change()
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                digests = list(threads.map(lambda weight: digest(*weight), held))
            self._hash, self._seen = hashlib.sha256(b"".join(digests)).hexdigest(), seen
        return self._hash


def weights(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, Tensor]]:
    """Give every parameter and saved buffer once: its name, the module that has it, its values."""
    seen: set[int] = set()
    for path, owner in module.named_modules():
        for name, tensor in (owner._parameters | owner._buffers).items():
            if tensor is None or name in owner._non_persistent_buffers_set or id(tensor) in seen:
                continue
            seen.add(id(tensor))
            # Without the names of the bridge's own modules around those of the model.
            yield f"{path}.{name}".replace("._original_component", ""), owner, tensor


def change_mark(tensor: Tensor) -> tuple[Any, ...]:
    """Give what tells in little time whether a tensor was changed."""
    if tensor.is_meta:  # accelerate has the values elsewhere; changes of these are not noticed
        return (tuple(tensor.shape),)
    version = None if tensor.is_inference() else tensor._version
    return (tensor.data_ptr(), version, bit_sum(tensor))


def bytes_of(tensor: Tensor) -> Tensor:
    """Give a tensor's bytes, or those of its values where torch does not show a packed type's."""
    flat = tensor.detach().contiguous().flatten()
    try:
        return flat.view(torch.uint8)
    except (RuntimeError, TypeError):
        return flat.float().view(torch.uint8)


def bit_sum(tensor: Tensor) -> int:
    """Sum a tensor's bits as 64-bit integers, modulo 2^64, each row weighted by an odd number.

    Example:
        >>> bit_sum(torch.tensor([1, 2, 3])), bit_sum(torch.tensor([1, 2, 4]))
        (6, 7)
    """
    content = bytes_of(tensor)
    if content.storage_offset() % 8:  # a part of other memory that torch cannot read in eights
        content = content.clone()
    numbers = content[: len(content) // 8 * 8].view(torch.int64)
    full = len(numbers) // ROW * ROW
    rows = numbers[:full].view(-1, ROW).sum(1)
    odd = 1 + 2 * torch.arange(len(rows), device=rows.device)
    return int((rows * odd).sum() + numbers[full:].sum() + content[len(numbers) * 8 :].sum())


def digest(name: str, owner: torch.nn.Module, tensor: Tensor) -> bytes:
    """Hash a weight: name, shape, dtype and bytes."""
    found = hashlib.sha256(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
    with loaded(owner) if tensor.is_meta else nullcontext():
        values = getattr(owner, name.rpartition(".")[2]) if tensor.is_meta else tensor
        content = bytes_of(values)
        for start in range(0, len(content), CHUNK):
            found.update(content[start : start + CHUNK].cpu().numpy().data)
    return found.digest()


def loaded(owner: torch.nn.Module) -> Any:
    """Load the offloaded weights of a module for the time of a block."""
    from accelerate.utils import align_module_device  # type: ignore[import-untyped]

    return align_module_device(owner, "cpu")
