"""Failures of selectors, noted while the others go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from culture_lens.errors import InputError, warn


def fail(failures: dict[str, Exception], names: Sequence[str], error: Exception, of: int) -> None:
    """Note a failure, and say it at once where other selectors go on."""
    failures |= dict.fromkeys(names, error)
    if len(failures) < of:
        warn(f"{', '.join(names)} failed ({error}); the other selectors go on.")


def raise_failures(failures: Mapping[str, Exception]) -> None:
    """Raise what selectors failed with: the failure itself, or an error that lists several."""
    different = list(dict.fromkeys(failures.values()))
    if len(different) == 1:
        raise different[0]
    if different:
        told = "; ".join(f"{name}: {error}" for name, error in failures.items())
        raise InputError(f"{len(failures)} selectors failed: {told}") from different[0]
