"""Evaluation: one record per item, and accuracy with clustered intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from culture_lens.checks import check_arguments, text
from culture_lens.errors import unknown, warn
from culture_lens.evaluation.scoring import Answer
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question
from culture_lens.statistics.estimates import SHARES, Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd


class Evaluation(ResultRecord):
    """One record per item.

    Attributes:
        frame: Columns id, culture, group, category, gold, prediction (-1 where the answer was no
            option), correct, p_gold, scores (a list, one per option).
        metadata: Model, scoring and what was done to the model.

    Example:
        ``evaluate(model, questions).accuracy()``
    """

    what = "an evaluation"
    needs = ("id", "culture", "group", "correct")

    def accuracy(self) -> Estimate:
        """Share of right answers over all items, interval clustered by question group."""
        correct, groups = self.frame["correct"].tolist(), self.frame["group"].tolist()
        return mean_estimate(correct, groups, bounds=SHARES)

    @check_arguments(column=text)
    def by(self, column: str = "culture") -> dict[str, Estimate]:
        """Accuracy per culture or per category, each with its interval.

        Raises:
            InputError: No such column.
        """
        if column not in self.frame:
            raise unknown("column", column, map(str, self.frame.columns))
        return {
            str(name): mean_estimate(
                part["correct"].tolist(), part["group"].tolist(), bounds=SHARES, name=str(name)
            )
            for name, part in self.frame.groupby(column, sort=True)
        }

    def _main_table(self) -> pd.DataFrame:
        import pandas as pd

        return numeric(pd.DataFrame({"accuracy": self.by()}))

    def chance(self) -> float:
        """Accuracy expected of guessing: the mean of one over the number of options."""
        return chance_level(self.frame)


def chance_level(frame: pd.DataFrame) -> float:
    """Give the accuracy of guessing on some records: the mean of one over the number of options.

    Records without scores are left out.

    Example:
        ``chance_level(evaluate(model, questions).frame)`` is 0.25 with four options
    """
    options = frame["scores"].map(len)
    return float((1 / options[options > 0]).mean())


def to_frame(prompts: Sequence[Prompt], answers: dict[str, Answer]) -> pd.DataFrame:
    """Give the answers as records, in the order of the prompts."""
    import pandas as pd

    rows = []
    for prompt in prompts:
        question, answer = prompt.question, answers[prompt.question.id]
        rows.append(
            {
                "id": question.id,
                "culture": question.culture,
                "group": question.group,
                "category": question.category,
                "gold": question.answer,
                "prediction": answer.prediction,
                "correct": answer.prediction == question.answer,
                "p_gold": answer.p_gold,
                "scores": list(answer.scores),
            }
        )
    return pd.DataFrame(rows)


def answered_right(questions: Sequence[Question], evaluation: Evaluation) -> list[Question]:
    """Keep the questions that the model answered right, and warn how many they are.

    Example:
        ``answered_right(questions, evaluate(model, questions))``
    """
    frame = evaluation.frame
    right = set(frame.loc[frame["correct"], "id"])
    kept = [q for q in questions if q.id in right]
    warn(
        f"counting the {len(kept)} of {len(questions)} items that the model answers right "
        f"({evaluation.metadata['scoring']})."
    )
    return kept
