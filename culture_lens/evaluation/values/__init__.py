"""WorldValuesBench: compare a model's answers to value questions with those of a country's people.

``questions`` reads the value questions and their scales, ``people`` the human answers, ``wordings``
has the words of the prompts, ``prompts`` makes questions of all three, ``alignment`` asks them and
scores the answers.
"""

from culture_lens.evaluation.values.alignment import ValueAlignment, evaluate_values
from culture_lens.evaluation.values.people import HumanValues, read_human_values
from culture_lens.evaluation.values.prompts import load_values
from culture_lens.evaluation.values.wordings import ValuePrompts

__all__ = [
    "HumanValues",
    "ValueAlignment",
    "ValuePrompts",
    "evaluate_values",
    "load_values",
    "read_human_values",
]
