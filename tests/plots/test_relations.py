"""The figure of relations holds the table in the order of the tree."""

import numpy as np
import pytest

from culture_lens.experiments.related_cultures import related_cultures
from culture_lens.plots.relations import branches, relations_heatmap
from tests.helpers.families import families


def test_the_figure_has_the_relations_in_the_order_of_the_tree():
    relations = related_cultures(families())
    figure = relations_heatmap(relations)
    trace, order = figure.data[0], list(relations.order)
    np.testing.assert_array_equal(trace.z, relations.table.loc[order, order].to_numpy())
    assert list(trace.x) == list(trace.y) == order
    assert "<b>" in trace.text[0][1] and trace.text[0][0] == ""
    assert f"neurons of <b>{order[0]}</b> ablated" in trace.hovertext[0][1]
    lines = branches(relations)
    assert len(lines) == 5 == len(figure.data) - 1
    feet = sorted(x for xs, ys in lines for x, y in zip(xs, ys, strict=True) if y < 0)
    assert feet == [0, 1, 2, 3, 4, 5]
    heights = sorted(max(ys) for _, ys in lines)
    assert heights == pytest.approx(relations.linkage[:, 2]) and heights[0] == 0
    # the top joint parts the two families, between the third and the fourth leaf
    top = max(lines, key=lambda line: max(line[1]))
    assert top[0][0] < 2.5 < top[0][-1]
    assert list(figure.layout.yaxis.range) == list(figure.layout.yaxis2.range) == [5.5, -0.5]
    subtitle = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "cophenetic correlation" in subtitle and "beyond what mask and culture" in subtitle
    raw = relations_heatmap(related_cultures(families(), adjusted=False)).layout.title.subtitle.text
    assert "percentage points of accuracy" in raw.replace("<br>", " ")
