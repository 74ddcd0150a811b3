"""How stable a CULNIG set is over the wordings of CountryRC, as its metadata hold it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDING_STABILITY = "wording_stability"
"""The entry of a neuron set's metadata: label -> what ``selectors.wordings`` computes."""


def wording_stability_in_words(metadata: Mapping[str, Any]) -> str:
    """Write the means over cultures of the stability over wordings; empty for other selectors.

    Example:
        >>> row = {"wordings": 4, "single": 0.61, "single_by_chance": 0.42,
        ...        "one_left_out": 0.9, "one_left_out_by_chance": 0.43, "no_countryrc": 0.7}
        >>> wording_stability_in_words({"wording_stability": {"Iran": row}})[:47]
        '4 wordings of CountryRC, mean Jaccard overlap: '
    """
    table = metadata.get(WORDING_STABILITY)
    if not isinstance(table, Mapping):
        return ""
    rows = [row for row in table.values() if isinstance(row, Mapping)]  # a file may hold anything
    if not rows:
        return "Stability over wordings of CountryRC is not known: it was not scored by wording."

    def mean(name: str) -> str:
        values = [row[name] for row in rows if isinstance(row.get(name), (int, float))]
        return f"{sum(values) / len(values):.2f}" if values else "none"

    return (
        f"{rows[0].get('wordings')} wordings of CountryRC, mean Jaccard overlap: sets by single "
        f"wordings {mean('single')} with one another (by chance {mean('single_by_chance')}), "
        f"{mean('no_countryrc')} with the set without CountryRC; this set "
        f"{mean('one_left_out')} with the sets by all wordings but one (by chance "
        f"{mean('one_left_out_by_chance')})."
    )
