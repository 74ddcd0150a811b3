"""Hashes of parts: what ``json.dumps`` writes, written piece by piece."""

import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest

from culture_lens.storage.hashing import parts_hash

PARTS = (
    (),
    (1, "ü", None, 0.1),
    ({"b": 1, "a": [1, (2,)]}, (1, [2, ()]), [], [[1, "x"], [None]]),
    (Path("a"), [Path("b")], "[1]", ["a, b"]),
)


@pytest.mark.parametrize("parts", PARTS)
def test_the_hash_is_that_of_the_whole_text(parts):
    text = json.dumps(parts, sort_keys=True, default=str)
    assert parts_hash(parts) == hashlib.sha256(text.encode()).hexdigest()
    lazy = (iter(part) if isinstance(part, (list, tuple)) else part for part in parts)
    assert parts_hash(lazy) == parts_hash(parts)


def test_where_a_part_ends_shows():
    assert len({parts_hash(parts) for parts in ([1, 2], [[1, 2]], [[1], 2], [1, [2]], [12])}) == 5


def test_many_items_take_the_memory_of_one():
    def peak(items):
        tracemalloc.start()
        parts_hash(["act", ((f"q{item}", tuple(range(500))) for item in range(items))])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(200) < 1.5 * peak(10)
