"""Other names for cultures in the metadata of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def renamed_tables(metadata: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename cultures in those entries of metadata that are tables with one row per culture.

    Example:
        >>> renamed_tables({"right": {"UK": 3, "Iran": 2}, "model": "m"}, {"UK": "Britain"})
        {'right': {'Britain': 3, 'Iran': 2}, 'model': 'm'}
    """
    return {
        entry: {names.get(culture, culture): row for culture, row in table.items()}
        if isinstance(table, Mapping) and names.keys() <= table.keys()
        else table
        for entry, table in metadata.items()
    }
