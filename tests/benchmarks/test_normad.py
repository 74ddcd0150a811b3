"""NormAd: the published rows against counts made here with csv alone, and rows made here."""

import csv
from collections import Counter

import datasets
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.normad import WORDINGS, country_name, normad_questions
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import CultureLensWarning, InputError
from tests.helpers.marks import needs_data
from tests.helpers.places import DATA
from tests.helpers.rows import csv_rows

FOLDER = DATA / "normad"
real = needs_data("normad")


@pytest.fixture(scope="module")
def published():
    return csv_rows(FOLDER, "normad*.csv")


# The published rows.


@pytest.mark.slow
@real
@pytest.mark.parametrize("condition", ["none", "rule", "country"])
def test_rows_labels_and_cultures(published, condition, recwarn):
    questions = load_benchmark("normad", FOLDER, condition=condition)
    assert not [w for w in recwarn if w.category is CultureLensWarning]  # no row is lost
    assert len(questions) == len(published) == 2633
    assert len({q.culture for q in questions}) == 75
    golds = Counter(q.options[q.answer] for q in questions)
    assert golds == {"yes": 943, "no": 875, "neutral": 815}
    for question, row in zip(questions, published, strict=True):
        assert question.id == row["row"]
        assert question.options[question.answer] == row["Gold Label"] == question.metadata["label"]
        assert question.culture.lower().replace(" ", "_") == row["Country"]
        assert question.text.endswith(f"Story: {row['Story'].strip()}")
        assert (row["Rule-of-Thumb"].strip() in question.text) == (condition == "rule")
        assert question.text.startswith(f"Country: {question.culture}\n") == (
            condition == "country"
        )
    # One third each of 2633: sd 24, so three sd.
    assert all(abs(n - 2633 / 3) < 73 for n in Counter(q.answer for q in questions).values())


@real
def test_names_of_countries(published):
    names = {country_name(row["Country"]) for row in published}
    assert len(names) == 75 and not any("_" in name or name.islower() for name in names)
    assert {
        *("United States of America", "Bosnia and Herzegovina", "Papua New Guinea"),
        *("Timor-Leste", "Türkiye", "Hong Kong", "Egypt", "Palestinian Territories"),
    } <= names


@pytest.mark.slow
@real
def test_rows_on_one_story_or_rule_are_one_group(published):
    questions = load_benchmark("normad", FOLDER)
    for column in ("Story", "Rule-of-Thumb"):
        group = {}
        for question, row in zip(questions, published, strict=True):
            assert group.setdefault(row[column].strip(), question.group) == question.group
    assert Counter(Counter(q.group for q in questions).values()) == {1: 2511, 2: 47, 3: 4, 4: 4}


@real
def test_the_local_copy_lacks_the_values():
    with pytest.raises(InputError) as caught:
        load_benchmark("normad", FOLDER, condition="value")
    for word in ("'value'", "column 'Value'", "missing", "akhilayerukola/NormAd", "none, rule, c"):
        assert word in str(caught.value)


# Rows made here.


def made(number, country="egypt", label="yes", **other):
    return {
        "ID": str(number),
        "Country": country,
        "Background": "Notes.",
        "Axis": "Etiquette",
        "Subaxis": "visiting",
        "Value": f"Respect, {number}.",
        "Rule-of-Thumb": f"Greet everybody, {number}.",
        "Story": f"Ann greeted {number} people. Was that acceptable?",
        "Explanation": "She did.",
        "Gold Label": label,
        **other,
    }


def questions_of(*rows, **options):
    return normad_questions(as_frame(list(rows)), **options)


TEXTS = {
    "none": "Story: Ann greeted 1 people. Was that acceptable?",
    "rule": "Rule of thumb: Greet everybody, 1.\n",
    "country": "Country: Saudi Arabia\n",
    "value": "Country: Saudi Arabia\nValue held there: Respect, 1.\n",
}


@pytest.mark.parametrize("condition", TEXTS)
def test_what_each_condition_shows(condition):
    (question,) = questions_of(made(1, "saudi_arabia", " Neutral "), condition=condition)
    shown = TEXTS[condition] + (TEXTS["none"] if condition != "none" else "")
    assert question.text == shown
    assert question.options[question.answer] == question.metadata["label"] == "neutral"
    assert (question.id, question.culture, question.category) == ("1", "Saudi Arabia", "visiting")
    assert question.metadata["condition"] == condition
    assert question.prompt is WORDINGS[0]


def test_ids_options_and_groups_are_the_same_under_every_condition():
    rows = [made(n, label="no") for n in range(9)]
    first, *others = (questions_of(*rows, condition=condition) for condition in TEXTS)
    for questions in others:
        for a, b in zip(first, questions, strict=True):
            assert (a.id, a.options, a.answer, a.group) == (b.id, b.options, b.answer, b.group)


