"""Activation statistics per culture, recorded in one pass.

``record`` runs batches and reduces activations, ``statistics`` accumulates them, ``summary`` is the
result; ``resampling`` draws permutations (``permutations``) and bootstrap samples, ``replicates``
accumulates theirs.
"""
