"""Tables of estimates: numeric ones, which sort, average and export, and the way back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from culture_lens.errors import InputError
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.display import HIGH, LOW, joined

if TYPE_CHECKING:
    import pandas as pd

NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan)
"""What stands in an empty cell of a column of estimates."""


def numeric(table: pd.DataFrame) -> pd.DataFrame:
    """Lay every column of estimates out as three: the value, and the ends of its interval.

    Args:
        table: Cells of some columns are ``Estimate``; empty ones become NaN.

    Returns:
        A table with ``gap``, ``gap_low`` and ``gap_high`` in the place of a column gap.

    Raises:
        InputError: A column of that name is there already.

    Example:
        >>> import pandas as pd
        >>> numeric(pd.DataFrame({"gap": [Estimate(0.5, 0.4, 0.6)]})).iloc[0].tolist()
        [0.5, 0.4, 0.6]
    """
    import pandas as pd

    columns: dict[object, object] = {}
    for name in table.columns:
        cells = list(table[name])
        if not any(isinstance(cell, Estimate) for cell in cells):
            parts = {name: table[name]}
        else:
            held = [cell if isinstance(cell, Estimate) else NO_ESTIMATE for cell in cells]
            parts = {
                name: [one.value for one in held],
                f"{name}{LOW}": [one.low for one in held],
                f"{name}{HIGH}": [one.high for one in held],
            }
        if taken := set(parts) & set(columns):
            raise InputError(f"two columns of this table would be called {min(map(str, taken))!r}.")
        columns |= parts
    return pd.DataFrame(columns, index=table.index)


def as_estimates(table: pd.DataFrame) -> pd.DataFrame:
    """Turn a numeric table back into one whose cells are ``Estimate``, for tests of intervals.

    Example:
        >>> import pandas as pd
        >>> table = numeric(pd.DataFrame({"gap": [Estimate(0.5, 0.4, 0.6)]}))
        >>> print(as_estimates(table).loc[0, "gap"])
        0.500 [0.400, 0.600]
    """
    return joined(table, Estimate)
