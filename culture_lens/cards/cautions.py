"""What to be careful about with a neuron, in sentences."""

from __future__ import annotations

from culture_lens.cards.records import CardContent


def cautions(card: CardContent) -> tuple[str, ...]:
    """Write the warnings of a card."""
    return ()
