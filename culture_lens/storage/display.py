"""How results show themselves: a few lines as text, a small table in a notebook.

``Shown`` is the base of every class that users hold. A table of results is numeric: an estimate is
the three columns ``gap``, ``gap_low`` and ``gap_high``; ``format_table`` writes them as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from culture_lens.checks import instance, whole
from culture_lens.storage.pictures import MOST_BARS, interval_bars

if TYPE_CHECKING:
    import pandas as pd

LOW, HIGH = "_low", "_high"
"""What the columns of an interval's ends are called, after the column of the value."""
MOST_LINES, MOST_ROWS, MOST_NAMES = 8, 10, 6
"""Lines of a repr, rows of a table in a notebook, names of a list."""
WIDTH = 100
"""Characters of a line."""


def cut(text: object, most: int = WIDTH) -> str:
    r"""Write a text in one line, and cut it where it is too long.

    Example:
        >>> cut("a  long\nline", 6)
        'a lon…'
    """
    line = " ".join(str(text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def brief(value: Any, most: int = WIDTH) -> str:
    """Write a value in a few words: numbers and texts as they are, all else by its size.

    Example:
        >>> brief(0.25), brief(["Japan", "Peru"]), brief({"act": 1})
        ('0.25', 'Japan, Peru', '1 entry: act')
    """
    if isinstance(value, Shown):
        return cut(value._headline(), most)
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None or isinstance(value, (bool, int, str)):
        return cut(value, most)
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of {' x '.join(map(str, value.shape)) or 'one number'}"
    if isinstance(value, Mapping):
        names = some(list(value))
        return cut(f"{len(value)} {'entry' if len(value) == 1 else 'entries'}: {names}", most)
    if isinstance(value, (list, tuple)):
        return cut(some([brief(one, 40) for one in value]), most)
    return type(value).__name__ if is_dataclass(value) else cut(value, most)


def some(names: Sequence[object]) -> str:
    """Join the first few names, and count them where there are more.

    Example:
        >>> some("abc"), some("abcdefgh")
        ('a, b, c', 'a, b, c, d, e, f and 2 more')
    """
    held = ", ".join(str(name) for name in names[:MOST_NAMES])
    return held if len(names) <= MOST_NAMES else f"{held} and {len(names) - MOST_NAMES} more"


def is_blank(value: Any) -> bool:
    """Say whether a value is None, or an empty text or collection.

    Example:
        >>> is_blank(()), is_blank(0)
        (True, False)
    """
    return value is None or (isinstance(value, (str, Mapping, list, tuple)) and not value)


def one_line(record: Any, *names: str) -> str:
    """Write a record as a call with some of its fields, in one line.

    Example:
        ``one_line(question, "id", "culture", "text")``
    """
    told = ", ".join(f"{name}={cut(repr(getattr(record, name)), 60)}" for name in names)
    return f"{type(record).__name__}({told})"


def interval_text(value: float, low: float, high: float, digits: int = 3) -> str:
    """Write a value and its interval.

    Example:
        >>> interval_text(0.5, 0.4, 0.6), interval_text(0.5, math.nan, math.nan)
        ('0.500 [0.400, 0.600]', '0.500 [no interval]')
    """
    if math.isnan(low + high):
        return f"{value:.{digits}f} [no interval]"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def with_intervals(table: pd.DataFrame) -> list[Any]:
    """List the columns of a table that have columns of an interval's ends beside them."""
    names = set(table.columns)
    return [n for n in table.columns if {f"{n}{LOW}", f"{n}{HIGH}"} <= names]


def joined(table: pd.DataFrame, write: Callable[[float, float, float], Any]) -> pd.DataFrame:
    """Make one column of the three of every estimate, each cell from value, low and high."""
    import pandas as pd

    held = with_intervals(table)
    ends = {f"{name}{end}" for name in held for end in (LOW, HIGH)}
    columns = {name: table[name] for name in table.columns if name not in ends}
    for name in held:
        parts = (table[name], table[f"{name}{LOW}"], table[f"{name}{HIGH}"])
        cells = [write(*map(float, row)) for row in zip(*parts, strict=True)]
        columns[name] = pd.Series(cells, index=table.index, dtype=object)
    return pd.DataFrame(columns, index=table.index)


def format_table(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Write every estimate of a table as text, value and interval in one column, for reading.

    Args:
        table: A table with the columns ``gap``, ``gap_low`` and ``gap_high`` for an estimate
            called gap, such as ``matrix.summary()`` gives. Other columns stay as they are.
        digits: Decimals.

    Returns:
        A table of its own, with one column for each estimate.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"gap": [0.5], "gap_low": [0.4], "gap_high": [0.6]})
        >>> format_table(table, digits=1)["gap"].tolist()
        ['0.5 [0.4, 0.6]']
    """
    instance("DataFrame", remedy="a table, such as matrix.summary() gives")("table", table)
    whole(0)("digits", digits)
    return joined(table, partial(interval_text, digits=digits))


def first_rows(table: pd.DataFrame | None) -> str:
    """Write the first rows of a table as HTML, and how many more there are."""
    if table is None:
        return ""
    more = len(table) - MOST_ROWS
    left = f"<div>and {more:,} more rows</div>" if more > 0 else ""
    shown = format_table(table.head(MOST_ROWS))
    named = type(shown.index).__name__ != "RangeIndex"
    page = shown.to_html(border=0, index=named, escape=True, float_format="{:.3f}".format)
    return f"{page}{left}"


class Shown:
    """The base of what users hold: text of at most eight lines, a table in a notebook, pandas."""

    __slots__ = ()

    def _headline(self) -> str:
        """Say in one line what this is."""
        return type(self).__name__

    def _facts(self) -> Mapping[str, Any]:
        """Give what is told about it, by name; the fields that say something."""
        held: Any = self
        told = {one.name: getattr(self, one.name) for one in fields(held) if one.repr}
        return {name: value for name, value in told.items() if not is_blank(value)}

    def _overview(self) -> pd.DataFrame | None:
        """Give the table that a notebook shows: that of ``to_pandas`` where a class has its own."""
        return None if type(self).to_pandas is Shown.to_pandas else self.to_pandas()

    def _picture(self, table: pd.DataFrame | None) -> str:
        """Give the picture that a notebook shows below the table, as SVG, if there is one."""
        held = [] if table is None or len(table) < 2 else with_intervals(table)
        if table is None or not held:
            return ""
        rows = table.head(MOST_BARS)
        columns = (rows[held[0]], rows[f"{held[0]}{LOW}"], rows[f"{held[0]}{HIGH}"])
        return interval_bars(str(held[0]), [*map(str, rows.index)], *map(list, columns))

    def to_pandas(self) -> pd.DataFrame:
        """Give it as a table: here one row, a column for each field."""
        import pandas as pd

        held: Any = self
        return pd.DataFrame([{one.name: getattr(self, one.name) for one in fields(held)}])

    def __repr__(self) -> str:
        """Say what it is, and list some facts: at most eight lines."""
        told = [f"  {name}: {brief(value)}" for name, value in self._facts().items()]
        if len(told) >= MOST_LINES:
            told = [*told[: MOST_LINES - 2], f"  and {len(told) - MOST_LINES + 2} more"]
        return "\n".join([cut(self._headline()), *told])

    def _repr_html_(self) -> str:
        """Show facts, the first rows of the table, and a picture, all text escaped."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(str(name))}</th>"
            f"<td style='text-align:left'>{escape(brief(value))}</td></tr>"
            for name, value in self._facts().items()
        )
        table = self._overview()
        title = f"<div><strong>{escape(cut(self._headline()))}</strong></div>"
        facts = f"<table>{rows}</table>" if rows else ""
        return f"<div>{title}{facts}{first_rows(table)}{self._picture(table)}</div>"
