"""Options that several commands share, and what is done with them.

An option that is not given is not passed on, so every default is the one written in Python.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.models.lens_model import LensModel
    from culture_lens.questions.question import Question
    from culture_lens.storage.runs import Run

ModelOption = Annotated[str | None, typer.Option(help="Name, folder or hub id of the model.")]
BenchmarkOption = Annotated[str | None, typer.Option(help="See `culture-lens benchmarks`.")]
BenchmarkOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--benchmark-option",
        help="An option of the benchmark, such as grouping=language_country; may be given several "
        "times.",
    ),
]
PresetOption = Annotated[
    bool | None,
    typer.Option("--preset", help="Ask in the form of the papers; see `culture-lens models`."),
]
PathOption = Annotated[Path | None, typer.Option(help="A local copy of the benchmark.")]
RunOption = Annotated[Path, typer.Option(help="The run folder.")]
MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        help="conact, lap, lape, mad, mad_probability, random, culnig-specific or culnig-general; "
        "may be given several times."
    ),
]
ScoringOption = Annotated[
    str | None,
    typer.Option(help="letter, letter_options, option_likelihood or option_likelihood_sum."),
]
CultureOption = Annotated[
    list[str] | None, typer.Option(help="Only this culture; may be given several times.")
]
LimitOption = Annotated[int | None, typer.Option(help="At most so many questions per culture.")]
BenchmarksOption = Annotated[
    list[str],
    typer.Option(
        help="A benchmark as name, name=path or name=path,option=value; once for each of them."
    ),
]
ValueOption = Annotated[str | None, typer.Option(help="zero, mean or double.")]
RandomSeedsOption = Annotated[
    int | None, typer.Option(help="Sets of random neurons beside each culture's.")
]
SeenOption = Annotated[
    bool | None, typer.Option("--seen", help="Evaluate on items used to identify too.")
]
AblateOption = Annotated[str | None, typer.Option(help="The culture whose neurons to ablate.")]
IdentifyShareOption = Annotated[
    float | None, typer.Option(help="Share of the question groups that identify.")
]
OnlyCorrectOption = Annotated[
    bool | None, typer.Option("--only-correct", help="Count only items answered right.")
]
TokensOption = Annotated[
    str | None,
    typer.Option(help="Tokens that activation selectors count: content, text or image."),
]
PerCultureOption = Annotated[
    int | None, typer.Option(help="Count at most so many items of each culture.")
]
CountryOption = Annotated[
    list[str] | None,
    typer.Option(help="CULNIG: a culture that CountryRC names; may be given several times."),
]
CountryRCOption = Annotated[
    Path | None, typer.Option(help="CULNIG: a CountryRC file instead of the bundled one.")
]
WordingOption = Annotated[
    list[int] | None, typer.Option(help="Only this wording, from 0 to 3; all where left out.")
]
TooLongOption = Annotated[
    str | None, typer.Option(help="Prompts longer than the context: error, skip or truncate.")
]
BatchOption = Annotated[int | None, typer.Option(help="Questions per forward.")]
DtypeOption = Annotated[str | None, typer.Option(help="float32, bfloat16, ...")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]

DEFAULT_RUN = Path("runs/latest")


def given(**options: Any) -> dict[str, Any]:
    """Keep the options that were given.

    Example:
        >>> given(share=0.01, k=None, culture=[])
        {'share': 0.01}
    """
    return {name: value for name, value in options.items() if value not in (None, [], ())}


def say(text: str) -> None:
    """Print a line for people, on standard error, so that standard output stays for results."""
    typer.echo(text, err=True)


def remembered(run: Run, **options: Any) -> dict[str, Any]:
    """Fill options that were not given from what this run was made with."""
    return given(
        **{
            name: value if value not in (None, []) else run.option(name)
            for name, value in options.items()
        }
    )


def named_values(texts: list[str], flag: str = "--option", example: str = "z=1") -> dict[str, Any]:
    """Read options written as ``name=value``; values are JSON where they can be.

    Example:
        >>> named_values(["z=1.5", "countryrc_share=0"])
        {'z': 1.5, 'countryrc_share': 0}
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{flag} {text!r}: write it as name=value, such as {example}.")
        try:
            values[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            values[name.strip()] = value
    return values


def recalled(run: Path, **options: Any) -> dict[str, Any]:
    """Fill options as ``remembered`` does, from a run folder that need not be there yet."""
    from culture_lens.storage.runs import Run

    # Not made before everything else is known to be right.
    folder = Run.open(run, create=False) if run.exists() else Run(run)
    return remembered(folder, **options)


def parse_benchmarks(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``name``, ``name=path`` or ``name=path,option=value,...`` of several benchmarks.

    Example:
        >>> parse_benchmarks(["everyday", "cvqa=data/cvqa,language=native"])["cvqa"]
        {'path': PosixPath('data/cvqa'), 'benchmark_option': ['language=native']}
    """
    asked: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, _, rest = text.partition("=")
        path, *own = rest.split(",")
        if not name.strip():
            raise InputError(f"--benchmark {text!r}: write it as name or name=path.")
        if name.strip() in asked:
            raise InputError(f"--benchmark {name.strip()!r} was given twice.")
        asked[name.strip()] = given(path=Path(path) if path else None, benchmark_option=own)
    return asked


def check_ablation(value: str | None = None, scoring: str | None = None) -> None:
    """Refuse words that the model would refuse only when it is there.

    Raises:
        InputError: An unknown value or way of scoring.
    """
    from culture_lens.evaluation.scoring import get_scoring
    from culture_lens.interventions.hooks import NAMED_VALUES

    if scoring is not None:
        get_scoring(scoring)
    if value not in (None, *NAMED_VALUES):
        raise InputError(f"--value {value!r}: use zero, mean or double.")


def quiet_loading() -> None:
    """Keep the library's own loading bars out of ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def open_model(options: dict[str, Any]) -> LensModel:
    """Load the model that the options name."""
    from culture_lens.models.load import load_model

    quiet_loading()
    wanted = {name: options[name] for name in ("dtype", "device", "revision") if name in options}
    names = [options["model"]] if "model" in options else []
    return load_model(*names, **wanted)


def open_questions(options: dict[str, Any]) -> list[Question]:
    """Load the questions that the options name."""
    from culture_lens.benchmarks import BENCHMARKS, check_options, load_benchmark
    from culture_lens.models.architectures import preset
    from culture_lens.questions.question import with_format

    name = options.get("benchmark", "everyday")
    texts = options.get("benchmark_option", [])
    own = named_values(texts, "--benchmark-option", "grouping=country")
    if name in BENCHMARKS:
        # Its own options only: path, cultures and limit have flags of their own.
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
