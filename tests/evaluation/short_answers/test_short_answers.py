"""BLEnD's short answers: scores worked by hand, published rows, models that write."""

import json
import re
import warnings

import pandas as pd
import pytest
import torch

from culture_lens.benchmarks.blend import SPLITS
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import generation
from culture_lens.evaluation.short_answers.answers import (
    ShortAnswers,
    evaluate_short_answers,
    first_line,
    score_answers,
)
from culture_lens.evaluation.short_answers.matching import HumanAnswer, words_of
from culture_lens.evaluation.short_answers.questions import (
    LANGUAGE_OF,
    WORDINGS,
    ShortQuestion,
    load_short_answers,
)
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.statistics.estimates import mean_estimate
from tests.conftest import lens
from tests.helpers.places import DATA

FOLDER = DATA / "blend"
real = pytest.mark.skipif(
    not (FOLDER / "annotations").is_dir(),
    reason=f"BLEnD's annotations are not at {FOLDER} (set CULTURE_LENS_DATA)",
)
quiet = pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning")
NEURONS = Neurons.of({"act": [(layer, i) for layer in range(3) for i in range(0, 48, 2)]})
QUIET = {"progress": False}


def entry(question, *annotations, idk=0, none=0, inapplicable=0, english=None):
    return {
        "question": question,
        "en_question": english or f"{question} in English",
        "annotations": [
            {"answers": list(own), "en_answers": list(other), "count": votes}
            for own, other, votes in annotations
        ],
        "idks": {"idk": idk, "no-answer": none, "not-applicable": inapplicable, "a remark": 9},
    }


