"""How far what is found is from what is expected."""

import numpy as np
import torch

Array = torch.Tensor | np.ndarray


def relative(found: Array, expected: Array) -> float:
    """The largest difference over the largest expected value."""
    found, expected = (torch.as_tensor(values).double() for values in (found, expected))
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def assert_close(found: torch.Tensor, expected: torch.Tensor, within: float = 1e-5) -> None:
    """Of one shape, and no further off than ``within`` times the largest expected value."""
    assert found.shape == expected.shape
    assert relative(found, expected) <= within
