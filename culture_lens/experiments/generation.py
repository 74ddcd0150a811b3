r"""GenerationEffect: what interventions do to written answers, and whether they still are language.

For an intervention c and the unmodified model b, on the same questions:

    score       mean of s_c - s_b, s being an answer's score against people's answers
    perplexity  factor exp(L_c - L_b), L = sum of surprisals / sum of tokens, both under the
                unmodified model and on the same prompts (``evaluation.fluency``)
    repetition  mean of r_c - r_b
    empty       mean of e_c - e_b, e being 1 where no word was written

All are paired by question, with intervals clustered by question group; that of the factor is made
on the scale of L, from the linearised values of both ratios (Cochran 1977, section 6).

An intervention is broken where the interval of a measure of fluency lies beyond its bound, fluent
where those of all lie within, and undecided otherwise; unchanged where no answer differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.checks import check_arguments, flag, optional, real, text
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.short_answers.matching import MATCHINGS
from culture_lens.statistics.estimates import CHANGES, UNBOUNDED, Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.display import interval_text
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.short_answers.matching import Matching

UNMODIFIED = "unmodified"
LARGEST_FACTOR = 3.0
"""The perplexity, as a multiple of that of unmodified answers, above which text is broken."""
LARGEST_RISE = 0.1
"""The rise of repetition, or of the share of empty answers, above which text is broken."""
FLUENT, BROKEN, UNDECIDED, UNCHANGED = "fluent", "broken", "undecided", "unchanged"


class GenerationEffect(ResultRecord):
    """One record per intervention, dose and question.

    Attributes:
        frame: Columns condition, dose (NaN where an intervention has none), and those of
            ``ShortAnswers``, with ``tokens`` (number written), ``surprisal`` (minus the
            log-probability of all of them under the unmodified model, in nats), ``repetition`` and
            ``empty`` (0 or 1).
        metadata: Model, decoding and matching.

    Example:
        ``generation_effect(model, interventions, questions).in_words()``
    """

    what = "an effect on generation"
    needs = (
        *("condition", "dose", "id", "culture", "group", "answer"),
        *("tokens", "surprisal", "repetition", "empty"),
    )

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that were asked about."""
        return tuple(sorted(self.frame["culture"].unique()))

    def conditions(self) -> list[tuple[str, float]]:
        """List the interventions with their doses, in the order in which they were given."""
        pairs = self.frame[["condition", "dose"]].drop_duplicates()
        held = zip(pairs["condition"], pairs["dose"].astype(float), strict=True)
        return [(str(name), dose) for name, dose in held if name != UNMODIFIED]

    def _part(self, name: str, dose: float, culture: str | None) -> pd.DataFrame:
        """Give the records under one condition by question; those of a culture where one is given.

        Raises:
            InputError: No such condition or culture.
        """
        frame = self.frame[self.frame["condition"] == name]
        same = frame["dose"].isna() if math.isnan(dose) else frame["dose"] == dose
        frame = frame[same].set_index("id")
        if frame.empty:
            known = [UNMODIFIED, *(label_of(*pair) for pair in self.conditions())]
            raise unknown("condition", label_of(name, dose), known)
        if culture is None:
            return frame
        if culture not in self.cultures:
            raise unknown("culture", culture, self.cultures)
        return frame[frame["culture"] == culture]

    @check_arguments(
        condition=text,
        dose=real,
        culture=optional(text),
        matching=text,
        weighted=flag,
    )
    def measures(
        self,
        condition: str,
        dose: float = math.nan,
        *,
        culture: str | None = None,
        matching: Matching = "contained",
        weighted: bool = True,
    ) -> dict[str, Estimate]:
        """Give the effect of one intervention on score and fluency.

        Args:
            condition: Its name.
            dose: Its dose, where it has one.
            culture: Only questions of this culture.
            matching: ``"contained"`` or ``"exact"``; see ``ShortAnswers``.
            weighted: Take the score weighted by votes instead of 0 or 1.

        Returns:
            ``score``, ``perplexity`` (a factor), ``repetition``, ``empty`` and ``changed``, the
            share of answers that are not those of the unmodified model.

        Raises:
            InputError: No such condition, culture or matching, or other questions than the
                unmodified model was asked.
        """
        if matching not in MATCHINGS:
            raise unknown("matching", matching, MATCHINGS)
        base = self._part(UNMODIFIED, math.nan, culture)
        own = self._part(condition, dose, culture)
        if set(own.index) != set(base.index):
            raise InputError(
                f"{label_of(condition, dose)} and the unmodified model answered other questions, "
                "so they cannot be paired: ask both the same."
            )
        own = own.loc[base.index]
        groups = base["group"].tolist()

        def change(column: str, bounds: tuple[float, float]) -> Estimate:
            values = (own[column].astype(float) - base[column]).tolist()
            return mean_estimate(values, groups, bounds=bounds)

        return {
            "score": change(
                f"{matching}_weight" if weighted else matching,
                UNBOUNDED if weighted else CHANGES,
            ),
            "perplexity": perplexity_factor(own, base),
            "repetition": change("repetition", UNBOUNDED),
            "empty": change("empty", CHANGES),
            "changed": mean_estimate((own["answer"] != base["answer"]).tolist(), groups),
        }

    def perplexity(self, condition: str = UNMODIFIED, dose: float = math.nan) -> float:
        """Give the perplexity per token of the answers under one condition; NaN without tokens."""
        return math.exp(rate_of(self._part(condition, dose, None)))

    def table(self, *, culture: str | None = None, **options: Any) -> pd.DataFrame:
        """Give the effects of every intervention and dose, with intervals and a verdict.

        Args:
            culture: Only questions of this culture.
            **options: ``matching`` and ``weighted`` of ``measures``.

        Returns:
            One row per intervention and dose: those of ``measures`` with their intervals, and
            ``verdict``: fluent, unchanged, or broken or undecided and by which measure.
        """
        import pandas as pd

        rows = []
        for name, dose in self.conditions():
            held = self.measures(name, dose, culture=culture, **options)
            rows.append({"condition": name, "dose": dose, **held, "verdict": verdict_of(held)})
        return numeric(pd.DataFrame(rows))

    def in_words(self, *, culture: str | None = None, **options: Any) -> list[str]:
        """Write a sentence on every intervention and dose; the options are those of ``table``.

        Example:
            ``effect.in_words(culture="UK")[0]`` is ``"steered 2: score +3.1 points [...]; ..."``
        """
        return list(self._sentences(culture, options))

    def _sentences(self, culture: str | None, options: dict[str, Any]) -> Iterator[str]:
        for name, dose in self.conditions():
            held = self.measures(name, dose, culture=culture, **options)
            score = Estimate(*(100 * end for end in ends(held["score"])))
            yield (
                f"{label_of(name, dose)}: score {signed(score)} points, perplexity "
                f"{interval_text(*ends(held['perplexity']), digits=2)} times, repetition "
                f"{signed(Estimate(*(100 * end for end in ends(held['repetition']))))} points, "
                f"empty {signed(Estimate(*(100 * end for end in ends(held['empty']))))} points: "
                f"{verdict_of(held)}."
            )

    def _main_table(self) -> pd.DataFrame:
        return self.table().set_index("condition")


