"""Ray in this process: what the pool uses of it, with workers that die when a test says so."""

import itertools
import pickle


class RayError(Exception):
    """A worker or its machine is gone."""


class RayTaskError(RayError):
    """The worker itself has raised an error."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Reference:
    """Something that will be there; what it stands for goes through pickle, as in Ray."""

    def __init__(self, value=None, error=None, name="put"):
        self.value, self.error, self.name = pickle.dumps(value), error, name


class FakeRay:
    """Runs every call at once; ``deaths`` are the numbers of the calls in which a worker dies.

    Attributes:
        calls: The calls of workers so far: name of the method, number of the worker.
        last_first: Whether results come back in the reverse of the order of their calls.
    """

    class exceptions:  # noqa: N801  the name that Ray has
        """Its errors."""

        RayError, RayTaskError = RayError, RayTaskError

    def __init__(self, deaths=(), last_first=False, cpus=16):
        self.deaths, self.last_first, self.cpus = set(deaths), last_first, cpus
        self.calls, self.killed, self.options = [], 0, []

    def is_initialized(self):
        return True

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": self.cpus}}]

    def put(self, value):
        return Reference(value)

    def get(self, reference):
        if reference.error is not None:
            raise reference.error
        return pickle.loads(reference.value)

    def wait(self, references, num_returns, timeout):
        loaded = [one for one in references if one.name == "ready"]
        at = -1 if self.last_first else 0
        return [(loaded or references)[at]], []

    def kill(self, worker):
        self.killed += 1

    def remote(self, kind):
        return Made(self, kind)


class Made:
    """What ``ray.remote`` gives of a class."""

    numbers = itertools.count()

    def __init__(self, ray, kind):
        self.ray, self.kind = ray, kind

    def options(self, **options):
        self.ray.options.append(options)
        return self

    def remote(self, *given):
        return Actor(self.ray, self.kind, given)


class Actor:
    """A worker; one that has died begins anew."""

    def __init__(self, ray, kind, given):
        self._ray, self._make = ray, lambda: kind(*given)
        self._held, self._number = self._make(), next(Made.numbers)

    def __getattr__(self, name):
        return Method(self, name)


class Method:
    """A method of a worker."""

    def __init__(self, actor, name):
        self.actor, self.name = actor, name

    def remote(self, *given):
        ray, number = self.actor._ray, len(self.actor._ray.calls)
        ray.calls.append((self.name, self.actor._number))
        if number in ray.deaths:
            self.actor._held = self.actor._make()
            return Reference(error=RayError("The actor died unexpectedly."), name=self.name)
        try:
            return Reference(getattr(self.actor._held, self.name)(*given), name=self.name)
        except Exception as error:
            return Reference(error=RayTaskError(error), name=self.name)
