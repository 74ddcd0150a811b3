"""Units: what a site counts and edits, where that is not an activation's own numbers.

A unit is a (site, layer, index). At most sites a unit is one number of a hook's activation, a
neuron. At others a unit is computed from the activation x that passes a hook:

    u  = encode(x)                      the units, as they are counted, summed and scored
    x' = x + change(x, u, u')           what the model goes on with when u is edited to u'

So that x' = x where nothing is edited, to the last bit, and whatever the units do not describe is
kept. A gradient reaches u' through ``change`` and x through both, which makes gradients exact:
dF/du' is what attribution multiplies by u.

To add a kind of unit, write a frozen class with the attributes and methods of ``Units``, and give
it to ``model.with_units(name, units)``. Its name is then a site: recording, selectors, attribution,
ablation, steering, matrices and cards take it as they take ``act``. ``spliced`` is the only place
where units meet hooks: a hook on the name that ``model.hook_name(site, layer)`` gives is called
with the units, and what it returns is put into the model's own activation.

Units may have ``excluded``, ids of tokens at which there are none: they are 0 there and an edit
changes nothing, whatever it is set to. The ids are read where a forward embeds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.errors import InputError

HookList = list[tuple[str, Callable[..., Any]]]
PREFIX = "units."
"""Names of hooks on units begin with it."""
TOKEN_IDS = "embed.hook_in"
"""The hook whose activation is the token ids of a forward."""


@runtime_checkable
class Units(Protocol):
    """What a site of units has to know; see the module."""

    @property
    def read(self) -> str:
        """The hook that units are computed from, with ``{layer}`` in the place of the layer."""

    @property
    def write(self) -> str:
        """The hook whose activation an edit changes; most often ``read``, never before it."""

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have units, in order."""

    @property
    def width(self) -> int:
        """Units per layer."""

    @property
    def content(self) -> str:
        """A hash of all that the units depend on; the model's weights are known beside it."""

    def encode(
        self, layer: int, activation: Float[Tensor, "batch pos d_in"]
    ) -> Float[Tensor, "batch pos unit"]:
        """Compute the units of an activation, heads joined."""

    def change(
        self,
        layer: int,
        activation: Float[Tensor, "batch pos d_in"],
        before: Float[Tensor, "batch pos unit"],
        after: Float[Tensor, "batch pos unit"],
    ) -> Float[Tensor, "batch pos d_out"]:
        """Give what is added to the activation at ``write`` when units are edited."""

    def outgoing(self, layer: int) -> Float[Tensor, "unit d_out"] | None:
        """Give what a unit of 1 adds at ``write``; None where that depends on the activation."""


def unit_hook(site: str, layer: int) -> str:
    """Name the hook on the units of a site at a layer.

    Example:
        >>> unit_hook("sae", 3)
        'units.sae.3'
    """
    return f"{PREFIX}{site}.{layer}"


def place_of(name: str) -> tuple[str, int]:
    """Give site and layer of a hook on units.

    Example:
        >>> place_of("units.encoder.sae.3")
        ('encoder.sae', 3)
    """
    site, _, layer = name.removeprefix(PREFIX).rpartition(".")
    return site, int(layer)


def excluded_of(units: Units) -> tuple[int, ...]:
    """Give the ids of the tokens at which there are no units."""
    excluded: tuple[int, ...] = getattr(units, "excluded", ())
    return excluded


@dataclass(eq=False)
class TokenIds:
    """The token ids of the forward that runs."""

    ids: Int[Tensor, "batch pos"] | None = None

    def see(self, ids: Tensor, hook: Any) -> None:
        """Keep them, as the hook function at ``TOKEN_IDS``."""
        self.ids = ids

    def among(self, some: Sequence[int], activation: Tensor) -> Bool[Tensor, "batch pos 1"]:
        """Mark the positions of an activation whose token is one of some.

        Raises:
            InputError: The forward was given no token ids.
        """
        if self.ids is None or self.ids.shape != activation.shape[:2]:
            raise InputError(
                "units that leave out special tokens need the model's token ids, and this forward "
                "was given embeddings: run token ids, texts or questions."
            )
        ids = self.ids.to(activation.device)
        return torch.isin(ids, torch.tensor(some, device=ids.device))[..., None]


