"""Prompt trees give what plain Hugging Face gives of full sequences, one at a time."""

import math
from dataclasses import replace

import pytest
import torch

from culture_lens.interventions.hooks import ablated
from culture_lens.models import trees
from culture_lens.models.load import load_model
from culture_lens.models.trees import can_run_trees, log_totals, on_device, read_trees
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.trees import options_of, prompt_trees, tree_batch
from tests.helpers import vlm
from tests.helpers.lm import each_architecture, exact, exact_raw, lens, wide_gemma3
from tests.helpers.questions import toy_questions
from tests.helpers.reference_culnig import norms_in_own_dtype
from tests.helpers.reference_trees import plain_reads
from tests.helpers.tiny import tiny_tokenizer
from tests.helpers.vlm_items import F64, each

WITHOUT = ("qwen2_5_vl", "gemma3", "gemma3_wide")
"""Positions in three axes; attention both ways within a picture."""


def pair(architecture):
    """A float64 model as the package loads it, and an untouched twin."""
    if architecture != "gemma3":
        return exact(architecture), exact_raw(architecture)
    hf = norms_in_own_dtype(wide_gemma3(torch.float64))
    model = load_model("wide", hf_model=hf, tokenizer=tiny_tokenizer("gemma3"))
    return model, norms_in_own_dtype(wide_gemma3(torch.float64))


def reads_of(model, prompts, row_tokens):
    trees = prompt_trees(prompts, row_tokens)
    batch = on_device(tree_batch(trees, model.pad_id), model.device)
    return batch.prompts, read_trees(model.tree_logits(batch), batch)


@each_architecture
def test_reads_are_those_of_full_sequences(architecture):
    model, hf = pair(architecture)
    for style in ("cloze", "choices"):
        prompts = build_prompts(toy_questions(topics=2), model.processor, style=style)
        prompts = labelled(prompts, model.processor) if style == "choices" else prompts
        assert can_run_trees(model, prompts)
        order, reads = reads_of(model, prompts, 220)
        logits, logs, best = plain_reads(hf, order)
        torch.testing.assert_close(reads.logits, torch.tensor(logits, dtype=torch.float64))
        torch.testing.assert_close(reads.log_probs, torch.tensor(logs, dtype=torch.float64))
        assert reads.next_tokens.tolist() == best
        assert len(prompt_trees(prompts, 220)) > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_totals_of_a_few_rows_at_a_time_are_those_of_each(dtype, monkeypatch):
    logits = (9 * torch.randn(3, 4, 50, generator=torch.Generator().manual_seed(0))).to(dtype)
    expected = [[math.log(sum(map(math.exp, one))) for one in row] for row in logits.tolist()]
    for numbers in (1, 100, 170, 10**6):  # one row, two, three, all twelve at a time
        monkeypatch.setattr(trees, "CACHED_NUMBERS", numbers)
        found = log_totals(logits)
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(found.tolist(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@each
def test_reads_with_pictures_are_those_of_prompts_alone(name):
    """Of prompts that share pictures, have others, or none; ``logits`` is held against raw ones."""
    model = vlm.lens(name, F64)
    prompts = vlm.prompts_of(name, style="cloze")
    if name in WITHOUT:
        assert not can_run_trees(model, prompts)
        return
    assert can_run_trees(model, prompts)
    order, reads = reads_of(model, prompts, 300)
    at = 0
    for number, prompt in enumerate(order):
        alone = collate([prompt], model.pad_id)
        logits = model.logits(alone)[0]
        assert int(reads.next_tokens[number]) == int(logits.argmax())
        for option, logs in zip(
            options_of(prompt), model.continuation_log_probs(alone)[0], strict=True
        ):
            torch.testing.assert_close(reads.log_probs[at : at + len(option)], logs)
            torch.testing.assert_close(reads.logits[at], logits[option[0]])
            at += len(option)
    assert at == len(reads.logits)


def test_where_trees_would_not_be_exact():
    model, prompts = lens("llama"), build_prompts(toy_questions(), lens("llama").processor)
    assert can_run_trees(model, prompts)
    with ablated(model, Neurons.of({"act": [(0, 1)]})):
        assert not can_run_trees(model, prompts)
    handle = model.bridge.original_model.register_forward_hook(lambda *_: None)
    assert not can_run_trees(model, prompts)
    handle.remove()
    assert can_run_trees(model, prompts)
    assert not can_run_trees(
        lens("gemma3"), build_prompts(toy_questions(), lens("gemma3").processor)
    )


def test_eager_attention_of_the_bridge_takes_no_trees():
    eager = replace(lens("llama"), attention="eager")
    assert not can_run_trees(eager, build_prompts(toy_questions(), eager.processor))


def test_parts_of_a_repeated_batch():
    prompts = build_prompts(toy_questions(topics=1), lens("llama").processor, style="cloze")
    _, reads = reads_of(lens("llama"), prompts, 200)
    both = type(reads)(
        *(torch.cat([getattr(reads, n), getattr(reads, n) + 1]) for n in vars(reads))
    )
    assert torch.equal(both.part(0, 2).logits, reads.logits)
    assert torch.equal(both.part(1, 2).highest, reads.highest + 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_seen(bad):
    prompts = build_prompts(toy_questions(topics=1), lens("llama").processor, style="cloze")
    tree = tree_batch(prompt_trees(prompts), 0)
    logits = torch.zeros(tree.rows, tree.last, 400)
    row, column = tree.ends[0].tolist()
    logits[row, column, 3] = bad
    assert not torch.isfinite(read_trees(logits, tree).highest[0])
