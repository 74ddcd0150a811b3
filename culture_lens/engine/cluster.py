"""Start Ray, or join the one that is there.

Nothing is sent anywhere: no statistics of use, no dashboard, no code or packages to the workers.
"""

from __future__ import annotations

import os
from typing import Any

from culture_lens.errors import InputError, warn
from culture_lens.prompts.engine import Ray

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Ray reports nothing about its use, and leaves the variables of accelerators as they are."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Workers read the model from the disk of their machine, and never from the hub."""


def start_ray(options: Ray) -> Any:
    """Give Ray, started or joined where it was not yet.

    Raises:
        InputError: There is no cluster at the address.

    Example:
        ``start_ray(Ray(workers=2)).nodes()``
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    import ray

    if ray.is_initialized():
        return ray
    common: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    address = options.address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        try:
            ray.init(address=address, **common)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster at {address!r} ({str(error).splitlines()[0]}): start one with "
                "`ray start --head`, or leave out the address."
            ) from error
        return ray
    cores = max(os.cpu_count() or 1, options.workers * options.threads)
    ray.init(address="local", num_cpus=cores, include_dashboard=False, **common)
    return ray


def say_if_too_small(ray: Any, options: Ray) -> None:
    """Warn of workers that no machine of the cluster can hold: they may wait for ever."""
    wanted = {"CPU": float(options.threads), "GPU": float(options.gpus_per_worker)}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = sum(
        min(int(held.get(kind, 0) / need) for kind, need in wanted.items() if need)
        for held in machines
    )
    if fit < options.workers:
        warn(
            f"the Ray cluster has room for {fit} of {options.workers} workers of "
            f"{options.threads} CPU threads and {options.gpus_per_worker:g} GPUs each: the others "
            "start when there is more."
        )


__all__ = ["OFFLINE", "start_ray"]
