"""Each row of a batch may have its own neurons ablated."""

import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.interventions.hooks import ablated, steered
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import Question
from tests.helpers.closeness import assert_close
from tests.helpers.edits import batch_of, reference_logits
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.neurons import CHOSEN, NEURONS, OTHERS
from tests.helpers.questions import toy_questions


@each_architecture
def test_each_row_has_its_own_neurons(architecture):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model, 4)
    rows = [NEURONS, Neurons.of({}), OTHERS, Neurons.of({"q": [(1, 3)], "act": [(2, 2)]})]
    with ablated(model, rows):
        found = model.logits(batch)
    for row, neurons in enumerate(rows):
        with ablated(model, neurons):
            assert_close(found[row], model.logits(batch)[row])
    assert_close(found[0], reference_logits(hf, batch, CHOSEN)[0])
    assert_close(found[1], reference_logits(hf, batch, {})[1])
    with steered(model, rows, 1.5):
        found = model.logits(batch)
    assert_close(found[0], reference_logits(hf, batch, CHOSEN, 2.5)[0])
    assert_close(found[1], reference_logits(hf, batch, {})[1])


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_rows_of_their_own_under_option_likelihood(architecture):
    """Options are run as continuations of their row, under that row's neurons."""
    model = lens(architecture)
    rows = [NEURONS, OTHERS, Neurons.of({})]
    asked = (
        toy_questions()[:1]
        + toy_questions()[6:7]
        + [  # of other numbers and lengths
            Question(
                "x", "Japan", "Which drink?", ("tea", "A", "coffee with sugar in the morning"), 0
            )
        ]
    )
    batch = collate(build_prompts(asked, model.tokenizer, style="cloze"), model.pad_id)
    score = SCORINGS["option_likelihood"].answers
    with ablated(model, rows):
        together = score(model, batch)
    for row, neurons in enumerate(rows):
        with ablated(model, neurons):
            alone = score(model, collate([batch.prompts[row]], model.pad_id))[0]
        assert together[row].scores == pytest.approx(alone.scores, abs=1e-4)


@pytest.mark.parametrize(("masks", "rows"), [(3, 2), (3, 4), (2, 3), (2, 4)])
def test_as_many_rows_as_the_batch_has(masks, rows):
    """Two sets on four rows could only be a mistake: which row has which?"""
    model = lens("llama")
    with ablated(model, [NEURONS, OTHERS, NEURONS][:masks]):
        with pytest.raises(InputError, match="rows"):
            model.logits(batch_of(model, rows))
