"""An item that a card shows: its tokens, the patches of its picture, its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.cards.part import CardPart

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Token(CardPart):
    """A token of a shown item: its text, its role in lower case, the neuron's activation."""

    text: str
    role: str
    value: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Grid(CardPart):
    """A neuron's activations over the patches of a picture, or of a part of it.

    Attributes:
        name: What the grid covers, such as ``"whole picture"``.
        values: One per patch.
        box: Left, top, right and bottom of what it covers, as shares of the picture.
    """

    name: str
    values: Float[np.ndarray, "row column"]
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ShownItem(CardPart):
    """An item that a card shows.

    Attributes:
        which: ``"highest"``, ``"lowest"`` or ``"middle"``.
        id: Of the question.
        culture: Of the question.
        category: Of the question.
        tokens: Its tokens; those of a picture only where ``grids`` is empty.
        grids: The picture's patches.
        picture: A small copy of the picture as JPEG; empty without one.
        options: The options.
        gold: Index of the right option.
        given: Index of the model's answer, -1 where it was no option.
        p_gold: P(gold) of the unmodified model.
        p_without: P(gold) with the neuron ablated.
        maximum: The highest activation of a counted token.
        minimum: The lowest.
    """

    which: str
    id: str
    culture: str
    category: str
    tokens: tuple[Token, ...]
    grids: tuple[Grid, ...]
    picture: bytes
    options: tuple[str, ...]
    gold: int
    given: int
    p_gold: float
    p_without: float
    maximum: float
    minimum: float

    def to_pandas(self) -> pd.DataFrame:
        """List its tokens: token, role, value."""
        import pandas as pd

        rows = [(one.text, one.role, one.value) for one in self.tokens]
        return pd.DataFrame(rows, columns=["token", "role", "value"])
