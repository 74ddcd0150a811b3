"""What to be careful about with a neuron, in sentences, the gravest first.

Each rule reads the card alone and says its numbers, so that a reader can judge the rule. "No
effect" is a mean change of P(gold) below ``NO_EFFECT``, or one whose interval includes 0, which is
then said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from culture_lens.cards.numbers import number, percent, plus, signed
from culture_lens.cards.ranks import CONTROL, COUNTRYRC, percentile_of
from culture_lens.cards.records import Activity, CardContent, Effect
from culture_lens.statistics.estimates import Estimate

NO_EFFECT, NO_SHIFT = 0.01, 0.1
"""Changes of P(gold), and of log-odds, that are too small to matter."""
ON_ONE_ITEM = 0.3
"""A change of P(gold) of a single item that is worth a look."""
FEW = 0.06
"""A share of items that is small to rest on."""
MOSTLY = 0.6
"""A share of an effect that is most of it."""
STEADY = 0.2
"""A share of activity that differs between items, below which it fires whatever is asked."""
HIGH = 99.0
"""A percentile on a control from which on a neuron is among its best."""
SHARED = 0.33
"""A share of the own culture's effect that another culture's makes remarkable."""
TO_TELL = " that can be told from 0"
"""Said of a change that is not small, and whose interval includes 0: more items could tell."""
UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def cautions(card: CardContent) -> tuple[str, ...]:
    """Write the warnings of a card."""
    return tuple(text for rule in RULES for text in rule(card))


def own_effect(card: CardContent) -> Effect | None:
    """Give the effect on the culture that it matters most for, among its own."""
    own = [row for row in card.effects if row.label in card.cultures]
    return max(own, key=lambda row: abs(shift(row).value), default=None)


def shift(row: Effect) -> Estimate:
    """Give the measured change of log-odds, or the predicted one where nothing was measured."""
    return row.log_odds or row.predicted or UNKNOWN


def none_of(estimate: Estimate, least: float) -> bool:
    """Whether a change is too small to matter, or may be 0.

    Example:
        >>> small, clear = Estimate(0.0012, 0.001, 0.002), Estimate(-1.0, -2.0, -0.5)
        >>> none_of(small, 0.01), none_of(clear, 0.01)
        (True, False)
    """
    unclear = not math.isnan(estimate.low + estimate.high) and not estimate.excludes(0.0)
    return unclear or not abs(estimate.value) >= least


def no_answers(row: Effect) -> bool:
    """Whether P(gold) was measured and does not change."""
    return row.p_gold is not None and none_of(row.p_gold, NO_EFFECT)


def idle(row: Effect) -> bool:
    """Whether nothing that is known of the effect matters."""
    answers = row.p_gold is None or none_of(row.p_gold, NO_EFFECT)
    return answers and none_of(shift(row), NO_SHIFT)


def effect_alone(card: CardContent) -> Iterator[str]:
    """Say that ablating it alone changes nothing, or that it works against the right answer."""
    row = own_effect(card)
    if row is None:
        return
    change, odds = row.p_gold or UNKNOWN, shift(row)
    odds_told = f"the log-odds of the right option by {signed(odds)}"
    on = f"on {row.items} questions of {row.label}"
    if row.p_gold is None:
        if none_of(odds, NO_SHIFT):
            yield f"No effect alone is predicted: {odds_told} for {row.label}."
    elif idle(row):
        mean = " on average" if abs(row.largest) >= ON_ONE_ITEM else ""
        small = abs(change.value) < NO_EFFECT and abs(odds.value) < NO_SHIFT
        mean += "" if small else TO_TELL
        yield f"No effect alone{mean}: P(gold) changes by {signed(change)} {on}, {odds_told}."
    elif no_answers(row):
        yield (
            f"No effect on answers alone: P(gold) changes by {signed(change)} {on}, {odds_told}; "
            "other neurons may hold the answer."
        )
    elif change.value > 0:
        yield f"Works against the right answer: P(gold) changes by {signed(change)} {on}."
    if no_answers(row) and abs(row.largest) >= ON_ONE_ITEM:
        yield f"Matters for single items: P(gold) of one of them changes by {plus(row.largest)}."


def marks_culture(card: CardContent) -> Iterator[str]:
    """Say that it tells cultures apart by firing, and does nothing."""
    row = own_effect(card)
    others = [one for one in card.by_culture if one.label not in card.cultures]
    own = [one for one in card.by_culture if one.label in card.cultures]
    if row is None or not others or not own or not idle(row):
        return
    low, high = min(own, key=lambda one: one.active.value), max(others, key=highest)
    if low.varying > STEADY or not (
        above(low.active, high.active) or above(low.magnitude, high.magnitude)
    ):
        return
    yield (
        f"Fires for {', '.join(card.cultures)}{part_in_words(card)} whatever is asked, and does "
        "nothing alone: it may mark their style or name them, which is not knowledge (P "
        f"{percent(low.active.value)}, elsewhere at most {percent(high.active.value)}; "
        f"{percent(low.varying)} of its activity differs between items)."
    )


def highest(row: Activity) -> float:
    """Give the upper end of P, or P where it has no interval."""
    high = row.active.high
    return row.active.value if math.isnan(high) else high


def above(one: Estimate, other: Estimate) -> bool:
    """Whether the whole interval of one lies above that of another; values where there is none.

    Example:
        >>> above(Estimate(0.5, 0.4, 0.6), Estimate(0.1, math.nan, math.nan))
        True
    """
    low = one.value if math.isnan(one.low) else one.low
    high = other.value if math.isnan(other.high) else other.high
    return low > high


def part_in_words(card: CardContent) -> str:
    """Say whether it fires on pictures or on text, where there are both."""
    if len(card.by_part) < 2:
        return ""
    picture, text = card.by_part
    if above(picture.active, text.active):
        return "’s pictures"
    return "’s texts" if above(text.active, picture.active) else "’s pictures and texts"


def country_name(card: CardContent) -> Iterator[str]:
    """Say that it fires for the country's name."""
    rows = {row.label: row for row in card.by_name}
    name, beside = rows.get("tokens of the name"), rows.get("tokens beside it")
    if name is None or beside is None:
        return
    if above(name.active, beside.active) and above(name.magnitude, beside.magnitude):
        yield (
            f"Fires for the country's name: positive on {percent(name.active.value)} of its "
            f"tokens, on {percent(beside.active.value)} of the tokens beside it."
        )


