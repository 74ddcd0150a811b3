"""Shared by all benchmarks: finding and reading rows, and turning them into Questions."""
