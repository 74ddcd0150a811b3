"""CVQA: the benchmark's own options, rows that cannot be used, ids and groups."""

from collections import Counter

import numpy as np
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.cvqa import pair
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.splits import split_questions
from tests.helpers.cvqa import SUBSETS, as_jsonl, made, questions_of

pytestmark = pytest.mark.usefixtures("cache_apart")

# The benchmark's own options.


def test_native_language(rows):
    questions = questions_of(*rows, language="native")
    assert [(q.text, q.options) for q in questions] == [
        (row["Question"], tuple(row["Options"])) for row in rows
    ]
    # The same questions: ids and groups do not depend on the language.
    english = questions_of(*rows)
    assert [(q.id, q.group) for q in questions] == [(q.id, q.group) for q in english]


def test_native_needs_native_columns_only(rows):
    lacking = ("Translated Question", "Translated Options", "License", "Category")
    bare = [{k: v for k, v in row.items() if k not in lacking} for row in rows]
    assert len(questions_of(*bare, language="native")) == len(rows)
    with pytest.raises(InputError, match="'Translated Question', 'Translated Options' is missing"):
        questions_of(*bare)


def test_groupings(rows):
    by_country = Counter(q.culture for q in questions_of(*rows))
    assert by_country == {"Mexico": 6, "Chile": 6, "India": 12, "South_Korea": 6, "Indonesia": 6}
    both = Counter(q.culture for q in questions_of(*rows, grouping="language_country"))
    assert both == {
        "Mexico (Spanish)": 6,
        "Chile (Spanish)": 6,
        "India (Tamil)": 6,
        "India (Hindi)": 6,
        "South_Korea (Korean)": 6,
        "Indonesia (Minangkabau)": 6,
    }


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ("('Kinyarwanda', 'Rwanda')", ("Kinyarwanda", "Rwanda")),
        ("('Chinese', 'Singapore')", ("Chinese", "Singapore")),
        ("('Breton', 'France')", ("Breton", "France")),
        ("('Korean', 'South_Korea')", ("Korean", "South_Korea")),
        ('("N\'Ko", "Côte d\'Ivoire")', ("N'Ko", "Côte d'Ivoire")),
        ("('Korean', 'Korea, Republic of')", ("Korean", "Korea, Republic of")),
        (" ( 'Irish' ,'Ireland' ) ", ("Irish", "Ireland")),
        ('["Irish", "Ireland"]', ("Irish", "Ireland")),
        (("Irish", "Ireland"), ("Irish", "Ireland")),
        (np.array(["Irish", "Ireland"]), ("Irish", "Ireland")),
    ],
)
def test_subsets(subset, expected):
    assert pair(subset, "row 1") == expected


@pytest.mark.parametrize(
    "subset",
    ["Mexico", "('Mexico',)", "('a', 'b', 'c')", "('a', '')", "", None, 3, "__import__('os')", "("],
)
def test_a_subset_that_is_no_pair_is_named(subset):
    with pytest.raises(InputError, match="CVQA row '59199911442724.*Subset is.*as published"):
        questions_of(made(0), made(1, subset=subset))


def test_min_items_leaves_out_cultures_and_says_which(rows):
    few = [*rows, made(0, "('Irish', 'Ireland')", 90), made(1, "('Breton', 'France')", 91)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*few, min_items=2)
    assert [q.id for q in questions] == [row["ID"] for row in rows]
    assert [str(w.message) for w in caught] == [
        "cvqa: left out 2 of 7 cultures, 2 of 38 questions, for having fewer than min_items=2: "
        "France (1), Ireland (1)."
    ]
    assert len(questions_of(*few)) == len(few)


def test_min_items_counts_what_can_be_used():
    rows = [made(0), made(1, Label=9), made(2, SUBSETS[2]), made(3, SUBSETS[2])]
    with pytest.warns(CultureLensWarning, match=r"fewer than min_items=2: Mexico \(1\)"):
        assert [q.culture for q in questions_of(*rows, min_items=2)] == ["India", "India"]


