"""Estimates with intervals, permutation tests and the Mantel test: mathematics on arrays."""
