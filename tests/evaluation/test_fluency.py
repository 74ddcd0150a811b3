"""Perplexity is that of a raw model on prompt and answer; repetition is counted by hand."""

import pytest
import torch

from culture_lens.evaluation.fluency import repetition, surprisals
from culture_lens.evaluation.generation import text_of, write_answers, written_tokens
from culture_lens.evaluation.short_answers.answers import writing_prompts
from culture_lens.neurons.hooks import ablation_hooks
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.running import Running
from tests.helpers import lm
from tests.helpers.lm import each_architecture
from tests.helpers.short_answers import short

HOW = Running(progress=False, batch_size=3)
SHORT = [short(str(n), text=f"{'Which ' * n}tea?") for n in range(5)]
NEURONS = Neurons.of({"act": [(0, 3), (1, 5), (2, 9)]})


@each_architecture
def test_surprisals_are_those_of_the_raw_model(architecture):
    model, hf = lm.lens(architecture), lm.raw(architecture)
    prompts = writing_prompts(model, SHORT, 8, HOW)
    hooks = ablation_hooks(model, NEURONS)
    written = written_tokens(model, prompts, hooks, max_new_tokens=8, running=HOW)
    written["3"] = ()  # an answer that ended at once
    found = surprisals(model, prompts, written, running=HOW)
    assert list(found) == [prompt.question.id for prompt in prompts]
    assert found["3"] == 0.0 and any(written.values())
    for prompt in prompts:
        tokens = list(written[prompt.question.id])
        ids = torch.tensor([[*prompt.ids, *tokens]])
        with torch.no_grad():
            logs = hf(input_ids=ids).logits[0].double().log_softmax(-1)
        rows = range(len(prompt.ids) - 1, len(prompt.ids) - 1 + len(tokens))
        expected = -float(logs[list(rows), tokens].sum()) if tokens else 0.0
        assert found[prompt.question.id] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_tokens_under_hooks_are_the_answers_of_neurons_ablated():
    model = lm.lens("llama")
    prompts = writing_prompts(model, SHORT, 8, HOW)
    answers = write_answers(model, prompts, NEURONS, max_new_tokens=8, running=HOW)
    hooks = ablation_hooks(model, NEURONS)
    tokens = written_tokens(model, prompts, hooks, max_new_tokens=8, running=HOW)
    assert {name: text_of(model, row) for name, row in tokens.items()} == answers


def test_greedy_text_is_less_surprising_than_another():
    """At every token greedy takes the likeliest, so its first token cannot be beaten."""
    model = lm.lens("llama")
    prompts = writing_prompts(model, SHORT, 8, HOW)
    own = written_tokens(model, prompts, [], max_new_tokens=1, running=HOW)
    other = {name: ((token[0] + 1) % 400,) for name, token in own.items()}
    mine, theirs = (surprisals(model, prompts, some, running=HOW) for some in (own, other))
    assert all(mine[name] < theirs[name] for name in mine)


def test_repetition_is_the_share_of_phrases_seen_before():
    assert repetition([7] * 6) == 0.75  # four phrases, one of them new
    assert repetition([1, 2, 3, 4]) == 0.0 and repetition([]) == 0.0
    assert repetition([1, 2, 1, 2, 1, 2], gram=2) == pytest.approx(1 - 2 / 5)
