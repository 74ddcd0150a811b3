"""Passes of no model: each part is made of the items and the condition alone."""

import json
import os
import signal
from types import SimpleNamespace

from culture_lens.engine.shards import Pass, Shard
from culture_lens.engine.worker import Worker
from culture_lens.errors import InputError, warn
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question


class Letters:
    """Writes the items of a shard once for each condition, as many times as its number."""

    def __init__(self, refuses=None, warns=False):
        self.refuses, self.warns, self.made = refuses, warns, []

    def __call__(self, model, shard, progress):
        self.made.append(shard.number)
        if shard.number == self.refuses:
            raise InputError(f"shard {shard.number} is refused.")
        text = "".join(prompt.text for prompt in shard.items)
        if self.warns:
            warn(f"shard {shard.number} is odd.")
        return [text * (at + 1) for at in shard.conditions]


class Killed(Letters):
    """Ends its own process, without a word, the first time that it is at a shard."""

    def __init__(self, at, mark):
        super().__init__()
        self.at, self.mark = at, mark

    def __call__(self, model, shard, progress):
        if shard.number == self.at and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(model, shard, progress)


class LightWorker(Worker):
    """A worker without a model."""

    def model(self):
        return SimpleNamespace(fingerprint="right")


def write(place, part, facts):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps([part, sorted(facts)]))


def read(place):
    try:
        return json.loads(place.read_text())[0]
    except ValueError:
        raise InputError(f"{place} is damaged.") from None


def letters(folder=None, run=None):
    """A pass over letters; in a folder, with a file for each shard and condition."""

    def places(shard):
        return [folder / f"{shard.number}-{at}.json" for at in shard.conditions]

    return Pass("letters", run or Letters(), places if folder else None, read, write)


def shards_of(text, size=2, conditions=(0, 1)):
    """Letters as shards of so many."""
    question = Question(id="q", culture="a", text="?", options=("1", "2"), answer=0)
    prompts = [Prompt(question, letter, (1,), (3,), "choices") for letter in text]
    parts = [prompts[start : start + size] for start in range(0, len(text), size)]
    return [Shard(number, part, conditions) for number, part in enumerate(parts)]


def shards_apart(text, size=2, conditions=3):
    """Letters as shards of so many, one for each condition."""
    parts = [shard.items for shard in shards_of(text, size)]
    pairs = [(items, at) for items in parts for at in range(conditions)]
    return [Shard(number, items, (at,)) for number, (items, at) in enumerate(pairs)]
