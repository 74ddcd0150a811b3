"""Whether a model is the one that neurons were found on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from culture_lens.errors import InputError, warn
from culture_lens.models.sites import unknown_site
from culture_lens.neurons.neurons import Shape

if TYPE_CHECKING:
    from culture_lens.models.lens_model import LensModel

SAMPLED = 20
"""Digits of the hash of a sample of the weights, as version 0.1.0 recorded it."""


def check_found_on(
    model: LensModel, shapes: Mapping[str, Shape], metadata: Mapping[str, Any]
) -> None:
    """Refuse a model that neurons were not found on; warn of other weights.

    Args:
        model: The model.
        shapes: Layers and neurons per layer of each site that the neurons were chosen from.
        metadata: What is known of the neurons: ``model``, its name, and ``weights``, their hash.

    Raises:
        InputError: Another model's name, or another number of layers or neurons.
    """
    name = metadata.get("model")
    units = metadata.get("units", {})
    for site, shape in shapes.items():
        if site in units and site not in model.units:
            raise unknown_site(site, model.sites)
        have = model.shape(site)
        if tuple(shape) != have:
            raise InputError(
                f"these neurons are of a model with {shape[0]} layers of {shape[1]} neurons at "
                f"site {site!r}, {model.name!r} has {have[0]} of {have[1]}: use the model they "
                f"were found on ({name or 'not recorded'!r})."
            )
    if name and name != model.name:
        raise InputError(
            f"these neurons were found on {name!r}, not on {model.name!r}: load that model, or "
            "find the neurons again. (If it is one and the same model under another name, replace "
            "the 'model' entry of the metadata.)"
        )
    for site, facts in units.items():
        if site in shapes and facts.get("content") != model.units[site].content:
            raise InputError(
                f"these neurons are units of another {site!r} than that of {model.name!r}: give "
                "the model the autoencoder (heads, directions) that they were found on."
            )
    weights = metadata.get("weights")
    if weights and len(weights) == SAMPLED:
        warn(
            "these neurons were found with version 0.1.0, which hashed a sample of the weights: "
            f"whether those of {model.name!r} are the same cannot be told."
        )
    elif weights and weights != model.fingerprint:
        warn(
            f"the weights of {model.name!r} differ from those that the neurons were found on: "
            "another dtype or revision, or a model that was trained further."
        )
