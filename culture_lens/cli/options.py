"""The options that several commands share, as records.

Fields are named as the options of the Python functions that they are passed to; where a flag has
another name it is written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from culture_lens.errors import InputError

# ------------------------------------------------------------------ single flags

RunFolder = Annotated[Path, typer.Option("--run", help="The run folder.")]
DEFAULT_RUN = Path("runs/latest")
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="conact, lap, lape, mad, mad_probability, random, knowledge, culnig-specific or "
        "culnig-general; may be given several times.",
    ),
]
NeuronSetName = Annotated[
    str | None,
    typer.Option("--method", help="Whose neurons of the run folder; the only ones if left out."),
]
ScoringFlag = Annotated[
    str | None,
    typer.Option(
        "--scoring",
        help="letter, letter_options, option_likelihood, option_likelihood_sum or number.",
    ),
]
Cultures = Annotated[
    list[str] | None,
    typer.Option("--culture", help="Only this culture; may be given several times."),
]
Benchmarks = Annotated[
    list[str],
    typer.Option(
        "--benchmark",
        help="A benchmark as name, name=path or name=path,option=value; once for each of them.",
    ),
]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--site",
        help="act, gate, up, post, q, k, v, z, resid, mlp_out, attn_out; encoder.act and so on; "
        "sae with --sae, head with --heads.",
    ),
]
AblationValue = Annotated[str | None, typer.Option("--value", help="zero, mean or double.")]
RandomSeeds = Annotated[
    int | None,
    typer.Option("--random-seeds", help="Sets of random neurons beside each culture's."),
]
Seen = Annotated[
    bool | None, typer.Option("--seen", help="Ask the questions that found the neurons too.")
]
Others = Annotated[
    bool | None, typer.Option("--others/--own-only", help="Ask other cultures' questions too.")
]
Until = Annotated[
    float | None,
    typer.Option("--until", help="Stop a cell once half its interval's width is at most this."),
]
AblatedCulture = Annotated[
    str | None, typer.Option("--ablate", help="The culture whose neurons to ablate.")
]
UnionMask = Annotated[
    bool | None, typer.Option("--union", help="Ablate the neurons of all cultures together.")
]
WhoseCultures = Annotated[
    list[str] | None,
    typer.Option("--whose", help="Only this culture's neurons; may be given several times."),
]
IdentifyShare = Annotated[
    float | None,
    typer.Option("--identify-share", help="Share of the question groups that identify."),
]
WordingNumbers = Annotated[
    list[int] | None,
    typer.Option("--wording", help="Only this wording, from 0 to 3; all where left out."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Questions per forward.")]
TooLongPolicy = Annotated[
    str | None,
    typer.Option("--too-long", help="Prompts longer than the context: error, skip or truncate."),
]


def with_value(name: str, value: str | None) -> str:
    """Name a result after what ablated neurons were set to, where that is not zero.

    Example:
        >>> with_value("conact", None), with_value("conact", "double")
        ('conact', 'conact-double')
    """
    return name if value in (None, "zero") else f"{name}-{value}"


# ------------------------------------------------------------------ records


@dataclass(frozen=True)
class LoadingFlags:
    """Which model, and how it is loaded; see ``load_model``."""

    panel: ClassVar[str] = "Model"

    model: Annotated[str | None, typer.Option(help="Name, folder or hub id of the model.")] = None
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, ...")] = None
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None
    sae: Annotated[
        list[str] | None,
        typer.Option(
            help="A folder of a sparse autoencoder as SAELens writes it, for the site sae."
        ),
    ] = None
    exclude_special_tokens: Annotated[
        bool | None, typer.Option("--exclude-special-tokens", help="There, --sae has no features.")
    ] = None
    heads: Annotated[
        bool | None, typer.Option("--heads", help="Attention heads are units, at the site head.")
    ] = None


@dataclass(frozen=True)
class SubsetFlags:
    """Which of the questions are asked."""

    panel: ClassVar[str] = "Questions"

    culture: Cultures = None
    limit: Annotated[int | None, typer.Option(help="At most so many questions per culture.")] = None


@dataclass(frozen=True)
class BenchmarkFlags(SubsetFlags):
    """Which questions are asked; see ``load_benchmark``."""

    benchmark: Annotated[str | None, typer.Option(help="See `culture-lens benchmarks`.")] = None
    path: Annotated[Path | None, typer.Option(help="A local copy of the benchmark.")] = None
    benchmark_option: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark-option",
            help="An option of the benchmark, such as grouping=language_country; may be given "
            "several times.",
        ),
    ] = None


@dataclass(frozen=True)
class AskingFlags(BenchmarkFlags):
    """Which questions are asked, and in whose words."""

    preset: Annotated[
        bool | None,
        typer.Option("--preset", help="Ask in the form of the papers; see `culture-lens models`."),
    ] = None


@dataclass(frozen=True)
class RunningFlags:
    """How a pass over questions runs; see ``Running``."""

    panel: ClassVar[str] = "Running"

    too_long: TooLongPolicy = None
    batch_size: BatchSize = None


@dataclass(frozen=True)
class EngineFlags:
    """Where it runs, other than in this process; see ``Ray``."""

    panel: ClassVar[str] = "Many processes"

    engine: Annotated[
        str | None, typer.Option(help="ray: on workers, each a process that holds the model.")
    ] = None
    workers: Annotated[int | None, typer.Option(help="How many workers.")] = None
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="GPUs of each worker, such as 1, 4 or 0.5.")
    ] = None
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, such as auto.")] = None

    def __post_init__(self) -> None:
        """Refuse what is wrong before anything is loaded."""
        _ = self.chosen

    @property
    def chosen(self) -> dict[str, Any]:
        """Give the option ``engine`` of ``Running``; nothing where all runs in this process.

        Raises:
            InputError: An unknown engine, options of Ray without it, or numbers out of range.
        """
        from culture_lens.prompts.engine import Ray, check_engine

        own = {name: value for name, value in vars(self).items() if value is not None}
        engine = check_engine("--engine", own.pop("engine", None))
        if engine is None and own:
            flag = next(iter(own)).replace("_", "-")
            raise InputError(f"--{flag} is an option of Ray: give --engine ray with it.")
        return {} if engine is None else {"engine": Ray(**own)}


@dataclass(frozen=True)
class CountingFlags:
    """What activation selectors count; see ``summarise``."""

    panel: ClassVar[str] = "Activation selectors"

    only_correct: Annotated[
        bool | None, typer.Option("--only-correct", help="Count only items answered right.")
    ] = None
    roles: Annotated[
        str | None,
        typer.Option(
            "--roles",
            "--tokens",
            help="Tokens that activation selectors count: content, text or image.",
        ),
    ] = None
    per_culture: Annotated[
        int | None, typer.Option(help="Count at most so many items of each culture.")
    ] = None


@dataclass(frozen=True)
class CulnigFlags:
    """What CountryRC asks about, and in which wordings; see ``culnig_scores``."""

    panel: ClassVar[str] = "CULNIG"

    countries: Annotated[
        list[str] | None,
        typer.Option(
            "--country",
            help="CULNIG: a culture that CountryRC names; may be given several times.",
        ),
    ] = None
    countryrc: Annotated[
        str | None,
        typer.Option(
            help="CULNIG: a CountryRC file instead of the bundled one, or organism for that "
            "benchmark's own, which is the default of its questions."
        ),
    ] = None
    countryrc_wordings: Annotated[
        Path | None,
        typer.Option(
            help="CULNIG: a JSON file of wordings in which CountryRC asks, instead of the four "
            "bundled ones."
        ),
    ] = None


@dataclass(frozen=True)
class AttributionFlags:
    """What gradient selectors attribute, and how; see ``Attribution``."""

    panel: ClassVar[str] = "Gradient selectors"

    attribution_scoring: Annotated[
        str | None,
        typer.Option(help="Gradients read options by letter, or by option_likelihood."),
    ] = None
    objective: Annotated[
        str | None,
        typer.Option(help="Gradients of probability, log_probability or logit_difference."),
    ] = None
    attribution_path: Annotated[
        str | None,
        typer.Option(
            help="Gradients along none, integrated, integrated_layerwise or inputs; or relp."
        ),
    ] = None
    points: Annotated[int | None, typer.Option(help="Points of the path.")] = None
    baseline: Annotated[
        str | None, typer.Option(help="Where the path begins: zero, or others.")
    ] = None
    aggregation: Annotated[
        str | None, typer.Option(help="Tokens are joined by maximum, largest, sum or last.")
    ] = None
    positions: Annotated[
        str | None, typer.Option(help="Tokens that count: all, prompt or options.")
    ] = None


def attribution_options(flags: AttributionFlags) -> dict[str, Any]:
    """Give the options of ``attribute`` that were set."""
    return {
        name.removeprefix("attribution_"): value
        for name, value in vars(flags).items()
        if value is not None
    }


@dataclass(frozen=True)
class OneMaskFlags:
    """Which neurons of the run folder are ablated, and to what."""

    panel: ClassVar[str] = "Ablated neurons"

    method: NeuronSetName = None
    ablate: AblatedCulture = None
    union: UnionMask = None
    value: AblationValue = None
    seen: Seen = None
