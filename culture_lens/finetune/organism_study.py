"""organism_study: forgetting on a model organism, whose culture neurons are known.

The organism knows names, times and makers of objects on plain grey frames, which belong to no
culture. The task is to learn new ones, drawn from another world for each seed; none of its pictures
shows a culture's frame, so that the task has no part in any culture. Measured are the task, on
pictures that were not trained on, and the knowledge of the eight cultures.
"""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Unpack

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import make_world
from culture_lens.checks import SEED, check_arguments, each, file_path, optional, whole
from culture_lens.errors import InputError
from culture_lens.finetune.comparison import compare_strategies
from culture_lens.finetune.plan import StudyOptions
from culture_lens.finetune.study import ForgettingStudy, joined
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.organism.model import ORGANISM_BATCH
from culture_lens.organism.scores_against_truth import planted
from culture_lens.organism.truth import load_truth
from culture_lens.questions.question import Question

ORGANISM_OPTIONS: StudyOptions = {
    "seeds": (1, 2, 3, 4, 5),
    "learning_rate": 5e-4,
    "epochs": 8.0,
    "batch_size": 32,
    "evaluation_batch_size": ORGANISM_BATCH,
    "parameter_share": 0.12,
}
"""The defaults of a study on an organism: the learning rate is larger than CULNIG's for so small a
model, and the share has room for one MLP block, 11.1% of its parameters."""


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


@check_arguments(
    model=file_path,
    found=optional(FOUND_SET),
    train_pictures=whole(1),
    test_pictures=whole(1),
    culture_pictures=whole(1),
)
def organism_study(
    model: str | Path = "organism",
    *,
    found: NeuronSet | None = None,
    train_pictures: int = 12,
    test_pictures: int = 3,
    culture_pictures: int = 1,
    **options: Unpack[StudyOptions],
) -> ForgettingStudy:
    """Teach an organism new facts in several ways and measure what it forgets of its cultures.

    Args:
        model: ``"organism"``, or the folder of one.
        found: The neurons that strategies choose by; the planted ones if left out.
        train_pictures: Pictures of each object that are trained on.
        test_pictures: Pictures of each object that are asked.
        culture_pictures: Pictures of each culture and object that are asked.
        **options: Options of ``compare_strategies``, with the defaults of ``ORGANISM_OPTIONS``.
            Each seed draws its own new facts, order and random modules; none may be the seed of
            the organism, which knows those facts.

    Raises:
        InputError: A seed is the organism's own, or the folder holds no organism.

    Example:
        ``organism_study(seeds=(1, 2)).summary()``
    """
    truth = load_truth(None if str(model) == "organism" else model)
    wanted: StudyOptions = {**ORGANISM_OPTIONS, **options}
    if truth.seed in each(SEED)("seeds", wanted["seeds"]):
        raise InputError(f"the organism knows the facts of seed {truth.seed}: give other seeds.")
    lens = load_model(model)
    culture = organism_questions(
        make_world(truth.seed), split="unseen", pictures=culture_pictures, seed=1000
    )
    neurons = planted(truth, lens) if found is None else found
    studies = []
    for seed in wanted["seeds"]:
        one: StudyOptions = {**wanted, "seeds": (seed,)}
        studies.append(
            compare_strategies(
                lens,
                neurons,
                new_facts(seed, pictures=train_pictures),
                culture,
                task_test=new_facts(seed, pictures=test_pictures, split="unseen"),
                scoring="letter",
                **one,
            )
        )
    return joined(studies)
