"""Cards as HTML: a fragment to embed, the style that it needs, and a page of its own.

No scripts and no network: what opens is ``<details>``, dark mode is CSS, pictures are data URIs.
All text is escaped by Jinja2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from culture_lens.cards.numbers import number, percent, plus, share, signed
from culture_lens.cards.pictures import drawn_picture
from culture_lens.cards.places import spoken
from culture_lens.cards.records import CardContent
from culture_lens.cards.shown_item import ShownItem

HERE = Path(__file__).parent
STYLE: str = (HERE / "card.css").read_text(encoding="utf-8")
"""The CSS of cards, for a ``<style>`` element; every rule is below ``details.card``."""
HEADINGS = {
    "highest": "Highest activation",
    "middle": "Middle activation",
    "lowest": "Lowest activation",
}
ROLES = {"question": "q", "options": "o", "answer prefix": "a", "image": "i"}
"""The class of a token's role; any other is the template's, t."""
LEVELS = 9
LONGEST_HEAD = 90


def fragment(card: CardContent, *, opened: bool = False) -> str:
    """Write a card as ``<details class="card">``, to be put into a page that has ``STYLE``.

    Args:
        card: The card.
        opened: Whether it is open at first.

    Example:
        ``fragment(neuron_card(model, ("act", 3, 7), questions))``
    """
    scale = scale_of(card)
    groups = [
        (heading, [item_view(card, item, scale) for item in card.items if item.which == which])
        for which, heading in HEADINGS.items()
    ]
    return str(
        template("card.html").render(
            card=card,
            opened=opened,
            name=spoken(card.neuron),
            selectors=list(dict.fromkeys(one.selector for one in card.chosen)),
            facts=[(n, str(v)) for n, v in card.metadata.items() if v not in ("", None)],
            groups=[(heading, rows) for heading, rows in groups if rows],
            scale=scale,
            whose=", ".join(card.cultures),
        )
    )


def page(cards: Sequence[CardContent], title: str) -> str:
    """Write cards as one self-contained page; a single card is open.

    Example:
        ``page([card], "act 3.7")``
    """
    from markupsafe import Markup

    # Both were written here: what is text in them has been escaped.
    parts = [Markup(fragment(card, opened=len(cards) == 1)) for card in cards]
    return str(template("page.html").render(title=title, cards=parts, style=Markup(STYLE)))


def scale_of(card: CardContent) -> float:
    """Give the largest absolute activation among what is shown, the end of the colour scale."""
    tokens = (abs(token.value) for item in card.items for token in item.tokens)
    patches = (float(abs(grid.values).max()) for item in card.items for grid in item.grids)
    return max([*tokens, *patches], default=0.0)


def item_view(card: CardContent, item: ShownItem, scale: float) -> dict[str, Any]:
    """Give what the template needs of an item."""
    tokens = [
        {
            "text": token.text,
            "role": ROLES.get(token.role, "t"),
            "shade": shade(token.value, scale),
            "value": number(token.value),
        }
        for token in item.tokens
    ]
    known = {name: getattr(item, name) for name in item.__dataclass_fields__}
    key = f"{spoken(card.neuron)}-{item.which}-{card.items.index(item)}".replace(" ", "-")
    return {**known, "tokens": tokens, **drawn_picture(item, scale, f"picture-{key}")}


def shade(value: float, scale: float) -> str:
    """Give the class of a token's colour: p1 to p9, n1 to n9, or none near 0.

    Example:
        >>> shade(1.0, 1.0), shade(-0.5, 1.0), shade(0.01, 1.0)
        (' p9', ' n4', '')
    """
    level = round(LEVELS * abs(value) / scale) if scale else 0
    return f" {'p' if value > 0 else 'n'}{level}" if level else ""


def visible(text: str) -> str:
    """Show a token's spaces and line breaks.

    Example:
        >>> visible(" tea")
        '␣tea'
    """
    return text.replace(" ", "␣").replace("\n", "↵") or "(empty)"


def head(text: str) -> str:
    """Give the first words of a sentence, up to its first colon."""
    short = text.partition(":")[0]
    return short if len(short) <= LONGEST_HEAD else f"{short[: LONGEST_HEAD - 1]}…"


def bar(value: float) -> Any:
    """Draw a share as a bar."""
    from markupsafe import Markup

    if math.isnan(value):
        return ""
    return Markup(
        f'<span class="bar"><i style="width:{100 * min(max(value, 0), 1):.0f}%"></i></span>'
    )


@cache
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
    environment.filters |= {
        "bar": bar,
        "head": head,
        "number": number,
        "percent": percent,
        "plus": plus,
        "share": share,
        "signed": signed,
        "visible": visible,
    }
    return environment.get_template(name)


__all__ = ["STYLE", "fragment", "page"]
