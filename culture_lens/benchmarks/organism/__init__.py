"""The organism's benchmark: drawn pictures of made-up cultures, with questions on what they show.

In a small model that was trained on this world the neurons that carry each culture are known, so
that a method's neurons can be compared with the truth. Questions have the layout of CVQA's: several
on one picture, which are one question group, and four options, the wrong ones being the answers of
other cultures for the same object.

No file is read. ``seed`` draws the pictures and ``world`` the facts: another seed gives unseen
pictures of a world that a model may know.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from culture_lens.benchmarks.organism.drawing import COLOURS, N_DOTS, OBJECTS, draw_picture
from culture_lens.benchmarks.organism.world import (
    CONTROLS,
    CULTURES,
    KNOWLEDGE,
    NAMES,
    PLAIN,
    Sight,
    World,
    ask,
    category_of,
    kin_of,
    make_world,
)
from culture_lens.benchmarks.reading.source import BUNDLED, Benchmark, Read
from culture_lens.checks import SEED, check_arguments, flag, optional, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.questions.images import LazyImage, as_image
from culture_lens.questions.question import PromptFormat, Question, control_twin

ORGANISM_PROMPT = PromptFormat(
    instruction="",
    layout="{question}\n{options}",
    cloze="{question}",
    cloze_instruction="",
)
"""The prompt format of training; the chat template adds the picture and ``Answer:``."""

NO_CULTURE = "plain"
"""The culture label of questions on plain grey frames."""

HELD = 2048
"""Pictures that are held once they are drawn, 7 kB each: questions asked for again take no time."""

TWIN = "/options"
SUBSETS: dict[str, tuple[str, ...]] = {
    "culture": KNOWLEDGE,
    **{kind: (kind,) for kind in CONTROLS},
    "controls": CONTROLS,
    "options": tuple(kind + TWIN for kind in KNOWLEDGE),
    "plain": (),
}
SUBSETS["all"] = (*SUBSETS["culture"], *SUBSETS["controls"], *SUBSETS["options"])
"""The kinds of question of each subset, on the frames of cultures."""

ON_PLAIN = ("plain", "all")
"""The subsets that ask the questions of knowledge on plain frames."""

RENDER_SPLITS = {"identify": "identify", "evaluate": "evaluate", "unseen": "evaluate"}
"""The draws of pictures -> the value of ``Question.split``, which has only two."""

KNOWLEDGE_PARTS = ("ordinary", "ordinary", "negative", "rare")
"""The kind of neurons that carries each of the four parts of a culture's knowledge."""


def organism_questions(
    world: World,
    *,
    subset: str = "culture",
    split: str | None = None,
    pictures: int = 3,
    seed: int = 0,
) -> list[Question]:
    """Draw pictures of a world and ask questions on them.

    Args:
        world: The facts; in a shuffled world every question draws its facts anew, except those of
            the plain frame.
        subset: ``"culture"`` asks the name, the time and the maker, ``"colour"``, ``"count"``,
            ``"object"`` and ``"country"`` one thing each, ``"controls"`` these four. ``"plain"``
            asks the first three on grey frames, which have facts of their own and the culture
            label ``"plain"``. ``"options"`` are the control twins of ``"culture"``: its options,
            with neither question nor picture. ``"all"`` is all of this.
        split: ``"identify"``, ``"evaluate"`` or ``"unseen"``, three draws of pictures; None for
            the first two, ``"all"`` for the three. The name is kept as ``metadata["renders"]``.
        pictures: How many of each culture and object in each split.
        seed: Draws the pictures.

    Returns:
        Questions in the order of splits, cultures, objects, pictures and kinds. The metadata has
        the kind of question, what the picture shows, which neurons an organism holds its
        knowledge of that object with (``part``, empty on plain frames) and whether it shares that
        with a kin culture (``shared``).

    Raises:
        InputError: An unknown subset or split, or fewer than one picture.

    Example:
        >>> questions = organism_questions(make_world(0), split="identify", pictures=1)
        >>> len(questions), questions[0].id
        (288, 'organism/0/0/identify/Avaria/bowl/0/name')
    """
    if subset not in SUBSETS:
        raise unknown("subset of the organism's questions", subset, SUBSETS)
    if split not in (None, "all", *RENDER_SPLITS):
        raise unknown("split of the organism's questions", split, (*RENDER_SPLITS, "all"))
    if pictures < 1:
        raise InputError(f"pictures={pictures}: at least 1 of each culture and object is needed.")
    splits = {None: ("identify", "evaluate"), "all": tuple(RENDER_SPLITS)}.get(split, (str(split),))
    cultures = [*range(len(CULTURES) if SUBSETS[subset] else 0)]
    if subset in ON_PLAIN:
        cultures.append(PLAIN)
    return [
        question
        for renders in splits
        for culture in cultures
        for thing in range(len(OBJECTS))
        for number in range(pictures)
        for question in on_one_picture(world, subset, renders, culture, thing, number, seed)
    ]


