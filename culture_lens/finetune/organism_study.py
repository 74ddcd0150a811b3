"""Forgetting on a model organism: a neutral task that it does not know, and its cultures.

The organism knows names, times and makers of objects on plain grey frames, which belong to no
culture. The task is to learn new ones, drawn from another world for each seed: no picture of it
shows a culture's frame, so nothing in it asks for a culture to be changed. What is measured is the
task on pictures that were not trained on, and the knowledge of the eight cultures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import make_world
from culture_lens.errors import InputError
from culture_lens.finetune.study import COMPARED, ForgettingStudy, compare_strategies, joined
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.organism.scores_against_truth import planted
from culture_lens.organism.truth import load_truth
from culture_lens.questions.question import Question
from culture_lens.storage.runs import Run

BATCH = 256
"""Questions per pass when asking: the model is small."""


def new_facts(world: int, *, pictures: int, split: str = "identify") -> list[Question]:
    """Ask for the facts of plain frames in another world: a task that no culture has a part in.

    Args:
        world: The facts follow from it; take another than the organism's own.
        pictures: Pictures of each of the twelve objects, three questions on each.
        split: ``"identify"`` to train, ``"unseen"`` to test: other pictures of the same facts.

    Example:
        >>> len(new_facts(5, pictures=1)), new_facts(5, pictures=1)[0].culture
        (36, 'plain')
    """
    world_of = make_world(world)
    return organism_questions(
        world_of, subset="plain", split=split, pictures=pictures, seed=1000 + world
    )


def organism_study(
    model: str | Path = "organism",
    *,
    strategies: Sequence[str] = COMPARED,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    found: NeuronSet | None = None,
    train_pictures: int = 12,
    test_pictures: int = 3,
    culture_pictures: int = 1,
    learning_rate: float = 5e-4,
    epochs: float = 8.0,
    batch_size: int = 32,
    progress: bool = True,
    run: Run | str | Path | None = None,
    **options: Any,
) -> ForgettingStudy:
    """Teach an organism new facts in several ways and measure what it forgets of its cultures.

    Args:
        model: ``"organism"``, or the folder of one.
        strategies: Names from ``STRATEGIES``.
        seeds: Each draws its own new facts, order and random modules. None may be the organism's
            own seed, whose facts it knows.
        found: Neurons to go by; those that were planted if left out.
        train_pictures: Pictures of each object that are trained on.
        test_pictures: Pictures of each object that are asked.
        culture_pictures: Pictures of each culture and object that are asked.
        learning_rate: Of AdamW; larger than CULNIG's, as the model is small.
        epochs: How often each question is seen.
        batch_size: Questions per step.
        progress: Show a progress bar.
        run: A run folder; finished trainings are kept and found again.
        **options: Further options of ``compare_strategies``.

    Raises:
        InputError: A seed is the organism's own, or the folder holds no organism.

    Example:
        ``organism_study(seeds=(1, 2)).summary()``
    """
    truth = load_truth(None if str(model) == "organism" else model)
    if truth.seed in seeds:
        raise InputError(f"the organism knows the facts of seed {truth.seed}: give other seeds.")
    lens = load_model(model)
    culture = organism_questions(
        make_world(truth.seed), split="unseen", pictures=culture_pictures, seed=1000
    )
    studies = [
        compare_strategies(
            lens,
            planted(truth, lens) if found is None else found,
            new_facts(seed, pictures=train_pictures),
            culture,
            task_test=new_facts(seed, pictures=test_pictures, split="unseen"),
            strategies=strategies,
            seeds=(seed,),
            scoring="letter",
            evaluation_batch_size=BATCH,
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=batch_size,
            progress=progress,
            run=run,
            **options,
        )
        for seed in seeds
    ]
    return joined(studies)