def test_the_order_of_options_does_not_depend_on_the_rows():
    rows = [made(n) for n in range(30)]
    order = {q.id: (q.options, q.answer) for q in questions_of(*rows)}
    assert {q.id: (q.options, q.answer) for q in questions_of(*rows[::-1])} == order
    assert {q.id: (q.options, q.answer) for q in questions_of(rows[7])}.items() <= order.items()
    assert len({options for options, _ in order.values()}) == 6


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("united_states_of_america", "United States of America"),
        ("isle_of_the_blest", "Isle of the Blest"),
        ("South Korea", "South Korea"),
        ("UK", "UK"),
        (" hong_kong ", "Hong Kong"),
        ("côte_d'ivoire", "Côte D'Ivoire"),
    ],
)
def test_country_names(cell, name):
    assert country_name(cell) == name


QUIRKS = {
    "label": ({"Gold Label": "maybe"}, "none", "1 whose gold answer is out of range"),
    "no label": ({"Gold Label": None}, "none", "1 whose 'Gold Label' is empty"),
    "no story": ({"Story": "  "}, "none", "1 whose 'Story' is empty"),
    "no country": ({"Country": ""}, "none", "1 whose 'Country' is empty"),
    "no rule": ({"Rule-of-Thumb": ""}, "rule", "1 whose 'Rule-of-Thumb' is empty"),
    "no value": ({"Value": None}, "value", "1 whose 'Value' is empty"),
    "repeat": ({"Story": made(0)["Story"]}, "none", "1 repeating an earlier one"),
}


@pytest.mark.parametrize("case", QUIRKS)
def test_quirks_are_dropped_and_said(case):
    change, condition, words = QUIRKS[case]
    rows = [made(0), {**made(1), **change}, made(2)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*rows, condition=condition)
    assert [q.id for q in questions] == ["0", "2"]
    assert [str(w.message) for w in caught] == [f"normad: dropped 1 of 3 rows: {words}."]
    if condition != "none":  # a cell that is not shown is not missed
        assert len(questions_of(*rows)) == 3


def test_a_story_with_two_answers_is_dropped_unless_the_rule_tells_them_apart():
    rows = [made(0), made(1, label="neutral", Story=made(0)["Story"])]
    with pytest.warns(CultureLensWarning, match="2 asking the same as another with a different"):
        assert not questions_of(*rows)
    assert [q.metadata["label"] for q in questions_of(*rows, condition="rule")] == [
        "yes",
        "neutral",
    ]


def test_rows_without_ids_are_numbered():
    rows = [{k: v for k, v in made(n).items() if k != "ID"} for n in range(3)]
    assert [q.id for q in questions_of(*rows)] == ["1", "2", "3"]
    local = [{**row, "row": str(10 + n)} for n, row in enumerate(rows)]
    assert [q.id for q in questions_of(*local)] == ["10", "11", "12"]
    with pytest.warns(CultureLensWarning, match=r"1 of 2 questions have an id.*'5/2'"):
        questions = questions_of(made(5), made(5, Story="Another?"))
    assert [q.id for q in questions] == ["5", "5/2"]


def test_groups():
    same_rule = made(1, Story="Other?", **{"Rule-of-Thumb": made(0)["Rule-of-Thumb"]})
    rows = [made(0), same_rule, made(2, "fiji", Story="Other?"), made(3)]
    assert [q.group for q in questions_of(*rows)] == ["0", "0", "0", "3"]


def test_hub_and_local_copy_give_the_same(tmp_path, monkeypatch):
    rows = [made(n, country) for n, country in enumerate(("egypt", "fiji", "egypt"))]
    asked = []

    def load_dataset(hub, config, *, split):
        asked.append((hub, config, split))
        return datasets.Dataset.from_list([{**row, "ID": int(row["ID"])} for row in rows])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    expected = load_benchmark("normad", condition="value")
    assert asked == [("akhilayerukola/NormAd", None, "train")]
    path = tmp_path / "normad_etiquette.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    for copy in (path, tmp_path):
        assert load_benchmark("normad", copy, condition="value") == expected
    assert len(expected) == 3 and expected[0].text.startswith("Country: Egypt\nValue held there")


def test_bad_input_is_named(tmp_path):
    with pytest.raises(InputError, match="unknown condition of NormAd 'rules'.*'rule'"):
        questions_of(made(0), condition="rules")
    with pytest.raises(InputError, match="column 'Story' is missing"):
        questions_of({"Country": "fiji", "Gold Label": "yes"})
    bare = {k: made(0)[k] for k in ("Country", "Story", "Gold Label")}
    assert len(questions_of(bare, condition="country")) == 1
    with pytest.raises(InputError, match="'Rule-of-Thumb', which is missing.*none, country"):
        questions_of(bare, condition="rule")
    with pytest.raises(InputError, match=r"normad\*.*found none"):
        load_benchmark("normad", tmp_path)
