"""A result names the neurons that it was made with, and is told from one of other neurons."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.experiments.ablation_fidelity import matrix_fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.belonging import NEURON_SET, is_of
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions
from tests.helpers.results import make_matrix, make_predicted

JAPAN, PERU = Neurons.of({"act": [(0, 1), (1, 3)]}), Neurons.of({"act": [(0, 2)], "gate": []})
SHAPES = {"act": (2, 8), "gate": (2, 8)}


def neuron_set(**changes):
    return NeuronSet({"Japan": JAPAN, "Peru": PERU, **changes}, SHAPES, {"model": "m"})


def with_means(values):
    return Neurons(places=JAPAN.places, means={"act": torch.tensor(values)})


def test_the_content_is_that_of_neurons_and_means(tmp_path):
    first = neuron_set()
    assert NeuronSet.load(first.save(tmp_path / "x.safetensors")).content == first.content
    turned = NeuronSet({"Peru": PERU, "Japan": JAPAN}, SHAPES, {"model": "other", "k": 3})
    assert turned.content == first.content
    scored = Neurons(places=JAPAN.places, scores={"act": torch.tensor([0.5, 0.25])})
    assert neuron_set(Japan=scored).content == first.content
    others = [
        neuron_set(Japan=Neurons.of({"act": [(0, 1)]})),
        neuron_set(Japan=PERU, Peru=JAPAN),  # labels changed places
        neuron_set(Japan=Neurons.of({"gate": [(0, 1), (1, 3)]})),
        neuron_set(Italy=PERU),
        neuron_set(Japan=with_means([0.5, 1.0])),
        neuron_set(Japan=with_means([0.5, 2.0])),
    ]
    assert len({first.content, *(other.content for other in others)}) == 1 + len(others)


def test_matrices_name_the_set_that_was_given():
    """Also where its cultures are called otherwise in the questions."""
    model, asked = lens("llama"), toy_questions()
    found = NeuronSet(
        {"Japan": JAPAN, "French": PERU}, {"act": model.shape("act"), "gate": model.shape("gate")}
    )
    options = {"seen": True, "progress": False}
    measured = ablation_matrix(model, found, asked, random_seeds=0, scoring="letter", **options)
    predicted = predicted_ablation_matrix(model, found, asked, **options)
    for result in (measured, predicted):
        assert result.metadata[NEURON_SET] == found.content
        assert result.metadata["weights"] == model.fingerprint
        assert is_of(result.metadata, found)
        assert not is_of(result.metadata, found.renamed({"French": "France"}))


@pytest.mark.parametrize(
    ("metadata", "held"),
    [
        ({}, True),
        ({"model": "m", "k": 3, "neurons": {"Japan": 2, "Pérou": 1}}, True),
        ({"model": "m", "k": 5}, False),
        ({"model": "n"}, False),
        ({"selector": "lape"}, False),
        ({"neurons": {"Japan": 2, "Peru": 2}}, False),
    ],
)
def test_a_matrix_of_version_0_1_0_is_told_by_what_it_recorded(metadata, held):
    found = NeuronSet(neuron_set().neurons, SHAPES, {"model": "m", "selector": "conact", "k": 3})
    assert is_of(metadata, found) == held


def test_prediction_and_matrix_of_other_neurons_are_not_compared():
    """As many neurons of the same model: only the content tells them apart."""
    matrix = make_matrix(scoring="letter", neurons=dict.fromkeys(("a",), 5))
    predicted = make_predicted(matrix)
    predicted.metadata["neurons"] = matrix.metadata["neurons"]
    one = type(matrix)(matrix.frame, {**matrix.metadata, NEURON_SET: "1"})
    other = type(predicted)(predicted.frame, {**predicted.metadata, NEURON_SET: "2"})
    assert len(matrix_fidelity(predicted, one).frame)
    with pytest.raises(InputError, match="are of other neurons, though of as many"):
        matrix_fidelity(other, one)
