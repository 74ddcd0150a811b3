"""The command line: the same calls as in Python, with results in a run folder."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from culture_lens import __version__
from culture_lens.cli.ablate import ablate
from culture_lens.cli.answers import answers
from culture_lens.cli.benchmarks import benchmarks
from culture_lens.cli.card import card
from culture_lens.cli.compare import compare
from culture_lens.cli.compare_units import compare_units
from culture_lens.cli.demo import demo
from culture_lens.cli.directions import directions
from culture_lens.cli.dose import dose
from culture_lens.cli.evaluate import evaluate
from culture_lens.cli.fidelity import fidelity
from culture_lens.cli.find import find
from culture_lens.cli.finetune import finetune
from culture_lens.cli.gap import gap
from culture_lens.cli.generation import generation
from culture_lens.cli.loading import note, say
from culture_lens.cli.models import models
from culture_lens.cli.modules import modules
from culture_lens.cli.organism import organism
from culture_lens.cli.plan import plan
from culture_lens.cli.plot import plot
from culture_lens.cli.report import report
from culture_lens.cli.status import status
from culture_lens.cli.steer import steer
from culture_lens.cli.suite import suite
from culture_lens.cli.transfer import transfer
from culture_lens.cli.values import values
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.storage.progress import QUIET

app = typer.Typer(
    name="culture-lens",
    help="Find, prove and use the neurons of a language model that carry knowledge of a culture.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    plan,
    find,
    ablate,
    dose,
    steer,
    evaluate,
    suite,
    values,
    answers,
    gap,
    directions,
    generation,
    compare,
    compare_units,
    fidelity,
    card,
    transfer,
    modules,
    finetune,
    status,
    plot,
    report,
    demo,
    models,
    benchmarks,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(organism, name="organism")


def say_version(asked: bool) -> bool:
    """Print the version and stop."""
    if asked:
        typer.echo(f"culture-lens {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def set_up(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=say_version, is_eager=True, help="Print the version."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress and no notes: results and errors only.")
    ] = False,
) -> None:
    """Read the options that stand before the command."""
    QUIET.set(quiet)


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Show this package's warnings as one plain line, and no others."""
    if issubclass(category, CultureLensWarning):
        note(str(message))


def check_words(words: Sequence[str]) -> None:
    """Refuse words that are blank: as a path one would be the working folder, as a name nothing.

    Raises:
        InputError: Names the flag, or the word before.

    Example:
        >>> check_words(["find", "--run", "runs/first"])
    """
    for before, word in zip(["culture-lens", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        if flag.startswith("--") and equals and not value.strip():
            raise InputError(f"{flag} is blank: give it a value, or leave it out.")
        if not word.strip():
            raise InputError(f"what follows {before} is blank: give a value, or leave it out.")


def let_waiting_threads_sleep() -> None:
    """Let torch's threads sleep while they wait for one another, where the user has not said how.

    By default they spin for milliseconds, many times in every forward: beside another process they
    spin away the core that the thread they wait for would need. OpenMP reads this once, when torch
    is imported; ``GOMP_SPINCOUNT`` and ``KMP_BLOCKTIME`` still go before it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    let_waiting_threads_sleep()
    warnings.showwarning = show_warning
    interrupted = 130
    try:
        check_words(sys.argv[1:])
        # Without its own error pages typer hands an exit code back, 130 for an interrupt.
        code = app(standalone_mode=False) or 0
    except InputError as error:
        say(f"error: {error}")
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = interrupted
    except Exception as error:
        if not hasattr(error, "show"):
            raise
        error.show()  # a usage error of the command line itself
        code = getattr(error, "exit_code", 2)
    if code == interrupted:
        say("interrupted: what was finished is kept in the run folder; the same command goes on.")
    sys.exit(code)
