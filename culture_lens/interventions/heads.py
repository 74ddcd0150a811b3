"""Which heads are meant: ``(layer, head)`` pairs, or units at the site ``head``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from culture_lens.checks import refused, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.models.heads import HEAD, count_heads, stacks_of
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons

if TYPE_CHECKING:
    Head: TypeAlias = tuple[int, int] | tuple[str, int, int]
    Heads: TypeAlias = Neurons | Sequence[Head]
    """Neurons at the site ``head``, or ``(layer, head)``; with the site before it in an
    encoder-decoder: ``("cross.head", 2, 5)``."""
else:
    Heads = Any  # a wrong kind reaches the check that says the right ones


class StackHeads(NamedTuple):
    """Heads of one stack.

    Attributes:
        stack: Empty, or ``"encoder"``, ``"decoder"`` or ``"cross"``.
        n_heads: How many heads a layer has.
        layers: Layer -> its heads.
    """

    stack: str
    n_heads: int
    layers: dict[int, list[int]]


def heads_of(model: LensModel, heads: Heads) -> list[StackHeads]:
    """Sort heads by stack and layer, and check that the model has them.

    Raises:
        InputError: No heads, neurons of another site, or heads outside the model.

    Example:
        ``heads_of(model, [(5, 2), (5, 0)])[0].layers`` is ``{5: [0, 2]}``
    """
    members = members_of(heads)
    if not members:
        raise InputError("heads is empty: give (layer, head) pairs, or neurons at the site 'head'.")
    known = [f"{stack}.{HEAD}" if stack else HEAD for stack in stacks_of(model)]
    found: dict[str, StackHeads] = {}
    for site, layer, head in members:
        if site not in known:
            raise unknown("site of heads", site, known)
        stack, n_heads = site.rpartition(".")[0], count_heads(model)
        layer = whole(0, model.layers(site) - 1)("layer of a head", layer)
        head = whole(0, n_heads - 1)("head", head)
        own = found.setdefault(stack, StackHeads(stack, n_heads, {})).layers
        own[layer] = sorted({*own.get(layer, ()), head})
    return list(found.values())


def members_of(heads: Heads) -> list[tuple[str, Any, Any]]:
    """List heads as ``(site, layer, head)``.

    Raises:
        InputError: It is no list of heads.
    """
    if isinstance(heads, Neurons):
        return sorted(heads.members())
    if not isinstance(heads, (list, tuple)):
        raise refused("heads", heads, "a list of (layer, head), or neurons at the site 'head'")
    return [full(head) for head in heads]


def full(head: Any) -> tuple[str, Any, Any]:
    """Write a head with its site.

    Raises:
        InputError: It is neither a pair nor a triple.

    Example:
        >>> full((5, 2))
        ('head', 5, 2)
    """
    if not isinstance(head, (tuple, list)) or len(head) not in (2, 3):
        raise InputError(f"heads holds {head!r}: give (layer, head) pairs, or neurons at 'head'.")
    site, layer, index = (HEAD, *head) if len(head) == 2 else head
    return text("site of a head", site), layer, index


__all__ = ["Heads", "StackHeads", "heads_of"]
