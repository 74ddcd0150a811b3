"""`culture-lens plan`: what an experiment takes, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import open_questions, quiet_loading
from culture_lens.cli.options import (
    BatchSize,
    BenchmarkFlags,
    IdentifyShare,
    Methods,
    RandomSeeds,
    ScoringFlag,
)
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.experiments.planning.asking import Counts
    from culture_lens.questions.question import Question


@dataclass(frozen=True)
class CountFlags:
    """A benchmark in numbers; see ``Counts``."""

    panel: ClassVar[str] = "Questions in numbers"

    items: Annotated[
        int | None,
        typer.Option(help="Questions in all; of a benchmark, those that its rows here stand for."),
    ] = None
    cultures: Annotated[
        int | None, typer.Option(help="Cultures: with --items, plan without a benchmark.")
    ] = None
    tokens: Annotated[
        int | None,
        typer.Option("--prompt-tokens", help="Tokens of a prompt with its options."),
    ] = None
    options: Annotated[int | None, typer.Option(help="Options of a question.")] = None
    option_tokens: Annotated[int | None, typer.Option(help="Tokens of an option.")] = None
    picture: Annotated[str | None, typer.Option(help="Pixels of a picture, as 640x480.")] = None
    per_picture: Annotated[int | None, typer.Option(help="Questions on one picture.")] = None


@dataclass(frozen=True)
class ExperimentFlags:
    """What is done; see ``plan``."""

    panel: ClassVar[str] = "Experiment"

    random_seeds: RandomSeeds = None
    conditions: Annotated[
        int | None, typer.Option(help="Conditions of the ablation; 0 leaves it out.")
    ] = None
    first_layer: Annotated[
        int | None, typer.Option(help="The first layer with an ablated neuron.")
    ] = None
    identify_share: IdentifyShare = None
    only_correct: Annotated[
        bool | None, typer.Option("--only-correct", help="Count only items answered right.")
    ] = None
    attribution_path: Annotated[str | None, typer.Option(help="Path of gradients, as of find.")] = (
        None
    )
    points: Annotated[int | None, typer.Option(help="Points of the path.")] = None
    new_tokens: Annotated[
        int | None, typer.Option(help="Tokens of a written answer, with --scoring generation.")
    ] = None


@dataclass(frozen=True)
class MachineFlags:
    """What it runs on; see ``plan``."""

    panel: ClassVar[str] = "Machine"

    device: Annotated[str | None, typer.Option(help="h200, h100, a100, l4 or cpu.")] = None
    flops_per_second: Annotated[
        float | None, typer.Option(help="Operations a second that one worker reaches.")
    ] = None
    memory: Annotated[
        float | None, typer.Option(help="GiB of a GPU, or of the machine of a CPU.")
    ] = None
    gpus: Annotated[int | None, typer.Option(help="GPUs there are.")] = None
    gpus_per_worker: Annotated[int | None, typer.Option(help="GPUs that one model spans.")] = None
    workers: Annotated[int | None, typer.Option(help="Processes that share the work.")] = None
    price: Annotated[float | None, typer.Option(help="What a GPU costs for an hour.")] = None


@flags
def plan(
    *,
    model: Annotated[
        str | None, typer.Option(help="Name, folder or hub id; only its configuration is read.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, ...")] = None,
    asking: BenchmarkFlags,
    counting: CountFlags,
    method: Methods = None,
    scoring: ScoringFlag = None,
    experiment: ExperimentFlags,
    machine: MachineFlags,
    batch_size: BatchSize = None,
    measure: Annotated[
        bool | None, typer.Option("--measure", help="Load the model, and time it on this machine.")
    ] = None,
) -> None:
    """Say what an experiment takes: operations, hours, memory and disk. No weights are needed.

    Example: `culture-lens plan --model meta-llama/Llama-3.1-8B-Instruct --items 10000
    --cultures 25 --device h100 --gpus 4`
    """
    from culture_lens.experiments.planning.plan import plan as make
    from culture_lens.storage.display import format_table

    quiet_loading()
    questions, items = asked_for(asking, counting)
    options = given(experiment, machine, method=method, scoring=scoring, dtype=dtype)
    options |= given(batch_size=batch_size, items=items)
    options = {name.removeprefix("attribution_"): value for name, value in options.items()}
    if measure:
        options |= measured(model, dtype, questions, scoring)
    names = [] if model is None else [model]
    made = make(*names, **{"questions": questions, **options})
    typer.echo(repr(made))
    typer.echo(f"\n{format_table(made.table().set_index('stage')).to_string()}")


def asked_for(
    asking: BenchmarkFlags, counting: CountFlags
) -> tuple[list[Question] | Counts, int | None]:
    """Give the questions, or their numbers, and how many questions they stand for.

    Raises:
        InputError: Numbers together with a benchmark, or without what they need.
    """
    from culture_lens.experiments.planning.asking import Counts

    numbers = given(counting)
    if set(numbers) <= {"items"}:
        return open_questions(given(asking)), counting.items
    if given(asking):
        raise InputError(
            "--cultures and the numbers beside it stand in for a benchmark: leave out "
            "--benchmark, --path, --culture and --limit, or those numbers."
        )
    if counting.items is None or counting.cultures is None:
        raise InputError("a benchmark in numbers needs --items and --cultures.")
    if counting.picture is not None:
        numbers["picture"] = pixels(counting.picture)
    return Counts(**numbers), None


def pixels(text: str) -> tuple[int, int]:
    """Read a width and a height.

    Example:
        >>> pixels("640x480")
        (640, 480)
    """
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise InputError(f"--picture {text!r}: write it as width x height, such as 640x480.")
    return int(width), int(height)


def measured(
    model: str | None,
    dtype: str | None,
    questions: list[Question] | Counts,
    scoring: str | None,
) -> dict[str, Any]:
    """Load a model, and measure on this machine how fast it runs and what is done around it."""
    from culture_lens.experiments.planning.measure import measure_rate
    from culture_lens.models.load import load_model

    names = [] if model is None else [model]
    loaded = load_model(*names, **given(dtype=dtype))
    if not isinstance(questions, list):
        return measure_rate(loaded).options
    # Written answers are planned by their steps; what is around them is that of the model's own.
    own = {} if scoring == "generation" else given(scoring=scoring)
    return measure_rate(loaded, questions, **own).options
