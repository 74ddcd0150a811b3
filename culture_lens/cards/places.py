"""Places: which neurons a card is asked of, as (site, layer, index)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.neurons.hooks import check_inside
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons, pair

Place = tuple[str, int, int]
"""Site, layer and index of a neuron."""


def checked_places(model: LensModel, neurons: Any) -> tuple[Place, ...]:
    """Read one neuron or several, each once, and check that a model has them.

    Args:
        model: The model.
        neurons: ``(site, layer, index)``, ``(layer, index)`` at the model's default site, a list
            of these, ``Neurons``, or a ``NeuronSet`` with the neurons of all its cultures.

    Raises:
        InputError: No neuron, something else, or one that the model lacks.

    Example:
        ``checked_places(model, [("act", 3, 7), ("act", 4, 0)])``
    """
    if isinstance(neurons, NeuronSet):
        neurons = neurons.union()
    if isinstance(neurons, Neurons):
        given: list[Any] = sorted(neurons.members())
    elif is_place(neurons):
        given = [neurons]
    elif isinstance(neurons, Iterable) and not isinstance(neurons, (str, bytes)):
        given = list(neurons)
    else:
        raise not_a_neuron(neurons)
    places = tuple(dict.fromkeys(place_of(model, one) for one in given))
    if not places:
        raise InputError("there are no neurons: give at least one, as (site, layer, index).")
    for place in places:
        check_inside(model, [as_neurons([place])])
    return places


def is_place(value: Any) -> bool:
    """Whether a value is one neuron: a tuple that does not begin with another.

    Example:
        >>> is_place(("act", 3, 7)), is_place([(3, 7)])
        (True, False)
    """
    return (
        isinstance(value, (tuple, list)) and bool(value) and not isinstance(value[0], (tuple, list))
    )


def place_of(model: LensModel, value: Any) -> Place:
    """Read one neuron.

    Raises:
        InputError: It is none, or the model lacks its site.
    """
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise not_a_neuron(value)
    site = value[0] if len(value) == 3 else model.default_site
    (site,) = check_sites(site, model.sites)
    layer, index = pair("neuron", tuple(value[-2:]))
    return (site, layer, index)


def not_a_neuron(value: Any) -> InputError:
    """Make the error for something that is no neuron."""
    return InputError(f"neuron={value!r:.60}: give (site, layer, index), such as ('act', 3, 7).")


def as_neurons(places: Iterable[Place]) -> Neurons:
    """Make ``Neurons`` of places.

    Example:
        >>> len(as_neurons([("act", 0, 1), ("act", 0, 2)]))
        2
    """
    sites: dict[str, list[tuple[int, int]]] = {}
    for site, layer, index in places:
        sites.setdefault(site, []).append((layer, index))
    return Neurons.of(sites)


def spoken(place: Place) -> str:
    """Name a neuron in a sentence.

    Example:
        >>> spoken(("act", 3, 7))
        'act 3.7'
    """
    site, layer, index = place
    return f"{site} {layer}.{index}"
