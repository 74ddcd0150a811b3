"""NeuronCard and NeuronCards: cards as they are shown in a notebook, in a terminal, in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.cards.html import STYLE, fragment, page
from culture_lens.cards.places import Place, spoken
from culture_lens.cards.records import CardContent
from culture_lens.checks import check_arguments, file_path
from culture_lens.errors import unknown
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.display import Shown
from culture_lens.storage.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

MOST_WARNINGS = 4
WIDTH = 100


def spread(name: str, estimate: Estimate | None) -> dict[str, float]:
    """Write an estimate as three columns.

    Example:
        >>> spread("active", Estimate(0.5, 0.4, 0.6))
        {'active': 0.5, 'active_low': 0.4, 'active_high': 0.6}
    """
    own = estimate or Estimate(float("nan"), float("nan"), float("nan"))
    return {name: own.value, f"{name}_low": own.low, f"{name}_high": own.high}


def written_page(path: str | Path, cards: Any, title: str) -> Path:
    """Write cards into one self-contained HTML file."""
    text = page(cards, title)
    return write_whole(Path(path), lambda part: part.write_text(text, encoding="utf-8"))


@dataclass(frozen=True, eq=False, repr=False)
class NeuronCard(CardContent):
    """Everything about one neuron; ``CardContent`` lists its fields.

    In a notebook it shows itself; nothing of it needs scripts or a network.

    Example:
        ``neuron_card(model, ("act", 3, 7), questions).save("neuron.html")``
    """

    @property
    def title(self) -> str:
        """The neuron and its model in a few words."""
        return f"{spoken(self.neuron)} of {self.metadata.get('model', 'a model')}"

    def to_pandas(self) -> pd.DataFrame:
        """List activity and effects per culture, each with its interval, as numbers."""
        import pandas as pd

        effects = {effect.label: effect for effect in self.effects}
        rows = []
        for one in self.by_culture:
            row: dict[str, Any] = {"culture": one.label, "items": one.items}
            row |= {**spread("active", one.active), **spread("magnitude", one.magnitude)}
            effect = effects.get(one.label)
            row |= spread("p_change", effect.p_gold if effect else None)
            row |= spread("log_odds", effect.log_odds if effect else None)
            row |= spread("predicted_log_odds", effect.predicted if effect else None)
            row["ablated_items"] = effect.items if effect else 0
            rows.append(row)
        return pd.DataFrame(rows)

    @check_arguments(path=file_path)
    def save(self, path: str | Path) -> Path:
        """Write the card as one self-contained HTML file.

        Example:
            ``card.save("neuron.html")``
        """
        return written_page(path, [self], self.title)

    def __repr__(self) -> str:
        """Say in at most eight lines whose neuron it is, and what to be careful about."""
        named = ", ".join(dict.fromkeys(f"{one.selector} for {one.culture}" for one in self.chosen))
        lines = [f"NeuronCard {self.title}", f"  chosen by: {named or 'nothing that was given'}"]
        own = [row for row in self.by_culture if row.label in self.cultures]
        lines += [f"  {row.label}: active on {row.active.value:.1%} of tokens" for row in own[:1]]
        lines += [f"  warning: {text}" for text in self.warnings[:MOST_WARNINGS]]
        if more := len(self.warnings) - MOST_WARNINGS:
            lines += [f"  and {more} more warnings"] if more > 0 else []
        return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines)

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{fragment(self, opened=True)}"


@dataclass(frozen=True, eq=False, repr=False)
class NeuronCards(Shown):
    """Cards of several neurons, made in the same passes.

    Attributes:
        cards: The cards, in the order of the neurons.

    Example:
        ``neuron_cards(model, found, questions).save("neurons.html")``
    """

    cards: tuple[NeuronCard, ...]

    def __len__(self) -> int:
        """Count the cards."""
        return len(self.cards)

    def __iter__(self) -> Iterator[NeuronCard]:
        """Go through the cards."""
        return iter(self.cards)

    def __getitem__(self, neuron: Place | int) -> NeuronCard:
        """Give the card of a neuron, or the one at a position.

        Raises:
            InputError: There is no card of this neuron.
        """
        if isinstance(neuron, int) and -len(self.cards) <= neuron < len(self.cards):
            return self.cards[neuron]
        if not isinstance(neuron, int):
            place = tuple(neuron)
            for card in self.cards:
                if card.neuron == place:
                    return card
        raise unknown("card", neuron, (str(card.neuron) for card in self.cards))

    def to_pandas(self) -> pd.DataFrame:
        """List every card's cultures as ``NeuronCard.to_pandas`` does, the neuron before them."""
        import pandas as pd

        frames = []
        for card in self.cards:
            site, layer, index = card.neuron
            own = card.to_pandas()
            own.insert(0, "index", index)
            own.insert(0, "layer", layer)
            own.insert(0, "site", site)
            frames.append(own)
        return pd.concat(frames, ignore_index=True)

    @check_arguments(path=file_path)
    def save(self, path: str | Path) -> Path:
        """Write all cards, collapsed, as one self-contained HTML file.

        Example:
            ``cards.save("neurons.html")``
        """
        model = self.cards[0].metadata.get("model", "a model") if self.cards else "a model"
        return written_page(path, self.cards, f"{len(self.cards)} neurons of {model}")

    def __repr__(self) -> str:
        """Name the first neurons and count their warnings."""
        lines = [f"NeuronCards: {len(self.cards)} neurons"]
        lines += [f"  {spoken(c.neuron)}: {len(c.warnings)} warnings" for c in self.cards[:6]]
        return "\n".join(lines + (["  ..."] if len(self.cards) > 6 else []))

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{''.join(fragment(card) for card in self.cards)}"


__all__ = ["NeuronCard", "NeuronCards"]
