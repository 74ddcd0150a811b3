"""Loading: the options of ``load_model``, with their defaults, in one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch
from typing_extensions import TypedDict

from culture_lens.checks import check_fields, flag, optional, said, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.models.picture_features import IMAGE_MEMORY

if TYPE_CHECKING:
    Attention = Literal["native", "eager"]
else:
    Attention = str  # a wrong name reaches the check that lists the right ones


class LoadingOptions(TypedDict, total=False):
    """The options of ``load_model`` as keywords; see ``Loading``."""

    dtype: torch.dtype | str | None
    device: str | torch.device | None
    device_map: str | Mapping[str, Any] | None
    revision: str | None
    trust_remote_code: bool
    attention: Attention
    image_memory: int


@dataclass(frozen=True)
class Loading:
    """How a model is loaded.

    Attributes:
        dtype: Such as ``torch.bfloat16`` or ``"bfloat16"``; the checkpoint's own by default, and
            float32 on a CPU.
        device: Where the model goes; a GPU where there is one. Not together with ``device_map``.
        device_map: Placement over several devices, as in transformers.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the checkpoint.
        attention: ``"native"``, or ``"eager"`` to make attention patterns hookable.
        image_memory: Bytes of picture features to keep.

    Raises:
        InputError: An unknown dtype or attention, or a negative amount of memory.

    Example:
        >>> Loading(dtype="bfloat16").torch_dtype
        torch.bfloat16
    """

    dtype: torch.dtype | str | None = None
    device: str | torch.device | None = None
    device_map: str | Mapping[str, Any] | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    attention: Attention = "native"
    image_memory: int = IMAGE_MEMORY

    def __post_init__(self) -> None:
        """Check the options, so that a mistake fails before anything is loaded."""
        check_fields(
            self,
            attention=text,
            image_memory=whole(),
            trust_remote_code=flag,
            revision=optional(text),
        )
        if self.attention not in ("native", "eager"):
            raise InputError(f"attention={self.attention!r}: use 'native' or 'eager'.")
        if self.image_memory < 0:
            raise InputError(f"image_memory={self.image_memory}: bytes, 0 or more.")
        resolve_dtype(self.dtype)
        check_device(self.device)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Loading:
        """Make the record of keyword arguments.

        Raises:
            InputError: An unknown option, with the nearest known one.

        Example:
            >>> Loading.of({"attention": "eager"}).attention
            'eager'
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                others = ("hf_model", "tokenizer", "processor")
                raise unknown("option of load_model", name, (*known, *others))
        return cls(**options)

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The dtype as torch has it; None for the checkpoint's own."""
        return resolve_dtype(self.dtype)

    @property
    def target(self) -> torch.device:
        """The device asked for, or a GPU where there is one."""
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def resolve_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Turn ``"bfloat16"`` into ``torch.bfloat16``.

    Raises:
        InputError: No such dtype.

    Example:
        >>> resolve_dtype("float32")
        torch.float32
    """
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else None
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise InputError(f"unknown dtype {dtype!r}: use float32, bfloat16, float16 or float64.")
    return found


def check_device(device: torch.device | str | None) -> None:
    """Refuse a device that torch does not know or that this machine lacks.

    Raises:
        InputError: Names the devices that are there.

    Example:
        >>> check_device("cpu")
    """
    if device is None:
        return
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    mps = int(torch.backends.mps.is_available())
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": mps}
    if found is None or (found.index or 0) >= there.get(found.type, 1):
        held = [f"{kind}:{at}" for kind in ("cuda", "mps") for at in range(there[kind])]
        raise InputError(
            f"device={said(device)} is not on this machine: use one of {', '.join(['cpu', *held])}."
        )
