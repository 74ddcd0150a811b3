"""CardPart: what every part of a card can do by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from culture_lens.statistics.tables import numeric
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd


class CardPart(Shown):
    """A part of a card, by itself: its fields as text, and as a table of one row."""

    __slots__ = ()

    def to_pandas(self) -> pd.DataFrame:
        """Give it as a row, estimates as numbers."""
        return numeric(super().to_pandas())
