"""forgetting: a task and culture benchmarks before and after training, item by item.

The change of an item is right after (0 or 1) minus right before. The change of a culture is the
mean over its items, with an interval clustered by question group. Both models are asked the same
items, so the difference is paired: items that are hard for both do not widen the interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from culture_lens.checks import check_arguments, either, instance, mapping
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.evaluation import Evaluation
from culture_lens.statistics.estimates import (
    CHANGES,
    SHARES,
    UNBOUNDED,
    Estimate,
    mean_estimate,
)
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

TASK_SET, CULTURE_SET = "task", "culture"
OVERALL = "all"
CHANGE_METRICS = {
    "before": ("before", None),
    "after": ("after", None),
    "change": ("after", "before"),
    "p_change": ("p_after", "p_before"),
}
"""Metric -> its column, and the column that is subtracted."""
METRIC_BOUNDS = {"before": SHARES, "after": SHARES, "change": CHANGES, "p_change": UNBOUNDED}
"""Metric -> the bounds of an item."""


class Forgetting(ResultRecord):
    """Items before and after training.

    Attributes:
        frame: Columns asked (``"task"``, ``"culture"`` or another name), id, culture, group,
            before and after (whether the answer was right), p_before and p_after (probability of
            the right answer).
        metadata: Models and scoring.

    Example:
        ``forgetting({"culture": before}, {"culture": after}).summary()``
    """

    what = "a table of what was forgotten"

    @property
    def asked(self) -> tuple[str, ...]:
        """The sets of questions that were asked, in order."""
        return tuple(dict.fromkeys(self.frame["asked"]))

    def estimate(
        self, asked: str = CULTURE_SET, culture: str | None = None, metric: str = "change"
    ) -> Estimate:
        """Estimate a metric over items, clustered by question group.

        Args:
            asked: The set of questions.
            culture: Items of this culture only.
            metric: Accuracy ``"before"`` or ``"after"``, its ``"change"``, or ``"p_change"``, the
                change of the probability of the right answer.

        Raises:
            InputError: No such metric, culture, or nothing asked under that name.

        Example:
            ``changes.estimate("task")``
        """
        if metric not in CHANGE_METRICS:
            raise unknown("metric", metric, CHANGE_METRICS)
        if asked not in self.asked:
            raise unknown("set of questions", asked, self.asked)
        part = self.frame[self.frame["asked"] == asked]
        if culture is not None:
            if culture not in set(part["culture"]):
                raise unknown("culture", culture, set(part["culture"]))
            part = part[part["culture"] == culture]
        column, base = CHANGE_METRICS[metric]
        values = part[column].astype(float)
        if base is not None:
            values = values - part[base].astype(float)
        groups, bounds = part["group"].tolist(), METRIC_BOUNDS[metric]
        return mean_estimate(values.tolist(), groups, bounds=bounds, name=culture or asked)

    def summary(self) -> pd.DataFrame:
        """Lay out before, after and the changes, per culture and over all items.

        Returns:
            One row per set of questions and culture, ``"all"`` first; items, and each metric
            with the ends of its interval.
        """
        import pandas as pd

        rows = []
        for asked in self.asked:
            part = self.frame[self.frame["asked"] == asked]
            cultures = sorted(part["culture"].unique())
            for culture in [None, *(cultures if len(cultures) > 1 else [])]:
                own = part if culture is None else part[part["culture"] == culture]
                row = {"asked": asked, "culture": culture or OVERALL, "items": len(own)}
                metrics = {name: self.estimate(asked, culture, name) for name in CHANGE_METRICS}
                rows.append(row | metrics)
        return numeric(pd.DataFrame(rows))

    def _main_table(self) -> pd.DataFrame:
        return self.summary().set_index(["asked", "culture"])


EVALUATIONS = either(
    instance(Evaluation), mapping(Evaluation), remedy="an Evaluation, or {name: Evaluation}"
)


@check_arguments(
    before=EVALUATIONS,
    after=EVALUATIONS,
)
def forgetting(
    before: Evaluation | Mapping[str, Evaluation], after: Evaluation | Mapping[str, Evaluation]
) -> Forgetting:
    """Pair evaluations before training with those of the same questions after it.

    Args:
        before: Evaluations by name, such as ``{"task": ..., "culture": ...}``; a single one is
            named ``"culture"``.
        after: The same of the trained model.

    Raises:
        InputError: The names, questions or scoring of the two differ.

    Example:
        ``forgetting(evaluate(model, asked), evaluate(tuned.model, asked)).summary()``
    """
    import pandas as pd

    one = {CULTURE_SET: before} if isinstance(before, Evaluation) else dict(before)
    two = {CULTURE_SET: after} if isinstance(after, Evaluation) else dict(after)
    if one.keys() != two.keys() or not one:
        raise InputError(
            f"before has {', '.join(one) or 'nothing'} and after {', '.join(two) or 'nothing'}: "
            "give the same evaluations of both."
        )
    frames = [paired(name, one[name], two[name]) for name in one]
    first = next(iter(one))
    metadata = {
        "before": one[first].metadata.get("model"),
        "after": two[first].metadata.get("model"),
        "scoring": {name: held.metadata.get("scoring") for name, held in one.items()},
    }
    return Forgetting(pd.concat(frames, ignore_index=True), metadata)


def paired(name: str, before: Evaluation, after: Evaluation) -> pd.DataFrame:
    """Put the records of the same items side by side.

    Raises:
        InputError: The questions or scoring of the two differ.
    """
    ways = [held.metadata.get("scoring") for held in (before, after)]
    if ways[0] != ways[1]:
        raise InputError(f"{name}: scored by {ways[0]} before and {ways[1]} after.")
    one, two = before.frame.set_index("id"), after.frame.set_index("id")
    if set(one.index) != set(two.index) or (one["gold"] != two["gold"].loc[one.index]).any():
        raise InputError(
            f"{name}: before and after are not of the same questions; ask both models the same."
        )
    two = two.loc[one.index]
    frame = one.reset_index()[["id", "culture", "group"]]
    frame.insert(0, "asked", name)
    return frame.assign(
        before=one["correct"].tolist(),
        after=two["correct"].tolist(),
        p_before=one["p_gold"].tolist(),
        p_after=two["p_gold"].tolist(),
    )
