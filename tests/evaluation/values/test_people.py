"""Answers of people, counted by country, in both layouts."""

import pandas as pd
import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.values.people import read_human_values
from tests.helpers.values import ASKED, HUMANS, people


def test_both_layouts_are_counted_alike(tmp_path):
    wide = people()
    assert read_human_values(wide, ASKED).votes == HUMANS.votes
    long = wide.melt(
        id_vars=["D_INTERVIEW", "B_COUNTRY"], var_name="question", value_name="answer"
    ).rename(columns={"B_COUNTRY": "culture"})
    assert read_human_values(long, ASKED).votes == HUMANS.votes
    counted = long.groupby(["question", "culture", "answer"]).size().rename("count").reset_index()
    assert (counted["count"] > 1).any()
    assert read_human_values(counted, ASKED).votes == HUMANS.votes
    wide.to_csv(tmp_path / "answers.tsv", sep="\t", index=False)
    assert read_human_values(tmp_path / "answers.tsv", ASKED).votes == HUMANS.votes
    numbers = wide.assign(Q1=[1.0, 1.0, 2.0, 4.0, 4.0])
    assert read_human_values(numbers, ASKED).votes == HUMANS.votes


def test_countries_from_a_table_of_their_own():
    wide = people()
    answers = wide.drop(columns="B_COUNTRY")[::-1]
    listed = wide[["B_COUNTRY", "D_INTERVIEW"]]
    assert read_human_values(answers, ASKED, people=listed).votes == HUMANS.votes
    named = listed.rename(columns={"B_COUNTRY": "land"})
    assert read_human_values(answers, ASKED, people=named, country="land").votes == HUMANS.votes
    with pytest.raises(InputError, match="2 people with answers are not listed, such as '5'"):
        read_human_values(answers, ASKED, people=listed[:3])
    with pytest.raises(InputError, match="D_INTERVIEW '1' occurs twice"):
        read_human_values(answers, ASKED, people=pd.concat([listed, listed[:1]]))
    with pytest.raises(InputError, match="column 'B_COUNTRY' is missing"):
        read_human_values(answers, ASKED, people=answers)
    with pytest.raises(InputError, match="needs the columns question, culture and answer"):
        read_human_values(answers, ASKED)


def test_what_is_no_answer_is_counted_and_said():
    table = people(Q1=["-1", "1", "", "-1", "4"], Q122=["-4", "2", "2", None, "1"])
    with pytest.warns(CultureLensWarning, match="5 cells.*2 code -1, 1 code -4, 2 empty"):
        found = read_human_values(table, ASKED)
    assert found.left_out == {"code -1": 2, "code -4": 1, "empty": 2}
    assert found.votes["Peru"]["Q1"] == (1, 0, 0, 0) and found.votes["Peru"]["Q122"] == (0, 0, 2)
    assert found.votes["Japan"]["Q122"] == (0, 1, 0)
    counts = pd.DataFrame(
        {"question": ["Q1", "Q1"], "culture": "Peru", "answer": ["-2", "3"], "count": ["7", "2"]}
    )
    with pytest.warns(CultureLensWarning, match="7 cells.*7 code -2"):
        assert read_human_values(counts, ASKED).votes == {"Peru": {"Q1": (0, 0, 2, 0)}}


def test_rows_without_a_country_are_said():
    table = people(B_COUNTRY=["Peru", "", "Peru", None, "Japan"])
    with pytest.warns(CultureLensWarning, match="2 of 5 rows have no B_COUNTRY") as said:
        found = read_human_values(table, ASKED)
    assert len(said) == 1 and found.votes["Peru"]["Q1"] == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("Q1", ["1", "5", "2", "4", "4"], r"'Q1' \(Peru\): 1 answers beyond its scale of 1 to 4"),
        ("Q1", ["1", "1", "0", "4", "4"], "beyond its scale of 1 to 4, such as 0"),
        ("Q122", ["0", "2", "2", "1", "3"], r"\(Japan\): 1 answers beyond its scale of 0 to 2"),
        ("Q1", ["1", "2.5", "2", "4", "4"], "'2.5' is no whole number"),
        ("Q1", ["1", "often", "2", "4", "4"], "question 'Q1': 'often' is no whole number"),
        ("Q1", ["1", "inf", "2", "4", "4"], "'inf' is no whole number"),
        ("Q999", ["1", "1", "1", "1", "1"], "unknown value question 'Q999'"),
        ("Q1", [["1"], "1", "2", "4", "4"], "is no whole number"),
    ],
)
def test_answers_that_cannot_be_used(column, cells, message):
    with pytest.raises(InputError, match=message):
        read_human_values(people(**{column: cells}), ASKED)


def test_other_questions_of_the_survey_are_passed_over():
    table = people(Q2=["9", "9", "9", "9", "9"], weight=["x"] * 5)
    assert read_human_values(table, ASKED, known={"Q2"}).votes == HUMANS.votes
    long = pd.DataFrame({"question": ["Q2", "Q1"], "culture": "Peru", "answer": ["9", "1"]})
    assert read_human_values(long, ASKED, known={"Q2"}).votes == {"Peru": {"Q1": (1, 0, 0, 0)}}
    with pytest.raises(InputError, match="unknown value question 'Q2'"):
        read_human_values(long, ASKED)


def test_tables_without_an_answer():
    with pytest.raises(InputError, match="the table of rows is empty"):
        read_human_values([], ASKED)
    with (
        pytest.warns(CultureLensWarning),
        pytest.raises(InputError, match="no answer to any of the 3"),
    ):
        read_human_values(people(Q1=[""] * 5, Q122=[""] * 5, Q48=["-5"] * 5), ASKED)
    bad = pd.DataFrame({"question": ["Q1"], "culture": "Peru", "answer": ["1"], "count": ["-1"]})
    with pytest.raises(InputError, match="counts must be 0 or more"):
        read_human_values(bad, ASKED)


def test_of_a_tie_the_point_seen_first_is_the_majoritys():
    """Peru: 2 and 1 twice each, 2 first; Japan's lone 4 comes first and loses. In both layouts."""
    rows = [("Peru", 2), ("Peru", 1), ("Japan", 4), ("Japan", 3), ("Peru", 1), ("Peru", 2)]
    rows += [("Japan", 3), ("Peru", 3)]
    long = pd.DataFrame(rows, columns=["culture", "answer"]).assign(question="Q1")
    wide = pd.DataFrame({"B_COUNTRY": [c for c, _ in rows], "Q1": [a for _, a in rows]})
    for table in (long, wide):
        found = read_human_values(table, ASKED)
        assert found.seen == {"Peru": {"Q1": (1, 0, 2)}, "Japan": {"Q1": (3, 2)}}
        assert found.majority("Peru", "Q1") == 1 and found.is_tied("Peru", "Q1")
        assert found.majority("Japan", "Q1") == 2 and not found.is_tied("Japan", "Q1")
    other = read_human_values(long[::-1], ASKED)
    assert other.votes == found.votes and other.majority("Peru", "Q1") == 1
    swapped = read_human_values(long.iloc[[1, 0, 4, 5]], ASKED)
    assert swapped.majority("Peru", "Q1") == 0
    counted = long.iloc[[0, 1]].assign(count=[0, 0])
    counted = pd.concat([counted, long.iloc[[1, 0]].assign(count=[5, 5])])
    assert read_human_values(counted, ASKED).majority("Peru", "Q1") == 0  # a count of 0 is not seen
