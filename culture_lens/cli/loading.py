"""From options to a model and questions; a run folder gives the options of earlier commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from culture_lens.checks import each, text
from culture_lens.cli.flags import given
from culture_lens.cli.options import AskingFlags, LoadingFlags
from culture_lens.errors import InputError, unknown
from culture_lens.storage.progress import QUIET

if TYPE_CHECKING:
    from datetime import datetime

    from culture_lens.models.lens_model import LensModel
    from culture_lens.questions.question import Question
    from culture_lens.storage.runs import Run


def say(text: str) -> None:
    """Print a line for people, on standard error, so that standard output stays for results."""
    typer.echo(text, err=True)


def note(text: str) -> None:
    """Print a note on standard error, unless quiet was asked for."""
    if not QUIET.get():
        say(f"note: {text}")


def remembered(run: Run, *records: Any) -> dict[str, Any]:
    """Give the options of some records, those that were not given as earlier commands had them.

    Example:
        ``remembered(Run.open("runs/first"), loading, asking)["model"]``
    """
    names = [name for record in records for name in vars(record)]
    earlier = {name: run.option(name) for name in names}
    return {**given(**earlier), **given(*records)}


def log_once(run: Run, command: str, told: dict[str, Any], began: datetime) -> dict[str, Any]:
    """Add a command to ``run.json`` as its first result is there: only what ran is in it.

    Returns:
        What is left to be told: nothing.
    """
    if told:
        run.log(command, told, began=began)
    return {}


def recalled(run: Path, *records: Any) -> dict[str, Any]:
    """Give options as ``remembered`` does, from a run folder that need not be there yet."""
    from culture_lens.storage.runs import Run

    # The folder is made later, when all options are known to be right.
    folder = Run.open(run, create=False) if run.exists() else Run(run)
    return remembered(folder, *records)


def open_remembered(
    run: Run, loading: LoadingFlags, asking: AskingFlags
) -> tuple[dict[str, Any], list[Question], LensModel]:
    """Load questions and model, those of earlier commands in the run folder unless given.

    Returns:
        The options, the questions and the model.
    """
    options = remembered(run, loading, asking)
    questions = open_questions(options)
    return options, questions, open_model(options)


def quiet_loading() -> None:
    """Switch off the loading bars of transformers."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def open_model(options: dict[str, Any]) -> LensModel:
    """Load the model that the options name."""
    from culture_lens.models.load import load_model

    quiet_loading()
    wanted = {name: options[name] for name in ("dtype", "device", "revision") if name in options}
    names = [options["model"]] if "model" in options else []
    lens = load_model(*names, **wanted)
    if options.get("heads"):
        from culture_lens.models.heads import with_heads

        lens = with_heads(lens)
    if not options.get("sae"):
        return lens
    from culture_lens.models.attach import with_features

    return with_features(
        lens, options["sae"], exclude_special_tokens=options.get("exclude_special_tokens")
    )


def open_questions(options: dict[str, Any]) -> list[Question]:
    """Load the questions that the options name.

    Raises:
        InputError: An unknown benchmark or option, or a preset together with a wording.
    """
    from culture_lens.benchmarks import BENCHMARKS, check_options, load_benchmark
    from culture_lens.models.architectures import preset
    from culture_lens.questions.question import with_format

    name = text("benchmark", options.get("benchmark", "everyday"))
    texts = options.get("benchmark_option", [])
    own = named_values(texts, "--benchmark-option", "grouping=country")
    if name in BENCHMARKS:
        # Only its own options: path, cultures and limit have flags.
        check_options(BENCHMARKS[name], own)
    if options.get("preset") and "wording" in own:
        raise InputError("--preset and wording= both say in which words to ask: give one of them.")
    wanted = given(
        path=options.get("path"), cultures=options.get("culture"), limit=options.get("limit")
    )
    questions = load_benchmark(name, **wanted, **own)
    if options.get("preset"):
        questions = with_format(questions, preset(options.get("model", "")).prompt)
    return questions


def named_values(texts: list[str], flag: str = "--option", example: str = "z=1") -> dict[str, Any]:
    """Read options written as ``name=value``; values are JSON where they can be.

    Example:
        >>> named_values(["z=1.5", "countryrc_share=0"])
        {'z': 1.5, 'countryrc_share': 0}
    """
    values: dict[str, Any] = {}
    for word in each(str, "texts such as z=1")(flag, texts):
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{flag} {word!r}: write it as name=value, such as {example}.")
        try:
            values[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):  # no JSON: a text
            values[name.strip()] = value
    return values


def parse_benchmarks(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``name``, ``name=path`` or ``name=path,option=value,...`` of several benchmarks.

    Example:
        >>> parse_benchmarks(["everyday", "cvqa=data/cvqa,language=native"])["cvqa"]
        {'path': PosixPath('data/cvqa'), 'benchmark_option': ['language=native']}
    """
    asked: dict[str, dict[str, Any]] = {}
    for word in texts:
        name, _, rest = word.partition("=")
        path, *own = rest.split(",")
        if not name.strip():
            raise InputError(f"--benchmark {word!r}: write it as name or name=path.")
        if name.strip() in asked:
            raise InputError(f"--benchmark {name.strip()!r} was given twice.")
        asked[name.strip()] = given(path=Path(path) if path else None, benchmark_option=own)
    return asked


def check_names(value: str | None = None, scoring: str | None = None) -> None:
    """Refuse an unknown value or scoring before the model is loaded.

    Raises:
        InputError: Names the known ones.
    """
    from culture_lens.evaluation.scoring import get_scoring
    from culture_lens.neurons.hooks import NAMED_VALUES

    if scoring is not None:
        get_scoring(scoring)
    if value not in (None, *NAMED_VALUES):
        raise unknown("--value", value, NAMED_VALUES)
