"""WorldValuesBench: does a model answer value questions as most people of a culture do?

The model answers each question for a person or country of the culture, by choosing a point of the
question's scale. With x the point that the model chooses, g the point that most people chose and
the scale from low to high,

    alignment = 1 - |x - g| / max(|low - g|, |high - g|)        0 where x is none of the points

(CULNIG, arXiv 2510.08284, and its published code: the farthest point has alignment 0 whatever g
is). The distance is the one that WorldValuesBench reports, Wasserstein-1 on the scale mapped to
[0, 1], between the model's softmax over the points p and people's shares q:

    distance = sum over points i < high of |sum over j <= i of (p_j - q_j)| / (high - low)

As CULNIG does it: all 239 questions (``questions="all"``) with at least 10 answers, seven
countries, two system prompts, each with two instructions that ask for a digit, and the scoring
``"number"``. CULNIG reads one token: with a tokenizer that splits 10 in two its models cannot
answer 10, ours can. The words of the prompts are ours unless you give others; see ``wordings``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import Unpack

from culture_lens.checks import check_arguments, optional, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.scoring import Scoring, get_scoring
from culture_lens.interventions.hooks import Value, ablation_value
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import NEURONS, Neurons
from culture_lens.prompts.answers import NO_OPTION
from culture_lens.prompts.running import RunningOptions
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName


class ValueAlignment(ResultRecord):
    """One record per question.

    Attributes:
        frame: The columns of an ``Evaluation``, with low and high (the ends of the scale), chosen
            (the model's point; missing where the answer was no point), majority, alignment,
            distance, persona and wording.
        metadata: Model, scoring and what was done to the model.

    Example:
        ``evaluate_values(model, questions).by("culture")``
    """

    what = "a value alignment"
    needs = ("id", "culture", "group", "prediction", "correct", "alignment", "distance")

    def alignment(self) -> Estimate:
        """Mean alignment over all records, with its interval clustered by question."""
        return mean_estimate(self.frame["alignment"].tolist(), self.frame["group"].tolist())

    def distance(self) -> Estimate:
        """Mean distance of the model's distribution from people's, 0 where they are the same."""
        return mean_estimate(self.frame["distance"].tolist(), self.frame["group"].tolist())

    @check_arguments(column=text, score=text)
    def by(self, column: str = "culture", score: str = "alignment") -> dict[str, Estimate]:
        """Mean score per culture, or per value of persona, wording or category.

        Args:
            column: What to group by.
            score: ``"alignment"``, ``"distance"`` or ``"correct"`` (the majority's point chosen).

        Raises:
            InputError: No such column.
        """
        for name in (column, score):
            if name not in self.frame:
                raise unknown("column", name, map(str, self.frame.columns))
        return {
            str(name): mean_estimate(part[score].tolist(), part["group"].tolist(), name=str(name))
            for name, part in self.frame.groupby(column, sort=True)
        }

    def _main_table(self) -> pd.DataFrame:
        import pandas as pd

        return numeric(
            pd.DataFrame({name: self.by(score=name) for name in ("alignment", "distance")})
        )

    def answered(self) -> float:
        """Share of records in which the model chose a point of the scale."""
        return float((self.frame["prediction"] != NO_OPTION).mean())

    def chance(self) -> float:
        """Alignment expected of guessing: every point of the scale with the same probability."""
        expected = [
            float(np.mean([closeness(at, majority, low, high) for at in range(low, high + 1)]))
            for low, high, majority in zip(
                self.frame["low"], self.frame["high"], self.frame["majority"], strict=True
            )
        ]
        return float(np.mean(expected))


def closeness(point: int, majority: int, low: int, high: int) -> float:
    """Give the alignment of a point with the majority's; 0 for the farthest point of the scale.

    Example:
        >>> [closeness(point, 5, 1, 10) for point in (5, 1, 10)]
        [1.0, 0.19999999999999996, 0.0]
    """
    return 1 - abs(point - majority) / max(majority - low, high - majority)


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    neurons=optional(NEURONS),
    scoring=optional(text),
    value=ablation_value,
)
def evaluate_values(
    model: LensModel,
    questions: Sequence[Question],
    neurons: Neurons | None = None,
    *,
    scoring: ScoringName | None = None,
    value: Value = "zero",
    **running: Unpack[RunningOptions],
) -> ValueAlignment:
    """Ask a model value questions, with neurons ablated where given, and score its alignment.

    Where points are scored by likelihood, each ends with a full stop, because "1" is a prefix of
    "10". The sum of log-probabilities compares whole answers; the mean over tokens favours "10" and
    gives a warning.

    Args:
        model: The model.
        questions: The questions, from ``load_values``.
        neurons: Neurons to ablate, such as ``found["Japan"]``.
        scoring: As in ``evaluate``. By default ``"number"`` (CULNIG) for models whose own scoring
            reads letters, else ``"option_likelihood_sum"``.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: No questions, duplicate ids, or questions that are not from ``load_values``.

    Example:
        ``print(evaluate_values(model, questions, found["Japan"]).alignment())``
    """
    for question in questions:
        if "votes" not in question.metadata:
            raise InputError(
                f"question {question.id!r} has no people's votes: give questions of load_values."
            )
    chosen = value_scoring(model, questions, scoring)
    if chosen.name in ("option_likelihood", "option_likelihood_sum"):
        questions = [
            replace(question, options=tuple(f"{point}." for point in question.options))
            for question in questions
        ]
    answered = evaluate(model, questions, neurons, scoring=chosen.name, value=value, **running)
    return ValueAlignment(score_values(answered.frame, questions), answered.metadata)


def value_scoring(
    model: LensModel, questions: Sequence[Question], scoring: ScoringName | None
) -> Scoring:
    """Choose the scoring of value questions where none is asked for; see ``evaluate_values``."""
    reads_letters = get_scoring(model.scoring).style == "choices"
    chosen = get_scoring(scoring or ("number" if reads_letters else "option_likelihood_sum"))
    if chosen.name == "option_likelihood" and any(len(q.options) > 9 for q in questions):
        warn(
            "the mean log-probability of an answer's tokens favours '10' over '1' where each "
            "digit is a token: use scoring='option_likelihood_sum'."
        )
    return chosen


def score_values(frame: pd.DataFrame, questions: Sequence[Question]) -> pd.DataFrame:
    """Add alignment and distance to the records of value questions.

    Args:
        frame: The records of an ``Evaluation`` of these questions.
        questions: The questions, from ``load_values``.

    Example:
        ``score_values(evaluate(model, questions).frame, questions)``
    """
    known = {question.id: question for question in questions}
    rows: list[dict[str, Any]] = []
    for name, gold, prediction, scores in zip(
        frame["id"], frame["gold"], frame["prediction"], frame["scores"], strict=True
    ):
        asked = known[name].metadata
        low, high = asked["low"], asked["low"] + len(asked["votes"]) - 1
        chosen, majority = asked["low"] + prediction, asked["low"] + gold
        answered = prediction != NO_OPTION
        rows.append(
            {
                "low": low,
                "high": high,
                "chosen": chosen if answered else None,
                "majority": majority,
                "alignment": closeness(chosen, majority, low, high) if answered else 0.0,
                "distance": scale_distance(list(scores), asked["votes"]),
                "persona": asked["persona"],
                "wording": asked["wording"],
            }
        )
    scored = frame.assign(**{column: [row[column] for row in rows] for column in rows[0]})
    return scored.assign(chosen=scored["chosen"].astype("Int64"))


def scale_distance(scores: Sequence[float], votes: Sequence[int]) -> float:
    """Wasserstein-1 between the softmax of scores and the shares of votes, on a scale of [0, 1].

    Args:
        scores: The model's scores, one per point of the scale.
        votes: People's votes, one per point.

    Example:
        >>> round(scale_distance([0.0, 0.0, 0.0], [1, 0, 0]), 6)
        0.5
    """
    raised = np.exp(np.asarray(scores, dtype=np.float64) - np.max(scores))
    shares = np.asarray(votes, dtype=np.float64)
    apart = np.cumsum(raised / raised.sum() - shares / shares.sum())[:-1]
    return float(np.abs(apart).sum() / len(apart))
