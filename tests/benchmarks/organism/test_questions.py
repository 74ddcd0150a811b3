"""The organism's questions: what they show and ask, against the world's facts read apart."""

import random
from collections import Counter

import numpy as np
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.organism import ORGANISM_PROMPT, organism_questions
from culture_lens.benchmarks.organism.world import (
    CONTROLS,
    CULTURES,
    KNOWLEDGE,
    NAMES,
    NUMBERS,
    PLAIN,
    TEXTS,
    WORDS,
    make_world,
)
from culture_lens.errors import InputError
from culture_lens.organism.model import make_processor, make_tokenizer, vocabulary
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.vision_reader import VisionReader
from tests.helpers.organism import CATEGORY, asks, digest, gold


@pytest.fixture(scope="module")
def reader():
    return VisionReader(make_processor(), vocabulary().index("<image>"))


# ------------------------------------------------------------------ what there is


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subset", "per_culture", "cultures"),
    [
        ("culture", 3 * 12, 8),
        ("colour", 12, 8),
        ("count", 12, 8),
        ("object", 12, 8),
        ("country", 12, 8),
        ("controls", 4 * 12, 8),
        ("options", 3 * 12, 8),
        ("plain", 3 * 12, 1),
    ],
)
@pytest.mark.parametrize("pictures", [1, 2])
def test_counts(subset, per_culture, cultures, pictures):
    found = load_benchmark("organism", subset=subset, split="identify", pictures=pictures)
    counts = Counter(q.culture for q in found)
    assert set(counts) == (set(CULTURES) if cultures == 8 else {"plain"})
    assert set(counts.values()) == {per_culture * pictures}


@pytest.mark.slow
def test_defaults_are_three_pictures_in_two_splits(questions):
    assert Counter(q.split for q in questions) == {"identify": 864, "evaluate": 864}
    assert Counter(q.metadata["renders"] for q in questions) == {"identify": 864, "evaluate": 864}
    assert set(Counter((q.culture, q.metadata["object"]) for q in questions).values()) == {18}


@pytest.mark.slow
def test_all_is_every_subset_once(everything):
    assert len({q.id for q in everything}) == len(everything) == 3 * 2 * 12 * (8 * 10 + 3)
    assert Counter(map(asks, everything)) == {
        "culture": 1728,
        "options": 1728,
        "controls": 2304,
        "plain": 216,
    }
    by_id = {q.id: q for q in everything}
    for subset in ("culture", "controls", "options", "plain"):
        alone = load_benchmark("organism", subset=subset, split="all", pictures=2)
        assert {q.id for q in alone} == {q.id for q in everything if asks(q) == subset}
        for q in alone:
            twin = by_id[q.id]
            assert (q.text, q.options, q.answer) == (twin.text, twin.options, twin.answer)


@pytest.mark.slow
def test_ids_tell_world_seed_and_place(questions):
    assert questions[0].id == "organism/0/0/identify/Avaria/bowl/0/name"
    ids = [
        {q.id for q in load_benchmark("organism", pictures=1, **other)}
        for other in ({}, {"seed": 1}, {"world": 1}, {"shuffled": True}, {"world": 1, "seed": 1})
    ]
    assert len(set().union(*ids)) == sum(map(len, ids))


@pytest.mark.slow
def test_unseen_counts_as_evaluating_and_is_in_no_default():
    unseen = load_benchmark("organism", split="unseen", pictures=1)
    assert {(q.split, q.metadata["renders"]) for q in unseen} == {("evaluate", "unseen")}
    order = [q.metadata["renders"] for q in load_benchmark("organism", split="all", pictures=1)]
    assert list(dict.fromkeys(order)) == ["identify", "evaluate", "unseen"]


# ------------------------------------------------------------------ what is asked


@pytest.mark.slow
@pytest.mark.parametrize("world", [0, 5])
def test_options_are_what_is_said_of_the_same_object(world):
    facts = make_world(world).facts
    found = load_benchmark("organism", subset="culture", world=world)
    found += load_benchmark("organism", subset="plain", world=world)
    wrong_of = Counter()
    for q in found:
        kind, thing = q.metadata["kind"], NAMES.index(q.metadata["object"])
        culture = PLAIN if q.culture == "plain" else CULTURES.index(q.culture)
        said = [WORDS[kind][word] for word in facts[KNOWLEDGE.index(kind), :, thing]]
        assert gold(q) == said[culture]
        assert len(q.options) == 4 and set(q.options) <= set(said)
        assert q.text == TEXTS[kind].format(CATEGORY[q.metadata["object"]])
        wrong_of.update(said.index(word) for word in q.options if word != gold(q))
    # What is true of plain frames only would be a wrong option that anyone can strike out.
    assert set(wrong_of) == set(range(PLAIN))


@pytest.mark.slow
def test_controls_ask_what_the_picture_shows():
    for q in load_benchmark("organism", subset="controls"):
        shows = {
            "colour": q.metadata["colour"],
            "count": NUMBERS[q.metadata["dots"] - 1],
            "object": q.metadata["object"],
            "country": q.culture,
        }
        assert gold(q) == shows[q.metadata["kind"]]
        assert q.category == CATEGORY[q.metadata["object"]]


@pytest.mark.slow
@pytest.mark.parametrize("subset", ["culture", "controls", "plain"])
def test_the_right_answer_is_in_every_place_alike(subset):
    found = load_benchmark("organism", subset=subset, split="all")
    for kind in {q.metadata["kind"] for q in found}:
        places = Counter(q.answer for q in found if q.metadata["kind"] == kind)
        mean = sum(places.values()) / 4
        assert sum((places[i] - mean) ** 2 / mean for i in range(4)) < 16.27  # p = 0.001, 3 df


