"""The verdict in one sentence, and the picture beside it, worked out by hand."""

import pytest

from culture_lens.report.first_screen import CLAUSES, LEFT, RIGHT, picture, verdict_of_all
from culture_lens.report.page import report_context
from culture_lens.statistics.estimates import Estimate
from tests.helpers.results import make_found, make_matrix, make_run


def selector(name, standing, own=-0.4, others=-0.1, random=None):
    near = [None if v is None else Estimate(v, v - 0.1, v + 0.1) for v in (own, others, random)]
    effects = dict(zip(("own", "others", "random"), near, strict=True))
    return {"name": name, "standing": standing, "effects": effects}


def test_one_sentence_names_all_selectors_the_strongest_first():
    text = verdict_of_all(
        [selector("lape", "as random"), selector("conact", "evidence"), selector("mad", None)]
    )
    assert text == (
        "Evidence that the neurons of conact matter more for their own culture’s questions than "
        "for others’, and more than random neurons; the effect of lape does not differ clearly "
        "from that of random neurons; the neurons of mad have not been tested by ablation."
    )


@pytest.mark.parametrize("standing", CLAUSES)
def test_every_standing_has_a_sentence(standing):
    text = verdict_of_all([selector("a", standing), selector("b", standing)])
    assert "a and b" in text and text.endswith(".") and text.count(".") == 1


def test_dots_lie_where_their_values_are():
    drawn = picture([selector("conact", "evidence", own=-0.4, others=-0.1, random=0.0)])
    (group,) = drawn["groups"]
    own, others, random = group["lanes"]
    # The scale goes from -0.5 to 0.1 with 6% of its length at each end: 0.672 in all.
    low = -0.5 - 0.06 * 0.6
    for lane, value in ((own, -0.4), (others, -0.1), (random, 0.0)):
        at = LEFT + (RIGHT - LEFT) * (value - low) / 0.672
        assert lane["x"] == pytest.approx(at, abs=0.01)
        assert lane["low"] < lane["x"] < lane["high"]
    assert drawn["zero"] == random["x"]
    assert own["y"] < others["y"] < random["y"] < drawn["bottom"] < drawn["height"]
    assert "conact, own questions: −40.0 points (−50.0 to −30.0)" in drawn["alt"]


def test_without_a_test_there_is_no_picture():
    assert picture([selector("conact", None) | {"effects": None}]) is None


def test_no_interval_draws_a_dot_alone():
    alone = selector("conact", "uncompared")
    alone["effects"]["own"] = Estimate(-0.4, float("nan"), float("nan"))
    assert picture([alone])["groups"][0]["lanes"][0]["low"] is None


def test_a_run_has_its_standing(tmp_path):
    matrix = make_matrix(items=60, seeds=5)
    context = report_context(make_run(tmp_path, conact=(make_found(), matrix)))
    assert context["selectors"][0]["standing"] == "evidence"
    assert context["verdict"].startswith("Evidence that the neurons of conact matter more")
    assert context["selectors"][0]["effects"]["own"] == matrix.overall("self")
