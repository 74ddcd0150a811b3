"""plan: operations, time, memory and disk of an experiment, before anything is run.

1. The configuration gives every matrix of the model (``shape``).
2. The questions, or their numbers, give the prompts (``asking``).
3. The stages of the method give the passes (``stages``), which are cut into trees and batches as
   the runs themselves cut them (``passes``), and counted (``operations``).
4. Seconds = operations / rate + what forwards, prompts, pictures and answers take beside them,
   shared by the workers.
5. Peak memory and what a run folder holds (``memory``, ``stages``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from culture_lens.checks import (
    check_arguments,
    either,
    file_path,
    instance,
    names,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.planning.asking import Asking, Counts
from culture_lens.experiments.planning.experiment import Experiment, ExperimentOptions
from culture_lens.experiments.planning.known import asking_of, config_of, dtype_of
from culture_lens.experiments.planning.machines import DEVICES, Machine, MachineOptions
from culture_lens.experiments.planning.memory import memory_of
from culture_lens.experiments.planning.result import Plan
from culture_lens.experiments.planning.shape import ModelShape, shape_of
from culture_lens.experiments.planning.stages import Stage, Stages, cultures_of
from culture_lens.models.loading import resolve_dtype
from culture_lens.prompts.running import Running, read_options
from culture_lens.prompts.speed import Speed
from culture_lens.questions.question import QUESTIONS, Question, check_questions
from culture_lens.questions.splits import split_questions
from culture_lens.selectors.registry import get_selector, key_of, reads

ASKED = either(QUESTIONS, text, instance(Counts), remedy="questions, a benchmark, or Counts(...)")
SMALL = 1_000_000_000
"""Models below so many parameters answer by likelihood where nothing else is said."""
SCORINGS = ("letter", "letter_options", "option_likelihood", "option_likelihood_sum", "generation")


class PlanOptions(ExperimentOptions, MachineOptions, total=False):
    """The fields of ``Experiment`` and ``Machine`` as keyword arguments."""

    batch_size: int | None
    speed: Speed


@check_arguments(
    model=either(file_path, remedy="a name, a folder or a hub id"),
    questions=ASKED,
    method=optional(names),
    scoring=optional(text),
    dtype=optional(text),
    items=optional(whole(1)),
)
def plan(
    model: str | Path = "smollm2-135m",
    questions: Sequence[Question] | str | Counts = "everyday",
    *,
    method: str | Sequence[str] | None = "conact",
    scoring: str | None = None,
    dtype: str | None = None,
    items: int | None = None,
    tokenizer: Any = None,
    **options: Unpack[PlanOptions],
) -> Plan:
    """Say what an experiment takes: operations, time, memory, disk. No weights are needed.

    Args:
        model: Name, folder or hub id, of which only the configuration is read. Those of the papers'
            nine models are bundled.
        questions: What is asked: questions, a name for ``load_benchmark``, or ``Counts``.
        method: How neurons are found, one selector or several; ``"attribution"`` for ``attribute``
            alone; None to leave it out.
        scoring: How answers are read; ``"generation"`` for written ones. By default as the model
            is asked.
        dtype: Such as ``"bfloat16"``; by default float32 on a CPU, else the checkpoint's own.
        items: How many questions there are in all, where ``questions`` is a sample of them.
        tokenizer: The model's tokenizer or processor. By default what its folder, or the hub's
            cache, has; else a stand-in of four bytes a token.
        **options: What is done (``random_seeds``, ``conditions``, ``first_layer``,
            ``identify_share``, ``only_correct``, ``path``, ``points``, ``new_tokens``), the machine
            (``device``, ``memory``, ``gpus``, ``gpus_per_worker``, ``workers``, ``price``), what
            ``measure_rate`` gives (``flops_per_second``, ``seconds_per_forward`` and the like),
            ``batch_size`` and ``speed``.

    Raises:
        InputError: No configuration, an unknown name or option, or a number out of its range.

    Example:
        ``plan("meta-llama/Llama-3.1-8B-Instruct", Counts(10_000, 25), device="h100", gpus=4)``
    """
    given: Any = options
    experiment, machine, running = read_options(given, Experiment, Machine, Running)
    chosen = methods_of(method)
    name = str(model)
    shape = shape_of(name, config_of(name))
    asked, counts = questions_of(questions)
    asking = asking_of(shape, tokenizer, counts)
    total = items or (counts.items if counts else len(asked))
    if experiment.first_layer >= shape.decoder.layers:
        first = experiment.first_layer
        raise InputError(f"first_layer={first}: {name!r} has {shape.decoder.layers} layers.")
    read = scoring_of(shape, scoring)
    makes = Stages(asking, experiment, read, running, machine.on_gpu, total / len(asked))
    stages = stages_of(makes, asked, chosen)
    kind = dtype or dtype_of(name, shape.config, machine.on_gpu)
    size = resolve_dtype(kind)
    rows = [row_of(shape, stage, machine, size.itemsize if size else 4) for stage in stages]
    return Plan.of(rows, metadata_of(shape, asking, machine, kind, read, total, chosen))


def methods_of(method: str | Sequence[str] | None) -> tuple[str, ...]:
    """Check the names of methods.

    Raises:
        InputError: An unknown one.

    Example:
        >>> methods_of("CAS")
        ('conact',)
    """
    given = () if method is None else (method,) if isinstance(method, str) else tuple(method)
    keys = tuple(key_of(name) for name in given)
    for key in keys:
        if key != "attribution":
            get_selector(key)
    return keys


def questions_of(
    questions: Sequence[Question] | str | Counts,
) -> tuple[Sequence[Question], Counts | None]:
    """Give the questions, and the numbers where they were made of numbers."""
    if isinstance(questions, Counts):
        return questions.questions(), questions
    if isinstance(questions, str):
        from culture_lens.benchmarks import load_benchmark

        questions = load_benchmark(questions)
    check_questions(questions, min_cultures=1)
    return questions, None


def scoring_of(shape: ModelShape, scoring: str | None) -> str:
    """Say how answers are read.

    Raises:
        InputError: An unknown scoring.
    """
    if scoring is None:
        return "option_likelihood" if shape.parameters < SMALL else "letter"
    if scoring not in SCORINGS:
        raise unknown("scoring", scoring, SCORINGS)
    return scoring


def stages_of(makes: Stages, questions: Sequence[Question], methods: Sequence[str]) -> list[Stage]:
    """List the stages: each source of selectors once, then the ablation."""
    identify, evaluate = split_questions(questions, makes.experiment.identify_share)
    kinds = {method if method == "attribution" else reads(method) for method in methods}
    found: list[Stage] = []
    if "activations" in kinds:
        if makes.experiment.only_correct:
            found.append(makes.answer(identify, "answer"))
        found.append(makes.record(identify))
    if "culnig" in kinds:
        found += makes.culnig(identify)
    if "knowledge" in kinds:
        found += makes.knowledge(identify)
    if "attribution" in kinds:
        found.append(makes.attribution(identify))
    conditions = makes.experiment.conditions_of(cultures_of(questions)) if evaluate else 0
    if conditions and makes.scoring == "generation":
        found.append(makes.write(evaluate, conditions))
    elif conditions:
        found.append(makes.answer(evaluate, "ablate", conditions))
    if not found:
        raise InputError("there is nothing to plan: give a method, or conditions of at least 1.")
    return found


def row_of(shape: ModelShape, stage: Stage, machine: Machine, size: int) -> dict[str, Any]:
    """Give a stage as a row of the table."""
    memory = memory_of(shape, stage, size, machine.on_gpu)
    slow, middle, fast = (
        seconds_of(shape, stage, machine, rate, size) for rate in machine.rates(size < 4)
    )
    return {
        "stage": stage.name,
        "items": stage.items,
        "conditions": stage.conditions,
        "tokens": round(stage.counted.tokens + stage.counted.encoder_tokens),
        "operations": stage.operations,
        "seconds": middle,
        "seconds_low": fast,
        "seconds_high": slow,
        "weights": memory.weights,
        "activations": memory.activations + memory.kept,
        "peak": memory.peak,
        "shards": stage.shards,
        "disk": stage.disk,
    }


def seconds_of(shape: ModelShape, stage: Stage, machine: Machine, rate: float, size: int) -> float:
    """Give the seconds of a stage at a rate, with all workers.

    A step of writing takes no less than reading every weight once. What is beside the operations
    was measured with the middle rate, and is as much slower or faster as the rate is.
    """
    reading = shape.parameters * size / DEVICES[machine.device].bandwidth
    beside = stage.counted.forwards * machine.seconds_per_forward
    beside += stage.items * machine.seconds_per_prompt
    beside += stage.pictures * machine.seconds_per_picture
    beside += stage.answers * machine.seconds_per_answer
    beside *= machine.rates(size < 4)[1] / rate
    return (max(stage.operations / rate, stage.streamed * reading) + beside) / machine.count


def metadata_of(
    shape: ModelShape,
    asking: Asking,
    machine: Machine,
    dtype: str,
    scoring: str,
    items: int,
    methods: Sequence[str],
) -> Mapping[str, Any]:
    """Say what the numbers are of, and rest on."""
    rate = machine.rates(dtype != "float32")[1]
    measured = machine.flops_per_second is not None
    return {
        "model": shape.name,
        "parameters": shape.parameters,
        "dtype": dtype,
        "items": items,
        "methods": list(methods),
        "scoring": scoring,
        "device": machine.device,
        "workers": machine.count,
        "gpus": machine.gpus if machine.on_gpu else 0,
        "gpus_per_worker": machine.gpus_per_worker,
        "memory": machine.bytes,
        "rate": rate,
        "rate_from": "given" if measured else DEVICES[machine.device].source,
        "tokens_from": "the tokenizer" if asking.reader is not None else "four bytes a token",
        "price": machine.price,
    }


__all__ = ["plan"]
