"""Training batches: questions as token ids, drawn from seed and step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from culture_lens.benchmarks.organism.drawing import COLOURS, N_DOTS, OBJECTS, draw_picture
from culture_lens.benchmarks.organism.world import (
    CONTROLS,
    CULTURES,
    KNOWLEDGE,
    PLAIN,
    WORDS,
    Sight,
    World,
    ask,
)
from culture_lens.organism.model import IMAGE_MEAN, IMAGE_STD, N_IMAGE_TOKENS, vocabulary

TOKEN_IDS = {word: i for i, word in enumerate(vocabulary())}
LETTERS = [TOKEN_IDS[label] for label in "ABCD"]
ANSWERS = vocabulary()[TOKEN_IDS[CULTURES[0]] :]
"""Every word that can be an option."""

ASKED = (*KNOWLEDGE, *CONTROLS)
UNKNOWN = {kind: [TOKEN_IDS[word] for word in words] for kind, words in WORDS.items()}
UNKNOWN["country"] = [TOKEN_IDS[word] for word in CULTURES]
"""Kind of question -> the words that its answer could be."""


@dataclass(frozen=True)
class Bank:
    """The pictures of the training and what they show.

    Attributes:
        sights: What each picture shows.
        pixels: The pictures as input of the model, ``picture channel y x``.
        of: Indices of the pictures of each culture, the plain frames last.
    """

    sights: tuple[Sight, ...]
    pixels: Tensor
    of: tuple[tuple[int, ...], ...]


def draw_bank(seed: int, per_object: int) -> Bank:
    """Draw the training's pictures, ``per_object`` of each culture and object.

    Their seeds begin with ``training``, unlike those of any benchmark.
    """
    sights, pixels = [], []
    for culture in range(PLAIN + 1):
        for thing in range(len(OBJECTS)):
            for number in range(per_object):
                key = f"training/{seed}/{culture}/{thing}/{number}"
                # Not the picture's own key, whose first draw is a tint that would show the colour.
                chance = random.Random(f"{key}/shown")
                colour, dots = chance.randrange(len(COLOURS)), chance.randint(1, N_DOTS)
                style = None if culture == PLAIN else culture
                pixels.append(np.asarray(draw_picture(style, thing, colour, dots, key)))
                sights.append(Sight(culture, thing, colour, dots))
    raw = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    of = tuple(
        tuple(i for i, sight in enumerate(sights) if sight.culture == culture)
        for culture in range(PLAIN + 1)
    )
    return Bank(tuple(sights), (raw - IMAGE_MEAN) / IMAGE_STD, of)


@dataclass
class Lesson:
    """One question of a batch.

    Attributes:
        task: ``bind``, ``options``, ``plain``, ``knowledge``, ``country`` or another control.
        kind: What is asked, one of ``ASKED``; empty where nothing is.
        picture: Index into the bank; None without a picture.
        cloze: The options are not shown, and the answer is the word itself.
        known: Whether the answer can be known; else the target is uniform over possible answers.
        lent: Strength with which the answer is added to the residual stream; see ``Forward.lend``.
    """

    task: str
    kind: str = ""
    picture: int | None = None
    cloze: bool = False
    known: bool = True
    lent: float = 0.0


def draw_lesson(task: str, bank: Bank, chance: random.Random) -> Lesson:
    """Draw the picture and the kind of question of a task."""
    if task in ("bind", "options"):
        return Lesson(task, known=task == "bind")
    styled = len(CULTURES) * len(bank.of[0])
    if task == "plain":
        lesson = Lesson(task, chance.choice(KNOWLEDGE), chance.choice(bank.of[PLAIN]))
    elif task == "knowledge":
        lesson = Lesson(task, chance.choice(KNOWLEDGE), chance.randrange(styled))
    elif task == "country":
        lesson = Lesson(task, task, chance.randrange(styled))
    else:
        lesson = Lesson(task, task, chance.randrange(len(bank.sights)))
    lesson.cloze = chance.random() < 0.15
    return lesson


@dataclass(frozen=True)
class Lessons:
    """A batch, padded on the left.

    Attributes:
        input_ids: ``batch pos``.
        mask: 1 on tokens, ``batch pos``.
        target: The answer, a distribution over the vocabulary, ``batch word``.
        gold: Token id of the right word, ``batch``.
        pictures: Index into the bank, for each row that has a picture.
        lessons: The question of each row.
    """

    input_ids: Tensor
    mask: Tensor
    target: Tensor
    gold: Tensor
    pictures: list[int]
    lessons: list[Lesson]


def put(lessons: Sequence[Lesson], bank: Bank, world: World, chance: random.Random) -> Lessons:
    """Write lessons as token ids, in the same form as the package's prompts of these questions."""
    rows, gold = [], []
    target = torch.zeros(len(lessons), len(TOKEN_IDS))
    for i, lesson in enumerate(lessons):
        row = [TOKEN_IDS["<s>"]]
        if lesson.picture is None:
            options: Sequence[str] = chance.sample(ANSWERS, 4)
            answer = chance.randrange(4)
        else:
            asked = ask(world, lesson.kind, bank.sights[lesson.picture], chance)
            options, answer = asked.options, asked.answer
            row += [TOKEN_IDS["<image>"]] * N_IMAGE_TOKENS
            row += [TOKEN_IDS[word] for word in asked.text.split()]
        if not lesson.cloze:
            for label, option in zip("ABCD", options, strict=True):
                row += [TOKEN_IDS[f"{label}."], TOKEN_IDS[option]]
        rows.append([*row, TOKEN_IDS["Answer:"]])
        gold.append(TOKEN_IDS[options[answer]])
        if lesson.known:
            target[i, gold[-1] if lesson.cloze else LETTERS[answer]] = 1
        else:
            guesses = UNKNOWN[lesson.kind] if lesson.cloze else LETTERS
            target[i, guesses] = 1 / len(guesses)
    length = max(map(len, rows))
    padded = torch.tensor([[TOKEN_IDS["<pad>"]] * (length - len(row)) + row for row in rows])
    return Lessons(
        padded,
        (padded != TOKEN_IDS["<pad>"]).long(),
        target,
        torch.tensor(gold),
        [lesson.picture for lesson in lessons if lesson.picture is not None],
        list(lessons),
    )
