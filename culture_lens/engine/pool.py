"""Workers of Ray that hold the same model, and the shards that they compute.

1. Each worker loads the model as this process did, which must give the same weights.
2. A worker that is idle gets the next shard; what it computes comes back to this process.
3. Ray starts a worker again that dies, elsewhere where its machine is gone. Its shard goes to the
   next worker that is idle, rather than wait for that.
4. An error that a shard raises is raised here; a shard that has cost several workers is one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from culture_lens.engine.claims import Claims
from culture_lens.engine.cluster import OFFLINE, say_if_too_small, start_ray
from culture_lens.engine.shards import Part, Pass, Shard
from culture_lens.engine.worker import Worker
from culture_lens.errors import InputError, warn
from culture_lens.models.checks import check_unhooked
from culture_lens.models.lens_model import LensModel
from culture_lens.models.recipe import Recipe
from culture_lens.models.units import Units
from culture_lens.prompts.engine import Ray
from culture_lens.prompts.prompt import Prompt

Done = tuple[Shard, Sequence[Part], float]
"""A shard, its parts, and the seconds that it took."""
ATTEMPTS = 3
"""How many workers a shard, or the loading of the model, may cost."""
LOOK = 1.0
"""Seconds between two looks at what is not ready."""
_numbers = count()


class Pool:
    """Workers that hold the same model.

    Args:
        ray: The package, started.
        recipe: How they load the model.
        fingerprint: Of the weights that they must have.
        options: How many, and what each of them gets.
        units: The units of the model's sites that are no plain activations.
    """

    def __init__(
        self,
        ray: Any,
        recipe: Recipe,
        fingerprint: str,
        options: Ray,
        units: Mapping[str, Units] | None = None,
    ) -> None:
        """Start the workers; they load the model while this process goes on."""
        self.ray, self.recipe, self.fingerprint = ray, recipe, fingerprint
        say_if_too_small(ray, options)
        threads = {"OMP_NUM_THREADS": str(options.threads)}
        made = ray.remote(Worker).options(
            num_cpus=options.threads,
            num_gpus=options.gpus_per_worker,
            max_restarts=-1,
            runtime_env={"env_vars": {**OFFLINE, **threads}},
        )
        given = (recipe, options.threads, dict(units or {}))
        self.workers = [made.remote(*given) for _ in range(options.workers)]
        self.idle: deque[Any] = deque()
        self.starting = {worker.ready.remote(): worker for worker in self.workers}
        self.failures: dict[Any, int] = {}

    def start(self) -> None:
        """Wait until all workers hold the model; without it each begins when it is ready.

        Raises:
            InputError: A worker cannot load the model, or has loaded another one.
        """
        while self.starting:
            for told in self._ready(list(self.starting)):
                self._started(told)

    def close(self) -> None:
        """End the workers, and free what they hold."""
        for worker in self.workers:
            self.ray.kill(worker)
        self.workers = []

    def compute(self, work: Pass[Part], claims: Claims) -> Iterator[Done[Part]]:
        """Compute the shards that are left, in the order in which they are done.

        Raises:
            InputError: What a shard raises, other weights than this process has, or a shard or a
                model that costs one worker after the other.
        """
        try:
            yield from self._compute(work, claims)
        except BaseException:  # what the workers are at is of no use any more
            close_pools()
            raise

    def _compute(self, work: Pass[Part], claims: Claims) -> Iterator[Done[Part]]:
        run = (next(_numbers), self.ray.put(work.run))
        sent: dict[int, tuple[int, Any]] = {}
        running: dict[Any, tuple[Any, Shard]] = {}
        held: dict[Any, Sequence[Prompt]] = {}  # by worker, the items that it was at last
        while claims.left or running:
            while self.idle:
                worker, at = self.idle[0], [busy.items for _, busy in running.values()]
                if (shard := claims.take(held.get(worker), at)) is None:
                    break
                self.idle.popleft()
                if id(shard.items) not in sent:
                    sent[id(shard.items)] = (next(_numbers), self.ray.put(shard.items))
                items, held[worker] = sent[id(shard.items)], shard.items
                told = worker.compute.remote(run, items, shard.number, shard.conditions)
                running[told] = (worker, shard)
            for told in self._ready([*self.starting, *running]):
                if told in self.starting:
                    self._started(told)
                    continue
                worker, shard = running.pop(told)
                found = self._result(told, worker, shard, claims)
                if found is not None:
                    parts, seconds, warnings = found
                    for message in dict.fromkeys(warnings):
                        warn(message)
                    yield shard, parts, seconds

    def _ready(self, told: list[Any]) -> list[Any]:
        """Wait a moment for results, and give those that are there."""
        if not told:
            time.sleep(LOOK)  # other processes have taken all that are left
            return []
        ready, _ = self.ray.wait(told, num_returns=1, timeout=LOOK)
        return list(ready)

    def _started(self, told: Any) -> None:
        """Take in a worker that has loaded the model."""
        worker = self.starting.pop(told)
        try:
            found = self.ray.get(told)
        except self.ray.exceptions.RayTaskError as error:
            raise failure(error) from error
        except self.ray.exceptions.RayError as error:
            self.failures[worker] = self.failures.get(worker, 0) + 1
            if self.failures[worker] >= ATTEMPTS:
                raise InputError(
                    f"a worker died {ATTEMPTS} times while it loaded {self.recipe.name!r}, which "
                    f"may not fit its memory ({first_line(error)}): give it more GPUs "
                    "(gpus_per_worker), another dtype, or fewer workers to a machine."
                ) from error
            time.sleep(LOOK)
            self.starting[worker.ready.remote()] = worker
            return
        if found != self.fingerprint:
            raise InputError(
                f"the weights that a worker has loaded by the name {self.recipe.name!r} are other "
                "than those of this process: the model was changed after it was loaded, or another "
                "machine has another copy. Save it to a folder that all machines see, and load "
                "that."
            )
        self.failures.pop(worker, None)
        self.idle.append(worker)

    def _result(self, told: Any, worker: Any, shard: Shard, claims: Claims) -> Any:
        """Give what a worker made of a shard; None where it died, and the shard is left again."""
        try:
            found = self.ray.get(told)
        except self.ray.exceptions.RayTaskError as error:
            raise failure(error) from error
        except self.ray.exceptions.RayError as error:
            if claims.again(shard) >= ATTEMPTS:
                raise InputError(
                    f"shard {shard.number} has cost {ATTEMPTS} workers ({first_line(error)}): it "
                    "may need more memory than a worker has; give a smaller batch_size, or more "
                    "GPUs to each worker."
                ) from error
            warn(f"a worker died ({first_line(error)}): its shard is computed by the next one.")
            self.starting[worker.ready.remote()] = worker
            return None
        self.idle.append(worker)
        return found


def failure(error: Any) -> BaseException:
    """Give the error that a worker raised, as it raised it."""
    cause: BaseException = getattr(error, "cause", None) or error
    return cause


def first_line(error: BaseException) -> str:
    """Give the first line of an error's message, or its name."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


