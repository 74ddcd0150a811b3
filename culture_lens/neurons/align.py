"""Give neurons the names that another benchmark has for their cultures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from culture_lens.questions.culture_names import match_cultures

if TYPE_CHECKING:
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.questions.question import Question


def align_cultures(found: NeuronSet, questions: Sequence[Question]) -> NeuronSet:
    """Give neurons the names that the questions of another benchmark have for their cultures.

    Names that the questions have stay, as do those that mean none of theirs; see
    ``counterparts``. ``ablation_matrix`` does this by itself.

    Args:
        found: The neurons.
        questions: The questions.

    Warns:
        CultureLensWarning: Which names are taken for which others.

    Example:
        ``align_cultures(found_on_blend, load_benchmark("culturalbench"))``
    """
    asked = (question.culture for question in questions)
    names = match_cultures(found.cultures, asked, "the neurons")
    return found.renamed(names) if names else found
