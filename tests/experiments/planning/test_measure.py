"""measure_rate: what is divided by what, on a clock that only the steps move."""

import pytest

from culture_lens.experiments.planning import measure as module
from culture_lens.experiments.planning.asking import Asking
from culture_lens.experiments.planning.experiment import Experiment
from culture_lens.experiments.planning.measure import Rate, around, few_of, measure_rate
from culture_lens.experiments.planning.shape import shape_of
from culture_lens.experiments.planning.stages import Stages
from culture_lens.prompts.running import Running
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions

BARE = Rate(flops_per_second=1e9, seconds_per_forward=0.001)


def makes_of(model):
    asking = Asking(shape_of("tiny", model.bridge.original_model.config), model.processor)
    running = Running(progress=False)
    return Stages(asking, Experiment(), "option_likelihood", running, on_gpu=False)


def test_what_is_around_the_forwards_by_hand(monkeypatch):
    """Eight prompts take 2 s to make; answers 1 s and 3 s for each condition.

    So a prompt takes (2 + 1) / 8 s, an answer (3 - its forwards) / 8.
    """
    model, now = lens("llama"), [0.0]
    prepare = module.prepare

    def slow_prepare(*given):
        now[0] += 2.0
        return prepare(*given)

    def slow_answers(model, prompts, scoring, masks, *, running):
        now[0] += 1.0 + 3.0 * len(masks)

    monkeypatch.setattr(module, "prepare", slow_prepare)
    monkeypatch.setattr(module, "answer_masks", slow_answers)
    makes, asked = makes_of(model), toy_questions(2)
    found = around(model, asked, makes, BARE, 2, lambda: now[0])
    forwards = BARE.of(makes.answer(asked, "answer"))
    assert found.seconds_per_prompt == pytest.approx(3 / len(asked))
    assert 0 < forwards < 1
    assert found.seconds_per_answer == pytest.approx((3 - forwards) / len(asked))
    assert found.seconds_per_picture == 0
    assert found.flops_per_second == BARE.flops_per_second


def test_fewer_questions_of_a_slow_model():
    makes, asked = makes_of(lens("llama")), toy_questions(4)
    assert len(few_of(asked, makes, BARE, 1)) == len(asked) == 16
    assert len(few_of(asked, makes, Rate(1.0, 0.0), 1)) == 2


@pytest.mark.slow
def test_a_model_is_measured_with_questions_and_without():
    model = lens("llama")
    bare, whole = measure_rate(model, rounds=1), measure_rate(model, toy_questions(1), rounds=1)
    assert bare.seconds_per_prompt == bare.seconds_per_answer == 0
    assert whole.seconds_per_prompt > 0 and whole.options["flops_per_second"] > 0
