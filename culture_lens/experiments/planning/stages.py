"""Stages of an experiment: which passes each is made of, and what it keeps.

==========================  =====================================================================
stage                       passes
==========================  =====================================================================
answer (only_correct)       one that answers
record                      one forward of each question that identifies, shared beginnings once
task, control, CountryRC    a forward and a backward of each, as often as the path has points
activity                    one forward (``knowledge``)
ablate                      one that answers, for every condition, from the first ablated layer on
write                       one that writes, for every condition
==========================  =====================================================================

Pictures go through the vision tower once for each stage that reads them, and of ``ablate`` once for
all conditions, as long as their features fit into ``image_memory``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from culture_lens.attribution.countryrc import countryrc_questions_for
from culture_lens.attribution.gradients import GRADIENT_BATCH_SIZE
from culture_lens.attribution.knowledge import LAYERWISE_UP_TO
from culture_lens.attribution.paths import Path, PathName
from culture_lens.engine.shards import tapering
from culture_lens.evaluation.evaluate import LEAST_ITEMS, MOST_ITEMS
from culture_lens.experiments.planning.asking import Asking, sampled
from culture_lens.experiments.planning.experiment import Experiment
from culture_lens.experiments.planning.operations import (
    Counted,
    Number,
    backward_operations,
    forward_operations,
    picture_operations,
)
from culture_lens.experiments.planning.passes import answering_pass, batch_pass, writing_pass
from culture_lens.experiments.planning.pictures import picture_count
from culture_lens.prompts.prompt import Prompt, Style
from culture_lens.prompts.running import BATCH_SIZE, Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.questions.question import Question, control_twin
from culture_lens.storage.finished import SHARD

RECORD_BYTES = 60
"""Bytes of the record of one answer in a parquet file."""


@dataclass(frozen=True)
class Stage:
    """A stage with all its passes.

    Attributes:
        name: Its name.
        operations: Multiplications and additions of all its passes.
        counted: What its forwards run.
        items: Questions.
        conditions: How often each is asked.
        pictures: Pictures that go through the tower.
        answers: Answers that are read and recorded.
        backward: Whether gradients are taken.
        kept: Bytes of the statistics or scores that it accumulates in memory.
        disk: Bytes that it leaves in a run folder.
        shards: Finished parts that a run folder keeps: what an interruption can cost is one.
        streamed: Forwards that read every weight for a few tokens each: steps of writing.
    """

    name: str
    operations: Number
    counted: Counted
    items: int
    conditions: int = 1
    pictures: Number = 0
    answers: int = 0
    backward: bool = False
    kept: int = 0
    disk: int = 0
    shards: int = 1
    streamed: Number = 0


@dataclass(frozen=True)
class Stages:
    """Makes the stages of an experiment.

    Attributes:
        asking: Makes the prompts.
        experiment: What is done.
        scoring: How answers are read; ``"letter"``, ``"option_likelihood"`` or ``"generation"``.
        running: Batch size and speed.
        on_gpu: Whether it runs on a GPU.
        scale: Items for each of those that are looked at.
    """

    asking: Asking
    experiment: Experiment
    scoring: str
    running: Running
    on_gpu: bool
    scale: Number = 1

    def answer(self, questions: Sequence[Question], name: str, conditions: int = 1) -> Stage:
        """Make the stage in which questions are answered under conditions."""
        style: Style = "choices" if self.scoring.startswith("letter") else "cloze"
        prompts, factor = self._asked(questions, style)
        one = Counted()
        for start in range(0, len(prompts), MOST_ITEMS):
            some = prompts[start : start + MOST_ITEMS]
            run = answering_pass(self.asking.shape, some, self.running, self.on_gpu)
            one = one.plus(run)
        one = one.times(factor)
        shape, first = self.asking.shape, self.experiment.first_layer
        operations = conditions * forward_operations(shape, one, first)
        operations += forward_operations(shape, one) - forward_operations(shape, one, first)
        items = round(len(prompts) * factor)
        pictures, seen = self.pictures(prompts)
        return Stage(
            name,
            operations + factor * seen,
            one.times(conditions),
            items,
            conditions,
            factor * pictures,
            items * conditions,
            disk=RECORD_BYTES * items * conditions,
            shards=conditions * len(tapering(range(items), MOST_ITEMS, LEAST_ITEMS)),
        )

    def write(self, questions: Sequence[Question], conditions: int) -> Stage:
        """Make the stage in which answers are written under conditions."""
        prompts, factor = self._asked(questions, "cloze")
        size = self.running.rows(BATCH_SIZE)
        steps = self.experiment.new_tokens
        one = writing_pass(self.asking.shape, prompts, size, steps).times(factor)
        items = round(len(prompts) * factor)
        return Stage(
            "write",
            conditions * forward_operations(self.asking.shape, one),
            one.times(conditions),
            items,
            conditions,
            answers=items * conditions,
            disk=4 * RECORD_BYTES * items * conditions,
            shards=conditions * math.ceil(items / SHARD),
            streamed=conditions * one.forwards,
        )

    def record(self, questions: Sequence[Question]) -> Stage:
        """Make the stage in which activations are recorded."""
        prompts, factor = self._asked(questions, "choices")
        shape, size = self.asking.shape, self.running.rows(BATCH_SIZE)
        one = batch_pass(shape, prompts, size, share=True, options=False).times(factor)
        kept = 24 * cultures_of(questions) * shape.neurons  # counts, sums, squares: 8 bytes each
        # Three products of a mask and what is recorded, of every token.
        reduced = 6 * shape.neurons * (one.encoder_tokens or one.tokens)
        operations = forward_operations(shape, one) + reduced
        return self._kept("record", operations, one, prompts, factor, kept)

    def _kept(
        self,
        name: str,
        operations: Number,
        one: Counted,
        prompts: Sequence[Prompt],
        factor: Number,
        kept: int,
        *,
        backward: bool = False,
    ) -> Stage:
        """Make a stage that keeps statistics or scores; its pictures are added."""
        items = round(len(prompts) * factor)
        pictures, seen = self.pictures(prompts)
        return Stage(
            name,
            operations + factor * seen,
            one,
            items,
            pictures=factor * pictures,
            backward=backward,
            kept=kept,
            disk=kept + 40 * items,
            shards=math.ceil(items / SHARD),
        )

    def culnig(self, questions: Sequence[Question]) -> list[Stage]:
        """Make the three scorings of CULNIG."""
        twins = [control_twin(question) for question in questions]
        asked = countryrc_questions_for(questions, None, None, None)
        path = self.experiment.path or "none"
        neurons = projections(self.asking)
        return [
            self.attribute(questions, "task", path, neurons),
            self.attribute(twins, "control", path, neurons),
            self.attribute(asked, "CountryRC", path, neurons, own=True),
        ]

    def knowledge(self, questions: Sequence[Question]) -> list[Stage]:
        """Make the passes that ``knowledge`` reads."""
        shape = self.asking.shape
        layerwise = shape.layers <= LAYERWISE_UP_TO
        default: PathName = "integrated_layerwise" if layerwise else "none"
        path = self.experiment.path or default
        asked = countryrc_questions_for(questions, None, None, None)
        prompts, factor = self._asked(questions, self._style)
        one = batch_pass(
            shape, prompts, self.running.rows(BATCH_SIZE), share=False, options=False
        ).times(factor)
        kept = 16 * cultures_of(questions) * shape.neurons
        operations = forward_operations(shape, one)
        activity = self._kept("activity", operations, one, prompts, factor, kept)
        return [
            self.attribute(questions, "task", path, shape.neurons),
            self.attribute(asked, "CountryRC", path, shape.neurons, own=True),
            activity,
        ]

    @property
    def _style(self) -> Style:
        return "choices" if self.scoring.startswith("letter") else "cloze"

    def attribute(
        self,
        questions: Sequence[Question],
        name: str,
        path: PathName,
        neurons: int,
        *,
        own: bool = False,
    ) -> Stage:
        """Make a stage of gradients; questions of their own are not scaled to the benchmark's."""
        prompts, factor = self._asked(questions, self._style, own=own)
        shape, size = self.asking.shape, self.running.rows(GRADIENT_BATCH_SIZE)
        options = self._style == "cloze"
        one = batch_pass(shape, prompts, size, share=False, options=options).times(factor)
        forwards, backwards = passes_of(Path(path, self.experiment.points), shape.layers)
        operations = forwards * forward_operations(shape, one)
        operations += backwards * backward_operations(shape, one)
        kept = 8 * cultures_of(questions) * neurons
        run = one.times(forwards + backwards)
        return self._kept(name, operations, run, prompts, factor, kept, backward=True)

    def attribution(self, questions: Sequence[Question]) -> Stage:
        """Make the stage of ``attribute`` alone, at the sites of CULNIG."""
        path = self.experiment.path or "none"
        return self.attribute(questions, "attribute", path, projections(self.asking))

    def _asked(
        self, questions: Sequence[Question], style: Style, *, own: bool = False
    ) -> tuple[list[Prompt], Number]:
        some = sampled(questions)
        factor = len(questions) / len(some) * (1 if own else self.scale)
        return self.asking.prompts(some, style), factor

    def pictures(self, prompts: Sequence[Prompt]) -> tuple[int, Number]:
        """Count the pictures of prompts, and the operations of the tower for all of them."""
        found = {picture_key(p): p.question.image for p in prompts if p.question.image is not None}
        shape, asking = self.asking.shape, self.asking
        sizes = [asking.size(image) for image in found.values()]
        return len(sizes), sum(
            picture_operations(shape, picture_count(shape, *size, asking.settings))
            for size in sizes
        )


def passes_of(path: Path, layers: int) -> tuple[Number, Number]:
    """Count the forwards and backwards of a path; see ``attribution.paths``.

    Example:
        >>> passes_of(Path("none"), 30), passes_of(Path("integrated", 6), 30)
        ((1, 1), (8, 6))
    """
    if path.single:
        return 1, 1
    points = len(path.shares)
    if path.name == "inputs":
        return points + 1, points
    if path.name == "integrated":
        return points + 2, points
    # Layer by layer: two ends of each, and backwards that end at the layer.
    return layers * (points + 1) + 1, points * (layers + 1) / 2


def projections(asking: Asking) -> int:
    """Count the neurons that CULNIG scores: gate, q, k and v of all stacks."""
    shape = asking.shape
    stacks = [stack for stack in (shape.encoder, shape.decoder) if stack]
    return sum(s.layers * (s.d_mlp + s.attention // 2 + s.keys) for s in stacks)


def cultures_of(questions: Sequence[Question]) -> int:
    """Count the cultures of questions."""
    return len({question.culture for question in questions})


__all__ = ["Stage", "Stages", "cultures_of", "passes_of"]
