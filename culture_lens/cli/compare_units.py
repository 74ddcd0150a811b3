"""`culture-lens compare-units`: neurons, features, heads and directions, equally large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import check_names, open_model, open_questions, recalled
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    EngineFlags,
    IdentifyShare,
    LoadingFlags,
    RandomSeeds,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    WhoseCultures,
)
from culture_lens.cli.plot import units_figures, write_figures
from culture_lens.errors import InputError, unknown

DEFAULT_UNITS = ("act:conact",)


@dataclass(frozen=True)
class UnitsFlags:
    """Which kinds are compared, and how large they are; see ``compare_units``."""

    panel: ClassVar[str] = "Comparison"

    units: Annotated[
        list[str] | None,
        typer.Option(
            "--unit",
            help="A site and the selector that ranks its units, such as act:conact, sae:knowledge "
            "with --sae, head:mad with --heads; may be given several times.",
        ),
    ] = None
    directions: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of directions, as `culture-lens directions` writes it; may be given "
            "several times."
        ),
    ] = None
    k: Annotated[int | None, typer.Option(min=1, help="Units of each culture.")] = None
    equal: Annotated[
        str | None,
        typer.Option(help="number: k of each kind; norm: as many as change the model as much."),
    ] = None
    cultures: WhoseCultures = None
    identify_share: IdentifyShare = None
    random_seeds: RandomSeeds = None
    scoring: ScoringFlag = None


@flags
def compare_units(
    *,
    run: RunFolder = DEFAULT_RUN,
    loading: LoadingFlags,
    asking: AskingFlags,
    comparing: UnitsFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Ablate units of several kinds, equally many or equally large, and compare what it does.

    Model and questions are those of `find` in the same run folder, unless given. The comparison is
    `units/BENCHMARK-EQUAL.parquet`.

    Example: `culture-lens compare-units --run runs/first --heads --unit act:conact --unit head:mad
    --k 20 --equal norm`
    """
    from culture_lens.experiments.compare_units import EQUAL
    from culture_lens.experiments.compare_units import compare_units as compared
    from culture_lens.storage.display import format_table
    from culture_lens.storage.runs import Run, now

    opened = recalled(run, loading, asking)
    check_names(scoring=comparing.scoring)
    if comparing.equal not in (None, *EQUAL):
        raise unknown("--equal", comparing.equal, EQUAL)
    kinds = kinds_of(comparing.units or ([] if comparing.directions else DEFAULT_UNITS))
    kinds |= directions_of(comparing.directions or ())
    questions = open_questions(opened)
    began = now()
    folder = Run.open(run)
    lens = open_model(opened)
    options = given(running, comparing, **engine.chosen)
    told = {name: value for name, value in options.items() if name not in ("units", "directions")}
    result = compared(lens, questions, kinds, run=folder, **told)
    name = f"{questions[0].benchmark}-{result.metadata['equal']}"
    typer.echo(f"{result.to_parquet(folder.named('units', name, '.parquet'))}")
    opened = {"model": lens.name, "benchmark": questions[0].benchmark, **opened}
    folder.log("compare-units", {**opened, "compare-units": options}, began=began)
    write_figures(folder, units_figures(name, result))
    folder.finish("compare-units", lens.device)
    typer.echo("\nchange in accuracy on own and on other cultures' questions, mean over cultures\n")
    typer.echo(format_table(result.table()).to_string(index=False))


def kinds_of(texts: Sequence[str]) -> dict[str, Any]:
    """Read kinds of units written as ``site:selector``.

    Raises:
        InputError: One is written otherwise, or its selector cannot rank units.

    Example:
        >>> kinds_of(["act:conact"])
        {'act:conact': ('act', 'conact')}
    """
    from culture_lens.experiments.unit_edits import unit_kind

    found = {}
    for word in texts:
        site, colon, selector = word.partition(":")
        if not colon or not site.strip() or not selector.strip():
            raise InputError(f"--unit {word!r}: write it as site:selector, such as act:conact.")
        found[word] = unit_kind("--unit", (site.strip(), selector.strip()))
    return found


def directions_of(files: Sequence[Path]) -> dict[str, Any]:
    """Read files of directions, named as the files are.

    Raises:
        InputError: A file cannot be read, or two have the same name.
    """
    from culture_lens.neurons.directions import Directions

    found = {}
    for file in files:
        if file.stem in found:
            raise InputError(f"--directions: two files are named {file.name}: rename one of them.")
        found[file.stem] = Directions.load(file)
    return found
