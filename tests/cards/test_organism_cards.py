"""Cards of neurons whose truth is known: the decoy that ConAct prefers is told from knowledge."""

import pytest

import culture_lens as cl
from tests.helpers.marks import QUIET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning"),
]
CULTURES = ["Avaria", "Calvena", "Dorlund"]
BATCH = {"batch_size": 128, **QUIET}


@pytest.fixture(scope="module")
def model():
    return cl.load_model("organism")


def drawn(split, pictures):
    return cl.load_benchmark("organism", split=split, pictures=pictures, cultures=CULTURES)


@pytest.fixture(scope="module")
def conact(model):
    summary = cl.summarise(model, drawn("identify", 1), **BATCH)
    return cl.select(summary, "conact", share=0.02)


def told(card, start):
    return any(text.startswith(start) for text in card.warnings)


def test_the_decoy_that_conact_likes_best_is_recognised(model, conact):
    best = conact["Avaria"].top(1)
    assert best.members() <= cl.load_truth().neurons("style", "Avaria").members()
    card = cl.neuron_card(
        model, best, drawn("evaluate", 1), found=conact, scoring="letter", measured=None, **BATCH
    )
    assert card.cultures == ("Avaria",) and abs(card.effects[0].p_gold.value) < 0.01
    assert told(card, "No effect alone") and told(card, "Fires for Avaria")
    assert "style" in card.warnings[1] and "conact" in repr(card)
