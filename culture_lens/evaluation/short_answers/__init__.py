"""BLEnD's short answers: what a model writes by itself, against everything that people answered.

``questions`` reads the questions with their human answers, ``answers`` has a model write and scores
it, ``matching`` says when two answers are the same, language by language.
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
