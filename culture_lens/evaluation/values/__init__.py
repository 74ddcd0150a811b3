"""WorldValuesBench: compare a model's answers to value questions with those of a country's people.

``questions`` reads the value questions and their scales, ``people`` the human answers, ``prompts``
makes questions of both, ``alignment`` asks them and scores the answers.
"""

from culture_lens.evaluation.values.alignment import ValueAlignment, evaluate_values
from culture_lens.evaluation.values.people import HumanValues, read_human_values
from culture_lens.evaluation.values.prompts import load_values

__all__ = [
    "HumanValues",
    "ValueAlignment",
    "evaluate_values",
    "load_values",
    "read_human_values",
]