def controls(card: CardContent) -> Iterator[str]:
    """Say that it is among the best neurons of a control."""
    found = percentile_of(card.ranks, COUNTRYRC)
    if found and found[0] >= HIGH and found[1].score > 0:
        yield (
            f"Names the country: above {found[0]:.1f}% of neurons on {found[1].table} for "
            f"{found[1].culture}, which asks for a country and not for knowledge of it."
        )
    found = percentile_of(card.ranks, CONTROL)
    if found and found[0] >= HIGH and found[1].score > 0:
        yield (
            f"Answers without the question: above {found[0]:.1f}% of neurons on control twins for "
            f"{found[1].culture}, which show options and instructions only."
        )


def works_for_others(card: CardContent) -> Iterator[str]:
    """Say which other cultures it matters for as well."""
    row = own_effect(card)
    if row is None or none_of(shift(row), NO_SHIFT):
        return
    own = shift(row).value
    others = [
        other
        for other in card.effects[:-1]
        if other.label != row.label
        and not none_of(shift(other), NO_SHIFT)
        and shift(other).value / own >= SHARED
    ]
    if not others:
        return
    told = ", ".join(f"{other.label} {signed(shift(other))}" for other in (row, *others))
    if len(others) >= max(2, (len(card.by_culture) - 1) / 2):
        yield f"Not of one culture: the log-odds change for most cultures ({told})."
    else:
        yield f"Shared by cultures, which may be kin: the log-odds change for each ({told})."


def acts_while_negative(card: CardContent) -> Iterator[str]:
    """Say that its effect comes from tokens on which it is not positive."""
    whole, cut = card.signs.whole, card.signs.without_negative
    if whole is None or cut is None or cut.value / whole.value < MOSTLY:
        return
    yield (
        f"Acts while it is negative: the log-odds change by {signed(cut)} without its negative "
        f"activations, and by {signed(whole)} without all of them. Selectors that count positive "
        "tokens (LAP, LAPE, ConAct) do not see it."
    )


def rests_on_few(card: CardContent) -> Iterator[str]:
    """Say that few items make half of its effect."""
    row = own_effect(card)
    if row is None or not row.items or row.few > FEW * row.items or abs(row.largest) < ON_ONE_ITEM:
        return
    yield (
        f"Rests on few items: {row.few} of {row.items} items of {row.label} make half of all "
        "changes of log-odds, so that a mean over them says little."
    )


def unstable(card: CardContent) -> Iterator[str]:
    """Say that bootstrap samples seldom choose it again."""
    for one in card.chosen:
        if one.again is not None and one.again < one.samples / 2:
            yield (
                f"Unstable: chosen by {one.again} of {one.samples} bootstrap samples "
                f"({one.selector} for {one.culture})."
            )


def set_without(card: CardContent) -> Iterator[str]:
    """Say that its set does as much without it, or that the set does nothing either."""
    for one in card.sets:
        if none_of(one.whole, NO_EFFECT):
            yield (
                f"Its set has no effect{'' if abs(one.whole.value) < NO_EFFECT else TO_TELL}: "
                f"{one.selector} for {one.culture}, {one.size} neurons, changes P(gold) by "
                f"{signed(one.whole)}."
            )
        elif one.without is not None and abs(one.without.value - one.whole.value) < NO_EFFECT:
            yield (
                f"Its set does not need it: {one.selector} for {one.culture} changes P(gold) by "
                f"{plus(one.whole.value)} with it and by {plus(one.without.value)} without it."
            )


def predicted_wrongly(card: CardContent) -> Iterator[str]:
    """Say that the first-order prediction is not what was measured."""
    row = own_effect(card)
    if row is None or row.log_odds is None or row.predicted is None:
        return
    apart = row.log_odds.value - row.predicted.value
    if abs(apart) >= NO_SHIFT and row.log_odds.excludes(row.predicted.value):
        yield (
            f"Not as predicted: log-odds change by {plus(row.log_odds.value)}, predicted "
            f"{plus(row.predicted.value)}, for {row.label}; gradients see one small step."
        )


def small_weights(card: CardContent) -> Iterator[str]:
    """Say that it hardly writes."""
    if card.lens is not None and card.lens.percentile < 1:
        yield (
            f"Hardly writes: the norm of its outgoing weights, {number(card.lens.norm)}, is among "
            "the lowest 1% of its layer."
        )


RULES: tuple[Callable[[CardContent], Iterator[str]], ...] = (
    effect_alone,
    marks_culture,
    country_name,
    controls,
    works_for_others,
    acts_while_negative,
    rests_on_few,
    unstable,
    set_without,
    predicted_wrongly,
    small_weights,
)
"""The rules in the order of their warnings."""
