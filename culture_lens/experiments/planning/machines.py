"""Machines: how many operations a second they reach, what they hold, and what they cost.

A preset is the peak of the maker's data sheet for dense products, times the share of it that
forwards of this package reach: 20% to 55%, after one H200 with a model of Llama-3.1-8B's shape in
bfloat16 (speed/llama_shape.py), where a bare forward ran at 54% of the peak and prompt trees at
36%. A GPU takes float32 on its ordinary cores. A CPU's preset is one core with AVX2 at 2.5 GHz;
cores differ by four times, so that a measured rate (``measure_rate``) says far more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from culture_lens.checks import check_fields, finite, optional, text, whole
from culture_lens.errors import InputError, unknown

GIB = 2**30
USED = (0.20, 0.36, 0.55)
"""Share of the peak that is reached: at worst, in the middle, at best."""


@dataclass(frozen=True)
class Device:
    """A kind of device.

    Attributes:
        half: Operations a second at peak, dense, in bfloat16 and float16.
        single: In float32.
        memory: Bytes that it holds.
        bandwidth: Bytes a second to and from its memory.
        source: Where the numbers are from.
    """

    half: float
    single: float
    memory: int
    bandwidth: float
    source: str


NVIDIA = "NVIDIA's data sheet"
DEVICES: Mapping[str, Device] = {
    "h200": Device(989e12, 67e12, 141 * 10**9, 4.8e12, f"{NVIDIA}, SXM"),
    "h100": Device(989e12, 67e12, 80 * 10**9, 3.35e12, f"{NVIDIA}, SXM"),
    "a100": Device(312e12, 19.5e12, 80 * 10**9, 2.0e12, f"{NVIDIA}, 80 GB"),
    "l4": Device(121e12, 30e12, 24 * 10**9, 0.3e12, NVIDIA),
    "cpu": Device(80e9, 80e9, 0, 2e10, "one core: 2 x 8 x 2 float32 a cycle, 2.5 GHz"),
}
"""By name; ``memory`` 0: what this machine has."""


class MachineOptions(TypedDict, total=False):
    """The fields of ``Machine`` as keyword arguments."""

    device: str
    flops_per_second: float | None
    seconds_per_forward: float
    seconds_per_prompt: float
    seconds_per_picture: float
    seconds_per_answer: float
    memory: float | None
    gpus: int
    gpus_per_worker: int
    workers: int | None
    price: float | None


@dataclass(frozen=True)
class Machine:
    """What a plan is for.

    Attributes:
        device: ``"h200"``, ``"h100"``, ``"a100"``, ``"l4"`` or ``"cpu"``.
        flops_per_second: Operations a second that one worker reaches, such as ``measure_rate``
            gives; by default those of the device.
        seconds_per_forward: What a forward takes beside its operations.
        seconds_per_prompt: What making a prompt takes.
        seconds_per_picture: What a picture takes beside the operations of the tower.
        seconds_per_answer: What reading and recording an answer takes.
        memory: GiB that a GPU, or the machine of a CPU, holds; by default those of the device.
        gpus: How many there are.
        gpus_per_worker: GPUs that one model spans, by ``device_map``.
        workers: Processes that share the work; by default one for each ``gpus_per_worker`` GPUs,
            or one on a CPU.
        price: What a GPU, or the machine of a CPU, costs for an hour, in any currency.

    Raises:
        InputError: An unknown device, or a number out of its range.

    Example:
        >>> Machine("h100", gpus=8).count
        8
    """

    device: str = "cpu"
    flops_per_second: float | None = None
    seconds_per_forward: float = 0.0
    seconds_per_prompt: float = 0.0
    seconds_per_picture: float = 0.0
    seconds_per_answer: float = 0.0
    memory: float | None = None
    gpus: int = 1
    gpus_per_worker: int = 1
    workers: int | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        """Check every number."""
        beside = ("forward", "prompt", "picture", "answer")
        check_fields(
            self,
            **dict.fromkeys((f"seconds_per_{one}" for one in beside), at_least_nothing),
            device=text,
            flops_per_second=optional(more_than_nothing),
            memory=optional(more_than_nothing),
            gpus=whole(1),
            gpus_per_worker=whole(1),
            workers=optional(whole(1)),
            price=optional(at_least_nothing),
        )
        if self.device not in DEVICES:
            raise unknown("device", self.device, DEVICES, "Or give flops_per_second and memory.")
        if self.gpus_per_worker > self.gpus:
            raise InputError(
                f"gpus_per_worker={self.gpus_per_worker}: there are {self.gpus} (gpus=)."
            )

    @property
    def on_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.device != "cpu"

    @property
    def count(self) -> int:
        """How many workers share the work."""
        if self.workers is not None:
            return self.workers
        return self.gpus // self.gpus_per_worker if self.on_gpu else 1

    @property
    def bytes(self) -> int:
        """Bytes for one worker."""
        own = DEVICES[self.device].memory if self.memory is None else int(self.memory * GIB)
        if self.on_gpu:
            return own * self.gpus_per_worker
        return (own or physical_memory()) // self.count

    def rates(self, half: bool) -> tuple[float, float, float]:
        """Give operations a second of one worker: at worst, in the middle, at best.

        GPUs that a model spans run one after the other, so that they are no faster than one.
        """
        if self.flops_per_second is not None:
            own = self.flops_per_second
            return own / 1.3, own, own * 1.3
        device = DEVICES[self.device]
        peak = device.half if half else device.single
        low, middle, high = USED
        return peak * low, peak * middle, peak * high


def physical_memory() -> int:
    """Give the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def number_from(least: float, *, above: bool) -> Callable[[str, object], float]:
    """Make the check of a finite number at, or above, a least one."""

    def check(name: str, value: object) -> float:
        found = float(finite(name, value))
        if found < least or (above and found == least):
            raise InputError(f"{name}={value}: give a number {'above' if above else 'from'} 0.")
        return found

    return check


more_than_nothing, at_least_nothing = number_from(0.0, above=True), number_from(0.0, above=False)

__all__ = ["DEVICES", "Device", "Machine", "MachineOptions"]
