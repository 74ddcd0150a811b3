"""How figures write an objective of attribution: its name, its unit, and how it was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from culture_lens.statistics.estimates import Estimate


@dataclass(frozen=True)
class Quantity:
    """What changes when neurons are ablated.

    Attributes:
        name: Such as ``"probability of the right answer"``.
        unit: Of its changes on an axis.
        short: The unit in a hover text.
        size: How much one unit is.
    """

    name: str
    unit: str
    short: str
    size: float = 1.0

    def as_share(self, value: float) -> float:
        """Give the share that ``style.points`` writes as this value in its unit.

        Example:
            >>> QUANTITIES["probability"].as_share(0.25)
            0.25
            >>> QUANTITIES["logit_difference"].as_share(3.0)
            0.03
        """
        return value / (100 * self.size)

    def shares(self, estimate: Estimate) -> Estimate:
        """Give such shares of an estimate."""
        value, low, high = (self.as_share(x) for x in (estimate.value, estimate.low, estimate.high))
        return Estimate(value, low, high)


QUANTITIES: Mapping[str, Quantity] = {
    "probability": Quantity("probability of the right answer", "percentage points", "points", 0.01),
    "log_probability": Quantity("log-probability of the right answer", "nats", "nats"),
    "logit_difference": Quantity(
        "logit difference of the right answer and all others", "log-odds", "log-odds"
    ),
}


def quantity_of(metadata: Mapping[str, Any]) -> Quantity:
    """Give the quantity of a prediction; that of an objective without an entry has its name.

    Example:
        >>> quantity_of({}).unit
        'percentage points'
    """
    name = str(metadata.get("objective", "probability"))
    return QUANTITIES.get(name, Quantity(name.replace("_", " "), "its own unit", ""))


def how_predicted(metadata: Mapping[str, Any]) -> str:
    """Write from which gradients something was predicted.

    Example:
        >>> how_predicted({"scoring": "option_likelihood", "path": "integrated", "points": 6})
        'by option likelihood, from a path of 6 points'
    """
    path, points = metadata.get("path", "none"), metadata.get("points")
    passes = {
        "none": "from one backward pass",
        "integrated": f"from a path of {points} points",
        "integrated_layerwise": f"from a path of {points} points for each layer",
        "inputs": f"from {points} points of scaled inputs",
        "relp": "from one backward pass by propagation rules",
    }[path]
    by_letter = metadata.get("scoring", "letter") == "letter"
    return passes if by_letter else f"by option likelihood, {passes}"
