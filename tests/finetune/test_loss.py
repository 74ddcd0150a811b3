"""The loss is the log probability of the answer, and padding changes no gradient."""

import pytest
import torch

import culture_lens as cl
from culture_lens.finetune import plain_copy
from culture_lens.finetune.examples import answer_loss, last_logits, make_examples, to_batch
from tests.helpers.finetune import of, questions_for
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions


@pytest.mark.parametrize(
    "name",
    mostly_slow(
        ["llama", "gpt2", "gemma3", "vlm-llava", "vlm-qwen2_5_vl", "flan"], fast=["gpt2", "flan"]
    ),
)
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood_sum"])
def test_the_loss_is_the_log_probability_of_the_answer(name, scoring):
    """By the model's own scoring, which runs the bridge with hooks, caches and other batches."""
    model = of(name)
    questions = questions_for(name)
    examples = make_examples(model, questions, scoring, progress=False)
    batch = to_batch(examples, model.pad_id)
    plain = plain_copy(model)
    with torch.no_grad():
        logits = last_logits(model, plain, batch["batch"], batch["answers"].shape[1])
        loss = float(answer_loss(logits, batch["answers"]))
    frame = cl.evaluate(model, questions, scoring=scoring, progress=False).frame
    if scoring == "letter":
        expected = -torch.tensor(frame["p_gold"].tolist()).log().mean()
        assert all(len(example.answer) == 1 for example in examples)
    else:
        gold = [row.scores[row.gold] for row in frame.itertuples()]
        expected = -torch.tensor(gold).sum() / sum(len(e.answer) for e in examples)
        assert max(len(example.answer) for example in examples) > 1
    assert loss == pytest.approx(float(expected), rel=2e-4)


def test_padding_changes_no_gradient():
    model = of("gpt2")  # learned positions
    examples = make_examples(model, toy_questions(), "letter", progress=False)
    assert len({len(e.prompt.ids) for e in examples}) > 2

    def gradient(groups):
        plain = plain_copy(model)
        for group in groups:
            batch = to_batch(group, model.pad_id)
            logits = last_logits(model, plain, batch["batch"], 1)
            (answer_loss(logits, batch["answers"]) * len(group)).backward()
        return torch.cat([p.grad.flatten() for p in plain.parameters()])

    together, alone = gradient([examples]), gradient([[e] for e in examples])
    assert torch.isfinite(together).all()
    assert float((together - alone).abs().max() / alone.abs().max()) < 1e-5
