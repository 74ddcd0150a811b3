"""The neuron cards of a run folder, taken from its files ``cards/*.html`` for the page.

The files are read as text and their tags held against those that cards are made of, so that a file
that was made by others brings nothing else into the page: no script, no address, no form.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from culture_lens.cards.places import Place
from culture_lens.errors import InputError, warn
from culture_lens.storage.runs import Run

TAGS = set(
    "b caption dd defs details div dl dt g h4 h5 i image li p small span summary svg table tbody "
    "td th thead title tr ul use".split()
)
ATTRIBUTES = set(
    "aria-label class height href id preserveaspectratio role scope style title transform viewbox "
    "width x y".split()
)
ADDRESS, WIDTH = re.compile(r"#|data:image/(png|jpeg);base64,"), re.compile(r"width:\d+%")
NAME = re.compile(r"<summary><b>([^<]*) (\d{1,9})\.(\d{1,9})</b>")


class Fragments(HTMLParser):
    """The cards in a page of cards, each as it is written there.

    Attributes:
        cards: The text of each ``<details class="card">``.
    """

    def __init__(self) -> None:
        """Begin outside all cards."""
        super().__init__(convert_charrefs=False)
        self.cards: list[str] = []
        self._depth = 0

    @property
    def unfinished(self) -> bool:
        """Whether a card has begun and not ended."""
        return self._depth > 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a card, or check a tag inside one."""
        if tag == "details" and (self._depth or ("class", "card") in attrs):
            self._depth += 1
            if self._depth == 1:
                self.cards.append('<details class="card">')
                return
        self._keep(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check a tag without content."""
        self._keep(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """End a tag, maybe the card."""
        if self._depth and tag not in TAGS:
            raise InputError(f"</{tag}> is not in a card")
        self._add(f"</{tag}>")
        if self._depth and tag == "details":
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        """Keep text; a `<` in it, which a browser may read as a tag, is escaped."""
        self._add(data.replace("<", "&lt;").replace(">", "&gt;"))

    def handle_entityref(self, name: str) -> None:
        """Keep an escaped character."""
        self._add(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """Keep a character written as a number."""
        self._add(f"&#{name};")

    def _add(self, text: str) -> None:
        if self._depth:
            self.cards[-1] += text

    def _keep(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._depth:
            return
        for name, value in attrs:
            known = name in ATTRIBUTES
            known &= name != "href" or bool(ADDRESS.match(value or ""))
            known &= name != "style" or bool(WIDTH.fullmatch(value or ""))
            if not known:
                raise InputError(f"<{tag} {name}> is not in a card")
        if tag not in TAGS:
            raise InputError(f"<{tag}> is not in a card")
        self._add(self.get_starttag_text() or "")


def cards_of(run: Run) -> dict[Place, list[str]]:
    """Read the cards of a run folder.

    A file that is no page of cards is left out, with a warning.

    Returns:
        The neuron -> its cards, as HTML.

    Example:
        ``cards_of(Run.open("runs/first"))["act", 3, 7]``
    """
    held: dict[Place, list[str]] = {}
    for name in run.names("cards", ".html"):
        file = run.named("cards", name, ".html")
        try:
            cards = [(place_of(card), card) for card in cards_in(file.read_text(encoding="utf-8"))]
        except (InputError, UnicodeDecodeError) as error:
            warn(f"{file} is not shown, because it is no page of cards: {error}.")
            continue
        for place, card in cards:
            held.setdefault(place, []).append(card)
    return held


def cards_in(text: str) -> list[str]:
    """Give the cards of a page of cards.

    Raises:
        InputError: A card that does not end, or holds what is not of a card.
    """
    reader = Fragments()
    reader.feed(text)
    if reader.unfinished:
        raise InputError("its last card does not end")
    return reader.cards


def place_of(card: str) -> Place:
    """Read whose card it is.

    Raises:
        InputError: It does not say.

    Example:
        >>> place_of("<details><summary><b>act 3.7</b></summary></details>")
        ('act', 3, 7)
    """
    named = NAME.search(card)
    if named is None:
        raise InputError("a card does not name its neuron")
    return named[1], int(named[2]), int(named[3])
