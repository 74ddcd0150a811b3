"""Directions in plain PyTorch: hooks on a raw model's own layers, one unpadded item at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tests.helpers import lm, reference, reference_t5, reference_vlm, t5
from tests.helpers import vlm as vlm_helpers
from tests.helpers.architecture_table import encoder_decoder_case, image_case

Edit = Callable[[Tensor], Tensor]
LAYER = 1


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


def raw_layer(make, name, site):
    """The layer of the raw model after which the residual stream is read."""
    if make is encoder_decoder_case:
        return reference_t5.blocks_of(t5.raw(name, torch.float64), site)[LAYER]
    if make is image_case:
        return reference_vlm.text_layers(vlm_helpers.raw(name))[LAYER]
    return reference.decoder_layers(lm.raw(name))[LAYER]


def raw_edits(one):
    """What is done to the residual stream, in plain PyTorch: subtract, remove, set to the mean."""
    unit = one.vector / one.vector.norm()

    def to(level):
        return lambda x: (x.double() + (level - x.double() @ unit)[..., None] * unit).to(x)

    return [lambda x: x - 2.5 * one.vector.to(x), to(0.0), to(one.mean)]
