"""Experiments on neurons that were found, and their significance tests.

``matrix`` ablates each culture's neurons and asks every culture's questions; ``cell_tests``,
``paired_answers`` and ``power`` test it, ``related_cultures`` and ``agreement_with_table`` read
from it which cultures lose accuracy together. ``predicted_matrix`` and ``fidelity`` hold predicted
effects against measured ones, ``transfer`` and ``suite`` ask other benchmarks, ``comparison`` sets
selectors side by side.
"""
