"""What a card holds, as frozen records: activity, effects, ranks, logits, and all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from culture_lens.cards.part import CardPart
from culture_lens.cards.places import Place
from culture_lens.cards.shown_item import ShownItem
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Activity(CardPart):
    """How a neuron fires on some items.

    Attributes:
        label: Which items.
        items: How many.
        active: P, the share of their counted tokens on which it is positive.
        magnitude: Its mean activation over these tokens.
        varying: The share of its activity that differs between items: 1 - mean^2 / mean square of
            their highest activation, at least 0; NaN of no items.
    """

    label: str
    items: int
    active: Estimate
    magnitude: Estimate
    varying: float = math.nan


@dataclass(frozen=True, slots=True, repr=False)
class Effect(CardPart):
    """What ablating a neuron alone does to some items.

    P(gold) cannot fall where other neurons hold it near 1; the log-odds of the right option among
    the options still fall.

    Attributes:
        label: Which items.
        items: How many of them were asked with the neuron ablated.
        p_gold: The mean measured change of P(gold); None where no item was asked.
        log_odds: The mean measured change of the log-odds.
        largest: The largest change of P(gold) of a single item, with its sign.
        few: The number of items that make half of all absolute changes of log-odds.
        predicted_items: Of how many items the log-odds were predicted.
        predicted: Their mean predicted change, to first order; None where it was not predicted.
    """

    label: str
    items: int
    p_gold: Estimate | None
    log_odds: Estimate | None
    largest: float
    few: int
    predicted_items: int
    predicted: Estimate | None


@dataclass(frozen=True, slots=True, repr=False)
class SetEffect(CardPart):
    """What ablating a culture's set does to P(gold) of its items, with the neuron in it or not.

    Attributes:
        selector: What found the set.
        culture: Whose set, and whose items.
        size: Neurons of the set.
        items: Items that were asked.
        whole: The mean change under the whole set.
        without: The mean change under the set without this neuron; None where it is the only one.
    """

    selector: str
    culture: str
    size: int
    items: int
    whole: Estimate
    without: Estimate | None


@dataclass(frozen=True, slots=True, repr=False)
class Rank(CardPart):
    """Where a neuron stands in a table of scores for a culture.

    Attributes:
        table: The selector, or the scoring, such as ``"CountryRC"``.
        culture: The culture.
        score: Its score; minus infinity where it cannot be chosen.
        rank: 1 for the highest score; ties share a rank.
        of: How many neurons can be chosen.
        neurons: How many neurons the table has.
    """

    table: str
    culture: str
    score: float
    rank: int
    of: int
    neurons: int

    @property
    def percentile(self) -> float:
        """The per cent of the table's neurons that score lower or cannot be chosen; 100 is best.

        Example:
            >>> Rank("lap", "Japan", 0.5, 1, 200, 200).percentile
            99.5
        """
        lower = 0 if self.rank == 0 else self.neurons - self.rank
        return 100 * lower / self.neurons


@dataclass(frozen=True, slots=True, repr=False)
class TokenLogit(CardPart):
    """A token of the vocabulary in a logit lens.

    Attributes:
        token: Its text.
        value: Its logit.
        rank: 1 for the most promoted token of the vocabulary.
        culture: Of a gold option, whose; else empty.
    """

    token: str
    value: float
    rank: int
    culture: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Lens(CardPart):
    """What a neuron's outgoing weights write, read through the unembedding.

    Attributes:
        promoted: The tokens with the highest logits.
        suppressed: The tokens with the lowest.
        gold: The first tokens of gold options, the most promoted first.
        vocabulary: Tokens of the vocabulary.
        norm: The norm of the weights.
        layer_norm: The median norm of its layer.
        percentile: The per cent of its layer's neurons with a lower norm.
    """

    promoted: tuple[TokenLogit, ...]
    suppressed: tuple[TokenLogit, ...]
    gold: tuple[TokenLogit, ...]
    vocabulary: int
    norm: float
    layer_norm: float
    percentile: float

    def to_pandas(self) -> pd.DataFrame:
        """List the tokens: end (promoted, suppressed, gold), token, logit, rank."""
        import pandas as pd

        ends = {"promoted": self.promoted, "suppressed": self.suppressed, "gold": self.gold}
        rows = [(end, one.token, one.value, one.rank) for end, own in ends.items() for one in own]
        return pd.DataFrame(rows, columns=["end", "token", "logit", "rank"])


@dataclass(frozen=True, slots=True, repr=False)
class Chosen(CardPart):
    """A choice of a neuron by a selector for a culture.

    Attributes:
        selector: The selector.
        culture: The culture.
        score: Its score there; None where the set keeps none.
        again: Bootstrap samples in which it was chosen again; None where none were drawn.
        samples: Bootstrap samples.
    """

    selector: str
    culture: str
    score: float | None
    again: int | None = None
    samples: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Signs(CardPart):
    """At which sign a neuron acts, on its cultures' items.

    Attributes:
        positive: The mean predicted change of log-odds from tokens on which it is positive; NaN
            where it was not predicted.
        negative: From the others.
        whole: The mean measured change of log-odds; None where nothing was measured.
        without_negative: The same where only its negative activations are set to 0; None where
            ablating it has no effect, so that this was not asked.
    """

    positive: float
    negative: float
    whole: Estimate | None = None
    without_negative: Estimate | None = None


@dataclass(frozen=True, eq=False, repr=False)
class CardContent(Shown):
    """Everything that a card says; ``NeuronCard`` adds how it is shown.

    Attributes:
        neuron: ``(site, layer, index)``.
        cultures: Whose neuron it is: the cultures that chose it, else the one with the highest P.
        chosen: Who chose it.
        sign: ``"positive"`` or ``"negative"``: the sign at which it acts, as far as is known.
        items: The items that are shown.
        by_culture: Activity per culture, over all counted tokens.
        by_part: Activity on its cultures' items, picture and text apart; empty without pictures.
        by_category: Activity on its cultures' items per category.
        by_name: Activity on its cultures' items with and without the country's name.
        effects: Effects per culture, its own first; the last one is of all others together.
        sets: Effects of the sets that it is in.
        signs: At which sign it acts.
        ranks: Its ranks under selectors and scorings.
        lens: Its logit lens; None where its site has none.
        warnings: What to be careful about, in sentences.
        left_out: What is not on the card, and why, in sentences.
        metadata: Model, scoring, benchmark, numbers of items.
    """

    neuron: Place
    cultures: tuple[str, ...]
    chosen: tuple[Chosen, ...]
    sign: str
    items: tuple[ShownItem, ...]
    by_culture: tuple[Activity, ...]
    by_part: tuple[Activity, ...]
    by_category: tuple[Activity, ...]
    by_name: tuple[Activity, ...]
    effects: tuple[Effect, ...]
    sets: tuple[SetEffect, ...]
    signs: Signs
    ranks: tuple[Rank, ...]
    lens: Lens | None
    warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