def on_one_picture(
    world: World, subset: str, renders: str, culture: int, thing: int, number: int, seed: int
) -> Iterator[Question]:
    """Draw one picture and ask a subset's questions on it."""
    label = NO_CULTURE if culture == PLAIN else CULTURES[culture]
    place = f"{renders}/{label}/{NAMES[thing]}/{number}"
    sight, image = draw(culture, thing, f"organism/{seed}/{place}")
    facts = f"{world.seed}-shuffled" if world.shuffled else str(world.seed)
    group = f"organism/{facts}/{seed}/{place}"
    part = part_of(culture, thing)
    for kind in KNOWLEDGE if culture == PLAIN else SUBSETS[subset]:
        plain_kind = kind.removesuffix(TWIN)
        # The twin uses the random numbers of its question, so that it has the same options.
        asked = ask(world, plain_kind, sight, random.Random(f"{group}/{plain_kind}"))
        question = Question(
            id=f"{group}/{plain_kind}",
            culture=label,
            text=asked.text,
            options=asked.options,
            answer=asked.answer,
            category=OBJECTS[thing][0],
            group=group,
            split=RENDER_SPLITS[renders],
            image=image,
            benchmark="organism",
            prompt=ORGANISM_PROMPT,
            metadata={
                "kind": plain_kind,
                "object": NAMES[thing],
                "colour": list(COLOURS)[sight.colour],
                "dots": sight.dots,
                "part": "" if part is None else KNOWLEDGE_PARTS[part],
                "shared": part == 0 and kin_of(culture) is not None,
                "renders": renders,
            },
        )
        yield twin_of(question) if kind.endswith(TWIN) else question


@lru_cache(HELD)
def draw(culture: int, thing: int, key: str) -> tuple[Sight, LazyImage]:
    """Draw a picture, shared by the questions on it.

    The key must not begin with ``training/``: an organism was trained on those pictures.
    """
    # A key of its own: with the picture's key, the colour would follow from the frame's tint.
    chance = random.Random(f"{key}/shown")
    sight = Sight(culture, thing, chance.randrange(len(COLOURS)), chance.randint(1, N_DOTS))
    style = None if culture == PLAIN else culture
    file = io.BytesIO()
    draw_picture(style, thing, sight.colour, sight.dots, key).save(file, format="PNG")
    return sight, as_image(file.getvalue(), where=f"picture {key!r}")


def part_of(culture: int, thing: int) -> int | None:
    """Say which of a culture's four parts of knowledge an object is in; None on a plain frame.

    Example:
        >>> part_of(0, 0), part_of(2, 0)
        (0, 3)
    """
    if culture == PLAIN:
        return None
    return next(part for part in range(len(KNOWLEDGE_PARTS)) if thing in category_of(culture, part))


def twin_of(question: Question) -> Question:
    """Make the control twin of a question, with an id of its own."""
    return replace(control_twin(question), id=question.id + TWIN)


@check_arguments(
    subset=text,
    split=optional(text),
    pictures=whole(),
    seed=SEED,
    world=whole(),
    shuffled=flag,
)
def load(
    read: Read,
    *,
    subset: str = "culture",
    split: str | None = None,
    pictures: int = 3,
    seed: int = 0,
    world: int = 0,
    shuffled: bool = False,
) -> list[Question]:
    """Draw the questions; nothing is read.

    Args:
        read: Not used.
        subset: See ``organism_questions``, as for ``split``, ``pictures`` and ``seed``.
        split: See there.
        pictures: See there.
        seed: See there.
        world: The facts follow from it; 0 is the world of the bundled organism.
        shuffled: Ask about a world without knowledge of cultures.
    """
    if world < 0:
        raise InputError(f"world={world}: give a number from 0 on.")
    return organism_questions(
        make_world(world, shuffled=shuffled),
        subset=subset,
        split=split,
        pictures=pictures,
        seed=seed,
    )


BENCHMARK = Benchmark(
    name="organism",
    summary="drawn pictures of eight made-up cultures, for models whose culture neurons are known",
    source=BUNDLED,
    licence="CC0-1.0",
    rows=load,
    min_cultures=1,
    wordings=((ORGANISM_PROMPT,),),  # an organism is trained on this format only
    own_countryrc={"subset": "country", "split": "identify"},
)
