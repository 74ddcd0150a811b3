"""A cell stops at the look at which its interval is narrow enough, and never for its value."""

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.stopping import answer_until, half_width, looks, narrow, reach
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question
from culture_lens.statistics.estimates import CHANGES, SHARES, mean_estimate
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions


def asked(culture, group):
    return Question(f"{culture}/{group}", culture, "?", ("a", "b"), 0, group=f"g{group}")


PROMPTS = [
    Prompt(asked(culture, group), "", (1,), (2,), "cloze")
    for culture in ("Japan", "Peru")
    for group in range(100)
]


class Answers:
    """Masks that change no answer but those of Peru under the last one; notes what is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, prompts, masks):
        self.asked.append((tuple(masks), [p.question.id for p in prompts]))
        return [
            pd.DataFrame(
                {
                    "id": [p.question.id for p in prompts],
                    "culture": [p.question.culture for p in prompts],
                    "group": [p.question.group for p in prompts],
                    "correct": [
                        mask < 2 or p.question.culture == "Japan" or int(p.question.group[1:]) % 2
                        for p in prompts
                    ],
                }
            )
            for mask in masks
        ]


def test_looks_ask_every_group_once():
    for groups in (1, 30, 31, 80, 1000):
        parts = [list(range(groups))[look] for look in looks(groups)]
        assert [at for part in parts for at in part] == list(range(groups))


def test_cells_stop_by_themselves():
    """Answers that do not vary stop at once; half of Peru's lost under the last mask do not."""
    answers = Answers()
    base, steady, losing = answer_until(PROMPTS, 3, 0.1, answers)
    assert steady.groupby("culture").size().to_dict() == {"Japan": 30, "Peru": 30}
    assert losing.groupby("culture").size().to_dict() == {"Japan": 30, "Peru": 100}
    assert base.groupby("culture").size().to_dict() == {"Japan": 30, "Peru": 100}
    assert set(losing["id"]) <= set(base["id"]) and base["id"].is_unique
    assert answers.asked[0][0] == (0, 1, 2) and all(m == (0, 2) for m, _ in answers.asked[1:])


def test_the_first_groups_depend_on_names_alone():
    answers, back = Answers(), Answers()
    answer_until(PROMPTS, 2, 0.1, answers)
    answer_until(PROMPTS[::-1], 2, 0.1, back)
    assert set(answers.asked[0][1]) == set(back.asked[0][1])
    first = {name.split("/")[1] for name in answers.asked[0][1]}
    assert len(first) == 30 and first != {str(group) for group in range(30)}


def test_nothing_stops_where_no_interval_gets_narrow():
    for frame in answer_until(PROMPTS, 3, 0.001, Answers()):
        assert len(frame) == 200 and frame["id"].is_unique


def test_reach_is_half_the_interval():
    values = [1, 0, 0, -1, 0, 1, 0, 0, 0, 0] * 4
    whole = mean_estimate(values, list(range(40)), bounds=CHANGES)
    assert reach(values, list(range(40)), CHANGES) == pytest.approx((whole.high - whole.low) / 2)
    assert reach([1.0] * 40, list(range(40)), SHARES) > 0.04


def test_few_groups_never_stop():
    frame = pd.DataFrame({"id": range(29), "culture": "Japan", "group": range(29), "correct": True})
    assert narrow(frame, None, 0.9) == set()


@pytest.mark.slow
def test_intervals_of_cells_that_stopped_hold_the_true_change():
    """A small version of speed/stopping.py: 95 of 100, less 2.5 standard errors of 300 runs."""
    source, held = np.random.default_rng(1), 0
    for _ in range(300):
        groups = np.repeat(np.arange(300), 2)
        lost = source.random(300)[groups] < 0.5
        changes = -(lost & (source.random(600) < 0.2)).astype(float)
        for look in looks(300):
            inside = groups < look.stop
            if reach(changes[inside].tolist(), groups[inside].tolist(), CHANGES) <= 0.05:
                break
        assert look.stop < 300
        one = mean_estimate(changes[inside].tolist(), groups[inside].tolist(), bounds=CHANGES)
        held += one.low <= -0.1 <= one.high
    assert held / 300 > 0.95 - 2.5 * (0.95 * 0.05 / 300) ** 0.5


def test_a_matrix_says_where_it_stopped():
    options = {"scoring": "letter_options", "random_seeds": 0, **QUIET}
    questions = toy_questions(topics=1)
    plain = ablation_matrix(lens("llama"), found_set(), questions, **options)
    stopped = ablation_matrix(lens("llama"), found_set(), questions, until=0.02, **options)
    assert plain.metadata["until"] is None and stopped.metadata["until"] == 0.02
    key = ["condition", "mask", "id"]
    one, other = (m.frame.sort_values(key)["prediction"].tolist() for m in (plain, stopped))
    assert one == other  # far fewer than 30 groups: every question is asked


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan"), "narrow", True])
def test_what_no_half_width_can_be(value):
    with pytest.raises(InputError, match="until"):
        half_width("until", value)
