"""Questions and candidates for ``confirm``, and scores by plain forwards of a bare model."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import Question
from tests.helpers.tiny import D_MLP, N_LAYERS, tiny_tokenizer

WORDS = tuple(a + b for a in ("ba", "ti", "no", "ku", "re", "so") for b in ("lo", "ran", "vek"))
TWO = ("Japan", "Mexico")


def drawn_questions(
    groups: int = 8, cultures: Sequence[str] = TWO, rows: int = 1, seed: int = 0
) -> list[Question]:
    """Questions of four drawn options, the right one by chance, the same one in all rows.

    Within a culture no two groups have the same right answer while there are words enough.
    """
    source = np.random.default_rng(seed)
    questions = []
    for culture in cultures:
        golds = source.permutation(WORDS).tolist()
        for group in range(groups):
            gold = golds[group % len(WORDS)]
            others = source.choice([w for w in WORDS if w != gold], 3, replace=False).tolist()
            for row in range(rows):
                options = source.permutation([gold, *others]).tolist()
                questions.append(
                    Question(
                        f"{culture}/{group}/{row}",
                        culture,
                        f"What is thing {group} of {culture}?",
                        tuple(options),
                        options.index(gold),
                        group=f"g{group}",
                        benchmark="drawn",
                    )
                )
    return questions


def relabelled(questions: Sequence[Question], seed: int) -> list[Question]:
    """Another right answer by chance: one option of each cell, the same in all its rows."""
    source = np.random.default_rng(seed)
    golds: dict[tuple[str, str], str] = {}
    for question in questions:
        cell = (question.culture, question.group)
        if cell not in golds:
            golds[cell] = sorted(question.options)[source.integers(len(question.options))]
    return [replace(q, answer=q.options.index(golds[q.culture, q.group])) for q in questions]


def candidates(
    numbers: int = 12, cultures: Sequence[str] = TWO, seed: int = 0, **metadata
) -> NeuronSet:
    """Drawn neurons of the tiny Llama for each culture, with drawn scores."""
    source = np.random.default_rng(seed)
    neurons = {}
    for culture in cultures:
        picks = sorted(source.choice(N_LAYERS * D_MLP, numbers, replace=False).tolist())
        own = Neurons.of({"act": [divmod(pick, D_MLP) for pick in picks]})
        drawn = torch.tensor(source.permutation(numbers) + 1.0)
        neurons[culture] = replace(own, scores={"act": drawn})
    held = {"model": "tiny-llama", "selector": "knowledge", "looked_at": {}, "groups": []}
    return NeuronSet(neurons, {"act": (N_LAYERS, D_MLP)}, {**held, **metadata})


def plain_scores(hf, questions: Sequence[Question], places=()) -> np.ndarray:
    """The logits of the labels, the right one first and the others by their words.

    ``places`` are (layer, index) pairs that are set to 0 before the MLP's last projection.
    """
    tokenizer = tiny_tokenizer("llama")
    hooks = []
    for layer, index in places:

        def cleared(_, inputs, index=index):
            values = inputs[0].clone()
            values[..., index] = 0
            return (values,)

        hooks.append(hf.model.layers[layer].mlp.down_proj.register_forward_pre_hook(cleared))
    found = []
    try:
        for prompt in build_prompts(questions, tokenizer, style="choices"):
            with torch.no_grad():
                logits = hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1].double().numpy()
            options, right = prompt.question.options, prompt.question.answer
            scores = dict(zip(options, logits[list(label_ids(prompt, tokenizer))], strict=True))
            found.append([scores.pop(options[right]), *(scores[word] for word in sorted(scores))])
    finally:
        for hook in hooks:
            hook.remove()
    return np.array(found)
