"""WorldValuesBench: how near a model's answers on values come to those of a country's people.

``questions`` reads the value questions and their scales, ``people`` the human answers, ``prompts``
puts both together as questions, ``alignment`` asks them and scores the answers.
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
