"""What is not on a card, and why, in sentences."""

from __future__ import annotations

from culture_lens.cards.effects import Asking
from culture_lens.cards.given import Given
from culture_lens.cards.logit_lens import no_lens
from culture_lens.cards.naming import names_country
from culture_lens.cards.places import Place
from culture_lens.cards.prediction import can_predict
from culture_lens.cards.ranks import CONTROL, COUNTRYRC, Tables


def absent(asking: Asking, place: Place, given: Given) -> tuple[str, ...]:
    """Write what was not given, or cannot be had, and what gives it."""
    sets, tables, matrix = given.sets, given.tables, given.matrix
    named = [names_country(item) for item in asking.recorded.items]
    scoring = asking.scoring.name
    lacking = {
        "Who chose it, and its set without it: no sets were given (found=).": not sets,
        "Ranks under selectors: no scores were given (scores=).": not tables,
        "Bootstrap selection frequency: no sets with a summary that has bootstrap samples were "
        "given (summarise(..., replicates=20)).": not given.samples,
        "Its rank on CountryRC: no scores of CountryRC were given (culnig_scores or "
        "knowledge_scores).": not has(tables, COUNTRYRC),
        "Its rank on control twins: no CulnigScores were given.": not has(tables, CONTROL),
        "The matrix of its sets was not given (matrix=); what they do was measured here.": bool(
            sets
        )
        and matrix is None,
        "The matrix says what whole sets do, and not which neurons are in them: give the set too "
        "(found=).": matrix is not None and not sets,
        f"Predicted effects: scoring {scoring!r} has no gradient here.": not can_predict(scoring),
        "Items without the country's name: every question names it.": all(named),
        "Items with the country's name: no question names it.": not any(named),
    }
    why = no_lens(asking.model, place[0])
    told = [text for text, lacks in lacking.items() if lacks]
    return tuple([*told, f"Logit lens: {why}"] if why else told)


def has(tables: Tables, name: str) -> bool:
    """Whether a kind of table is among those given."""
    return any(own.startswith(name) for own in tables)
