"""Whatever users hold says what it is: a short repr, a table in a notebook, and pandas."""

import warnings
from xml.etree import ElementTree

import pandas as pd
import pytest

import culture_lens as cl
from culture_lens.storage.display import MOST_LINES, Shown
from tests.helpers.comparison import compared_by_hand
from tests.helpers.forgetting import study_by_hand
from tests.helpers.held import (
    BUILDERS,
    OPTIONS,
    PAGES,
    fidelity,
    matrix,
    scorecard,
    suite,
    transfer,
)
from tests.helpers.neurons import found_set
from tests.helpers.public_classes import held_by_users


@pytest.mark.slow
def test_every_class_that_users_hold_is_built_here():
    """A class that is added needs an entry, and so a repr, a table and pandas."""
    assert sorted(held_by_users()) == sorted((*BUILDERS, *OPTIONS))


def made(name, folder):
    made = BUILDERS[name](folder)
    assert name in [base.__name__ for base in type(made).__mro__]
    return made


@pytest.mark.parametrize("name", sorted(set(BUILDERS) - set(PAGES)))
def test_a_notebook_shows_it_and_all_text_is_text(name, tmp_path):
    held = made(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", cl.CultureLensWarning)
        page = held._repr_html_()
    whole = ElementTree.fromstring(page)  # one tag that is not ours, and it would not be closed
    assert whole.tag == "div" and "<b>" not in page and "script>" not in page.replace("&gt;", "")
    assert len(page) < 20_000
    for table in whole.iter("tbody"):
        assert 1 <= len(list(table)) <= 10


@pytest.fixture(params=sorted(BUILDERS))
def held(request, tmp_path):
    return made(request.param, tmp_path)


def test_the_repr_is_short_and_holds_no_table(held):
    text = repr(held)
    assert isinstance(held, Shown) and type(held).__name__ in text
    assert len(text.splitlines()) <= MOST_LINES and len(text) <= 1000
    assert "tensor(" not in text and "array(" not in text


def test_it_comes_as_a_table_whose_cells_are_no_estimates(held):
    table = held.to_pandas()
    assert isinstance(table, pd.DataFrame) and len(table)
    for name in table:
        assert not any(isinstance(cell, cl.Estimate) for cell in table[name])


TABLES = {
    "summary": lambda: matrix().summary(),
    "effects": lambda: matrix().effects("Peru"),
    "cells": lambda: cl.cell_tests(matrix()),
    "random": lambda: cl.against_random(matrix()),
    "related": lambda: cl.related_cultures(matrix()).related("Peru"),
    "suite": lambda: suite().scores(),
    "suite tests": lambda: suite().tests(),
    "transfer": lambda: transfer().table(),
    "fidelity": lambda: fidelity().units("set"),
    "scorecard": lambda: scorecard().summary(("precision", "own")),
    "comparison": lambda: compared_by_hand().table(),
    "forgetting": lambda: study_by_hand().one("top", 0).summary(),
    "study": lambda: study_by_hand().summary(),
    "instances": lambda: BUILDERS["InstanceShares"](None).summary(),
    "variance": lambda: BUILDERS["VarianceShares"](None).table(),
    "overlap": lambda: cl.overlap_with_chance(found_set()),
    "stability": lambda: cl.set_stability({"a": found_set(), "b": found_set(), "c": found_set()}),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_sort_average_and_export(name, tmp_path):
    table = TABLES[name]()
    ends = [column for column in table if str(column).endswith("_low")]
    assert ends
    for low in ends:
        value = low.removesuffix("_low")
        assert table[[value, low, f"{value}_high"]].dtypes.eq(float).all()
        known = table[table[low].notna()]
        assert (known[low] <= known[value]).all() and (known[value] <= known[f"{value}_high"]).all()
        assert table.sort_values(value)[value].is_monotonic_increasing
    table.to_csv(tmp_path / "t.csv")
    table.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)


def test_numeric_tables_hold_the_estimates_of_the_cells():
    table = matrix().summary()
    cell = matrix().cell("Peru", "Peru")
    assert (cell.value, cell.low, cell.high) == tuple(
        table.loc["Peru", ["self", "self_low", "self_high"]]
    )
    assert cl.format_table(table).loc["Peru", "self"] == str(cell)
    assert list(cl.format_table(cl.cell_tests(matrix())))[3:6] == ["groups", "change", "lost"]
    assert table["gap"].mean() == pytest.approx(matrix().overall("gap").value)


def test_the_plots_are_functions_only():
    assert all(callable(getattr(cl.plots, name)) for name in dir(cl.plots))
    assert {"layer_heatmap", "ablation_heatmap"} <= set(dir(cl.plots))
