"""What training changes: by hand, paired and clustered intervals, and what cannot be compared."""

import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluation import Evaluation
from culture_lens.finetune import forgetting
from culture_lens.statistics.tables import as_estimates
from tests.helpers.marks import quiet

pytestmark = quiet


def evaluation(correct, p=None, cultures="AABB", groups="1234", model="m", scoring="letter"):
    n = len(correct)
    frame = pd.DataFrame(
        {
            "id": [f"q{i}" for i in range(n)],
            "culture": list(cultures),
            "group": list(groups),
            "category": "",
            "gold": 0,
            "prediction": [0 if right else 1 for right in correct],
            "correct": [bool(right) for right in correct],
            "p_gold": p or [0.5] * n,
            "scores": [[0.0, 0.0]] * n,
        }
    )
    return Evaluation(frame, {"model": model, "scoring": scoring})


def test_changes_by_hand():
    before = evaluation([1, 1, 0, 1], [0.9, 0.8, 0.1, 0.7])
    after = evaluation([0, 1, 1, 0], [0.4, 0.8, 0.6, 0.2])
    # The order of the records does not matter: they are matched by id.
    after = Evaluation(after.frame.iloc[::-1].reset_index(drop=True), after.metadata)
    changes = forgetting(before, after)
    assert changes.estimate().value == -0.25
    assert changes.estimate(metric="before").value == 0.75
    assert changes.estimate(metric="after").value == 0.5
    assert changes.estimate(culture="A").value == -0.5
    assert changes.estimate(culture="B").value == 0.0
    assert changes.estimate(metric="p_change").value == pytest.approx(-0.5 / 4)
    table = as_estimates(changes.summary())
    assert table["culture"].tolist() == ["all", "A", "B"]
    assert table["items"].tolist() == [4, 2, 2]
    assert [estimate.value for estimate in table["change"]] == [-0.25, -0.5, 0.0]


def test_intervals_are_paired_and_clustered():
    """Items alike before and after widen nothing, and copies of a group narrow nothing."""
    n = 40
    right = [i % 2 for i in range(n)]
    groups, cultures = [str(i) for i in range(n)], "A" * n
    same = forgetting(
        evaluation(right, cultures=cultures, groups=groups),
        evaluation(right, cultures=cultures, groups=groups),
    ).estimate()
    assert same.value == 0.0 and same.low == -same.high and 0.05 < same.high < 0.1
    lost = [r and i % 4 != 1 for i, r in enumerate(right)]
    single = forgetting(
        evaluation(right, cultures=cultures, groups=groups),
        evaluation(lost, cultures=cultures, groups=groups),
    ).estimate()
    assert single.value == -0.25 and single.low < -0.25 < single.high < 0
    copies = forgetting(
        evaluation(right * 5, cultures="A" * 5 * n, groups=groups * 5),
        evaluation(lost * 5, cultures="A" * 5 * n, groups=groups * 5),
    ).estimate()
    assert (copies.low, copies.high) == pytest.approx((single.low, single.high))


def test_different_questions_are_refused():
    before = evaluation([1, 1, 0, 1])
    with pytest.raises(InputError, match="not of the same questions"):
        forgetting(before, evaluation([1, 1, 0], cultures="AAB", groups="123"))
    other = evaluation([1, 1, 0, 1])
    other.frame.loc[0, "gold"] = 1
    with pytest.raises(InputError, match="not of the same questions"):
        forgetting(before, other)
    with pytest.raises(InputError, match="scored by letter before and option_likelihood after"):
        forgetting(before, evaluation([1, 1, 0, 1], scoring="option_likelihood"))
    with pytest.raises(InputError, match="same evaluations"):
        forgetting({"task": before}, {"culture": before})
    changes = forgetting({"task": before}, {"task": before})
    with pytest.raises(InputError, match="set of questions 'culture'"):
        changes.estimate()
    with pytest.raises(InputError, match="culture 'Z'"):
        changes.estimate("task", "Z")
    with pytest.raises(InputError, match="metric"):
        changes.estimate("task", metric="loss")