# ------------------------------------------------------------------ the pool of this process

_pools: dict[tuple[Any, ...], Pool] = {}
"""The one pool of this process, by what it was made of: a model is loaded once for many passes."""


def pool_of(model: LensModel, options: Ray) -> Pool:
    """Give workers that hold a model, those of the last pass where they fit.

    Raises:
        InputError: Hooks are attached, no other process can load the model, or it is on a GPU and
            the workers have none.
    """
    check_unhooked(model, "the workers of Ray", "engine=")
    if model.recipe is None:
        raise InputError(
            f"workers of Ray load their model by its name, and {model.name!r} was given as an "
            "object, or with a tokenizer or processor of its own: save all of it to a folder with "
            "save_pretrained, and load_model the folder."
        )
    if model.device.type != "cpu" and not options.gpus_per_worker:
        raise InputError(
            f"{model.name!r} is on {model.device}, and workers without GPUs would run it on the "
            "CPU: give gpus_per_worker=1 or more, or load it with device='cpu' if that is meant."
        )
    recipe = model.recipe.for_worker(model.dtype, model.revision, options.gpus_per_worker)
    units = tuple((site, units.content) for site, units in sorted(model.units.items()))
    key = (repr(recipe), model.fingerprint, options, units)
    if key not in _pools or not _pools[key].ray.is_initialized():
        close_pools()
        _pools[key] = Pool(start_ray(options), recipe, model.fingerprint, options, model.units)
    return _pools[key]


def close_pools() -> None:
    """End the workers of this process."""
    while _pools:
        _, pool = _pools.popitem()
        if pool.ray.is_initialized():
            pool.close()


__all__ = ["Done", "Pool", "close_pools", "pool_of"]
