"""Experiments on neurons that were found, and their significance tests.

==========================================  =====================================================
files                                       what they do
==========================================  =====================================================
matrix, ablation_matrix                     ablate each culture's neurons, ask every culture's
                                            questions
cell_tests, paired_answers, power           significance tests of a matrix
related_cultures, agreement_with_table      cultures that lose accuracy together
predicted_matrix                            a matrix predicted from one backward pass
fidelity, ablation_fidelity,                agreement of predicted with measured effects
fidelity_units
transfer, transfer_matrix                   neurons of one benchmark ablated on another
suite, evaluate_suite                       several benchmarks in one table
comparison/                                 selectors at equal numbers of neurons
compare_units, units_compared, unit_edits,  kinds of units at equal numbers or equal norm
unit_sizes, unit_masks, equal_norm
conditions, masks, means                    what they share
==========================================  =====================================================
"""
