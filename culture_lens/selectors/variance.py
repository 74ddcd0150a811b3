"""Variance of a neuron's activation probability over culture, language, and their interaction.

The same questions in several prompt languages or wordings l give P[l,c] of every neuron. Two-way
analysis of variance, with L languages and C cultures, a dot for the mean over an index:

    P[l,c] - P[.,.] = (P[.,c] - P[.,.]) + (P[l,.] - P[.,.]) + (P[l,c] - P[l,.] - P[.,c] + P[.,.])
    SS_total        = SS_culture        + SS_language       + SS_interaction

SS being sums of squares over all l and c; a share is SS / SS_total, over all neurons the sum of SS
over the sum of SS_total.

Every P is an estimate from finitely many items, and its error adds to all three terms. With one
value per language and culture **interaction and residual cannot be separated**: the share of the
interaction then includes the residual, and the shares of culture and language some of it too. With
bootstrap samples (``summarise(..., replicates=20)``) they can: with SS_b the sums of squares of a
sample's deviation from the mean over B samples,

    residual of a term = sum over b of SS_b / (B - 1)

is subtracted from each term, and the three together are the residual. A question group is drawn
equally often in every language, so that errors shared by the languages are included. Corrected
shares may fall slightly below 0. A bootstrap of G groups per culture has (G - 1) / G of their
variance, so that with few groups a little of the residual stays in the other parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import check_arguments
from culture_lens.errors import InputError, warn
from culture_lens.selectors.fusion import SUMMARIES, check_alike
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL, Estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

TERMS = ("culture", "language", "interaction")
VARIANCE_PARTS = (*TERMS, "residual")
FEWEST_SAMPLES = 5
"""With fewer bootstrap samples no variance is estimated."""


@dataclass(frozen=True, eq=False, repr=False)
class VarianceShares(Shown):
    """Shares of the variance of P.

    Attributes:
        cultures: The cultures.
        languages: The prompt languages or wordings.
        neurons: Per site, ``part layer neuron`` in the order of ``VARIANCE_PARTS``; NaN where P is
            the same everywhere. Without samples the residual is NaN and part of the interaction.
        overall: Per site and part, the share over all neurons. Intervals are value +- t times the
            standard deviation over bootstrap samples (percentiles would be biased, since resampling
            adds a second error); they are slightly wide. The residual has none, and without samples
            no part has.
        samples: Number of bootstrap samples used.

    Example:
        ``variance_shares({"en": english, "ja": japanese}).table()``
    """

    cultures: tuple[str, ...]
    languages: tuple[str, ...]
    neurons: Mapping[str, Float[Tensor, "part layer neuron"]]
    overall: Mapping[str, Mapping[str, Estimate]]
    samples: int

    def table(self) -> pd.DataFrame:
        """Lay out sites x parts, over all neurons, each with the ends of its interval."""
        import pandas as pd

        parts = {site: dict(parts) for site, parts in self.overall.items()}
        columns = list(VARIANCE_PARTS)
        return numeric(pd.DataFrame.from_dict(parts, orient="index", columns=columns))

    def to_pandas(self) -> pd.DataFrame:
        """Give the table of the shares over all neurons."""
        return self.table()

    def _facts(self) -> dict[str, object]:
        names = ("cultures", "languages", "samples")
        return {name: getattr(self, name) for name in names}


@check_arguments(summaries=SUMMARIES)
def variance_shares(summaries: Mapping[str, ActivationSummary]) -> VarianceShares:
    """Split the variance of P into shares of culture, language and their interaction.

    Args:
        summaries: Name of each prompt language or wording -> its summary, all of one model, the
            same sites and the same cultures. Recorded with ``replicates`` and one seed, the
            residual is separated from the interaction, and shares have intervals.

    Raises:
        InputError: Fewer than two summaries, summaries that differ in model, sites, shapes or
            cultures, bootstrap samples in some only or of different number, or no neuron whose P
            differs anywhere.

    Example:
        ``variance_shares({"en": english, "ja": japanese}).overall["act"]["interaction"]``
    """
    first = check_alike(summaries)
    held = list(summaries.values())
    usable = samples_of(summaries)
    neurons, overall = {}, {}
    for site in first.sites:
        data = sums_of_squares(torch.stack([one.probability(site) for one in held]))
        total = data.sum(0)
        if not (total > 0).any():
            raise InputError(f"no neuron of site {site!r} has a P that differs anywhere.")
        values, spread = data, [math.nan] * len(VARIANCE_PARTS)
        residual = torch.full_like(total, math.nan)
        if usable:
            noise, spread = residuals(held, site, usable)
            values, residual = data - noise, noise.sum(0)
        parts = torch.cat([values, residual[None]])
        neurons[site] = torch.where(total > 0, parts / total, math.nan)
        # Where P is the same everywhere, nothing is added to either sum.
        shares = (torch.where(total > 0, parts, 0).sum((1, 2)) / total.sum()).tolist()
        if not usable:
            shares[-1] = math.nan
        overall[site] = {
            part: Estimate(share, share - reach, share + reach)
            for part, share, reach in zip(VARIANCE_PARTS, shares, spread, strict=True)
        }
    return VarianceShares(first.cultures, tuple(summaries), neurons, overall, len(usable))


def sums_of_squares(
    probability: Float[Tensor, "language culture layer neuron"],
) -> Float[Tensor, "term layer neuron"]:
    """Give the sums of squares of culture, language and interaction.

    Example:
        >>> table = torch.tensor([[0.1, 0.5], [0.2, 0.6]], dtype=torch.float64)
        >>> sums_of_squares(table[:, :, None, None]).flatten().numpy().round(6).tolist()
        [0.16, 0.01, 0.0]
    """
    languages, cultures = probability.shape[:2]
    centred = probability - probability.mean((0, 1))
    culture, language = centred.mean(0), centred.mean(1)
    together = centred - culture[None] - language[:, None]
    return torch.stack(
        [
            languages * (culture**2).sum(0),
            cultures * (language**2).sum(0),
            (together**2).sum((0, 1)),
        ]
    )


# ------------------------------------------------------------------ bootstrap samples


def samples_of(summaries: Mapping[str, ActivationSummary]) -> list[int]:
    """List the bootstrap samples in which every culture of every language was drawn.

    Raises:
        InputError: Some summaries have bootstrap samples and others have not, or not as many.
    """
    held = {name: summary.replicates for name, summary in summaries.items()}
    numbers = {
        name: (r.permutations, len(r.tokens) - r.permutations) if r is not None else (0, 0)
        for name, r in held.items()
    }
    if len(set(numbers.values())) > 1:
        told = ", ".join(f"{name} {samples}" for name, (_, samples) in numbers.items())
        raise InputError(
            f"summaries have different numbers of replicates (bootstrap samples: {told}): record "
            "all of them with the same replicates= and seed=, or none."
        )
    ((start, samples),) = set(numbers.values())
    if not samples:
        return []
    drawn = torch.stack([(r.tokens > 0).all(1) for r in held.values() if r is not None]).all(0)
    usable = [row for row in range(start, start + samples) if drawn[row]]
    if len(usable) < samples:
        warn(
            f"{samples - len(usable)} of {samples} bootstrap samples drew no item of some culture "
            "and are left out"
            + (
                "."
                if len(usable) >= FEWEST_SAMPLES
                else ": too few are left, so there are no intervals."
            )
        )
    return usable if len(usable) >= FEWEST_SAMPLES else []


def tables(
    summaries: Sequence[ActivationSummary], site: str, rows: Sequence[int]
) -> Iterator[Float[Tensor, "language culture layer neuron"]]:
    """Give P of every language in one bootstrap sample after the other."""
    for row in rows:
        samples = []
        for summary in summaries:
            assert summary.replicates is not None  # samples_of has looked
            tokens = summary.replicates.tokens[row].double()
            samples.append(summary.replicates.counts[site][row].double() / tokens[:, None, None])
        yield torch.stack(samples)


def residuals(
    summaries: Sequence[ActivationSummary], site: str, rows: Sequence[int]
) -> tuple[Float[Tensor, "term layer neuron"], list[float]]:
    """Give each term's residual, and the half-width of each share's interval.

    A sample has the error of the data plus that of resampling, which is as large: its terms hold
    the residual twice, and its total once more than the data's. Both are subtracted before the
    spread of shares over samples is taken, which would be too narrow otherwise.
    """
    from scipy import stats

    middle, noise, sums = torch.zeros(()), torch.zeros(()), []
    # Twice through the samples: all of them at once may not fit into memory.
    for table in tables(summaries, site, rows):
        middle = middle + table / len(rows)
        sums.append(sums_of_squares(table).sum((1, 2)))
    for table in tables(summaries, site, rows):
        noise = noise + sums_of_squares(table - middle) / (len(rows) - 1)
    terms, within = torch.stack(sums), noise.sum((1, 2))
    shares = (terms - 2 * within) / (terms.sum(1) - within.sum())[:, None]
    t = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, len(rows) - 1))
    return noise, [*(t * shares.std(0)).tolist(), math.nan]


__all__ = ["VARIANCE_PARTS", "VarianceShares", "variance_shares"]