def ends(estimate: Estimate) -> tuple[float, float, float]:
    """Give value, low and high."""
    return estimate.value, estimate.low, estimate.high


def signed(estimate: Estimate) -> str:
    """Write an estimate of a change with one decimal and its sign.

    Example:
        >>> signed(Estimate(3.14, 1.0, 5.0))
        '+3.1 [1.0, 5.0]'
    """
    told = interval_text(*ends(estimate), digits=1)
    return f"+{told}" if estimate.value > 0 else told


def label_of(name: str, dose: float) -> str:
    """Name an intervention with its dose.

    Example:
        >>> label_of("steered", 0.5), label_of("ablated", math.nan)
        ('steered 0.5', 'ablated')
    """
    return name if math.isnan(dose) else f"{name} {dose:g}"


def rate_of(part: pd.DataFrame) -> float:
    """Give the surprisal per token, in nats; NaN where no token was written."""
    tokens = float(part["tokens"].sum())
    return float(part["surprisal"].sum()) / tokens if tokens else math.nan


def perplexity_factor(own: pd.DataFrame, base: pd.DataFrame) -> Estimate:
    """Give the perplexity of answers as a multiple of that of unmodified ones, paired."""
    rates = (rate_of(own), rate_of(base))
    difference = rates[0] - rates[1]
    if math.isnan(difference):
        return Estimate(math.nan, math.nan, math.nan)
    linear = [
        (part["surprisal"].to_numpy() - rate * part["tokens"].to_numpy()) / part["tokens"].mean()
        for part, rate in zip((own, base), rates, strict=True)
    ]
    values = difference + linear[0] - linear[1]
    found = mean_estimate(values.tolist(), base["group"].tolist(), bounds=UNBOUNDED)
    return Estimate(*(float(np.exp(end)) for end in (difference, found.low, found.high)))


def verdict_of(held: dict[str, Estimate]) -> str:
    """Say whether answers are still language, and which measure says that they are not.

    Example:
        >>> same = Estimate(0.0, -0.01, 0.01)
        >>> verdict_of({"perplexity": Estimate(4.0, 3.5, 5.0), "repetition": same, "empty": same})
        'broken (perplexity)'
    """
    if "changed" in held and held["changed"].value == 0:
        return UNCHANGED
    bounds = {"perplexity": LARGEST_FACTOR, "repetition": LARGEST_RISE, "empty": LARGEST_RISE}
    beyond = [name for name, bound in bounds.items() if held[name].low > bound]
    if beyond:
        return f"{BROKEN} ({', '.join(beyond)})"
    within = [name for name, bound in bounds.items() if is_within(held[name], bound)]
    lacking = [name for name in bounds if name not in within]
    return f"{UNDECIDED} ({', '.join(lacking)})" if lacking else FLUENT


def is_within(estimate: Estimate, bound: float) -> bool:
    """Say whether an interval lies within a bound; without one nothing changed, or all alike."""
    if math.isnan(estimate.low + estimate.high):
        return estimate.value in (0.0, 1.0) and estimate.value < bound
    return estimate.high <= bound


__all__ = ["GenerationEffect"]
