"""Operations: multiplications and additions of a forward and of a backward.

With t tokens, p pairs of a query and a key, r positions at which the head is read, a stack of L
layers with M matrix entries in all and A multiply-adds per pair and layer, and a head of H entries:

    forward   2 (M t + L A p + H r)
    backward  2 (M t + 2 L A p + H r)

Parameters are frozen, so that a backward takes one product for each matrix, the gradient of its
input, and two for each of the two products of attention. Norms, activation functions, rotations,
softmax and embeddings are not counted: they are products of no matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from culture_lens.experiments.planning.pictures import PictureCount
from culture_lens.experiments.planning.shape import ModelShape

Number = int | float


@dataclass(frozen=True)
class Counted:
    """What some forwards run, padding included.

    Attributes:
        tokens: Tokens of the stack that writes the answer.
        pairs: Its queries times keys; those of cross-attention too.
        read: Positions at which the head is read.
        encoder_tokens: Tokens of an encoder-decoder's encoder.
        encoder_pairs: Its queries times keys.
        forwards: How many forwards they are.
        most_tokens: Tokens of the largest forward.
        most_pairs: Its queries times keys.
        most_read: Its positions at which the head is read.
    """

    tokens: Number = 0
    pairs: Number = 0
    read: Number = 0
    encoder_tokens: Number = 0
    encoder_pairs: Number = 0
    forwards: Number = 0
    most_tokens: int = 0
    most_pairs: int = 0
    most_read: int = 0

    def plus(self, other: Counted) -> Counted:
        """Add forwards, and keep the largest of them."""
        values = {}
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            most = one.name.startswith("most_")
            values[one.name] = max(mine, theirs) if most else mine + theirs
        return Counted(**values)

    def times(self, factor: Number) -> Counted:
        """Give so many times as many forwards of the same sizes."""
        sums = [one.name for one in fields(self) if not one.name.startswith("most_")]
        return replace(self, **{name: getattr(self, name) * factor for name in sums})


def forward_operations(shape: ModelShape, counted: Counted, first_layer: int = 0) -> Number:
    """Count the operations of forwards.

    Args:
        shape: The model.
        counted: What they run.
        first_layer: The first layer that is run.

    Example:
        ``forward_operations(shape, Counted(tokens=100, pairs=10_000, read=1))``
    """
    return total(shape, counted, 1, first_layer)


def backward_operations(shape: ModelShape, counted: Counted) -> Number:
    """Count the operations of the backwards of forwards, with frozen parameters.

    Example:
        ``backward_operations(shape, Counted(tokens=100, pairs=10_000, read=1))``
    """
    return total(shape, counted, 2)


def total(shape: ModelShape, counted: Counted, products: int, first_layer: int = 0) -> Number:
    """Add up matrices, attention and head; attention takes so many products for each of its two."""
    decoder, encoder = shape.decoder, shape.encoder
    run = (decoder.layers - first_layer) / decoder.layers
    found = decoder.matrices * counted.tokens
    found += products * decoder.layers * decoder.attention * counted.pairs
    found = found * run + shape.head * counted.read
    if encoder is not None:
        found += (encoder.matrices + shape.cross) * counted.encoder_tokens
        found += products * encoder.layers * encoder.attention * counted.encoder_pairs
    return 2 * found


def picture_operations(shape: ModelShape, picture: PictureCount) -> Number:
    """Count the operations of the vision tower and the projector for one picture.

    Example:
        ``picture_operations(shape, picture_count(shape, 640, 480))``
    """
    if shape.tower is None:
        return 0
    return 2 * (
        shape.patch * picture.patches
        + shape.tower.matrices * picture.seen
        + shape.tower.attention * picture.pairs
        + shape.projector * picture.projected
    )


__all__ = ["Counted", "Number", "backward_operations", "forward_operations", "picture_operations"]
