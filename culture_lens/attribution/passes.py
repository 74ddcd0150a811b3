"""One forward and one backward: every neuron's activation and the gradient of an objective.

1. One forward with frozen parameters; every site keeps its activation in the graph. By likelihood
   the options run behind their prompts, and every site is met again there.
   Gradients begin at the lowest layer that is asked for: no graph is kept of those below.
2. One backward from the objective F. For P that is P times a power of two that brings it near 1: in
   half precision the gradient of an unlikely answer would underflow, and dividing by a power of two
   is exact.
3. When a site's gradient arrives it is taken at once. No gradient is kept, and no activation
   longer than the graph needs it.

On a path (see ``paths``) activations are replaced by points between a baseline and themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.attribution.aggregation import Padding, padded_columns
from culture_lens.attribution.objectives import probability
from culture_lens.attribution.objectives.option_scores import OptionScores
from culture_lens.models.checks import state_of, under
from culture_lens.models.gradient_start import gradients_from
from culture_lens.models.lens_model import LensModel
from culture_lens.models.rows import OptionRows, of_rows, options_running
from culture_lens.prompts.prompt import Batch

SMALLEST_EXPONENT = -100
"""Below 2^-100 an answer's probability is not scaled further; float32 ends at 2^-149."""

Baseline = Mapping[str, Float[Tensor, "item layer neuron"]]
"""Per site, where a path begins, for each item of a batch; empty for 0."""


@dataclass(frozen=True, eq=False)
class Met:
    """A site as a backward meets it, on the device of its layer.

    Attributes:
        site: The site.
        layer: The layer.
        visit: 0 where prompts run, from 1 on where options run behind them.
        values: Activation minus baseline, ``row pos neuron``.
        gradient: The gradient of the objective, divided by the item's ``unit``.
        unit: See ``PassResult``, ``row``.
        padding: The columns that have padding.
        rows: The item of each row; None where each item has one, in order.
    """

    site: str
    layer: int
    visit: int
    values: Float[Tensor, "row pos neuron"]
    gradient: Float[Tensor, "row pos neuron"]
    unit: Float[Tensor, " row"]
    padding: Padding
    rows: Tensor | None


@dataclass(frozen=True, eq=False)
class PassResult:
    """The results of a forward and a backward, per item.

    Attributes:
        value: The objective, ``item``.
        unit: A power of two; the gradients are the given ones times it, ``item``.
        options: The scores of the options, without their graph.
    """

    value: Float[Tensor, " item"]
    unit: Float[Tensor, " item"]
    options: OptionScores

    @property
    def p_gold(self) -> Float[Tensor, " item"]:
        """The probability of the right option."""
        return self.options.p_gold

    @property
    def right(self) -> Bool[Tensor, " item"]:
        """Whether the model answers with the right option."""
        return self.options.right


def attribution_pass(
    model: LensModel,
    batch: Batch,
    places: Iterable[tuple[str, int]],
    take: Callable[[Met], None],
    scores: Callable[[LensModel, Batch], OptionScores],
    objective: Callable[[OptionScores], Tensor] = probability,
    share: float = 1.0,
    baseline: Baseline | None = None,
    beside: Sequence[tuple[str, Callable[..., Tensor]]] = (),
) -> PassResult:
    """Run one forward and one backward, and give every place to ``take`` as the backward meets it.

    Args:
        model: The model.
        batch: Prompts in the style of the scoring.
        places: ``(site, layer)`` pairs.
        take: Called as soon as a gradient arrives; it must not keep what it is given.
        scores: Scores the options; see ``scoring``.
        objective: See ``objectives``.
        share: Where on the path from the baseline the activations of the places are.
        baseline: Where the path begins; 0 if left out.
        beside: Other hooks, which run before those of the places.

    Raises:
        InputError: The model gives NaN or infinite numbers.
    """
    wanted = sorted(set(places), key=lambda place: place[1])
    lowest, targets = model.lowest(wanted), list[Tensor]()
    paddings = {site: padded_columns(model.token_mask(batch, site)) for site, _ in wanted}
    visits: dict[tuple[str, int], int] = {}
    units = list[Tensor]()  # known when the forward has run, read while the backward runs

    def keep(activation: Tensor, hook: Any, *, site: str, layer: int) -> Tensor:
        start = start_of(baseline, site, layer, activation)
        # Detached: a hook that holds its own tensor would keep the whole graph alive.
        own = activation.detach()
        values = (own if start is None else own - start).flatten(2)
        on_path = moved(activation, start, share)
        if not on_path.requires_grad:  # units read where the stream enters the first of the layers
            on_path = on_path.detach().requires_grad_(True)
        options, visit = options_running(), visits.get((site, layer), -1) + 1
        visits[site, layer] = visit
        rows = None if options is None else options.rows
        padding = paddings[site] if options is None else padding_of(options)

        def met(gradient: Tensor) -> None:
            unit = units[0] if rows is None else units[0][rows.to(units[0].device)]
            here = padding.to(values.device)
            take(Met(site, layer, visit, values, gradient.flatten(2), unit, here, rows))

        on_path.register_hook(met)  # type: ignore[no-untyped-call]
        # A backward to the lowest layer passes through every later one.
        if (site, layer) in lowest:
            targets.append(on_path)
        return on_path

    hooks = [*beside, *hooks_at(model, wanted, keep)]
    begin = gradients_from(wanted[0][1])
    with under(state_of(model)), model.hooks(hooks), torch.enable_grad(), begin:
        options = scores(model, batch)
        value = objective(options)
        p_gold = options.p_gold.detach()
        units.append(unit_of(p_gold if objective is probability else torch.ones_like(p_gold)))
        torch.autograd.grad((value * units[0].reciprocal().to(value.dtype)).sum(), targets)
    return PassResult(value.detach(), units[0], options.detached())


