"""CountryRC: the answer stands in the passage, and nothing else gives it away."""

import hashlib
import re
from collections import Counter
from dataclasses import astuple

import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.countryrc import COUNTRIES, POOL, WORDINGS, country_name
from culture_lens.errors import InputError
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.layout import fill_layout
from culture_lens.questions.question import control_twin
from culture_lens.storage.bundled import data_path
from tests.helpers.chance import chi_square_p
from tests.helpers.countryrc import (
    PUBLISHED,
    made_template,
    needs_published,
    questions_of_templates,
)
from tests.helpers.places import DATA
from tests.helpers.processes import run_python
from tests.helpers.tiny import ARCHITECTURES, tiny_tokenizer


@pytest.fixture(scope="module")
def questions():
    return load_benchmark("countryrc")


def name_of(label):
    """How labels are written, said once more."""
    return {"US": "USA", "South_Korea": "South Korea"}.get(label, label)


# The questions.


def test_counts(questions):
    assert len(questions) == len({q.id for q in questions}) == 1600
    assert Counter(q.culture for q in questions) == dict.fromkeys(COUNTRIES, 200)
    assert set(Counter(q.group for q in questions).values()) == {8 * 4}
    assert Counter(q.metadata["wording"] for q in questions) == dict.fromkeys((1, 2, 3, 4), 400)
    assert Counter(q.split for q in questions) == {"identify": 800, "evaluate": 800}
    assert Counter((q.split, q.category) for q in questions) == {
        ("identify", "decoy"): 320,
        ("identify", "plain"): 480,
        ("evaluate", "decoy"): 320,
        ("evaluate", "plain"): 480,
    }
    assert {q.benchmark for q in questions} == {"countryrc"}


def test_the_first_half_of_the_templates_identifies(questions):
    for question in questions:
        assert question.group == question.metadata["template"]
        first = int(question.group.removeprefix("rc-")) <= 25
        assert question.split == ("identify" if first else "evaluate")


def test_text_and_answer_are_those_of_the_template(questions, templates):
    rows = {t["id"]: t for t in templates}
    for question in questions:
        template, wording, label = question.id.split("/")
        assert (template, int(wording)) == (question.group, question.metadata["wording"])
        assert label == question.culture
        context = rows[template]["context"].replace("{country}", name_of(label))
        context = context.replace("{country_dummy}", question.metadata["decoy"])
        expected = f"Passage: {context}\nQuestion: {rows[template]['question']}"
        assert question.text == expected
        assert question.options[question.answer] == name_of(label)
        assert question.prompt == WORDINGS[int(wording) - 1]


def stands(name, text):
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def test_no_option_but_answer_and_decoy_stands_in_the_passage(questions):
    for question in questions:
        decoy = question.metadata["decoy"]
        gold = question.options[question.answer]
        assert len(question.options) == len(set(question.options)) == 4
        assert (question.category == "decoy") == bool(decoy)
        assert decoy != gold and (not decoy or decoy in question.options)
        shown = {option for option in question.options if stands(option, question.text)}
        assert shown == {gold, decoy} - {""}


def test_gold_position_is_balanced(questions):
    assert chi_square_p([400, 400, 400, 400]) == pytest.approx(1.0)
    assert chi_square_p([360, 380, 400, 460]) < 0.01  # the bound can fail
    for some in (questions, [q for q in questions if q.category == "decoy"]):
        positions = Counter(q.answer for q in some)
        assert chi_square_p([positions[i] for i in range(4)]) > 0.01, positions


def test_position_of_the_decoy_does_not_tell(questions):
    decoys = [q for q in questions if q.metadata["decoy"]]
    at = [q.options.index(q.metadata["decoy"]) for q in decoys]
    assert chi_square_p([Counter(at)[i] for i in range(4)]) > 0.01, Counter(at)
    before = sum(place < q.answer for place, q in zip(at, decoys, strict=True))
    # 640 items at one half each: sd 12.6, so three sd.
    assert abs(before - 320) < 38


