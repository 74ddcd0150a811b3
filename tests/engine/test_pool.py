"""Workers of Ray, played in this process: order, deaths, errors and warnings."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest

from culture_lens.engine import pool as module
from culture_lens.engine import worker
from culture_lens.engine.claims import Claims
from culture_lens.engine.pool import Pool, close_pools, pool_of
from culture_lens.engine.results import run_shards
from culture_lens.engine.worker import Worker
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.models.loading import Loading
from culture_lens.models.recipe import Recipe
from culture_lens.prompts.engine import Ray
from culture_lens.prompts.running import Running
from tests.helpers.fake_ray import FakeRay
from tests.helpers.lm import lens
from tests.helpers.passes import Letters, letters, shards_apart, shards_of

SHARDS = shards_of("abcdefghij")
MODEL = SimpleNamespace(fingerprint="right")
RECIPE = Recipe("some/model", Loading(device="cpu"))


@pytest.fixture(autouse=True)
def no_model_and_no_waiting(monkeypatch):
    monkeypatch.setattr(Worker, "model", lambda self: MODEL)
    monkeypatch.setattr(worker, "fetch", FakeRay().get)
    monkeypatch.setattr(module, "LOOK", 0.0)
    yield
    close_pools()


def pool(ray, workers=2, fingerprint="right"):
    return Pool(ray, RECIPE, fingerprint, Ray(workers=workers))


def computed(ray, work=None, **options):
    """The parts by the number of their shard, in the order in which they were done."""
    work = work or letters()
    done = pool(ray, **options).compute(work, Claims(work, SHARDS))
    return {shard.number: list(parts) for shard, parts, _ in done}


class Watched(Claims):
    """Claims that list what was taken."""

    def take(self, *given):
        shard = super().take(*given)
        self.taken = [*getattr(self, "taken", []), *([shard.number] if shard else [])]
        return shard


@pytest.mark.parametrize(("workers", "prepared"), [(1, 3), (2, 4), (3, 3)])
def test_a_worker_stays_with_its_items(workers, prepared):
    """Three pairs of letters under four conditions; of two workers both end at the last pair."""
    ray, work = FakeRay(), letters()
    claims = Watched(work, shards_apart("abcdef", conditions=4))
    assert len(list(pool(ray, workers=workers).compute(work, claims))) == 12
    used = [number for name, number in ray.calls if name == "compute"]
    at = {(worker, shard // 4) for worker, shard in zip(used, claims.taken, strict=True)}
    assert len(at) == prepared


def plain():
    quiet = Running(progress=False)
    return dict(enumerate(map(list, run_shards(lens("llama"), letters(), SHARDS, quiet))))


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
def test_every_shard_is_computed_once_whoever_computes_it(workers):
    ray = FakeRay()
    assert computed(ray, workers=workers) == plain()
    assert [name for name, _ in ray.calls].count("compute") == len(SHARDS)
    used = {number for name, number in ray.calls if name == "compute"}
    assert len(used) == min(workers, len(SHARDS))


def test_results_are_given_in_order_whatever_the_order_in_which_they_are_done(monkeypatch):
    pytest.importorskip("ray")  # without it the option is refused
    ray = FakeRay(last_first=True)
    assert list(computed(ray, workers=4)) != [0, 1, 2, 3, 4]
    monkeypatch.setattr(module, "pool_of", lambda model, options: pool(ray, 4))
    engine = Running(progress=False, engine=Ray(workers=4))
    found = run_shards(lens("llama"), letters(), SHARDS, engine)
    assert dict(enumerate(map(list, found))) == plain()


@pytest.mark.parametrize("death", [0, 1, 2, 3, 5])
def test_the_shard_of_a_worker_that_dies_is_computed_by_another(death):
    """The first two calls are those in which the workers load the model."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert computed(FakeRay(deaths=[death])) == plain()
    told = [str(w.message) for w in caught]
    assert told == (["a worker died (The actor died unexpectedly): its shard is computed by the "
                     "next one."] if death > 1 else [])  # fmt: skip


def test_a_shard_that_costs_every_worker_is_an_error():
    ray = FakeRay(deaths=range(1, 99, 2))  # it loads, it dies, it loads, it dies
    with (
        pytest.warns(CultureLensWarning, match="a worker died"),
        pytest.raises(InputError, match="shard 0 has cost 3 workers.*smaller batch_size"),
    ):
        computed(ray, workers=1)


def test_a_model_that_no_worker_can_load_is_an_error():
    with pytest.raises(InputError, match="died 3 times while it loaded 'some/model'"):
        computed(FakeRay(deaths=range(99)), workers=1)


def test_other_weights_are_refused():
    with pytest.raises(InputError, match="weights that a worker has loaded.*are other"):
        computed(FakeRay(), fingerprint="other")


def test_what_a_shard_refuses_is_raised_here():
    with pytest.raises(InputError, match="^shard 3 is refused.$"):
        computed(FakeRay(), letters(run=Letters(refuses=3)))


def test_warnings_of_workers_are_said_here():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        computed(FakeRay(), letters(run=Letters(warns=True)))
    assert sorted(str(w.message) for w in caught) == [f"shard {n} is odd." for n in range(5)]


def test_workers_are_asked_for_as_the_options_say():
    ray = FakeRay(cpus=3)
    with pytest.warns(CultureLensWarning, match="room for 1 of 2 workers of 2 CPU threads"):
        Pool(ray, RECIPE, "right", Ray(workers=2, threads=2))
    (options,) = ray.options
    assert (options["num_cpus"], options["num_gpus"], options["max_restarts"]) == (2, 0, -1)
    assert options["runtime_env"]["env_vars"]["HF_HUB_OFFLINE"] == "1"
    assert set(options["runtime_env"]) == {"env_vars"}  # no code is sent, nothing is installed


def test_an_error_ends_the_workers(monkeypatch):
    ray = FakeRay()
    monkeypatch.setattr(module, "start_ray", lambda options: ray)
    model = replace(lens("llama"), recipe=RECIPE)
    monkeypatch.setattr(MODEL, "fingerprint", model.fingerprint)
    held = pool_of(model, Ray(workers=3))
    assert pool_of(model, Ray(workers=3)) is held  # the model is not loaded again
    work = letters(run=Letters(refuses=0))
    with pytest.raises(InputError, match="shard 0"):
        list(held.compute(work, Claims(work, SHARDS)))
    assert ray.killed == 3 and pool_of(model, Ray(workers=3)) is not held


def test_a_model_given_as_an_object_is_refused():
    with pytest.raises(InputError, match="load their model by its name.*save_pretrained"):
        pool_of(lens("llama"), Ray())


def test_hooks_around_the_call_are_refused():
    model = lens("llama")
    name = model.hook_name("act", 0)
    with (
        model.hooks([(name, lambda activation, hook: activation)]),
        pytest.raises(InputError, match="the workers of Ray would not know of them.*engine="),
    ):
        pool_of(model, Ray())
