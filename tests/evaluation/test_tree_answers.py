"""Every saving of Speed leaves every answer as it is; alone, together, with little memory."""

from itertools import pairwise

import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import tree_answers as module
from culture_lens.evaluation import tree_work as work_module
from culture_lens.evaluation.answering import conditions_of_shard
from culture_lens.evaluation.evaluate import answer_masks, evaluate, prepare
from culture_lens.evaluation.tree_work import conditions_together, first_layer
from culture_lens.interventions.hooks import ablated
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.engine import Ray
from culture_lens.prompts.running import Running
from culture_lens.prompts.speed import Speed
from culture_lens.prompts.trees import prompt_trees
from tests.helpers import vlm
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.reference_trees import distinct_beginnings

NONE = Speed(trees=False, fold=False, skip=False, together=1)
MASKS = [
    ("late", Neurons.of({"act": [(2, i) for i in range(20)]})),
    ("unmodified", None),
    ("all", Neurons.of({"act": [(layer, i) for layer in range(3) for i in range(9)]})),
    ("middle", Neurons.of({"gate": [(1, 4)], "v": [(2, 3)]})),
    ("empty", Neurons.of({})),
]
SAVINGS = {
    "trees": Speed(fold=False, skip=False),
    "skip": Speed(fold=False),
    "default": Speed(),
    "rows": Speed(together=2),
    "all rows": Speed(together=9, fold=False),
    "small batches": Speed(tokens=1),
    "nothing kept": Speed(kept_bytes=0),
}


def answered(model, speed, scoring="option_likelihood", value="zero", **options):
    prompts, chosen = prepare(model, toy_questions(topics=2), scoring, Running(**QUIET))
    running = Running(speed=speed, **QUIET, **options)
    return answer_masks(model, prompts, chosen, MASKS, value=value, running=running)


def same(one, other, tolerance):
    for a, b in zip(one, other, strict=True):
        plain = [column for column in a if column not in ("scores", "p_gold")]
        pd.testing.assert_frame_equal(a[plain], b[plain])
        for column in ("scores", "p_gold"):
            assert a[column].explode().tolist() == pytest.approx(
                b[column].explode().tolist(), abs=tolerance
            )


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood", "number"])
def test_every_saving_gives_the_answers_of_plain_batches(scoring):
    model = lens("llama", torch.float64)
    expected = answered(model, NONE, scoring)
    for speed in SAVINGS.values() if scoring == "option_likelihood" else [Speed()]:
        same(answered(model, speed, scoring), expected, 1e-9 if scoring != "letter" else 1e-6)
    plain = expected[1]["scores"].explode().astype(float)
    assert (plain - expected[2]["scores"].explode().astype(float)).abs().max() > 1e-3


@pytest.mark.slow
def test_fold_skip_and_memory_change_no_bit():
    model = lens("llama")
    plain = answered(model, SAVINGS["trees"])
    for name in ("skip", "default", "nothing kept"):
        for one, other in zip(plain, answered(model, SAVINGS[name]), strict=True):
            pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.5, "double"])