def written_to(folder, region, entries):
    (folder / f"{region}_data.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path):
    """Two regions of three questions that can be asked."""
    tea = (["tea", "a tea"], ["tea"], 4), (["milk"], ["milk"], 1)
    written_to(
        tmp_path,
        "UK",
        {"q1": entry("Drink?", *tea), "q2": entry("Sport?", (["football"], ["football"], 3))},
    )
    written_to(
        tmp_path,
        "Spain",
        {"q1": entry("¿Bebida?", (["el vino", "vino tinto"], ["wine"], 2), (["té"], ["tea"], 1))},
    )
    return tmp_path


def short(name="1", culture="UK", language="English", answers=None, **given):
    humans = answers or (HumanAnswer(("milk",), 2), HumanAnswer(("sugar",), 1))
    return ShortQuestion(name, culture, "Tea with?", language, humans, **given)


# ------------------------------------------------------------------ reading


def test_regions_languages_and_wordings(small):
    found = load_short_answers(small)
    assert len(found) == 3 * len(WORDINGS) == len({q.id for q in found})
    one = next(q for q in found if q.id == "q1/Spain/local/2")
    assert (one.culture, one.language, one.group) == ("Spain", "Spanish", "q1")
    assert one.prompt.cloze_instruction == WORDINGS[2] and one.wording == 2
    assert one.answers == (
        HumanAnswer(("el vino", "vino tinto"), 2, ("wine",)),
        HumanAnswer(("té",), 1, ("tea",)),
    )
    assert one.most_votes == 2
    (english,) = load_short_answers(small, regions=["Spain"], asked="english", wordings=[0])
    assert english.text == "¿Bebida? in English" and english.language == "English"
    assert english.answers[0] == HumanAnswer(("wine",), 2)


def test_what_is_left_out_is_said(tmp_path):
    ok = (["tea"], ["tea"], 1)
    entries = {
        "kept": entry("A?", ok, idk=4, none=1, inapplicable=1),
        "unknown": entry("B?", ok, idk=5),
        "inapplicable": entry("C?", ok, none=1, inapplicable=2),
        "unanswered": entry("D?"),
        "blank": entry("E?", (["", " - "], [""], 2)),
        "untranslated": entry("  ", ok),
        "partly": entry("F?", ([""], [], 5), (["tea", ""], ["tea"], 2)),
    }
    written_to(tmp_path, "US", entries)
    with pytest.warns(CultureLensWarning) as said:
        found = load_short_answers(tmp_path, wordings=[0])
    assert [q.group for q in found] == ["kept", "partly"]
    # the empty answer's votes still say how many people agreed on one at most
    assert found[1].answers[1].texts == ("tea",) and found[1].most_votes == 5
    messages = " ".join(str(warning.message) for warning in said)
    assert "dropped 5 of 7 rows: 1 whose question is empty, 2 that 3 or more" in messages
    assert "2 that have no human answer" in messages and "1 human answers have no text" in messages


def test_topics_and_split(small, tmp_path):
    topics = {"q1": "Food", "q2": "Family"}
    found = load_short_answers(small, topics=topics, split="evaluate", wordings=[0])
    assert [(q.group, q.category) for q in found] == [("q2", "Family")]
    (small / "US_questions.csv").write_text("ID,Topic\nq1,Food\nq2,Sport\n", encoding="utf-8")
    assert {q.category for q in load_short_answers(small)} == {"Food", "Sport"}
    assert load_short_answers(small, split="evaluate") == []


def test_bad_input_of_readers(small, tmp_path):
    with pytest.raises(InputError, match="holds no file REGION_data.json"):
        load_short_answers(tmp_path / "nowhere")
    with pytest.raises(InputError, match="unknown region 'Span': did you mean 'Spain'"):
        load_short_answers(small, regions=["Span"])
    with pytest.raises(InputError, match="asked='locally'"):
        load_short_answers(small, asked="locally")
    for wordings in ([], [4]):
        with pytest.raises(InputError, match="wordings=.*0 to 3"):
            load_short_answers(small, wordings=wordings)
    with pytest.raises(InputError, match="needs the topics"):
        load_short_answers(small, split="identify")
    with pytest.raises(InputError, match="no topic of BLEnD's .first 'q2'"):
        load_short_answers(small, split="identify", regions=["UK"], topics={"q1": "Food"})
    with pytest.raises(InputError, match="unknown split of BLEnD 'test'"):
        load_short_answers(small, split="test")
    written_to(small, "Peru", {"q1": entry("A?", (["a"], ["a"], 1))})
    with pytest.raises(InputError, match="language of 'Peru' is not known.*languages="):
        load_short_answers(small)
    found = load_short_answers(small, regions=["Peru"], languages={"Peru": "Spanish"})
    assert found[0].language == "Spanish"


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": [{"answers": ["a"], "en_answers": ["a"], "count": "two"}]},
        {"annotations": [{"answers": ["a"], "en_answers": ["a"], "count": 0}]},
        {"annotations": [{"answers": "tea", "en_answers": ["a"], "count": 1}]},
        {"annotations": [{"answers": ["a"], "count": 1}]},
        {"idks": {"idk": 0}},
        {"idks": None},
    ],
)
def test_a_file_of_another_layout(tmp_path, change):
    written_to(tmp_path, "US", {"q9": entry("A?", (["a"], ["a"], 1)) | change})
    with pytest.raises(InputError, match="US_data.json, question 'q9': not of the published"):
        load_short_answers(tmp_path)


