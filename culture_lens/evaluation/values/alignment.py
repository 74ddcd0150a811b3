"""WorldValuesBench: does a model answer value questions as most people of a culture do?

Each question is put as a choice among the points of its scale, in their order, to somebody of the
culture. With x the point that the model chooses, g the point that most people chose and the scale
going from low to high,

    alignment = 1 - |x - g| / (high - low)        0 where x is none of the points

(CULNIG, arXiv 2510.08284: gold is the majority answer, other answers score 0). Beside it
stands the distance of distributions that WorldValuesBench reports, Wasserstein-1 on the scale
stretched to [0, 1], between the model's softmax over the points p and people's shares q:

    distance = sum over points i < high of |sum over j <= i of (p_j - q_j)| / (high - low)

Not verified, for want of CULNIG's code for this benchmark: whether its largest distance is the
scale's length, as here, or that from g to the further end; how it breaks ties of the majority (here
the lowest point, and the number of ties is said); how it has the point written (here the letter of
an option, so that 10 is one token like 1); and the words of its two system prompts (ours are in
``prompts``).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.scoring import NO_OPTION, get_scoring
from culture_lens.interventions.hooks import Value
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.questions.question import Question
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.storage.files import load_table, save_table
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ValueAlignment:
    """One record per question that was put.

    Attributes:
        frame: The columns of an ``Evaluation``, with low and high (the ends of the scale), chosen
            (the model's point, missing where the answer was none), majority, alignment, distance,
            persona and wording.
        metadata: Model, scoring and what was done to the model.

    Example:
        ``evaluate_values(model, questions).by("culture")``
    """

    frame: pd.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)

    def alignment(self) -> Estimate:
        """Mean alignment over all records, its interval clustered by question."""
        return mean_estimate(self.frame["alignment"].tolist(), self.frame["group"].tolist())

    def distance(self) -> Estimate:
        """Mean distance of the model's distribution from people's, 0 where they are the same."""
        return mean_estimate(self.frame["distance"].tolist(), self.frame["group"].tolist())

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
            str(name): mean_estimate(part[score].tolist(), part["group"].tolist())
            for name, part in self.frame.groupby(column, sort=True)
        }

    def answered(self) -> float:
        """Share of records in which the model chose a point at all."""
        return float((self.frame["prediction"] != NO_OPTION).mean())

    def chance(self) -> float:
        """Alignment expected of choosing every point of the scale with the same probability."""
        expected = [
            float(np.mean(1 - np.abs(np.arange(low, high + 1) - majority) / (high - low)))
            for low, high, majority in zip(
                self.frame["low"], self.frame["high"], self.frame["majority"], strict=True
            )
        ]
        return float(np.mean(expected))

    def to_parquet(self, path: str | Path) -> Path:
        """Write records and metadata into one parquet file."""
        return save_table(path, self.frame, self.metadata)

    @classmethod
    def from_parquet(cls, path: str | Path) -> ValueAlignment:
        """Read records that ``to_parquet`` wrote.

        Raises:
            InputError: The file is missing, damaged, or something else.
        """
        return cls(*load_table(path, "a value alignment"))


def evaluate_values(
    model: LensModel,
    questions: Sequence[Question],
    neurons: Neurons | None = None,
    *,
    scoring: str | None = None,
    value: Value = "zero",
    too_long: str = "error",
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> ValueAlignment:
    """Ask a model value questions, with neurons ablated where given, and score its alignment.

    Where points are scored as continuations, each is written with a full stop behind it, for
    otherwise the text "1" would be the beginning of "10"; the sum of log-probabilities then
    compares whole answers, and the mean over tokens, which favours "10", draws a warning.

    Args:
        model: The model.
        questions: What ``load_values`` gave.
        neurons: Neurons to ablate, such as ``found["Japan"]``.
        scoring: As in ``evaluate``. By default the model's own where that reads letters, else
            ``"option_likelihood_sum"``.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        too_long: What to do with prompts longer than the context: ``"error"``, ``"skip"`` or
            ``"truncate"``.
        batch_size: Questions per forward; halved where memory runs out.
        progress: Show a progress bar.
        run: A run folder; what is done in it is kept and found again.

    Raises:
        InputError: No questions, duplicate ids, or questions that are not of ``load_values``.

    Example:
        ``print(evaluate_values(model, questions, found["Japan"]).alignment())``
    """
    for question in questions:
        if "votes" not in question.metadata:
            raise InputError(
                f"question {question.id!r} has no people's votes: give questions of load_values."
            )
    way = get_scoring(scoring or model.scoring)
    if way.style == "cloze":
        way = get_scoring(scoring or "option_likelihood_sum")
        questions = [
            replace(question, options=tuple(f"{point}." for point in question.options))
            for question in questions
        ]
        if way.name == "option_likelihood" and any(len(q.options) > 9 for q in questions):
            warnings.warn(
                "the mean log-probability of an answer's tokens favours '10' over '1' where each "
                "digit is a token: use scoring='option_likelihood_sum'.",
                CultureLensWarning,
                stacklevel=2,
            )
    answered = evaluate(
        model,
        questions,
        neurons,
        scoring=way.name,
        value=value,
        too_long=too_long,
        batch_size=batch_size,
        progress=progress,
        run=run,
    )
    return ValueAlignment(score_values(answered.frame, questions), answered.metadata)


def score_values(frame: pd.DataFrame, questions: Sequence[Question]) -> pd.DataFrame:
    """Add alignment and distance to the records of value questions.

    Args:
        frame: The records of an ``Evaluation`` of these questions.
        questions: What ``load_values`` gave.

    Example:
        ``score_values(evaluate(model, questions).frame, questions)``
    """
    known = {question.id: question for question in questions}
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("low", "high", "chosen", "majority", "alignment", "distance", "persona", "wording"),
        )
    }
    for name, gold, prediction, scores in zip(
        frame["id"], frame["gold"], frame["prediction"], frame["scores"], strict=True
    ):
        noted = known[name].metadata
        last = len(noted["votes"]) - 1
        answered = prediction != NO_OPTION
        row = {
            "low": noted["low"],
            "high": noted["low"] + last,
            "chosen": noted["low"] + prediction if answered else None,
            "majority": noted["low"] + gold,
            "alignment": 1 - abs(prediction - gold) / last if answered else 0.0,
            "distance": scale_distance(list(scores), noted["votes"]),
            "persona": noted["persona"],
            "wording": noted["wording"],
        }
        for column, cell in row.items():
            columns[column].append(cell)
    scored = frame.assign(**columns)
    return scored.assign(chosen=scored["chosen"].astype("Int64"))


def scale_distance(scores: Sequence[float], votes: Sequence[int]) -> float:
    """Wasserstein-1 between the softmax of scores and the shares of votes, on a scale of [0, 1].

    Args:
        scores: The model's, one per point of the scale.
        votes: People's, one per point.

    Example:
        >>> round(scale_distance([0.0, 0.0, 0.0], [1, 0, 0]), 6)
        0.5
    """
    raised = np.exp(np.asarray(scores, dtype=np.float64) - np.max(scores))
    shares = np.asarray(votes, dtype=np.float64)
    apart = np.cumsum(raised / raised.sum() - shares / shares.sum())[:-1]
    return float(np.abs(apart).sum() / len(apart))
