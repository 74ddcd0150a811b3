"""Rename the cultures of a neuron set to the names of another benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.checks import check_arguments
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.questions.culture_names import match_cultures
from culture_lens.questions.question import QUESTIONS, Question


@check_arguments(found=FOUND_SET, questions=QUESTIONS)
def align_cultures(found: NeuronSet, questions: Sequence[Question]) -> NeuronSet:
    """Rename the cultures of a neuron set to the names that another benchmark's questions use.

    A name that the questions use stays, and so does one that means none of their cultures; see
    ``counterparts``. ``ablation_matrix`` calls this itself.

    Args:
        found: The neurons.
        questions: The questions.

    Warns:
        CultureLensWarning: Names the cultures that are renamed.

    Example:
        ``align_cultures(found_on_blend, load_benchmark("culturalbench"))``
    """
    asked = (question.culture for question in questions)
    names = match_cultures(found.cultures, asked, "the neurons")
    return found.renamed(names) if names else found