def test_every_name_is_a_wrong_option_about_equally_often(questions):
    wrong = Counter(o for q in questions for o in q.options if o != q.options[q.answer])
    decoys = Counter(q.metadata["decoy"] for q in questions if q.metadata["decoy"])
    own = {name_of(label) for label in COUNTRIES}
    assert set(wrong) == set(decoys) == {country_name(label) for label in POOL}
    for name in wrong:
        # One in five of the questions of which it is not the answer: sd 16 at most, so four sd.
        assert abs(wrong[name] - (280 if name in own else 320)) < 64, (name, wrong[name])
        # One in fifteen of 640 or 560 questions: sd 6.3 at most.
        assert abs(decoys[name] - (560 if name in own else 640) / 15) < 26, (name, decoys[name])


@pytest.mark.slow
def test_same_in_a_fresh_process_with_another_hash_seed(questions):
    code = (
        "import hashlib; from dataclasses import astuple;"
        "from culture_lens.benchmarks import load_benchmark as l;"
        "print(hashlib.sha256(repr([*map(astuple, l('countryrc'))]).encode()).hexdigest())"
    )
    there = run_python(code, PYTHONHASHSEED="1").strip()
    assert there == hashlib.sha256(repr([*map(astuple, questions)]).encode()).hexdigest()


@pytest.mark.slow
def test_file_and_folder_give_the_bundled_questions(questions):
    path = data_path("countryrc", "data.json")
    assert load_benchmark("countryrc", path) == questions
    assert load_benchmark("countryrc", path.parent) == questions


@pytest.mark.slow
def test_filters_and_splits(questions):
    for split in ("identify", "evaluate"):
        wanted = [q for q in questions if q.split == split]
        assert load_benchmark("countryrc", split=split) == wanted
    some = load_benchmark("countryrc", cultures=["US", "Iran"], categories="decoy")
    assert some == [q for q in questions if q.culture in ("US", "Iran") and q.category == "decoy"]
    assert len(some) == 160
    five = load_benchmark("countryrc", limit=5)
    assert Counter(q.culture for q in five) == dict.fromkeys(COUNTRIES, 5)
    with pytest.raises(InputError, match=r"culture 'USA'.*'US'"):
        load_benchmark("countryrc", cultures=["USA"])


# Names.


def test_names_in_passages():
    assert country_name("South_Korea") == country_name("South Korea") == "South Korea"
    assert [country_name(label) for label in ("US", "UK", "Northern_Nigeria", "West_Java")] == [
        "USA",
        "UK",
        "Nigeria",
        "West Java",
    ]


def test_eight_of_the_sixteen_labels():
    assert len(COUNTRIES) == 8 and len(POOL) == len(set(POOL)) == 16
    assert set(COUNTRIES) < set(POOL)


@needs_published
def test_labels_are_those_of_blend():
    files = (DATA / "blend" / "annotations").glob("*_data.json")
    assert set(POOL) == {file.name.removesuffix("_data.json") for file in files}


def test_a_mapping_names_the_country_in_passage_and_options():
    names = {"US": "United States", "Cymru": "Wales"}
    questions = load_benchmark("countryrc", countries=names)
    assert {q.culture for q in questions} == {"US", "Cymru"}
    for question in questions:
        assert question.options[question.answer] == names[question.culture]
        assert stands(names[question.culture], question.text)
    options = {option for q in questions for option in q.options}
    # Under the given name only: USA would be a second right answer.
    others = {country_name(label) for label in POOL if label != "US"}
    assert options == others | {"United States", "Wales"}


@pytest.mark.slow
def test_other_countries_extend_the_pool_and_leave_the_rest(questions):
    more = load_benchmark("countryrc", countries=[*COUNTRIES, "West_Java"])
    assert [q for q in more if q.culture != "West_Java"] == questions
    japan = load_benchmark("countryrc", countries=["Japan", "Italy"])
    wrong = {option for q in japan for option in q.options if option != q.culture}
    assert wrong == {"Japan", "Italy"} | {country_name(label) for label in POOL}


