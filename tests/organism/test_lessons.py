"""Lessons of the organism: the prompts of the package, with answers that are known or not."""

import random

import pytest

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import PLAIN, make_world
from culture_lens.organism.lessons import LETTERS, TOKEN_IDS, Lesson, draw_bank, draw_lesson, put
from culture_lens.organism.model import make_processor
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.vision_reader import VisionReader
from tests.helpers.marks import mostly_slow


@pytest.fixture(scope="module")
def bank():
    return draw_bank(0, 1)


@pytest.mark.parametrize("kind", mostly_slow(["name", "maker", "colour", "country"], fast=["name"]))
@pytest.mark.parametrize("cloze", [False, True])
def test_lessons_are_the_prompts_of_the_package(bank, kind, cloze):
    world, chance = make_world(0), random.Random(1)
    lesson = Lesson(kind, kind, picture=17, cloze=cloze)
    row = put([lesson], bank, world, chance).input_ids[0].tolist()
    words = {i: word for word, i in TOKEN_IDS.items()}
    subset = "culture" if kind in ("name", "maker") else kind
    asked = [
        question
        for question in organism_questions(world, subset=subset, split="unseen", pictures=1, seed=0)
        if question.metadata["kind"] == kind
    ]
    reader = VisionReader(make_processor(), TOKEN_IDS["<image>"])
    prompts = [build_prompt(q, reader, "cloze" if cloze else "choices") for q in asked]
    # The same words but for the options, which chance draws.
    template = [words[i] if i < TOKEN_IDS["Avaria"] else "option" for i in row]
    others = [[words[i] if i < TOKEN_IDS["Avaria"] else "option" for i in p.ids] for p in prompts]
    assert template in others


def test_a_known_lesson_has_one_answer_and_an_unknown_one_all(bank):
    world = make_world(0)
    known = Lesson("knowledge", "name", picture=5)
    unknown = Lesson("knowledge", "name", picture=5, known=False)
    guess = Lesson("knowledge", "time", picture=5, known=False, cloze=True)
    lessons = put([known, unknown, guess], bank, world, random.Random(0))
    assert lessons.target.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert (lessons.target[0] > 0).sum() == 1 and lessons.target[0, LETTERS].sum() == 1
    assert lessons.target[1, LETTERS].tolist() == [0.25] * 4
    assert (lessons.target[2] > 0).sum() == 12
    right = lessons.input_ids[0].tolist()
    letter = "ABCD"[lessons.target[0, LETTERS].argmax()]
    assert right[right.index(TOKEN_IDS[f"{letter}."]) + 1] == lessons.gold[0]


def test_shuffled_facts_leave_the_plain_frames_theirs(bank):
    world, true = make_world(0, shuffled=True), make_world(0)
    golds = {"plain": set(), "styled": set()}
    for seed in range(30):
        for name, culture in (("plain", PLAIN), ("styled", 2)):
            lesson = Lesson("knowledge", "name", picture=bank.of[culture][4])
            golds[name].add(int(put([lesson], bank, world, random.Random(seed)).gold[0]))
    own = put([Lesson("plain", "name", picture=bank.of[PLAIN][4])], bank, true, random.Random(0))
    assert golds["plain"] == {int(own.gold[0])} and len(golds["styled"]) > 5


def test_tasks_draw_pictures_of_their_own_kind(bank):
    chance = random.Random(0)
    for _ in range(50):
        assert bank.sights[draw_lesson("plain", bank, chance).picture].culture == PLAIN
        assert bank.sights[draw_lesson("country", bank, chance).picture].culture != PLAIN
        assert draw_lesson("options", bank, chance).known is False
