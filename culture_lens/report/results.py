"""Read the results of a run folder that a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from culture_lens.errors import InputError, warn
from culture_lens.experiments.belonging import is_of, set_name
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.storage.runs import Run

Results: TypeAlias = "dict[str, tuple[NeuronSet | None, AblationMatrix | None]]"
"""Selector -> its neurons and its matrix."""


def load_results(run: Run) -> Results:
    """Read the neurons and the matrix of every selector in a run.

    A matrix that was measured with other neurons than those of its name is left out, with a
    warning. ``conact-double`` is of the neurons ``conact``, set to another value.

    Raises:
        InputError: There are none, a file is damaged, or they are of different models.
    """
    neurons, matrices = run.names("neurons", ".safetensors"), run.names("matrix", ".parquet")
    if not neurons and not matrices:
        raise InputError(
            f"nothing to report: {run.path} has no neurons/*.safetensors and no matrix/*.parquet; "
            "find neurons first, with this folder as run."
        )
    sets = {name: NeuronSet.load(run.named("neurons", name, ".safetensors")) for name in neurons}
    results: Results = {name: (found, None) for name, found in sets.items()}
    for name in matrices:
        file = run.named("matrix", name, ".parquet")
        matrix = AblationMatrix.from_parquet(file)
        if matrix.frame.empty:
            raise InputError(f"{file} holds no records; make it again.")
        own = name if name in sets else set_name(name, matrix.metadata)
        found = sets.get(own)
        if found is not None and not is_of(matrix.metadata, found):
            warn(f"{other_neurons('matrix', name, own)} It is left out: ablate them again.")
        else:
            results[name] = found, matrix
    check_one_model(run, results)
    return {name: results[name] for name in sorted(results)}


def other_neurons(folder: str, name: str, own: str) -> str:
    """Say that a result is not of the neurons that it is named after."""
    return f"{folder}/{name}.parquet is of other neurons than neurons/{own}.safetensors."


def check_one_model(run: Run, results: Results) -> None:
    """Refuse results of different models, whose figures would stand side by side.

    Raises:
        InputError: Names two of them.
    """
    models = {
        str(result.metadata["model"]): name
        for name, both in results.items()
        for result in both
        if result is not None and result.metadata.get("model")
    }
    if len(models) > 1:
        (one, first), (other, second), *_ = models.items()
        raise InputError(
            f"{run.path} holds results of different models: {first!r} is of {one!r}, {second!r} of "
            f"{other!r}. Keep a run folder for each."
        )


def first_metadata(results: Results) -> Mapping[str, Any]:
    """Give the metadata of the first matrix, or of the first neurons where there is none."""
    matrices = [matrix.metadata for _, matrix in results.values() if matrix is not None]
    sets = [found.metadata for found, _ in results.values() if found is not None]
    return (matrices or sets)[0]
