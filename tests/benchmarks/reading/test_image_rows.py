"""Ids are numbered where they repeat, and pictures of the same bytes are one group."""

import random

import pytest

from culture_lens.benchmarks.reading.image_rows import image_groups, numbered
from culture_lens.questions.images import LazyImage, as_image


def test_numbering_keeps_clear_of_ids_that_look_numbered():
    assert numbered(["a", "a/2", "a", "a"]) == ["a", "a/2", "a/3", "a/4"]
    assert numbered(["a", "a", "a/2"]) == ["a", "a/3", "a/2"]
    mixed = ["a", "b", "a", "a/2", "a/2", "a", "b"]
    assert len(set(numbered(mixed))) == len(mixed)


def test_only_images_of_one_length_are_read_to_group_them(monkeypatch):
    read, plain_read = [], LazyImage.read
    monkeypatch.setattr(LazyImage, "read", lambda self: (read.append(self), plain_read(self))[1])
    pictures = [as_image(data, where="here") for data in (b"aa", b"bb", b"ccc", b"aa", b"dddd")]
    assert image_groups(pictures, list("vwxyz")) == ["v", "w", "x", "v", "z"]
    assert set(read) == {pictures[0], pictures[1], pictures[3]}
    read.clear()
    assert image_groups(pictures, ["v", "v", "x", "v", "z"]) == ["v", "v", "x", "v", "z"]
    assert not read


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_the_connected_parts(seed):
    chance = random.Random(seed)
    data = [bytes([65 + chance.randrange(6)]) * chance.randrange(1, 4) for _ in range(14)]
    names = [f"n{chance.randrange(10)}" for _ in data]
    groups = image_groups([as_image(d, where="here") for d in data], names)
    # By hand: spread the smallest row number over shared names and shared bytes until it rests.
    rests = list(range(14))
    for _ in range(14):
        for i in range(14):
            for j in range(14):
                if names[i] == names[j] or data[i] == data[j]:
                    rests[i] = rests[j] = min(rests[i], rests[j])
    assert groups == [names[rest] for rest in rests]
