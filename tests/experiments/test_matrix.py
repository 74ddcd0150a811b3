"""ablation_matrix: each mask is an evaluation of its own, and random masks match the found ones."""

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.selectors import matched_random
from tests.helpers.lm import lens
from tests.helpers.matrices import LETTERS
from tests.helpers.neurons import CULTURES, found_set
from tests.helpers.questions import toy_questions


@pytest.mark.slow
def test_each_mask_is_an_evaluation_of_its_own(real):
    model, found, questions = lens("llama"), found_set(), toy_questions()
    frame = real.frame
    assert list(frame.columns[:3]) == ["condition", "mask", "seed"]
    assert len(frame) == 16 * (1 + 4 + 2 * 4)

    def check(condition, mask, seed, neurons):
        part = frame[
            (frame["condition"] == condition) & (frame["mask"] == mask) & (frame["seed"] == seed)
        ]
        expected = evaluate(
            model, questions, neurons, scoring="letter_options", batch_size=8, progress=False
        ).frame
        assert part["id"].tolist() == expected["id"].tolist()
        assert part["prediction"].tolist() == expected["prediction"].tolist()
        assert part["p_gold"].tolist() == expected["p_gold"].tolist()
        return tuple(part["prediction"])

    seen = {check("unmodified", "", 0, None)}
    for culture in CULTURES:
        seen.add(check("found", culture, 0, found[culture]))
        for seed in range(2):
            seen.add(check("random", culture, seed, matched_random(found, seed)[culture]))
    assert len(seen) > 6


@pytest.mark.slow
def test_random_masks_have_the_numbers_of_every_layer(monkeypatch):
    found, seen = found_set(), []
    from culture_lens.evaluation import evaluate as module

    answering = module.Answering

    def note(way, masks, value, running):
        seen.extend(masks)
        return answering(way, masks, value, running)

    monkeypatch.setattr(module, "Answering", note)
    ablation_matrix(lens("llama"), found, toy_questions(topics=1), random_seeds=3, **LETTERS)
    random = [(label.split()[1], n) for label, n in seen if label.startswith("random")]
    assert len(random) == 12
    for culture, neurons in random:
        own = found[culture].per_layer("act", 3).tolist()
        assert neurons.per_layer("act", 3).tolist() == own
        assert neurons != found[culture]
    assert len({frozenset(n.members()) for _, n in random}) == 12


@pytest.mark.slow
def test_random_masks_of_the_same_activity():
    """The masks are those of ``matched_random``, given the same summary and model."""
    model, found = lens("llama"), found_set()
    few = {c: Neurons.of({"act": [tuple(p) for p in found[c].places["act"][:6].tolist()]})
           for c in found}  # fmt: skip
    found = NeuronSet(few, found.shapes, found.metadata)
    summary = summarise(model, toy_questions(), progress=False)
    matched = {"random_match": "activity", "random_summary": summary}
    matrix = ablation_matrix(model, found, toy_questions(), random_seeds=1, **matched, **LETTERS)
    drawn = matched_random(found, 0, match="activity", summary=summary, model=model)
    for culture in ("France", "Japan"):
        alone = evaluate(model, toy_questions(), drawn[culture], **LETTERS).frame
        part = matrix.frame[
            (matrix.frame["condition"] == "random") & (matrix.frame["mask"] == culture)
        ]
        assert part["p_gold"].tolist() == pytest.approx(alone["p_gold"].tolist(), rel=1e-5)
    with pytest.raises(InputError, match="summary"):
        ablation_matrix(model, found, toy_questions(), random_match="activity", **LETTERS)


def test_what_cannot_be_ablated_is_refused_before_anything_is_asked(idle):
    for value, words in (("halve", "halve"), ("mean", "mean")):
        with pytest.raises(InputError, match=words):
            ablation_matrix(idle, found_set(), toy_questions(), value=value, **LETTERS)


@pytest.mark.slow
def test_metadata(real):
    metadata = real.metadata
    assert metadata["selector"] == "conact" and metadata["model"] == "tiny-llama"
    assert metadata["items"] == 16 and metadata["left_out"] == 0 and metadata["seen"] is False
    assert metadata["neurons"] == {c: 40 for c in CULTURES} and metadata["random_seeds"] == 2


def test_neurons_of_another_model():
    with pytest.raises(InputError, match="found on 'tiny-llama', not on 'tiny-qwen2'"):
        ablation_matrix(lens("qwen2"), found_set(), toy_questions(), **LETTERS)


@pytest.mark.slow
def test_a_matrix_of_other_names_has_its_diagonal():
    """It is the matrix of the same neurons under the questions' names, random neurons too."""
    names = {"Ethiopia": "ETH", "France": "france", "Mexico": "West_Java"}
    found = found_set().renamed(names)
    options = {"progress": False, "scoring": "letter_options", "batch_size": 8, "random_seeds": 1}
    with pytest.warns(CultureLensWarning) as said:
        matrix = ablation_matrix(lens("llama"), found, toy_questions(), **options)
    assert sum(str(w.message).count("is taken for") for w in said) == 2
    assert matrix.masks == ("Ethiopia", "France", "Japan", "West_Java")
    assert list(matrix.summary().index) == ["Ethiopia", "France", "Japan"]
    by_hand = found_set().renamed({"Mexico": "West_Java"})
    alone = ablation_matrix(lens("llama"), by_hand, toy_questions(), **options)
    pd.testing.assert_frame_equal(matrix.frame, alone.frame)
    assert matrix.metadata["neurons"] == alone.metadata["neurons"]
    own = [matrix.cell(c, c).value for c in ("Ethiopia", "France", "Japan")]
    assert (matrix.metrics()["self"].values == own).all() and np.isfinite(own).all()
