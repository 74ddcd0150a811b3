"""The logit lens of a card: promoted and suppressed tokens, those of gold options too."""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.cards.effects import Asking
from culture_lens.cards.logit_lens import LogitLens, first_tokens, logit_lens, no_lens
from culture_lens.cards.places import Place
from culture_lens.cards.records import Lens, TokenLogit

TOKENS, GOLD = 10, 8
"""Tokens shown at either end, and of gold options."""


def lens_of(asking: Asking, place: Place, cultures: Sequence[str]) -> Lens | None:
    """Read a neuron's outgoing weights, and find the gold options of some cultures in them.

    A gold option is found by its first token as it stands after a space, so that options that
    begin alike are one.
    """
    if no_lens(asking.model, place[0]):
        return None
    read = logit_lens(asking.model, place)
    own = [q for q in asking.questions if q.culture in cultures]
    words = list(dict.fromkeys((q.options[q.answer].strip(), q.culture) for q in own))
    tokens = first_tokens(asking.model, [word for word, _ in words])
    named: dict[int, TokenLogit] = {}
    for (word, culture), token in zip(words, tokens, strict=True):
        if token >= 0 and token not in named:
            named[token] = token_logit(read, token, culture, word)
    gold = sorted(named.values(), key=lambda one: one.rank)
    promoted, suppressed = read.ends(TOKENS)
    lower = float((read.layer_norms < read.norm).double().mean())
    return Lens(
        tuple(token_logit(read, token) for token in promoted),
        tuple(token_logit(read, token) for token in suppressed),
        tuple(gold[:GOLD]),
        len(read.logits),
        read.norm,
        float(read.layer_norms.median()),
        100 * lower,
    )


def token_logit(read: LogitLens, token: int, culture: str = "", word: str = "") -> TokenLogit:
    """Write a token with its logit and rank, and the option that it begins."""
    text = read.tokenizer.decode([token])
    more = f" ({word})" if word and word != text.strip() else ""
    return TokenLogit(f"{text}{more}", float(read.logits[token]), read.rank(token), culture)
