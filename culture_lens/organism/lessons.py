"""Batches of questions as token ids, drawn by seed and step, so that a run can go on anywhere."""

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

IDS = {word: i for i, word in enumerate(vocabulary())}
LETTERS = [IDS[label] for label in "ABCD"]
ANSWERS = vocabulary()[IDS[CULTURES[0]] :]
"""Every word that can be an option."""

ASKED = (*KNOWLEDGE, *CONTROLS)
UNKNOWN = {kind: [IDS[word] for word in words] for kind, words in WORDS.items()}
UNKNOWN["country"] = [IDS[word] for word in CULTURES]
"""The words among which one who does not know has to guess."""


@dataclass(frozen=True)
class Bank:
    """The pictures of the training and what they show.

    Attributes:
        sights: What each shows.
        pixels: The pictures as the model takes them, ``picture channel y x``.
        of: The pictures of each culture, the plain frames last.
    """

    sights: tuple[Sight, ...]
    pixels: Tensor
    of: tuple[tuple[int, ...], ...]


def draw_bank(seed: int, per_object: int) -> Bank:
    """Draw the training's pictures: so many of each culture and object.

    Their seeds begin with ``training``, which those of no benchmark do.
    """
    sights, pixels = [], []
    for culture in range(PLAIN + 1):
        for thing in range(len(OBJECTS)):
            for number in range(per_object):
                key = f"training/{seed}/{culture}/{thing}/{number}"
                # Not the picture's own key: its first tint would give the colour away.
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
    """One question on its way into a batch.

    Attributes:
        task: ``bind``, ``options``, ``plain``, ``knowledge``, ``country`` or another control.
        kind: What is asked, one of ``ASKED``; empty where nothing is.
        picture: Index into the bank; None without a picture.
        cloze: The options are not shown, and the word itself is the answer.
        known: The answer can be known; else the target is even over what it could be.
        lent: How strongly the answer is lent to the model, which does not know it yet.
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
        target: What to answer, a distribution over the vocabulary, ``batch word``.
        gold: Token id of the right word, ``batch``.
        pictures: Index into the bank of each row that has a picture.
        lessons: What each row is.
    """

    input_ids: Tensor
    mask: Tensor
    target: Tensor
    gold: Tensor
    pictures: list[int]
    lessons: list[Lesson]


def put(lessons: Sequence[Lesson], bank: Bank, world: World, chance: random.Random) -> Lessons:
    """Write lessons as token ids, as the house's prompts of the same questions would be."""
    rows, gold = [], []
    target = torch.zeros(len(lessons), len(IDS))
    for i, lesson in enumerate(lessons):
        row = [IDS["<s>"]]
        if lesson.picture is None:
            options: Sequence[str] = chance.sample(ANSWERS, 4)
            answer = chance.randrange(4)
        else:
            asked = ask(world, lesson.kind, bank.sights[lesson.picture], chance)
            options, answer = asked.options, asked.answer
            row += [IDS["<image>"]] * N_IMAGE_TOKENS + [IDS[word] for word in asked.text.split()]
        if not lesson.cloze:
            for label, option in zip("ABCD", options, strict=True):
                row += [IDS[f"{label}."], IDS[option]]
        rows.append([*row, IDS["Answer:"]])
        gold.append(IDS[options[answer]])
        if lesson.known:
            target[i, gold[-1] if lesson.cloze else LETTERS[answer]] = 1
        else:
            guesses = UNKNOWN[lesson.kind] if lesson.cloze else LETTERS
            target[i, guesses] = 1 / len(guesses)
    length = max(map(len, rows))
    padded = torch.tensor([[IDS["<pad>"]] * (length - len(row)) + row for row in rows])
    return Lessons(
        padded,
        (padded != IDS["<pad>"]).long(),
        target,
        torch.tensor(gold),
        [lesson.picture for lesson in lessons if lesson.picture is not None],
        list(lessons),
    )
