"""What differs between the inputs of two pieces of work, in words: what, old, new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from culture_lens.errors import listed
from culture_lens.storage.display import cut

SHORT, SHORT_HASH = 60, 16
"""Characters of a value that a message shows; of a hash that is not cut."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name what differs between two sets of inputs: what, old, new.

    Example:
        >>> changes({"weights": "ab12", "data": {"q1": "0"}}, {"weights": "cd34", "data": {}})
        ['weights: ab12 -> cd34', '1 question left out']
    """
    told = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            told += changed_items(before, after) if name == "data" else changes(before, after)
        elif before != after:
            told.append(f"{name}: {brief(before)} -> {brief(after)}")
    return told


def changed_items(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Count the questions that are other ones than before.

    Example:
        >>> changed_items({"q1": "0", "q2": "0"}, {"q1": "1", "q2": "0", "q3": "0"})
        ['1 of 2 questions changed (q1)', '1 question added']
    """
    both = sorted(set(old) & set(new))
    other = [name for name in both if old[name] != new[name]]
    told = [f"{len(other)} of {len(both)} questions changed ({listed(other, 3)})"] if other else []
    for number, what in ((len(new) - len(both), "added"), (len(old) - len(both), "left out")):
        if number:
            told.append(f"{number} question{'s' * (number > 1)} {what}")
    return told


def brief(value: Any) -> str:
    """Write a value in a few characters, and a hash in its first eight.

    Example:
        >>> brief("0123456789abcdef01"), brief(None), brief(["act", "gate"])
        ('01234567', 'none', "['act', 'gate']")
    """
    text = "none" if value is None else str(value)
    if len(text) > SHORT_HASH and not set(text) - set("0123456789abcdef"):
        return text[:8]
    return cut(text, SHORT)
