"""Activation statistics per culture, recorded in one pass.

``record`` runs batches and reduces activations, ``statistics`` accumulates them, ``summary`` is the
result; ``texts`` summarises plain texts, ``caches`` what the user recorded. ``resampling`` draws
permutations (``permutations``) and bootstrap samples, ``replicates`` accumulates theirs.
"""
