"""`culture-lens organism`: train model organisms, and hold one against its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

organism = typer.Typer(help="Model organisms: small models whose culture neurons are known.")


@organism.command()
def train(
    seed: Annotated[int, typer.Option(help="Draws facts, pictures, weights and lessons.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Where it is kept; runs/organism-SEED if left out.")
    ] = None,
    shuffled: Annotated[
        bool, typer.Option(help="Facts change with every question: a model without knowledge.")
    ] = False,
    knowledge: Annotated[int, typer.Option(help="Ordinary neurons per layer and culture.")] = 10,
    style: Annotated[int, typer.Option(help="Decoys per layer and culture.")] = 6,
    style_strength: Annotated[float, typer.Option(help="Length of what a decoy writes.")] = 1.0,
    sparsity: Annotated[float, typer.Option(help="Pressure to stay closed elsewhere.")] = 0.05,
    layer: Annotated[
        list[int] | None, typer.Option(help="A planted layer; repeat for two. 1 and 2 if left out.")
    ] = None,
) -> None:
    """Train an organism from scratch; given again, the command goes on where it stopped.

    Example: `culture-lens organism train --seed 1`
    """
    from culture_lens.organism.plan import Variant
    from culture_lens.organism.training import train_organism

    name = f"organism-{seed}-shuffled" if shuffled else f"organism-{seed}"
    variant = Variant(
        knowledge=knowledge,
        style=style,
        style_strength=style_strength,
        sparsity=sparsity,
        layers=tuple(layer) if layer else (1, 2),
    )
    finished = train_organism(
        folder or Path("runs") / name, seed=seed, variant=variant, shuffled=shuffled
    )
    typer.echo(f"{finished}")


@organism.command()
def check(
    model: Annotated[str, typer.Option(help="organism, or the folder of one.")] = "organism",
    seed: Annotated[int, typer.Option(help="Draws pictures; take one nobody has used.")] = 1,
    pictures: Annotated[int, typer.Option(help="Pictures per culture and object.")] = 10,
) -> None:
    """Ask an organism on fresh pictures, with each planted block silenced, beside its truth.

    Example: `culture-lens organism check --seed 20260101`
    """
    from rich.console import Console
    from rich.table import Table

    from culture_lens.organism.checks import check_organism

    checked = check_organism(model, seed=seed, pictures=pictures)
    table = Table("silenced", "asked", "accuracy", "change", "held", box=None)
    for row in checked.to_dict("records"):
        held = {True: "yes", False: "NO", None: ""}[row["held"]]
        change = row["change"] if row["silenced"] != "nothing" else ""
        table.add_row(row["silenced"], row["asked"], str(row["accuracy"]), str(change), held)
    Console().print(table)
    if not all(held is not False for held in checked["held"]):
        raise typer.Exit(1)
