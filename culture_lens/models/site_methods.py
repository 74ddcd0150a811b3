"""The sites of a model, as a LensModel has them: names, hooks, layers, shapes, further units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from culture_lens.checks import whole
from culture_lens.errors import InputError
from culture_lens.models.sites import DEFAULT_SITE, PROJECTIONS, check_stack, hook_name, part_of
from culture_lens.models.units import Units, unit_hook

if TYPE_CHECKING:
    import pandas as pd

Model = TypeVar("Model", bound="SiteMethods")
Place = tuple[str, int]
"""A site and a layer."""
UNIT_BYTES = 2**28
"""Bytes that the units of one layer may take in a forward; a pass holds a few such tables."""


class SiteMethods:
    """The methods of a ``LensModel`` that are about its sites."""

    name: str
    bridge: Any
    n_layers: int
    widths: Mapping[str, int]
    gated: bool
    units: Mapping[str, Units]
    _weights: Any

    def to_pandas(self) -> pd.DataFrame:
        """List the sites: site, layers, neurons (per layer)."""
        import pandas as pd

        rows = [(site, len(self.layers_of(site)), self.widths[site]) for site in self.sites]
        return pd.DataFrame(rows, columns=["site", "layers", "neurons"])

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that this model has."""
        return tuple(self.widths)

    @property
    def default_site(self) -> str:
        """The site of ConAct's neurons."""
        return DEFAULT_SITE

    @property
    def projections(self) -> tuple[str, ...]:
        """The sites that CULNIG selects from."""
        return PROJECTIONS

    def with_units(self: Model, site: str, units: Units) -> Model:
        """Give the same model with a further site, whose units are computed; see ``Units``.

        Weights are shared and nothing is run.

        Args:
            site: The site's name; of an encoder-decoder with its stack, ``"encoder.sae"``.
            units: What its units are.

        Raises:
            InputError: The name is taken or not plain, or the model lacks a layer or a hook.

        Example:
            ``model.with_units("sae", units).shape("sae")``
        """
        check_units(self, site, units)
        further: Model = replace(
            self,  # type: ignore[type-var]
            widths={**self.widths, site: units.width},
            units={**self.units, site: units},
        )
        further.__dict__["_weights"] = self._weights  # hashed once for both
        return further

    def hook_name(self, site: str, layer: int) -> str:
        """Name the hook point of a site at a layer of this model.

        Example:
            ``model.hook_name("act", 3)``
        """
        whole(0)("layer", layer)
        if site not in self.units:
            name = self._plain_hook(site, layer)
            whole(0, self.layers(site) - 1)("layer", layer)
            return name
        if layer not in self.layers_of(site):
            raise InputError(
                f"site {site!r} has no units at layer {layer}: it has those of layers "
                f"{', '.join(map(str, self.layers_of(site)))}."
            )
        return unit_hook(site, layer)

    def _plain_hook(self, site: str, layer: int) -> str:
        return hook_name(site, layer, gated=self.gated)

    def layers(self, site: str) -> int:
        """Count the layers of the stack that a site is in."""
        return self.n_layers

    def layers_of(self, site: str) -> tuple[int, ...]:
        """List the layers that have a site: all of them, or those that its units are given for.

        Example:
            ``model.layers_of("act")`` is ``(0, 1, ..., 29)`` for SmolLM2-135M.
        """
        return self.units[site].layers if site in self.units else tuple(range(self.layers(site)))

    def places(self, sites: Iterable[str]) -> list[Place]:
        """List every (site, layer) of some sites that has units."""
        return [(site, layer) for site in sites for layer in self.layers_of(site)]

    def units_facts(self, sites: Iterable[str]) -> dict[str, Any]:
        """Say for metadata what some sites' units are; nothing for sites of plain activations."""
        facts = {
            site: {"content": self.units[site].content, "layers": list(self.units[site].layers)}
            for site in sites
            if site in self.units
        }
        return {"units": facts} if facts else {}

    def unit_tokens(self, sites: Iterable[str] | None = None) -> int | None:
        """Give the tokens of a forward at most, so that units fit into ``UNIT_BYTES`` in float32.

        Features may be many times as many as a layer's neurons, and are computed beside these.

        Args:
            sites: The sites that are read or edited; all units of the model by default.

        Returns:
            None where none of them has units of its own.

        Example:
            ``batches(prompts, 16, model.pad_id, tokens=model.unit_tokens())``
        """
        widths = [u.width for name, u in self.units.items() if sites is None or name in sites]
        return max(1, UNIT_BYTES // (4 * max(widths))) if widths else None

    def shape(self, site: str) -> tuple[int, int]:
        """Layers, and neurons per layer, of a site; no neurons where the model lacks the site.

        Tables have a row for every layer; rows of layers without units hold 0.

        Example:
            ``model.shape("act")`` is ``(30, 1536)`` for SmolLM2-135M.
        """
        return self.layers(site), self.widths.get(site, 0)


def check_units(model: Any, site: str, units: Units) -> None:
    """Refuse units whose name is taken, or whose layers or hooks a model lacks.

    Raises:
        InputError: Names the site, and the layer or the hook.
    """
    if not isinstance(units, Units):
        raise InputError(
            f"units of site {site!r} are a {type(units).__name__}: give what has read, write, "
            "layers, width, content, encode, change and outgoing; see culture_lens.models.units."
        )
    part = part_of(site)
    if site in model.widths or not part.isidentifier():
        raise InputError(
            f"site {site!r} of {model.name!r} is taken, or no plain name: give another, of "
            "letters, digits and _."
        )
    check_stack(site, model.widths)
    if not units.layers or list(units.layers) != sorted(set(units.layers)):
        raise InputError(
            f"the layers of site {site!r} are {units.layers}: give each once, in order."
        )
    for layer in units.layers:
        whole(0, model.layers(site) - 1)(f"layer of site {site!r}", layer)
        for hook in {units.read, units.write}:
            if hook.format(layer=layer) not in model.bridge.hook_dict:
                raise InputError(
                    f"{model.name!r} has no hook {hook.format(layer=layer)!r}, which site {site!r} "
                    "is read from or written to: give units of this architecture."
                )
