"""Matrices as text, what figures show in words, and colours that can be read."""

import re
from pathlib import Path

import pandas as pd
import pytest

from culture_lens.plots import style
from culture_lens.report import page
from culture_lens.report.alt import of_layers, of_overlap, of_self_cross, on_and_off, on_questions
from culture_lens.report.colours import DARK, contrast, ink_on, on_scale
from culture_lens.report.tables import MOST_COLUMNS, in_parts, matrix_tables
from tests.helpers.results import make_found, make_matrix

VARIABLE = re.compile(r"--([a-z-]+): (#[0-9a-f]{6})")


def test_tables_hold_every_cell_of_the_matrix():
    matrix = make_matrix()
    tables = matrix_tables(matrix)
    assert [t["title"].partition(",")[0] for t in tables] == [
        "Change in accuracy", "Answers that change", "Change in accuracy under random neurons",
    ]  # fmt: skip
    for table, (what, condition) in zip(
        tables, [("change", "found"), ("flips", "found"), ("change", "random")], strict=True
    ):
        write = style.points if what == "change" else style.percent
        for row in table["rows"]:
            for culture, cell in zip(table["columns"], row["cells"], strict=True):
                estimate = matrix.cell(row["name"], culture, what, condition)
                assert cell["value"] == write(estimate.value, 1)
                assert cell["interval"] == f"{write(estimate.low, 1)} to {write(estimate.high, 1)}"
                assert cell["own"] == (row["name"] == culture)


def test_no_column_is_left_out_of_wide_tables():
    names = [str(number) for number in range(61)]
    parts = in_parts(names)
    assert [len(part) for part in parts] == [21, 21, 19] and sum(parts, []) == names
    assert max(map(len, parts)) <= MOST_COLUMNS


def test_a_table_in_words():
    table = pd.DataFrame({"Iran": [-0.4, 0.0], "Japan": [0.1, -0.2]}, index=["Iran", "Japan"])
    assert on_and_off(table, True, on_questions) == (
        "Mean of the outlined diagonal −30.0 points, elsewhere +5.0 points. Lowest: −40.0 points, "
        "neurons of Iran, questions about Iran."
    )
    assert on_and_off(-table, False, on_questions).endswith(
        "40.0%, neurons of Iran, questions about Iran."
    )


def test_figures_in_words():
    assert of_self_cross(make_matrix(items=60)).startswith("3 of 3 cultures clearly lose")
    # Culture i has i + 1 neurons in layer i, and all have one in layer 3: 9 neurons in all.
    assert of_layers(make_found()) == (
        "Layer 2 holds most of the neurons, 33.3%; the later half of the layers holds 67%."
    )
    # The third one of 4 and 3 and 2 neurons: one in common of 2 + 3 - 1, 2 + 4 - 1, 3 + 4 - 1.
    assert of_overlap(make_found()) == (
        "Ethiopia and Japan share most (Jaccard overlap 0.250); the mean over pairs is 0.206."
    )


@pytest.mark.parametrize("scale", [style.LOSS_TO_GAIN, style.AMOUNT])
@pytest.mark.parametrize("dark", [False, True])
def test_ink_can_be_read_on_every_colour_of_a_scale(scale, dark):
    colours = [DARK[colour] for colour in scale] if dark else scale
    for step in range(201):
        ground = on_scale(step / 200, 0.0, 1.0, colours)
        assert contrast(ink_on(ground), ground) >= 4.5


def test_text_can_be_read_on_both_pages_and_on_paper():
    assert contrast(DARK[style.INK], DARK[style.PAPER]) >= 7
    assert contrast(DARK[style.MUTED], DARK[style.BAND]) >= 4.5
    css = Path(page.__file__).with_name("page.css").read_text()
    for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL):
        colours = dict(VARIABLE.findall(block))
        for ground in ("page", "plate", "band", "warn"):
            for ink in ("ink", "muted", "strong", "link"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
