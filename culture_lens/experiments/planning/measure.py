"""measure_rate: how fast this machine runs a model that is loaded, and what is done around it.

1. Two kinds of forwards of random tokens, a small one and a large one, give two equations:
   seconds = operations / rate + seconds of a forward beside them.
2. With questions, a few of them are asked as the runs ask them: each prompt is made, each picture
   goes through the tower, and the prompts are answered under one condition, and under three more.
   What that takes beyond 1. is divided by the prompts, the pictures and the answers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from culture_lens.checks import check_arguments, optional, text, whole
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.planning.asking import Asking, sampled
from culture_lens.experiments.planning.experiment import Experiment
from culture_lens.experiments.planning.operations import Counted, forward_operations
from culture_lens.experiments.planning.passes import one_forward
from culture_lens.experiments.planning.shape import ModelShape, shape_of
from culture_lens.experiments.planning.stages import Stage, Stages
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.running import Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.storage.display import Shown

SMALL, LARGE = (1, 8), (8, 128)
"""Rows and tokens of the forwards."""
ASKED, SECONDS = 16, 10.0
"""Questions that are asked, and about how long that may take: fewer of a large model."""
CONDITIONS = 3
"""Conditions under which they are answered, beside the first."""


@dataclass(frozen=True, repr=False)
class Rate(Shown):
    """What a machine reaches; made by ``measure_rate``.

    Attributes:
        flops_per_second: Operations a second.
        seconds_per_forward: What a forward takes beside its operations.
        seconds_per_prompt: What making a prompt takes, trees and batches included.
        seconds_per_picture: What a picture takes beside the operations of the tower.
        seconds_per_answer: What reading and recording an answer takes, an item under a condition.

    Example:
        >>> Rate(1e11, 0.01).options["flops_per_second"]
        100000000000.0
    """

    flops_per_second: float
    seconds_per_forward: float
    seconds_per_prompt: float = 0.0
    seconds_per_picture: float = 0.0
    seconds_per_answer: float = 0.0

    @property
    def options(self) -> dict[str, float]:
        """The options of ``plan`` that take it."""
        return asdict(self)

    def of(self, stage: Stage) -> float:
        """Give the seconds of a stage's forwards, with nothing around them."""
        forwards = stage.counted.forwards * self.seconds_per_forward
        return stage.operations / self.flops_per_second + forwards


@check_arguments(
    model=MODEL, questions=optional(QUESTIONS), scoring=optional(text), rounds=whole(1)
)
def measure_rate(
    model: LensModel,
    questions: Sequence[Question] | None = None,
    *,
    scoring: str | None = None,
    rounds: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> Rate:
    """Measure how fast a model runs on this machine, in some ten seconds.

    Args:
        model: The model.
        questions: What will be asked. A few of them are, for what is done around the forwards;
            without questions that is left out.
        scoring: How answers are read; the model's own by default.
        rounds: How often each is timed, after once that is not; the median counts.
        clock: Gives seconds; ``time.process_time`` on one thread leaves out what other work takes.

    Raises:
        InputError: An unknown scoring, or questions that cannot be asked.

    Example:
        ``plan("smollm2-135m", questions, **measure_rate(model, questions).options)``
    """
    running = Running(progress=False)
    some = sampled(questions or (), ASKED)[:ASKED]
    if questions is not None:
        prepare(model, some, scoring, running)  # what cannot be asked is refused first
    shape = shape_of(model.name, model.bridge.original_model.config)
    times: dict[tuple[int, int], list[float]] = {SMALL: [], LARGE: []}
    for number in range(rounds + 1):
        for size, found in times.items():
            seconds = timed(model, *size, clock)
            if number:
                found.append(seconds)
    few, many = (operations_of(shape, *size) for size in (SMALL, LARGE))
    short, long = (statistics.median(times[size]) for size in (SMALL, LARGE))
    rate = (many - few) / max(long - short, 1e-9)
    bare = Rate(rate, max(0.0, short - few / rate))
    if not some:
        return bare
    asking = Asking(shape, model.processor)
    on_gpu = model.device.type != "cpu"
    makes = Stages(asking, Experiment(), scoring or model.scoring, running, on_gpu)
    return around(model, few_of(some, makes, bare, rounds), makes, bare, rounds, clock)


def few_of(
    questions: Sequence[Question], makes: Stages, bare: Rate, rounds: int
) -> Sequence[Question]:
    """Take the first of some questions, two at least, which are asked in ``SECONDS``."""
    times = 1 + rounds * (2 + CONDITIONS)
    each = bare.of(makes.answer(questions, "answer")) / len(questions)
    return questions[: max(2, int(SECONDS / max(times * each, 1e-9)))]


def around(
    model: LensModel,
    questions: Sequence[Question],
    makes: Stages,
    bare: Rate,
    rounds: int,
    clock: Callable[[], float],
) -> Rate:
    """Ask questions, and divide what that takes beyond the forwards."""

    def took(call: Callable[[], Any]) -> float:
        start = clock()
        call()
        settle(model.device)
        return clock() - start

    running, scoring = makes.running, makes.scoring
    prompts, chosen = prepare(model, questions, scoring, running)
    made = statistics.median(
        took(lambda: prepare(model, questions, scoring, running)) for _ in range(rounds)
    )
    pictured = list({picture_key(p): p for p in prompts if p.question.image is not None}.values())
    model.vision.forget()
    seen = took(lambda: model.vision.pictures(pictured))
    seen -= makes.pictures(prompts)[1] / bare.flops_per_second

    def answer(conditions: int) -> float:
        masks = [("", None)] * conditions
        return took(lambda: answer_masks(model, prompts, chosen, masks, running=running))

    answer(1)  # the tower sees the pictures, libraries are loaded
    times = [(answer(1), answer(1 + CONDITIONS)) for _ in range(rounds)]
    first, all_of_them = map(statistics.median, zip(*times, strict=True))
    each = (all_of_them - first) / CONDITIONS
    forwards = bare.of(makes.answer(questions, "answer"))
    forwards -= makes.pictures(prompts)[1] / bare.flops_per_second  # their features are kept
    return replace(
        bare,
        seconds_per_prompt=(made + max(0.0, first - each)) / len(prompts),
        seconds_per_picture=max(0.0, seen) / len(pictured) if pictured else 0.0,
        seconds_per_answer=max(0.0, each - forwards) / len(prompts),
    )


@torch.inference_mode()
def timed(model: LensModel, rows: int, tokens: int, clock: Callable[[], float]) -> float:
    """Time a forward of random tokens."""
    hf_model = model.bridge.original_model
    ids = torch.randint(0, 100, (rows, tokens), device=model.device)
    given: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "use_cache": False,
    }
    if hf_model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids[:, :1]
    else:
        given["logits_to_keep"] = 1
    settle(model.device)
    start = clock()
    hf_model(**given)
    settle(model.device)
    return clock() - start


def settle(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations_of(shape: ModelShape, rows: int, tokens: int) -> float:
    """Count the operations of such a forward."""
    if shape.encoder is None:
        return forward_operations(shape, one_forward(rows, tokens, tokens, rows))
    counted = one_forward(rows, 1, 1 + tokens, rows)
    encoder = Counted(encoder_tokens=rows * tokens, encoder_pairs=rows * tokens * tokens)
    return forward_operations(shape, counted.plus(encoder))


__all__ = ["Rate", "measure_rate"]
