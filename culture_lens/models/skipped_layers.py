"""Go on from a layer: the layers below it are not run, its residual stream is given.

Ablated neurons change nothing below their first layer. So the residual stream that enters that
layer is the same under every condition that begins there or later, and is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

Stream = Float[Tensor, "row pos d_model"]


@dataclass(eq=False)
class KeptStreams:
    """Residual streams by batch and layer, up to a limit of memory; they affect time alone.

    Attributes:
        limit: Bytes to keep.
        held: Bytes that are kept.
        streams: Batch and layer -> the residual stream that enters the layer.
    """

    limit: int
    held: int = 0
    streams: dict[tuple[int, int], Stream] = field(default_factory=dict)

    def keep(self, batch: int, layer: int, stream: Stream) -> None:
        """Keep a residual stream where there is room."""
        if (batch, layer) not in self.streams and self.held + stream.nbytes <= self.limit:
            self.streams[batch, layer] = stream
            self.held += stream.nbytes

    def deepest(self, batch: int, layer: int) -> int:
        """Give the last layer up to this one whose stream is kept; 0 where none is."""
        return max((at for of, at in self.streams if of == batch and at <= layer), default=0)


@contextmanager
def from_layer(blocks: Any, layer: int, stream: Stream | None) -> Iterator[None]:
    """Run the blocks from a layer on for the time of the block, exceptions included.

    Args:
        blocks: The bridge's blocks.
        layer: The first that is run; 0 runs all.
        stream: The residual stream that enters it.

    Example:
        ``with from_layer(model.bridge.blocks, 3, stream): model.tree_logits(tree)``
    """
    skipped = [blocks[at] for at in range(layer)]
    try:
        for block in skipped:
            # Straight into __dict__: a bridge component hands attributes on to what it wraps.
            block.__dict__["forward"] = passing(None)
        if skipped:
            skipped[-1].__dict__["forward"] = passing(stream)
        yield
    finally:
        for block in skipped:
            block.__dict__.pop("forward", None)


def passing(stream: Stream | None) -> Callable[..., Stream]:
    """Make a block that hands on what it is given, or a stream in its place."""

    def forward(hidden_states: Stream, *_: Any, **__: Any) -> Stream:
        return hidden_states if stream is None else stream

    return forward


@contextmanager
def catching(
    blocks: Any, layers: Collection[int], keep: Callable[[int, Stream], None]
) -> Iterator[None]:
    """Hand over the residual streams that enter some layers, for the time of the block.

    Example:
        ``with catching(model.bridge.blocks, {3}, kept.__setitem__): model.tree_logits(tree)``
    """
    handles = []
    try:
        for layer in layers:

            def catch(_: Any, inputs: tuple[Any, ...], layer: int = layer) -> None:
                keep(layer, inputs[0])

            handles.append(blocks[layer].register_forward_pre_hook(catch))
        yield
    finally:
        for handle in handles:
            handle.remove()


__all__ = ["KeptStreams", "catching", "from_layer"]