@dataclass(eq=False)
class Entry:
    """The functions on the units of one site and layer, and the change until it is written."""

    units: Units
    layer: int
    tokens: TokenIds
    functions: list[Callable[..., Any]] = field(default_factory=list)
    held: list[Tensor] = field(default_factory=list)

    def changed(self, activation: Tensor, hook: Any) -> Tensor | None:
        """Run the functions on the units of an activation; give the change, None if there is none.

        The units are handed over as a tensor of their own: its gradient is that of the edited
        units alone.
        """
        before = self.units.encode(self.layer, activation)
        excluded = excluded_of(self.units)
        none = self.tokens.among(excluded, activation) if excluded else None
        if none is not None:
            before = before.masked_fill(none, 0)
        after = given = before.view_as(before)
        for function in self.functions:
            returned = function(after, hook=hook)
            after = after if returned is None else returned
        if after is given and not after.requires_grad:
            return None
        change = self.units.change(self.layer, activation, before, after)
        return change if none is None else change.masked_fill(none, 0)


def spliced(
    units: Mapping[str, Units], hooks: Iterable[tuple[Any, Callable[..., Any]]]
) -> HookList:
    """Turn hooks on units into hooks on the activations that they are read from and written to.

    All other hooks stay as they are. Units that are read at one hook are computed from the same
    activation, whatever order their edits have.

    Args:
        units: The units of each site.
        hooks: ``(name, function)`` pairs.

    Example:
        ``bridge.run_with_hooks(tokens, fwd_hooks=spliced(model.units, hooks))``
    """
    found: HookList = []
    entries: dict[str, Entry] = {}
    together: dict[str, list[Entry]] = {}
    tokens = TokenIds()
    for name, function in hooks:
        if not (isinstance(name, str) and name.startswith(PREFIX)):
            found.append((name, function))
            continue
        if name not in entries:
            site, layer = place_of(name)
            entry = entries[name] = Entry(units[site], layer, tokens)
            read = entry.units.read.format(layer=layer)
            write = entry.units.write.format(layer=layer)
            if read not in together:
                together[read] = []
                found.append((read, reader(together[read])))
            together[read].append(entry)
            if write != read:
                found.append((write, writer(entry)))
        entries[name].functions.append(function)
    if any(excluded_of(entry.units) for entry in entries.values()):
        found.insert(0, (TOKEN_IDS, tokens.see))
    return found


def reader(entries: list[Entry]) -> Callable[..., Any]:
    """Make the hook function that runs what is attached to units read at one hook."""

    def read(activation: Tensor, hook: Any) -> Tensor | None:
        joined = activation.flatten(2)
        edited = joined
        for entry in entries:
            change = entry.changed(joined, hook)
            if entry.units.write != entry.units.read:
                entry.held[:] = [] if change is None else [change]
            elif change is not None:
                edited = added(edited, change)
        return None if edited is joined else edited.reshape(activation.shape)

    return read


def writer(entry: Entry) -> Callable[..., Any]:
    """Make the hook function that adds a change which was computed at an earlier hook."""

    def write(activation: Tensor, hook: Any) -> Tensor | None:
        if not entry.held:
            return None
        return added(activation.flatten(2), entry.held.pop()).reshape(activation.shape)

    return write


def added(activation: Tensor, change: Tensor) -> Tensor:
    """Add a change to an activation, in the wider of their dtypes, and give the activation's."""
    total: Tensor = activation + change.to(activation.device)
    return total.to(activation.dtype)


def scaled_vector(
    vector: Float[Tensor, "*any d"], before: Float[Tensor, "*any"], after: Float[Tensor, "*any"]
) -> Float[Tensor, "*any d"]:
    """Give the change of a vector that is a unit by its norm: v -> v u' / u.

    0 removes it, steering by 1 + alpha scales it, and dF/du times u is its contribution, v times
    dF/dv. A vector of norm 0 stays: no direction is known in which it could grow.

    Args:
        vector: v.
        before: u, its norm.
        after: u', its edited norm.

    Example:
        >>> scaled_vector(torch.tensor([3.0, 4.0]), torch.tensor(5.0), torch.tensor(0.0)).tolist()
        [-3.0, -4.0]
    """
    some = before.detach() != 0
    ratio = torch.where(some, after / torch.where(some, before, 1), 1)
    return vector * (ratio - 1)[..., None]


__all__ = ["PREFIX", "Units", "place_of", "scaled_vector", "spliced", "unit_hook"]
