"""What of tensors is alive."""

import gc
import warnings

import torch


def tensors_alive(dimensions: int = 3) -> int:
    """Count tensors of so many dimensions or more that somebody holds, without collecting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    return sum(x.ndim >= dimensions for x in held)
