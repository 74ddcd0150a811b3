"""Memory does not grow with the number of items: of prompts, trees and batches only some are there.

A group of questions is made as small here as it can be, so that few items fill many groups.
"""

import sys
from dataclasses import replace

import pytest

import culture_lens as cl
from culture_lens.models import prompt_groups
from culture_lens.models.prompt_groups import groups_of_pictures
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET
from tests.helpers.processes import run_python
from tests.helpers.questions import toy_questions

FEW, MANY = 8, 128
LONG = " ".join(["Which food do people in Japan usually eat at the new year festival?"] * 14)


def long_questions(items):
    """So many questions of some 350 tokens that share no beginning."""
    kinds = toy_questions()
    return [
        replace(kinds[at % len(kinds)], id=f"q{at}", group=f"q{at}", text=f"{at}. {LONG}")
        for at in range(items)
    ]


def peak_kib():
    """The most memory that this process ever held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def growth_kib():
    """Answer few questions, then sixteen times as many: what that adds to the peak."""
    prompt_groups.GROUP_TOKENS = 2**12
    model = lens("llama")
    peaks = []
    for items in (FEW, MANY):
        cl.evaluate(model, long_questions(items), scoring="letter_options", **QUIET)
        peaks.append(peak_kib())
    return peaks[1] - peaks[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak this way")
def test_sixteen_times_the_items_take_hardly_more_memory():
    """The trees of all prompts at once took 0.75 kilobytes a token: 30 MiB for these questions.

    Large blocks are given back as soon as they are free, so that only what is held counts.
    """
    code = "from tests.test_memory import growth_kib; print(growth_kib())"
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
    growth = int(run_python(code, **given_back).split()[-1])
    assert growth < 12 * 1024


def test_groups_are_bounded_hold_every_prompt_once_and_put_like_ones_together(monkeypatch):
    model = lens("llama")
    questions = toy_questions()
    twice = [*questions, *(replace(q, id=f"{q.id}/2", group=q.group) for q in questions)]
    prompts = cl.build_prompts(twice, model.processor, progress=False)
    assert [list(group) for group in groups_of_pictures(prompts, model.vision)] == [list(prompts)]
    longest = max(len(prompt.ids) for prompt in prompts)
    for room in (1, 2 * longest, 5 * longest):
        monkeypatch.setattr(prompt_groups, "GROUP_TOKENS", room)
        groups = [list(group) for group in groups_of_pictures(prompts, model.vision)]
        assert sorted(p.question.id for group in groups for p in group) == sorted(
            question.id for question in twice
        )
        assert all(len(g) == 1 or sum(len(p.ids) for p in g) <= room for g in groups)
    texts = [{prompt.question.text for prompt in group} for group in groups]
    assert max(map(len, texts)) < len(groups[0])  # the same words stand beside each other


@pytest.mark.slow
def test_groups_change_no_answer(monkeypatch):
    model, questions = lens("llama"), toy_questions()
    masks = {"one": cl.Neurons.of({"act": [(1, 3), (2, 5)]})}
    options = {"random_seeds": 0, "scoring": "option_likelihood", **QUIET}
    expected = cl.evaluate_suite(model, masks, {"toys": questions}, **options).frame
    alone = cl.evaluate(model, questions, masks["one"], scoring="option_likelihood", **QUIET).frame
    monkeypatch.setattr(prompt_groups, "GROUP_TOKENS", 300)
    assert cl.evaluate_suite(model, masks, {"toys": questions}, **options).frame.equals(expected)
    found = cl.evaluate(model, questions, masks["one"], scoring="option_likelihood", **QUIET).frame
    plain = ["id", "culture", "group", "gold", "prediction", "correct"]
    assert found[plain].equals(alone[plain])
    assert found["p_gold"].tolist() == pytest.approx(alone["p_gold"].tolist(), abs=1e-6)
