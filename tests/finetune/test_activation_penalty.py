"""Activations that are kept move less, and the penalty is that of the sites."""

import pytest
import torch

from culture_lens.finetune import finetune, plain_copy
from culture_lens.finetune.examples import last_logits, make_examples, to_batch
from culture_lens.finetune.projections import projections_of
from culture_lens.neurons.neurons import Neurons
from tests.helpers.finetune import of, questions_for
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions


@pytest.mark.slow
def test_kept_activations_move_less():
    model = of("llama")
    neurons = Neurons.of({"act": [(1, i) for i in range(10)], "q": [(2, 4)]})
    questions = toy_questions()

    def moved(**options):
        tuned = finetune(
            model, questions, scoring="letter", learning_rate=3e-3, epochs=6.0, progress=False,
            **options,
        )  # fmt: skip
        from culture_lens.finetune.activation_penalty import Keeper

        plain = plain_copy(tuned.model)
        keeper = Keeper(model, plain, projections_of(model, plain), neurons)
        batch = to_batch(make_examples(model, questions, "letter"), model.pad_id)["batch"]
        with torch.no_grad(), keeper.watching():
            last_logits(model, plain, batch, 1)
            return float(keeper.penalty(batch))

    free, held = moved(), moved(keep=neurons, keep_weight=30.0)
    elsewhere = moved(keep=neurons, keep_weight=30.0, keep_on=toy_questions(topics=1))
    assert held < 0.2 * free
    assert held < elsewhere < free


@pytest.mark.parametrize("name", mostly_slow(["phi3", "gpt2", "vlm-llava", "flan"], fast=["phi3"]))
def test_the_penalty_is_that_of_the_sites(name):
    """Nothing at the start; then one neuron's shift, squared, over neurons and tokens."""
    from culture_lens.finetune.activation_penalty import Keeper

    model = of(name)
    plain = plain_copy(model)
    places = projections_of(model, plain)
    stem = "encoder." if name == "flan" else ""
    neurons = Neurons.of({f"{stem}gate": [(0, 3)], f"{stem}v": [(1, 2)], f"{stem}act": [(0, 5)]})
    keeper = Keeper(model, plain, places, neurons)
    batch = to_batch(make_examples(model, questions_for(name), "letter"), model.pad_id)["batch"]
    with torch.no_grad(), keeper.watching():
        last_logits(model, plain, batch, 1)
        assert float(keeper.penalty(batch)) < 1e-8
    place = places[f"{stem}v", 1]
    module = plain.get_submodule(place.path)

    def shift(_module, _inputs, output):
        output[..., place.start + 2] += 0.5
        return output

    handle = module.register_forward_hook(shift)
    with torch.no_grad(), keeper.watching():
        last_logits(model, plain, batch, 1)
        assert float(keeper.penalty(batch)) == pytest.approx(0.25 / 3, rel=1e-3)
    handle.remove()
