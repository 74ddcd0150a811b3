"""Ray: work on several processes or machines; its options. Nothing here imports Ray."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from culture_lens.checks import check_fields, finite, optional, text, whole
from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    EngineName = Literal["ray"]

ENGINES = ("ray",)
"""Where shards can be computed other than in this process."""


@dataclass(frozen=True)
class Ray:
    """Workers of Ray, each a process that holds the model; see the guide, "From a laptop".

    Results have the same bits whatever the number of workers, where all are of one kind.

    Attributes:
        workers: How many.
        gpus_per_worker: GPUs of each worker: more than one where the model is spread over several,
            less than one where several workers share one. Without GPUs they run on the CPU.
        threads: CPU threads of each worker.
        address: The address of a running cluster, such as ``"auto"``; by default the Ray that this
            process has started, the one that ``RAY_ADDRESS`` names, or one of this machine's own
            that is started for the time of the process.

    Raises:
        InputError: A number out of range: fewer than one worker or thread, or a part of a GPU that
            is not below 1.

    Example:
        >>> Ray(workers=4).threads
        1
    """

    workers: int = 2
    gpus_per_worker: float | int = 0
    threads: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no cluster can give."""
        check_fields(
            self,
            workers=whole(1),
            gpus_per_worker=finite,
            threads=whole(1),
            address=optional(text),
        )
        if self.gpus_per_worker < 0 or (self.gpus_per_worker > 1 and self.gpus_per_worker % 1):
            raise InputError(
                f"gpus_per_worker={self.gpus_per_worker}: give 0, a whole number, or a part of one "
                "GPU such as 0.5."
            )


def check_engine(name: str, value: Any) -> Any:
    """Check an engine: None, its name, or the options of Ray.

    Raises:
        InputError: Anything else, or Ray is not installed.

    Example:
        >>> check_engine("engine", None)
    """
    if value is None:
        return value
    if not isinstance(value, Ray) and text(name, value) not in ENGINES:
        raise unknown(name, value, ENGINES, "Ray(workers=4) sets the options of 'ray'.")
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            f"{name}='ray' needs the package 'ray': pip install 'culture_lens[cluster]'."
        )
    return value


__all__ = ["ENGINES", "Ray", "check_engine"]
