"""How far what is found is from what is expected."""

import torch


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference over the largest expected value."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def assert_close(found: torch.Tensor, expected: torch.Tensor, within: float = 1e-5) -> None:
    """Of one shape, and no further off than ``within`` times the largest expected value."""
    assert found.shape == expected.shape
    assert relative(found, expected) <= within
