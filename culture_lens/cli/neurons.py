"""Neurons of a run folder, for the commands that ablate or count them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.models.lens_model import LensModel
    from culture_lens.neurons.neuron_set import Neurons, NeuronSet
    from culture_lens.storage.runs import Run

MethodName = Annotated[
    str | None, typer.Option(help="Whose neurons of the run folder; the only ones if left out.")
]
UnionOption = Annotated[
    bool | None, typer.Option("--union", help="Ablate the neurons of all cultures together.")
]
WhoseCulturesOption = Annotated[
    list[str] | None,
    typer.Option("--whose", help="Only this culture's neurons; may be given several times."),
]
UNION = "union"


def the_neurons(folder: Run, method: str | None) -> NeuronSet:
    """Read the neuron set of a run folder.

    Raises:
        InputError: There is none, or several and none is named.
    """
    from culture_lens.neurons.neuron_set import NeuronSet

    return NeuronSet.load(folder.named("neurons", the_method(folder, method), ".safetensors"))


def the_method(folder: Run, method: str | None) -> str:
    """Name the neuron set of a run folder.

    Raises:
        InputError: There is none, or several and none is named.
    """
    names = folder.names("neurons", ".safetensors")
    if method is None and len(names) != 1:
        found = f"several ({', '.join(names)}): name one" if names else "none: run `find` first"
        raise InputError(f"--method: neuron sets in {folder.path} are {found}.")
    return method or names[0]


def named_sets(folder: Run, method: list[str] | None) -> dict[str, NeuronSet]:
    """Read the neuron sets of a run folder, all of them where none is named.

    Raises:
        InputError: There are none, or one that is named is not there.
    """
    from culture_lens.neurons.neuron_set import NeuronSet

    names = method or folder.names("neurons", ".safetensors")
    if not names:
        raise InputError(f"no neurons in {folder.path}: run `culture-lens find` first.")
    return {name: NeuronSet.load(folder.named("neurons", name, ".safetensors")) for name in names}


def masks_of(found: NeuronSet, whose: list[str] | None, union: bool | None) -> NeuronSet:
    """Keep some cultures of a set, or make one mask of all of them.

    Raises:
        InputError: The set has no such culture.

    Example:
        ``masks_of(found, ["Japan", "Mexico"], union=True)["union"]``
    """
    names = whose or list(found.cultures)
    joined = {UNION: found.union(*names)} if union else {name: found[name] for name in names}
    return replace(found, neurons=joined)


def one_mask(
    folder: Run, method: str | None, ablate: str | None, union: bool | None, value: str | None
) -> NeuronSet | None:
    """Give the one mask that a command ablates, or nothing for the unmodified model.

    Returns:
        A set of one entry, whose name is that of the set and of the culture.

    Raises:
        InputError: Both a culture and all of them, a set without saying whose neurons, or neurons
            that cannot be ablated to their means.
    """
    if ablate is not None and union:
        raise InputError("--ablate and --union both say whose neurons: give one of them.")
    if ablate is None and not union:
        if method is not None:
            raise InputError("--method names neurons to ablate: add --ablate CULTURE or --union.")
        return None
    name = the_method(folder, method)
    found = masks_of(the_neurons(folder, name), [ablate] if ablate else None, union)
    check_means(found, value)
    return replace(found, neurons={f"{name}-{own}": found[own] for own in found})


def ablated(mask: NeuronSet | None, lens: LensModel) -> tuple[str, Neurons | None]:
    """Name what is done to a model, and give the neurons.

    Raises:
        InputError: They are of another model.
    """
    if mask is None:
        return "unmodified", None
    mask.check_model(lens)
    (label,) = mask
    return label, mask[label]


def check_means(found: NeuronSet, value: str | None) -> None:
    """Refuse to ablate to the mean where no mean is known, as of joined neurons.

    Raises:
        InputError: Names the mask.
    """
    for name in found if value == "mean" else ():
        if set(found[name].places) - set(found[name].means):
            raise InputError(
                f"--value mean: no means were recorded of the neurons {name!r}, and none are kept "
                "of a union; use --value zero."
            )