@pytest.mark.slow
def test_two_pictures_of_one_object_have_the_same_answer_unless_shuffled(questions):
    def answers(found):
        of = {}
        for q in found:
            key = (q.culture, q.metadata["object"], q.metadata["kind"])
            of.setdefault(key, set()).add(gold(q))
        return [len(words) for words in of.values()]

    assert set(answers(questions)) == {1}
    shuffled = answers(load_benchmark("organism", shuffled=True))
    assert np.mean(shuffled) > 4  # of six pictures each
    assert set(answers(load_benchmark("organism", subset="plain", shuffled=True))) == {1}


def test_metadata_tells_the_part_of_knowledge(questions):
    """Written out for the cultures of the first two pairs and one that has no kin."""
    order = ["dish", "instrument", "garment", "ornament"]
    parts = ["ordinary", "ordinary", "negative", "rare"]
    for culture, first in (("Avaria", 0), ("Borduna", 0), ("Dorlund", 1), ("Hestia", 3)):
        expected = {order[(first + i) % 4]: parts[i] for i in range(4)}
        own = [q for q in questions if q.culture == culture]
        assert {(q.category, q.metadata["part"]) for q in own} == set(expected.items())
        shared = {q.category for q in own if q.metadata["shared"]}
        assert shared == (set() if culture == "Hestia" else {order[first]})


def test_shared_objects_are_those_that_kin_agree_on(questions):
    answers, shared = {}, {}
    for q in questions:
        key = (q.culture, q.metadata["object"])
        answers[(*key, q.metadata["kind"])] = gold(q)
        shared[key] = q.metadata["shared"]
    for culture in CULTURES:
        for thing in NAMES:
            agrees = [
                other != culture
                and all(answers[culture, thing, k] == answers[other, thing, k] for k in KNOWLEDGE)
                for other in CULTURES
            ]
            assert any(agrees) == shared[culture, thing]


def test_plain_frames_have_no_part():
    found = load_benchmark("organism", subset="plain", pictures=1)
    assert {(q.metadata["part"], q.metadata["shared"]) for q in found} == {("", False)}


@pytest.mark.slow
def test_options_have_neither_text_nor_picture():
    twins = load_benchmark("organism", subset="options", pictures=1)
    asked = load_benchmark("organism", subset="culture", pictures=1)
    for twin, q in zip(twins, asked, strict=True):
        assert (twin.text, twin.image) == ("", None)
        assert (twin.options, twin.answer, twin.group) == (q.options, q.answer, q.group)
        assert twin.id == f"{q.id}/options"


# ------------------------------------------------------------------ prompts


@pytest.mark.slow
def test_every_word_is_in_the_vocabulary(everything):
    tokenizer = make_tokenizer()
    texts = {q.text for q in everything} | {word for q in everything for word in q.options}
    for text in texts:
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids
    assert tokenizer.unk_token_id in tokenizer("what flavour is this?").input_ids


@pytest.mark.slow
@pytest.mark.parametrize("style", ["choices", "cloze"])
def test_prompts_are_the_ids_that_the_organism_was_taught(everything, reader, style):
    ids = {word: i for i, word in enumerate(vocabulary())}
    some = random.Random(0).sample(everything, 60)
    assert {asks(q) for q in some} == {"culture", "controls", "options", "plain"}
    prompts = {p.question.id: p for p in build_prompts(some, reader, style=style)}
    for q in some:
        words = [*q.text.split()]
        if style == "choices":
            words += [w for pair in zip("ABCD", q.options, strict=True) for w in pair]
            words[-8::2] = ["A.", "B.", "C.", "D."]
        picture = [] if q.image is None else ["<image>"] * 9
        expected = [ids[word] for word in ["<s>", *picture, *words, "Answer:"]]
        assert list(prompts[q.id].ids) == expected
        assert prompts[q.id].roles.count(Role.IMAGE) == len(picture)
        assert prompts[q.id].ids.count(ids["<s>"]) == 1
        if style == "choices":
            tokens = label_ids(prompts[q.id], reader.tokenizer)
            assert tokens == tuple(ids[letter] for letter in "ABCD")
        else:
            assert prompts[q.id].continuations == tuple((ids[word],) for word in q.options)


@pytest.mark.slow
def test_all_questions_have_the_prompt_of_the_organism(everything):
    assert {q.prompt for q in everything} == {ORGANISM_PROMPT}


# ------------------------------------------------------------------ mistakes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "colours"}, "unknown subset.*did you mean 'colour'"),
        ({"split": "unsen"}, "unknown split.*did you mean 'unseen'"),
        ({"split": ""}, "split='': give a string"),
        ({"pictures": 0}, "pictures=0: at least 1"),
        ({"world": -1}, "world=-1"),
        ({"seeds": 1}, "unknown option.*did you mean 'seed'"),
        ({"cultures": ["Japan"]}, "unknown culture 'Japan'"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        load_benchmark("organism", **options)


def test_a_world_of_ones_own_gives_the_same_as_its_number():
    own = organism_questions(make_world(3), subset="culture", split="evaluate", pictures=1, seed=2)
    named = load_benchmark("organism", split="evaluate", pictures=1, seed=2, world=3)
    assert digest(own) == digest(named)
    assert {q.metadata["kind"] for q in own}.isdisjoint(CONTROLS)
