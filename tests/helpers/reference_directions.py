"""Directions in plain PyTorch: hooks on a raw model's own layers, one unpadded item at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

Edit = Callable[[Tensor], Tensor]


@contextmanager
def at_output(layer: nn.Module, edit: Edit) -> Iterator[None]:
    """Replace what a layer leaves in the residual stream: its output, or the first of several."""

    def hook(module: nn.Module, args: object, output: object) -> object:
        if isinstance(output, tuple):
            return (edit(output[0]), *output[1:])
        return edit(output)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def stream_of(layer: nn.Module, forward: Callable[[], object]) -> Tensor:
    """The residual stream after a layer, ``pos width``, in float64."""
    seen = []

    def keep(values: Tensor) -> Tensor:
        seen.append(values[0].detach().double())
        return values

    with at_output(layer, keep):
        forward()
    return seen[-1]


def differences(vectors: dict[str, Tensor], cultures: dict[str, str]) -> dict[str, Tensor]:
    """Each culture's mean less the mean of the other cultures' means, by plain loops."""
    means = {}
    for culture in sorted(set(cultures.values())):
        own = [vectors[name] for name in vectors if cultures[name] == culture]
        means[culture] = sum(own) / len(own)
    found = {}
    for culture, mean in means.items():
        others = [other for name, other in means.items() if name != culture]
        found[culture] = mean - sum(others) / len(others)
    return found
