"""Changing activations while a model runs: ablation and steering."""