def test_the_filters_of_every_benchmark(rows, tmp_path):
    path = as_jsonl(rows, tmp_path)
    found = load_benchmark("cvqa", path, cultures=["India", "Chile"], limit=4)
    assert Counter(q.culture for q in found) == {"India": 4, "Chile": 4}
    sport = load_benchmark("cvqa", path, categories="Sports and recreation", language="native")
    assert len(sport) == len(rows) // 2 and sport[0].text.startswith("¿")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"language": "nativ"}, ["language of CVQA 'nativ'", "'native'", "english"]),
        ({"grouping": "language"}, ["grouping of CVQA 'language'", "language_country"]),
        ({"min_items": 0}, ["min_items=0", "at least 1"]),
    ],
)
def test_bad_options(options, words, rows):
    with pytest.raises(InputError) as caught:
        questions_of(*rows, **options)
    for word in words:
        assert word in str(caught.value)


# What cannot be used.

UNUSABLE = {
    "without an image": [{"image": None}, {"image": {"bytes": None, "path": None}}],
    "whose options are empty or collide": [
        {"Translated Options": ["a", "b ", " b", "c"]},
        {"Translated Options": ["a", "b", "", "c"]},
        {"Translated Options": ["a"]},
    ],
    "whose label is out of range": [{"Label": 4}, {"Label": -2}, {"Label": None}, {"Label": "B"}],
    "whose answer is withheld (label -1)": [{"Label": -1}],
    "without a question": [{"Translated Question": "  "}, {"Translated Question": None}],
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_rows_that_cannot_be_used_are_counted_by_reason(reason):
    changes = UNUSABLE[reason]
    bad = [made(10 + n, **change) for n, change in enumerate(changes)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(made(0), *bad, made(1))
    assert [q.text for q in questions] == ["What is 0? ", "What is 1? "]
    assert [str(w.message) for w in caught] == [
        f"cvqa: dropped {len(bad)} of {len(bad) + 2} rows: {len(bad)} {reason}."
    ]


def test_a_release_without_answers_is_refused(rows):
    with pytest.raises(InputError, match="every label is -1.*withholds.*later one"):
        questions_of(*({**row, "Label": -1} for row in rows))


def test_labels_may_be_text_or_floats():
    labels = [2, "2", 2.0, "2.0", " 2 ", np.int64(2)]
    questions = questions_of(*(made(n, Label=label) for n, label in enumerate(labels)))
    assert {q.answer for q in questions} == {2}


def test_options_that_are_no_list_are_named():
    bad = made(1, **{"Translated Options": "house, dog"})
    with pytest.raises(InputError, match="CVQA row '.*Translated Options does not hold a list"):
        questions_of(made(0), bad)


def test_ids_that_occur_twice_are_numbered_and_said():
    rows = [made(0), made(1), made(0, picture=0), made(0), made(1)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*rows)
    name = rows[0]["ID"]
    assert [q.id for q in questions] == [
        name, rows[1]["ID"], f"{name}/2", f"{name}/3", f"{rows[1]['ID']}/2"
    ]  # fmt: skip
    assert [str(w.message) for w in caught] == [
        "cvqa: 3 of 5 rows have an id that occurred before; they are kept and numbered, the first "
        f"as '{name}/2'."
    ]


def test_numbers_do_not_depend_on_what_is_dropped():
    first = made(0, **{"Options": ["a", "a"]})
    with pytest.warns(CultureLensWarning):
        english, native = (questions_of(first, made(0), language=x) for x in ("english", "native"))
    assert english[1].id == native[0].id


# Groups.


def test_ids_without_a_number_are_their_own_picture():
    rows = [
        made(0, ID="one", picture=1),
        made(1, ID="two_b", picture=2),
        made(2, ID="_3", picture=3),
    ]
    assert [q.group for q in questions_of(*rows)] == ["one", "two_b", "_3"]


def test_no_picture_identifies_and_evaluates(rows):
    identify, evaluate = split_questions(questions_of(*rows))
    assert identify and evaluate
    assert not {q.image.key for q in identify} & {q.image.key for q in evaluate}
