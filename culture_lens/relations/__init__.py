"""How cultures, and sets of neurons, stand to each other.

``cultures`` says which cultures fall with which, ``mantel`` holds that against a table such as
geography, ``sets`` overlap against chance, ``stability`` sets over seeds, wordings and halves of
the data, ``instances`` the items on which a set's neurons matter.
"""

from culture_lens.relations.cultures import Relations, related_cultures
from culture_lens.relations.instances import instance_share
from culture_lens.relations.mantel import agreement_with_table
from culture_lens.relations.sets import overlap_with_chance, shared_with_chance
from culture_lens.relations.stability import halves, set_stability

__all__ = [
    "Relations",
    "agreement_with_table",
    "halves",
    "instance_share",
    "overlap_with_chance",
    "related_cultures",
    "set_stability",
    "shared_with_chance",
]
