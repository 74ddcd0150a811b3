"""Masks: neurons that are ablated together, and the records of the answers under each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from culture_lens.activations.summary import SUMMARY, ActivationSummary
from culture_lens.checks import check_fields, optional, text, whole
from culture_lens.errors import InputError, listed, unknown, warn
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.directions import Directions
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.weight_norms import outgoing_norms, writes
from culture_lens.questions.question import Question
from culture_lens.selectors.random import RANDOM_MATCHES, matched_random

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, RandomMatch


@dataclass(frozen=True, eq=False)
class AblationMask:
    """Neurons that are ablated together.

    Attributes:
        condition: ``"unmodified"``, ``"found"`` or ``"random"``.
        name: Whose neurons they are: a culture, or the name of a set.
        seed: The seed of random neurons.
        neurons: The neurons; None for the unmodified model.
        facts: Further columns of the records, such as selector and share.

    Example:
        >>> AblationMask("found", "Japan", neurons=Neurons.of({})).columns
        {'condition': 'found', 'mask': 'Japan', 'seed': 0}
    """

    condition: Condition
    name: str = ""
    seed: int = 0
    neurons: Neurons | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Any]:
        """What the records under this mask have in common."""
        return {"condition": self.condition, **self.facts, "mask": self.name, "seed": self.seed}

    @property
    def label(self) -> str:
        """A label for progress bars."""
        parts = (self.condition, *self.facts.values(), self.name) if self.name else [self.condition]
        return " ".join(map(str, parts))


@dataclass(frozen=True, eq=False)
class RandomMasks:
    """How random neurons are drawn beside those that were found.

    Attributes:
        random_seeds: Sets of random neurons beside each culture's.
        random_match: ``"layer"``: as many random neurons in each layer; ``"pool"``: as many in
            all; ``"activity"``: of the same layer, firing rate and norm of outgoing weights; see
            ``matched_random``.
        random_summary: For ``"activity"``, a summary of the sites at which the neurons are.
    """

    random_seeds: int
    random_match: RandomMatch = "layer"
    random_summary: ActivationSummary | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without neurons."""
        check_fields(
            self, random_seeds=whole(0), random_match=text, random_summary=optional(SUMMARY)
        )
        if self.random_match not in RANDOM_MATCHES:
            raise unknown("way to match random neurons", self.random_match, RANDOM_MATCHES)

    def draws(self, model: LensModel, found: NeuronSet) -> Iterator[NeuronSet]:
        """Draw random neurons for every culture, one set for each seed.

        Raises:
            InputError: An unknown match, or what it needs is lacking; see ``matched_random``.
        """
        norms = None
        if self.random_match == "activity":
            norms = {
                site: outgoing_norms(model, site) for site in found.shapes if writes(site, model)
            }
        for seed in range(self.random_seeds):
            yield matched_random(
                found, seed, match=self.random_match, summary=self.random_summary, norms=norms
            )


def found_and_random(model: LensModel, found: NeuronSet, random: RandomMasks) -> list[AblationMask]:
    """List the masks of an experiment: none, every culture's neurons, and random ones per seed.

    Raises:
        InputError: Random neurons cannot be drawn as asked.

    Example:
        ``found_and_random(model, found, RandomMasks(random_seeds=5))``
    """
    masks = [
        AblationMask(UNMODIFIED),
        *(AblationMask(FOUND, name, 0, found[name]) for name in found),
    ]
    for seed, drawn in enumerate(random.draws(model, found)):
        masks += [AblationMask(RANDOM, name, seed, drawn[name]) for name in drawn]
    return masks


def labelled(masks: Sequence[AblationMask]) -> list[tuple[str, Neurons | None]]:
    """Give the label and the neurons of every mask, as ``answer_masks`` takes them."""
    return [(mask.label, mask.neurons) for mask in masks]


def joined(masks: Sequence[AblationMask], records: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the records of all masks into one table, with the columns of the mask first.

    Args:
        masks: The masks, all with the same columns.
        records: The records under each.

    Example:
        ``joined(masks, answer_masks(model, prompts, scoring, labelled(masks)))``
    """
    import pandas as pd

    frames = [frame.assign(**mask.columns) for mask, frame in zip(masks, records, strict=True)]
    frame = pd.concat(frames, ignore_index=True)
    first = list(masks[0].columns)
    return frame[first + [column for column in frame if column not in first]]


def cultures_to_ask(
    found: NeuronSet | Directions, asked: Sequence[Question], what: str
) -> list[str]:
    """List the cultures that have questions and neurons or a direction; warn of the others.

    Args:
        found: Neurons or directions.
        asked: The questions.
        what: What the others are left out of.

    Raises:
        InputError: None is left.
    """
    named = {question.culture for question in asked}
    none = [c for c in found if isinstance(found, NeuronSet) and not len(found[c])]
    lacking = {"no neurons": none, "no questions": [c for c in found if c not in named]}
    kept = [culture for culture in found if culture in named and culture not in none]
    told = "; ".join(f"{why}: {listed(names)}" for why, names in lacking.items() if names)
    if not kept:
        raise InputError(f"no culture is left for a {what} ({told or 'the set is empty'}).")
    if told:
        warn(f"left out of the {what}, {told}.")
    return kept