@torch.no_grad()
def value_at(
    model: LensModel,
    batch: Batch,
    places: Iterable[tuple[str, int]],
    scores: Callable[[LensModel, Batch], OptionScores],
    objective: Callable[[OptionScores], Tensor],
    share: float = 1.0,
    baseline: Baseline | None = None,
    held: MutableMapping[tuple[str, int, int], Tensor] | None = None,
) -> PassResult:
    """Run one forward with the activations of some places at a share of their path.

    Args:
        model: See ``attribution_pass``, as for the others.
        batch: See there.
        places: See there.
        scores: See there.
        objective: See there.
        share: See there.
        baseline: See there.
        held: Takes the activations before they are moved, ``row pos neuron``, by site, layer and
            visit; see ``Met``.

    Returns:
        The objective, P(gold) and right answers of ``attribution_pass``, without its gradients.
    """
    visits: dict[tuple[str, int], int] = {}

    def move(activation: Tensor, hook: Any, *, site: str, layer: int) -> Tensor:
        visit = visits[site, layer] = visits.get((site, layer), -1) + 1
        if held is not None:
            held[site, layer, visit] = activation.flatten(2)
        return moved(activation, start_of(baseline, site, layer, activation), share)

    with under(state_of(model)), model.hooks(hooks_at(model, places, move)):
        options = scores(model, batch)
        value = objective(options)
    return PassResult(value, torch.ones_like(value), options)


def hooks_at(
    model: LensModel, places: Iterable[tuple[str, int]], run: Callable[..., Tensor]
) -> list[tuple[str, Callable[..., Tensor]]]:
    """Make hooks that tell their function the site and the layer."""
    return [
        (model.hook_name(site, layer), partial(run, site=site, layer=layer))
        for site, layer in places
    ]


def padding_of(options: OptionRows) -> Padding:
    """Mark the padding of options, which is on the right."""
    if options.mask is None:
        raise RuntimeError("options were run without their mask")
    padding: Padding = options.mask == 0
    return padding


def unit_of(size: Float[Tensor, " item"]) -> Float[Tensor, " item"]:
    """Give the power of two next to a size, at least 2^-100, in float64."""
    exponent = torch.frexp(size).exponent.clamp(min=SMALLEST_EXPONENT)
    return torch.ldexp(torch.ones_like(size, dtype=torch.float64), exponent)


def moved(activation: Tensor, start: Tensor | None, share: float) -> Tensor:
    """Move activations to a share of the way from where their path begins."""
    if share == 1:
        return activation
    return share * activation if start is None else start + share * (activation - start)


def start_of(baseline: Baseline | None, site: str, layer: int, activation: Tensor) -> Tensor | None:
    """Give where the path of a place begins, in the shape of its activation; None for 0."""
    if not baseline:
        return None
    rows = of_rows(baseline[site][:, layer]).to(activation.device, activation.dtype)
    return rows.view(len(rows), 1, *activation.shape[2:])