def test_a_pool_of_labels_or_names():
    pool = ["US", "USA", "South_Korea", "South Korea", "Peru", "Chad"]
    questions = load_benchmark("countryrc", countries=["US", "Peru"], pool=pool)
    for question in questions:
        assert set(question.options) == {"USA", "South Korea", "Peru", "Chad"}
    with pytest.raises(InputError, match=r"pool has 3 different names \(USA, Peru, Chad\).*4"):
        load_benchmark("countryrc", pool=["US", "USA", "Peru", "Chad"])
    with pytest.raises(InputError, match="pool holds an empty name"):
        load_benchmark("countryrc", pool=["US", "", "Peru", "Chad"])


# The prompts.


def test_two_wordings_have_letters_and_two_have_digits(questions):
    assert [form.labels[:4] for form in WORDINGS] == ["ABCD", "1234", "ABCD", "1234"]
    assert len({form.instruction for form in WORDINGS}) == 4
    assert len({form.layout for form in WORDINGS}) == 4
    for question in questions[:400]:
        message = fill_layout(question, "choices")[0]
        shown = "\n".join(
            f"{label}. {option}"
            for label, option in zip(question.labels, question.options, strict=True)
        )
        assert message.count(question.text) == message.count(shown) == 1
        assert message.count(question.prompt.instruction) == 1
        digits = question.metadata["wording"] in (2, 4)
        assert question.labels == ("1234" if digits else "ABCD")
        word = "number" if digits else "letter"
        assert re.findall("number|letter", question.prompt.instruction) == [word]


def test_nothing_of_the_passage_is_left_in_a_control_twin(questions):
    for wording in range(4):
        twin = control_twin(questions[50 * wording])
        assert twin.metadata["wording"] == wording + 1
        message = fill_layout(twin, "choices")[0]
        assert "Passage:" not in message and "Question:" not in message
        for option in twin.options:
            assert message.count(option) == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_are_single_tokens_in_every_wording(questions, architecture):
    tokenizer = tiny_tokenizer(architecture)
    for question in questions[::50][:4]:
        prompt = build_prompt(question, tokenizer)
        assert prompt.text.endswith('{"answer_choice":"')
        ids = label_ids(prompt, tokenizer)
        assert [tokenizer.decode([i]) for i in ids] == list(question.labels)
    assert {q.metadata["wording"] for q in questions[::50][:4]} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "identfy"}, ["split of CountryRC 'identfy'", "'identify'"]),
        ({"countries": []}, ["countries is empty"]),
        ({"countries": {}}, ["countries is empty"]),
        ({"countries": ["Iran", "Iran"]}, ["'Iran' and 'Iran'", "written 'Iran'"]),
        ({"countries": ["US", "USA"]}, ["'US' and 'USA'", "written 'USA'"]),
        ({"countries": {"a": "Peru", "b": "Peru "}}, ["'a' and 'b'", "written 'Peru'"]),
        ({"countries": ["Iran", "_"]}, ["'_' has no name"]),
        ({"countries": {"Iran": " "}}, ["'Iran' has no name"]),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(InputError) as caught:
        questions_of_templates(made_template(), **options)
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_option_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="option of benchmark 'countryrc'.*'splits'.*'split'"):
        load_benchmark("countryrc", splits="identify")
    with pytest.raises(InputError, match=r"needs exactly one file data\.\(csv.*found none"):
        load_benchmark("countryrc", tmp_path)


# The published file.


@pytest.mark.slow
@needs_published
def test_the_published_file_is_read_the_same_way(questions, published_templates):
    theirs = load_benchmark("countryrc", PUBLISHED)
    assert theirs == load_benchmark("countryrc", PUBLISHED.parent)
    assert len(theirs) == 1600 and {q.group for q in theirs} == {str(n) for n in range(50)}
    decoys = {q.group for q in theirs if q.category == "decoy"}
    assert decoys == {t["id"] for t in published_templates if "{country_dummy}" in t["context"]}
    assert len(decoys) == 20
    assert Counter(q.split for q in theirs) == {"identify": 800, "evaluate": 800}
    for question in theirs:
        assert "{" not in question.text
        assert stands(question.options[question.answer], question.text)
