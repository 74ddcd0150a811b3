"""`culture-lens organism`: train model organisms, check one, score selectors on them."""

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
        list[int] | None,
        typer.Option(help="A planted layer; repeat for more. 1 and 2 if left out."),
    ] = None,
    n_layers: Annotated[int, typer.Option(help="Layers; nothing is planted in the last two.")] = 5,
    dropout: Annotated[
        float, typer.Option(help="Share of neurons left out of each question: redundancy.")
    ] = 0.08,
) -> None:
    """Train an organism from scratch; the same command again goes on where it stopped.

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
        n_layers=n_layers,
        dropout=dropout,
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
    """Ask an organism about new pictures, unmodified and with each planted block ablated.

    Example: `culture-lens organism check --seed 20260101`
    """
    from rich.console import Console
    from rich.table import Table

    from culture_lens.organism.checks import check_organism
    from culture_lens.storage.display import format_table

    checked = check_organism(model, seed=seed, pictures=pictures)
    table = Table("ablated", "asked", "accuracy", "change", "held", box=None)
    for row in format_table(checked).to_dict("records"):
        held = {True: "yes", False: "NO", None: ""}[row["held"]]
        change = row["change"] if row["ablated"] != "unmodified" else ""
        table.add_row(row["ablated"], row["asked"], str(row["accuracy"]), str(change), held)
    Console().print(table)
    if not all(held is not False for held in checked["held"]):
        raise typer.Exit(1)


@organism.command()
def score(
    models: Annotated[
        list[str] | None, typer.Argument(help="organism, or folders of organisms.")
    ] = None,
    selector: Annotated[
        list[str] | None, typer.Option(help="A selector; repeat for more. All if left out.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="Pictures per culture and object.")] = 2,
    seed: Annotated[int, typer.Option(help="Draws pictures.")] = 1,
    run: Annotated[Path, typer.Option(help="Where it is kept.")] = Path("runs/scorecard"),
) -> None:
    """Score every selector on organisms: planted neurons found, decoys taken, effect of ablation.

    Example: `culture-lens organism score organism runs/organism-1/checkpoint`
    """
    from rich.console import Console
    from rich.table import Table

    from culture_lens.organism.scorecard import score_selectors
    from culture_lens.plots import save, scorecard_chart
    from culture_lens.storage.display import format_table
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run)
    asked = models or ["organism"]
    card = score_selectors(asked, selector or (), pictures=pictures, seed=seed, run=folder)
    told = {"models": asked, "pictures": pictures, "seed": seed}
    folder.log("organism score", told, began=began)
    folder.finish("organism score")
    card.to_parquet(folder.named("scorecard", "scorecard", ".parquet"))
    page = folder.named("scorecard", "scorecard", ".html")
    figure = scorecard_chart(card)
    save(figure, page)
    columns = ("precision", "average_precision", "decoys", "recognition", "own", "others")
    table = Table("selector", *columns, box=None)
    for name, row in format_table(card.summary(columns)).iterrows():
        table.add_row(str(name), *(str(row[column]) for column in columns))
    Console(width=160).print(table)
    typer.echo(f"{page}")
