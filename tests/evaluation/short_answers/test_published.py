"""The published short answers of BLEnD."""

import json
import re
import warnings

import pytest

from culture_lens.benchmarks.blend import SPLITS
from culture_lens.errors import CultureLensWarning
from culture_lens.evaluation.short_answers.answers import evaluate_short_answers, score_answers
from culture_lens.evaluation.short_answers.questions import LANGUAGE_OF, load_short_answers
from culture_lens.neurons.neurons import Neurons
from tests.helpers.marks import QUIET, needs_data, quiet
from tests.helpers.places import DATA

FOLDER = DATA / "blend"
real = needs_data("blend/annotations")


def published(region):
    text = (FOLDER / "annotations" / f"{region}_data.json").read_text(encoding="utf-8")
    return json.loads(text)


def askable(item, key):
    idks, answers = item["idks"], item["annotations"]
    left_out = idks["no-answer"] + idks["not-applicable"] >= 3 or idks["idk"] >= 5
    return bool(item[key].strip()) and bool(answers) and not left_out


@pytest.mark.slow
@real
@quiet
@pytest.mark.parametrize("asked", ["local", "english"])
def test_the_published_questions(asked):
    questions = load_short_answers(FOLDER, asked=asked, wordings=[0])
    assert len(questions) == {"local": 7421, "english": 7422}[asked]
    key = {"local": "question", "english": "en_question"}[asked]
    assert {q.culture for q in questions} == set(LANGUAGE_OF)
    for region in LANGUAGE_OF:
        entries = published(region)
        assert len(entries) == 500
        own = {q.group: q for q in questions if q.culture == region}
        assert list(own) == [name for name, item in entries.items() if askable(item, key)]
        for name, question in own.items():
            given = entries[name]["annotations"]
            assert question.text == entries[name][key].strip()
            assert [a.votes for a in question.answers] == [a["count"] for a in given]
            assert question.most_votes == given[0]["count"]  # published sorted by votes
    assert {q.category for q in questions} == set(SPLITS)


@real
def test_the_question_that_has_no_chinese_text():
    with pytest.warns(CultureLensWarning, match="China.*1 whose question is empty"):
        local = load_short_answers(FOLDER, regions=["China"], wordings=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        english = load_short_answers(FOLDER, regions=["China"], asked="english", wordings=[0])
    assert {q.group for q in english} - {q.group for q in local} == {"New-en-04"}


@pytest.mark.slow
@real
@quiet
@pytest.mark.parametrize("region", sorted(LANGUAGE_OF))
def test_the_most_frequent_human_answer_scores_one(region):
    """Whoever repeats people's first answer is right, whoever says nothing is not."""
    questions = load_short_answers(FOLDER, regions=[region], wordings=[0])
    best = {
        q.id: next(
            text
            for a in q.answers
            if a.votes == max(b.votes for b in q.answers if b.texts)
            for text in a.texts
        )
        for q in questions
        if any(a.texts for a in q.answers)
    }
    answered = [q for q in questions if q.id in best]
    assert len(answered) >= len(questions) - 1
    frame = score_answers(answered, best)
    several = frame["written"].map(lambda text: len(re.split(r"[\r\n]", text.strip())) > 1)
    assert frame.loc[~several, "exact"].all() and frame.loc[~several, "contained"].all()
    full = frame.loc[~several, "exact_weight"]
    assert (full == 1).mean() > 0.99
    silent = score_answers(answered, dict.fromkeys(best, ""))
    assert not silent["contained"].any() and not silent["exact"].any()


@pytest.mark.slow
@real
@quiet
def test_smollm2_answers_some(smollm2):
    chosen = ["Al-en-02", "Al-en-35", "An-ar-08"]
    questions = [
        q for q in load_short_answers(FOLDER, regions=["US"], wordings=[0]) if q.group in chosen
    ]
    assert len(questions) == 3
    found = evaluate_short_answers(smollm2, questions, max_new_tokens=8, **QUIET)
    again = evaluate_short_answers(smollm2, questions, max_new_tokens=8, batch_size=1, **QUIET)
    assert found.frame["written"].tolist() == again.frame["written"].tolist()
    assert all(found.frame["answer"])
    layers, width = smollm2.shape("act")
    most = Neurons.of({"act": [(layer, i) for layer in range(layers) for i in range(0, width, 3)]})
    after_ablation = evaluate_short_answers(smollm2, questions, most, max_new_tokens=8, **QUIET)
    assert after_ablation.frame["written"].tolist() != found.frame["written"].tolist()