def test_other_values_are_edited_by_hooks(value):
    model = lens("llama", torch.float64)
    expected = answered(model, NONE, value=value)
    for name in ("default", "rows"):
        same(answered(model, SAVINGS[name], value=value), expected, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava", "idefics3"])
def test_pictures(name):
    model = vlm.lens(name)
    prompts, chosen = prepare(model, vlm.pictured_questions(), "letter_options", Running(**QUIET))
    frames = [
        answer_masks(model, prompts, chosen, MASKS, running=Running(speed=speed, **QUIET))
        for speed in (NONE, Speed(), Speed(together=3), Speed(tokens=1))
    ]
    for other in frames[1:]:
        same(frames[0], other, 1e-4)


def test_layers_below_the_first_ablated_one_run_once(monkeypatch):
    """Layers that run under late, unmodified, all, middle and empty: one batch of each."""
    model, runs = lens("llama"), []
    block = type(model.bridge.blocks[0])
    forward = block.forward

    def counted(self, *args, **options):
        runs.append([*model.bridge.blocks].index(self))
        return forward(self, *args, **options)

    monkeypatch.setattr(block, "forward", counted)
    answered(model, Speed(tokens=10**6))
    starts = [0] + [at for at, (a, b) in enumerate(pairwise(runs), 1) if b <= a] + [len(runs)]
    passes = [runs[a:b] for a, b in pairwise(starts)]
    # Unmodified first, then empty; then from layer 2, from layer 1 and from layer 0.
    assert passes == [[0, 1, 2], [2], [2], [1, 2], [0, 1, 2]]


def test_first_layer():
    model = lens("llama")
    assert [first_layer(model, neurons) for _, neurons in MASKS] == [2, 3, 0, 1, 3]


def test_hooks_around_the_call_are_kept():
    """Neither trees nor folding: the hook sees every prompt as its caller expects."""
    model, many = lens("llama"), MASKS[2][1]
    expected = evaluate(model, toy_questions(), many, **QUIET).frame
    with ablated(model, many):
        found = evaluate(model, toy_questions(), **QUIET).frame
    same([found], [expected], 1e-5)


def test_out_of_memory_halves_for_all_conditions(monkeypatch):
    model = lens("llama", torch.float64)
    expected = answered(model, Speed())
    forward, sizes = LensModel.tree_logits, []

    def refuses(self, tree):
        if len(tree.prompts) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        sizes.append(len(tree.prompts))
        return forward(self, tree)

    monkeypatch.setattr(LensModel, "tree_logits", refuses)
    with pytest.warns(CultureLensWarning, match="out of memory at .* half as many") as warned:
        found = answered(model, Speed(), batch_size=8)
    assert len(warned) <= 3 and max(sizes) <= 4 and sum(sizes) == 8 * len(MASKS)
    same(found, expected, 1e-9)


def test_one_question_for_which_memory_is_too_small(monkeypatch):
    def refuses(self, tree):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(LensModel, "tree_logits", refuses)
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(lens("llama"), toy_questions()[:1], **QUIET)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_in_the_middle_leaves_the_model_whole(monkeypatch, error):
    model = lens("llama")
    before = [p.detach().clone() for p in model.bridge.original_model.parameters()]
    runs, own = [], module.read_trees

    def stops(logits, tree):
        runs.append(1)
        if len(runs) == 4:
            raise error
        return own(logits, tree)

    monkeypatch.setattr(module, "read_trees", stops)
    with pytest.raises(error):
        answered(model, Speed())
    now = model.bridge.original_model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
    assert not model.is_hooked and not any("forward" in vars(b) for b in model.bridge.blocks)


def test_how_many_conditions_run_together(monkeypatch):
    """Twice the tokens of one tree must fill a batch, the more conditions the fewer tokens."""
    prompts, _ = prepare(lens("llama"), toy_questions(), "option_likelihood", Running(**QUIET))
    assert [conditions_together(prompts, 5, Speed(together=n)) for n in (3, 9)] == [3, 5]
    tokens = distinct_beginnings(prompts)
    for room, expected in ((4 * tokens, 4), (2 * tokens, 2), (2 * tokens - 1, 1), (99 * tokens, 5)):
        monkeypatch.setattr(work_module, "GPU_TOKENS", room)
        assert conditions_together(prompts, 5, Speed()) == expected


def test_conditions_run_together_where_the_workers_have_gpus():
    model = lens("llama")
    prompts, _ = prepare(model, toy_questions(), "option_likelihood", Running(**QUIET))
    for engine, several in ((None, False), (Ray(), False), (Ray(gpus_per_worker=1), True)):
        running = Running(engine=engine, **QUIET)
        assert (conditions_of_shard(model, prompts, 5, running) > 1) == several


def test_trees_are_made_once_for_all_conditions(monkeypatch):
    model, made = lens("llama"), []

    def counting(*given):
        made.append(1)
        return prompt_trees(*given)

    plain = answered(model, Speed(together=1))
    monkeypatch.setattr(work_module, "prompt_trees", counting)
    same(answered(model, Speed(together=2)), plain, 2e-6)
    assert len(made) == 1  # three shards of one group: 2, 2 and 1 conditions


def test_bad_options():
    for options in ({"tokens": 0}, {"together": 0}, {"kept_bytes": -1}, {"picture_threads": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            Speed(**options)
