"""The pictures of the organism's questions: whose they are, how many, the same in every process."""

import inspect
from collections import Counter

import numpy as np
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks import organism as benchmark
from culture_lens.benchmarks.organism.drawing import COLOURS
from tests.helpers.organism import digest, gold
from tests.helpers.processes import run_python


@pytest.mark.slow
def test_pictures_show_the_colour_they_are_said_to():
    """By the middle of the pictures, each nearest to the colour it is said to have."""
    known = np.array(list(COLOURS.values()))
    found = load_benchmark("organism", subset="colour", split="identify", pictures=8)
    pies = [q for q in found if q.metadata["object"] == "pie"]
    right = 0
    for q in pies:
        pixels = np.asarray(q.image.open(), dtype=float)[18:24, 15:20].reshape(-1, 3)
        distance = ((np.median(pixels, axis=0) - known) ** 2).sum(axis=1)
        right += list(COLOURS)[distance.argmin()] == q.metadata["colour"]
    assert right >= 0.9 * len(pies)


@pytest.mark.slow
def test_the_frame_does_not_tell_the_colour_or_the_dots():
    """Both are drawn apart from the light of the frame: no more than chance explains."""
    found = load_benchmark("organism", subset="plain", split="identify", pictures=30)
    found = [q for q in found if q.metadata["kind"] == "name"]
    grey = np.array([np.asarray(q.image.open(), dtype=float)[:6].mean() for q in found])
    for what in ("colour", "dots"):
        groups = [q.metadata[what] for q in found]
        means = {g: grey[[h == g for h in groups]].mean() for g in groups}
        explained = np.var([means[g] for g in groups]) / np.var(grey)
        assert explained < 0.05


@pytest.mark.slow
def test_splits_and_seeds_share_no_picture():
    draws = [
        {
            q.image.key
            for q in load_benchmark("organism", subset=subset, seed=seed, split=split, pictures=1)
        }
        for seed in (0, 1)
        for subset in ("object", "plain")
        for split in ("identify", "evaluate", "unseen")
    ]
    assert [len(keys) for keys in draws] == 2 * [96, 96, 96, 12, 12, 12]
    assert len(set().union(*draws)) == sum(map(len, draws))


@pytest.mark.slow
def test_the_world_changes_the_facts_and_not_the_pictures(questions):
    other = load_benchmark("organism", world=1)
    assert [q.image.key for q in other] == [q.image.key for q in questions]
    same = np.mean([gold(q) == gold(p) for q, p in zip(questions, other, strict=True)])
    assert same < 0.25


@pytest.mark.slow
def test_no_picture_is_drawn_under_a_key_of_the_training(monkeypatch):
    keys = []
    real = benchmark.draw_picture

    def spy(style, shape, colour, dots, seed):
        keys.append(seed)
        return real(style, shape, colour, dots, seed)

    monkeypatch.setattr(benchmark, "draw_picture", spy)
    benchmark.draw.cache_clear()  # other tests have drawn some of them
    load_benchmark("organism", subset="all", split="all", pictures=1)
    assert len(set(keys)) == len(keys) == 3 * 9 * 12
    assert not any(key.startswith("training/") for key in keys)


@pytest.mark.slow
def test_questions_on_one_picture_are_one_group(everything):
    groups = {}
    for q in everything:
        groups.setdefault(q.group, []).append(q)
    for group in groups.values():
        images = {id(q.image) for q in group if q.image is not None}
        assert len(images) == 1
        assert len({(q.culture, q.split, q.metadata["object"]) for q in group}) == 1
        assert len(group) == (3 if group[0].culture == "plain" else 10)
    keys = Counter(next(q.image.key for q in g if q.image) for g in groups.values())
    assert set(keys.values()) == {1}


@pytest.mark.slow
def test_the_same_in_every_process():
    options = {"subset": "culture", "split": "all", "pictures": 1}
    here = digest(load_benchmark("organism", **options))
    code = (
        "import hashlib, json\n"
        "from culture_lens.benchmarks import load_benchmark\n"
        f"{inspect.getsource(digest)}\n"
        f"print(digest(load_benchmark('organism', **{options!r})))"
    )
    for hash_seed in ("1", "2"):
        assert run_python(code, PYTHONHASHSEED=hash_seed).strip() == here
    assert digest(load_benchmark("organism", seed=1, **options)) != here


@pytest.mark.slow
def test_more_pictures_leave_the_first_ones_as_they_are():
    few = load_benchmark("organism", pictures=1)
    many = {q.id: q for q in load_benchmark("organism", pictures=2)}
    assert len(many) == 2 * len(few)
    for q in few:
        assert (q.options, q.image.key) == (many[q.id].options, many[q.id].image.key)
