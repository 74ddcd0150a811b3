"""BLEnD's short answers: a model writes an answer, which is matched against human answers.

``questions`` reads the questions with their human answers, ``answers`` has a model write and scores
it, ``matching`` compares two answers by the rules of their language.
"""

from culture_lens.evaluation.short_answers.answers import (
    ShortAnswers,
    evaluate_short_answers,
    score_answers,
)
from culture_lens.evaluation.short_answers.questions import ShortQuestion, load_short_answers

__all__ = [
    "ShortAnswers",
    "ShortQuestion",
    "evaluate_short_answers",
    "load_short_answers",
    "score_answers",
]
