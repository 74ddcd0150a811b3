"""`culture-lens benchmarks`: the benchmarks that can be loaded by name."""

from __future__ import annotations


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