def test_a_file_that_is_no_object(tmp_path):
    (tmp_path / "US_data.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="no object of questions"):
        load_short_answers(tmp_path)
    (tmp_path / "US_data.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON"):
        load_short_answers(tmp_path)


def test_a_question_without_a_human_answer():
    with pytest.raises(InputError, match="'1': has no human answer"):
        short(answers=(HumanAnswer((), 3), HumanAnswer(("tea",), 0)))


# ------------------------------------------------------------------ scores


def test_scores_by_hand():
    """Q1 4 votes tea, 1 milk; Q2 2 votes rice and cake each."""
    drink = (HumanAnswer(("tea",), 4), HumanAnswer(("milk",), 1))
    food = (HumanAnswer(("rice",), 2), HumanAnswer(("cake",), 2))
    questions = [
        short("a", answers=drink, group="drink"),
        short("b", "US", answers=drink, group="drink"),
        short("c", answers=food, group="food"),
        short("d", "US", answers=food, group="food", wording=1),
    ]
    written = {
        "a": "\n The milk.\nQuestion: what else do they drink?",
        "b": "They drink tea or milk",
        "c": "Cake",
        "d": "steak\ncake",
    }
    answers = ShortAnswers(score_answers(questions, written))
    frame = answers.frame
    assert frame["answer"].tolist() == ["The milk.", "They drink tea or milk", "Cake", "steak"]
    assert frame["written"].tolist() == list(written.values())
    assert frame["exact"].tolist() == [1, 0, 1, 0]
    assert frame["exact_weight"].tolist() == [0.25, 0.0, 1.0, 0.0]
    assert frame["contained"].tolist() == [1, 1, 1, 0]
    assert frame["contained_weight"].tolist() == [0.25, 1.0, 1.0, 0.0]
    groups = ["drink", "drink", "food", "food"]
    assert answers.accuracy() == mean_estimate([1, 0, 1, 0], groups)
    assert answers.accuracy(weighted=True) == mean_estimate([0.25, 0.0, 1.0, 0.0], groups)
    assert answers.accuracy("contained", weighted=True).value == 2.25 / 4
    by = answers.by(matching="contained", weighted=True)
    assert by["UK"].value == 1.25 / 2 and by["US"].value == 1 / 2
    assert answers.by("wording")["1"].value == 0


def test_scores_refuse_what_they_cannot_read():
    with pytest.raises(InputError, match="no output for question '1'"):
        score_answers([short()], {})
    answers = ShortAnswers(score_answers([short()], {"1": "milk"}))
    with pytest.raises(InputError, match="unknown matching 'exactly': did you mean 'exact'"):
        answers.accuracy("exactly")
    with pytest.raises(InputError, match="unknown column 'country'"):
        answers.by("country")


def test_the_first_line_that_holds_anything():
    assert first_line("") == "" == first_line(" \n\t\n")
    assert first_line("\r\n tea \r\nmilk") == "tea"


# ------------------------------------------------------------------ models


def test_the_frame_says_what_was_asked(small):
    model, questions = lens("llama", torch.float64), load_short_answers(small)
    found = evaluate_short_answers(model, questions, max_new_tokens=5, **QUIET)
    assert found.frame["id"].tolist() == [q.id for q in questions]
    for column in ("culture", "group", "category", "language", "wording"):
        assert found.frame[column].tolist() == [getattr(q, column) for q in questions]
    assert found.metadata["model"] == "tiny-llama" and found.metadata["ablated"] == 0
    assert found.metadata["max_new_tokens"] == 5
    assert set(found.by()) == {"UK", "Spain"}


def test_a_model_is_right_where_people_wrote_what_it_writes(small):
    """Its own first words, and those under ablation, taken for human answers."""
    model, (question,) = lens("llama", torch.float64), [short()]
    plain = evaluate_short_answers(model, [question], **QUIET).frame["answer"][0]
    after_ablation = evaluate_short_answers(model, [question], NEURONS, **QUIET).frame["answer"][0]
    assert (
        words_of(plain) != words_of(after_ablation) and words_of(plain) and words_of(after_ablation)
    )
    humans = (HumanAnswer((plain,), 3), HumanAnswer((after_ablation,), 1))
    asked = [short(answers=humans)]
    assert evaluate_short_answers(model, asked, **QUIET).accuracy(weighted=True).value == 1
    masked = evaluate_short_answers(model, asked, NEURONS, **QUIET)
    assert masked.accuracy().value == 1 and masked.accuracy(weighted=True).value == 1 / 3
    assert masked.metadata["ablated"] == 72


def test_batch_size_and_order_do_not_matter(small):
    model, questions = lens("qwen2", torch.float64), load_short_answers(small)
    expected = evaluate_short_answers(model, questions, NEURONS, **QUIET).frame
    for size in (1, 5):
        found = evaluate_short_answers(
            model, questions[::-1], NEURONS, batch_size=size, **QUIET
        ).frame
        pd.testing.assert_frame_equal(found[::-1].reset_index(drop=True), expected)


def test_the_prompt_holds_question_and_instruction_and_no_option(small, monkeypatch):
    seen = []

    def keep(model, prompts, *args, **options):
        seen.extend(prompts)
        return {prompt.question.id: "tea" for prompt in prompts}

    monkeypatch.setattr("culture_lens.evaluation.short_answers.answers.write_answers", keep)
    questions = load_short_answers(small, regions=["UK"], wordings=[1])
    assert evaluate_short_answers(lens("llama"), questions, **QUIET).accuracy().value == 0.5
    for prompt, question in zip(seen, questions, strict=True):
        assert f"{question.text} {WORDINGS[1]}" in prompt.text
        assert prompt.text.count("\n") == 4  # those of the chat template


def test_an_interrupted_run_goes_on_with_the_next_culture(small, tmp_path, monkeypatch):
    model, questions = lens("llama", torch.float64), load_short_answers(small)
    expected = evaluate_short_answers(model, questions, **QUIET).frame
    real_tokens, calls = generation.greedy_tokens, []

    def dies(model, batch, length):
        calls.append(batch.prompts[0].question.culture)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real_tokens(model, batch, length)

    monkeypatch.setattr(generation, "greedy_tokens", dies)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        evaluate_short_answers(model, questions, run=folder, **QUIET)
    found = evaluate_short_answers(model, questions, run=folder, **QUIET).frame
    pd.testing.assert_frame_equal(found, expected)
    assert calls == ["Spain", "UK", "UK"]
    evaluate_short_answers(model, questions, run=folder, **QUIET)
    assert len(calls) == 3


def test_parquet_is_readable_without_the_package(small, tmp_path):
    answers = evaluate_short_answers(lens("llama"), load_short_answers(small), **QUIET)
    frame = pd.read_parquet(answers.to_parquet(tmp_path / "deep" / "a.parquet"))
    pd.testing.assert_frame_equal(frame, answers.frame, check_dtype=False)
    again = ShortAnswers.from_parquet(tmp_path / "deep" / "a.parquet")
    assert again.accuracy() == answers.accuracy() and again.metadata["model"] == "tiny-llama"


def test_bad_input_of_the_evaluation(small, monkeypatch):
    model, questions = lens("llama"), load_short_answers(small)
    with pytest.raises(InputError, match="there are no questions"):
        evaluate_short_answers(model, [], **QUIET)
    with pytest.raises(InputError, match="occurs twice"):
        evaluate_short_answers(model, questions[:1] * 2, **QUIET)
    with pytest.raises(InputError, match="max_new_tokens must be at least 1"):
        evaluate_short_answers(model, questions, max_new_tokens=0, **QUIET)
    with pytest.raises(InputError, match="prompts do not fit the context of 512"):
        evaluate_short_answers(model, questions, max_new_tokens=500, **QUIET)
    with (
        pytest.warns(CultureLensWarning, match="left out"),
        pytest.raises(InputError, match="every question was too long"),
    ):
        evaluate_short_answers(model, questions, max_new_tokens=500, too_long="skip", **QUIET)


def test_a_missing_stemmer_is_named_before_the_model_runs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "snowballstemmer", None)
    monkeypatch.setattr(generation, "greedy_tokens", None)
    with pytest.raises(InputError, match="pip install snowballstemmer"):
        evaluate_short_answers(lens("llama"), [short()], stem=True, **QUIET)


# ------------------------------------------------------------------ published rows


def published(region):
    text = (FOLDER / "annotations" / f"{region}_data.json").read_text(encoding="utf-8")
    return json.loads(text)


def askable(item, key):
    idks, answers = item["idks"], item["annotations"]
    left_out = idks["no-answer"] + idks["not-applicable"] >= 3 or idks["idk"] >= 5
    return bool(item[key].strip()) and bool(answers) and not left_out


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
