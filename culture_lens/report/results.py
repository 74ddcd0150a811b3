"""Read the results of a run folder that a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from culture_lens.errors import InputError
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.storage.runs import Run

Results: TypeAlias = "dict[str, tuple[NeuronSet | None, AblationMatrix | None]]"
"""Selector -> its neurons and its matrix."""


def load_results(run: Run) -> Results:
    """Read the neurons and the matrix of every selector in a run.

    Raises:
        InputError: There are none, or a file is damaged.
    """
    neurons, matrices = run.names("neurons", ".safetensors"), run.names("matrix", ".parquet")
    if not neurons and not matrices:
        raise InputError(
            f"nothing to report: {run.path} has no neurons/*.safetensors and no matrix/*.parquet; "
            "find neurons first, with this folder as run."
        )
    results: Results = {}
    for name in sorted({*neurons, *matrices}):
        found = matrix = None
        if name in neurons:
            found = NeuronSet.load(run.named("neurons", name, ".safetensors"))
        if name in matrices:
            file = run.named("matrix", name, ".parquet")
            matrix = AblationMatrix.from_parquet(file)
            if matrix.frame.empty:
                raise InputError(f"{file} holds no records; make it again.")
        results[name] = found, matrix
    return results


def first_metadata(results: Results) -> Mapping[str, Any]:
    """Give the metadata of the first matrix, or of the first neurons where there is none."""
    matrices = [matrix.metadata for _, matrix in results.values() if matrix is not None]
    sets = [found.metadata for found, _ in results.values() if found is not None]
    return (matrices or sets)[0]
