"""Activation statistics per culture, recorded in one pass.

``record`` runs batches and reduces activations, ``statistics`` adds them up and summarises them,
``resampling`` and ``replicates`` carry permutations and bootstrap samples along.
"""
