"""The localization gap: by hand, on a tiny model against evaluate, and what is refused."""

from dataclasses import replace

import pytest

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.experiments.localization import LocalizationGap, localization_gap
from culture_lens.questions.country_named import with_country_named, without_country_named
from culture_lens.statistics.estimates import CHANGES, mean_estimate
from tests.helpers import lm
from tests.helpers.localization import gap_by_hand
from tests.helpers.marks import QUIET, quiet
from tests.helpers.questions import toy_questions


def test_a_case_on_paper():
    result = gap_by_hand()
    gap = result.gap()
    assert {name: one.value for name, one in gap.items()} == pytest.approx(
        {"Japan": 0.6, "US": 0.0, "all": 0.3}
    )
    assert gap["Japan"] == mean_estimate([1, 1, 1, 0, 0], list("abcde"), bounds=CHANGES)
    changes = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert gap["all"] == mean_estimate(changes, list("abcdeabcde"), bounds=CHANGES)
    table = result.table()
    assert table.loc["Japan", ["items", "named", "unnamed", "gap"]].tolist() == pytest.approx(
        [5, 0.8, 0.2, 0.6]
    )
    assert result.gap("p_gold")["US"].value == pytest.approx(3 / 5 * 0.25 + 0.02)


@quiet
def test_both_versions_are_those_of_evaluate(tmp_path):
    model = lm.lens("llama")
    asked = [q if n % 2 else replace(q, text="What do people like most?")
             for n, q in enumerate(toy_questions())]  # fmt: skip
    found = localization_gap(model, asked, scoring="letter", run=tmp_path / "run", **QUIET)
    assert found.frame["in_text"].tolist() == [bool(n % 2) for n in range(len(asked))]
    for version, some in (
        ("named", with_country_named(asked)),
        ("unnamed", without_country_named(asked)),
    ):
        alone = cl.evaluate(model, some, scoring="letter", **QUIET).frame
        assert found.frame["id"].tolist() == alone["id"].tolist()
        for column in ("prediction", "correct", "p_gold"):
            assert found.frame[f"{version}_{column}"].tolist() == alone[column].tolist()
    again = LocalizationGap.from_parquet(found.to_parquet(tmp_path / "gap.parquet"))
    assert again.table().equals(found.table()) and again.metadata["named_in_text"] == 8


def test_pairs_of_which_one_is_too_long_are_left_out_with_a_warning():
    model, asked = lm.lens("llama"), toy_questions()[:4]
    asked[0] = replace(asked[0], text="tea " * 490)
    with pytest.warns(cl.CultureLensWarning, match="1 of 4 questions are left out"):
        found = localization_gap(model, asked, lead="{country} " * 200, too_long="skip", **QUIET)
    assert len(found.frame) == 3


def test_what_has_no_meaning_is_refused(idle):
    asked = toy_questions()
    for options, told in (
        ({"lead": "Here: "}, "put {country}"),
        ({"stand_in": "Japan"}, "names 'Japan'"),
        ({"scoring": "letters"}, "letters"),
        ({"batch": 3}, "batch"),
    ):
        with pytest.raises(InputError, match=told):
            localization_gap(idle, asked, **options)
    named = replace(asked[0], text=f"{asked[0].text} In {asked[0].culture}.")
    with pytest.raises(InputError, match="do not fit the context"):  # of the second version
        localization_gap(idle, [named], stand_in="some place " * 500)
    with pytest.raises(InputError, match="measure"):
        gap_by_hand().gap("flips")
    with pytest.raises(InputError, match="unnamed_correct|named_correct"):
        LocalizationGap(gap_by_hand().frame.drop(columns=["named_correct"]))
