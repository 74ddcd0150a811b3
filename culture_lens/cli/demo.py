"""`culture-lens demo`: the whole job on two embedded models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from culture_lens.cli.flags import given
from culture_lens.cli.loading import quiet_loading
from culture_lens.cli.options import BatchSize, RunFolder

if TYPE_CHECKING:
    from culture_lens.experiments.matrix import AblationMatrix
    from culture_lens.neurons.neuron_set import NeuronSet


def demo(
    run: RunFolder = Path("runs/demo"),
    batch_size: BatchSize = None,
) -> None:
    """Run the whole job twice: on the organism, in seconds, and on SmolLM2, in minutes.

    Example: `culture-lens demo`
    """
    from time import monotonic

    from culture_lens.cli.run_demo import run_demo, run_organism_demo

    quiet_loading()
    started = monotonic()
    page, matrices, sets = run_organism_demo(
        run.with_name(f"{run.name}-organism"), **given(batch_size=batch_size)
    )
    typer.echo("\norganism: a model of a million parameters whose culture neurons are known")
    show_effects(matrices)
    for name, found in sets.items():
        hits, taken = known_among(found)
        typer.echo(f"  {name}: {hits} of the {taken} neurons that it takes were planted")
    typer.echo(f"{monotonic() - started:.0f} s. The page with the results: {page.resolve()}\n")
    page, matrices = run_demo(run, **given(batch_size=batch_size))
    typer.echo("\nSmolLM2-135M, asked everyday questions on eight countries")
    show_effects(matrices)
    typer.echo(f"{monotonic() - started:.0f} s in all. The page with the results: {page.resolve()}")


def show_effects(matrices: Mapping[str, AblationMatrix]) -> None:
    """Print what ablating did, a block for each selector."""
    for name, matrix in matrices.items():
        typer.echo(f"\n{name}: mean over cultures of the change in accuracy, 95% intervals")
        typer.echo(f"  own culture     {matrix.overall('self')}")
        typer.echo(f"  other cultures  {matrix.overall('cross')}")
        typer.echo(f"  gap             {matrix.overall('gap')}")
        if matrix.has_random:
            typer.echo(f"  random neurons  {matrix.overall('self', condition='random')}")
    typer.echo("")


def known_among(found: NeuronSet) -> tuple[int, int]:
    """Count the neurons of all cultures that were planted for them, and all of them."""
    from culture_lens.organism.scores_against_truth import SOUGHT, mlp_places
    from culture_lens.organism.truth import load_truth

    truth, hits = load_truth(), 0
    for culture in found:
        planted = mlp_places(truth.neurons(SOUGHT, culture).members())
        hits += len(planted & mlp_places(found[culture].members()))
    return hits, sum(len(found[culture]) for culture in found)
