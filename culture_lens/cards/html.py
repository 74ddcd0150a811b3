"""Cards as HTML: a fragment to embed, the style that it needs, and a page of its own.

No scripts and no network: what opens is ``<details>``, dark mode is CSS, pictures are data URIs.
All text is escaped by Jinja2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from culture_lens.cards.records import CardContent

HERE = Path(__file__).parent
STYLE: str = (HERE / "card.css").read_text(encoding="utf-8")
"""The CSS of cards, for a ``<style>`` element; every rule is below ``.card``."""


def fragment(card: CardContent, *, opened: bool = False) -> str:
    """Write a card as ``<details class="card">``, to be put into a page that has ``STYLE``.

    Args:
        card: The card.
        opened: Whether it is open at first.

    Example:
        ``fragment(neuron_card(model, ("act", 3, 7), questions))``
    """
    return str(template("card.html").render(card=card, opened=opened))


def page(cards: Sequence[CardContent], title: str) -> str:
    """Write cards as one self-contained page; a single card is open.

    Example:
        ``page([card], "act 3.7")``
    """
    parts = [fragment(card, opened=len(cards) == 1) for card in cards]
    return str(template("page.html").render(title=title, cards=parts, style=STYLE))


def template(name: str) -> Any:
    """Read a template of this folder, with escaping on."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
