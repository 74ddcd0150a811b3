"""The neurons of a run folder, for the commands that ablate or count them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.cli.loading import check_names, note, open_model, recalled
from culture_lens.cli.options import LoadingFlags, OneMaskFlags, with_value
from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    from culture_lens.models.lens_model import LensModel
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.neurons.neurons import Neurons
    from culture_lens.storage.runs import Run

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
    if method is not None and method not in names:
        raise unknown_set(folder, method, names)
    return method or names[0]


def unknown_set(folder: Run, method: str, names: list[str]) -> InputError:
    """Make the error for a neuron set that is not in a run folder."""
    if not names:
        return InputError(f"no neurons in {folder.path}: run `culture-lens find` first.")
    return unknown("neuron set", method, names, f"They are those of {folder.path}.")


def named_sets(folder: Run, method: list[str] | None) -> dict[str, NeuronSet]:
    """Read the neuron sets of a run folder, all of them where none is named.

    Raises:
        InputError: There are none, or one that is named is not there.
    """
    from culture_lens.neurons.neuron_set import NeuronSet

    held = folder.names("neurons", ".safetensors")
    names = method or held
    if not names:
        raise InputError(f"no neurons in {folder.path}: run `culture-lens find` first.")
    for name in names:
        if name not in held:
            raise unknown_set(folder, name, held)
    return {name: NeuronSet.load(folder.named("neurons", name, ".safetensors")) for name in names}


def chosen_masks(found: NeuronSet, whose: list[str] | None, union: bool | None) -> NeuronSet:
    """Keep some cultures of a set, or make one mask of all of them.

    Raises:
        InputError: The set has no such culture.

    Example:
        ``chosen_masks(found, ["Japan", "Mexico"], union=True)["union"]``
    """
    names = whose or list(found.cultures)
    joined = {UNION: found.union(*names)} if union else {name: found[name] for name in names}
    return replace(found, neurons=joined)


def one_mask(folder: Run, wanted: OneMaskFlags) -> NeuronSet | None:
    """Give the mask that a command ablates, or None for the unmodified model.

    Returns:
        A set of one entry, named after the neuron set and the culture.

    Raises:
        InputError: Both a culture and all of them, a set without saying whose neurons, or neurons
            that cannot be ablated to their means.
    """
    if wanted.ablate is not None and wanted.union:
        raise InputError("--ablate and --union both say whose neurons: give one of them.")
    if wanted.ablate is None and not wanted.union:
        if wanted.method is not None:
            raise InputError("--method names neurons to ablate: add --ablate CULTURE or --union.")
        return None
    name = the_method(folder, wanted.method)
    whose = [wanted.ablate] if wanted.ablate else None
    found = chosen_masks(the_neurons(folder, name), whose, wanted.union)
    check_means(found, wanted.value)
    return replace(found, neurons={f"{name}-{own}": found[own] for own in found})


@dataclass(frozen=True, eq=False)
class MaskedModel:
    """A model with the questions that it is asked and the neurons that are ablated.

    Attributes:
        folder: The run folder.
        loading: The options that the model was loaded with.
        lens: The model.
        questions: What to ask.
        label: The name of the mask, or ``"unmodified"``.
        neurons: The neurons to ablate, or None.
    """

    folder: Run
    loading: dict[str, Any]
    lens: LensModel
    questions: Any
    label: str
    neurons: Neurons | None


def open_masked(
    run: Path,
    loading: LoadingFlags,
    wanted: OneMaskFlags,
    read: Callable[[], Sequence[Any]],
    scoring: str | None = None,
) -> MaskedModel:
    """Open what a command asks under one mask; every mistake is found before the model is loaded.

    Args:
        run: The run folder, made if it is not there.
        loading: The model; that of `find` in the run folder unless given.
        wanted: Which neurons are ablated.
        read: Reads the questions.
        scoring: The scoring, to be checked.

    Raises:
        InputError: Unknown names, neurons that are not in the folder or of another model, or
            questions that cannot be read.
    """
    from culture_lens.storage.runs import Run

    options = recalled(run, loading)
    check_names(wanted.value, scoring)
    mask = one_mask(Run(run), wanted)
    questions = read()
    if mask is not None:
        questions = left_to_ask(mask, questions, wanted.seen)
    lens = open_model(options)
    label, neurons = "unmodified", None
    if mask is not None:
        mask.check_model(lens)
        (name,) = mask
        label, neurons = with_value(name, wanted.value), mask[name]
    return MaskedModel(Run.open(run), options, lens, questions, label, neurons)


def left_to_ask(found: NeuronSet, questions: Sequence[Any], seen: bool | None) -> list[Any]:
    """Leave out the questions that found the neurons, and say how many.

    Raises:
        InputError: Every question found them.
    """
    from culture_lens.questions.unseen import unseen

    left: list[Any] = unseen(found, questions, bool(seen))
    if lost := len(questions) - len(left):
        note(
            f"{lost} of {len(questions)} questions were given to find the neurons and are "
            "left out (--seen asks them too): compare with the unmodified model on the others."
        )
    return left


def check_means(found: NeuronSet, value: str | None) -> None:
    """Refuse ablation to the mean where no means are known, as for a union of neurons.

    Raises:
        InputError: Names the mask.
    """
    for name in found if value == "mean" else ():
        if set(found[name].places) - set(found[name].means):
            raise InputError(
                f"--value mean: no means were recorded of the neurons {name!r}, and none are kept "
                "of a union; use --value zero."
            )
