"""Which neurons the page lists, in which order, and who chose them."""

import torch

from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.report.neuron_list import MOST, list_neurons, listing
from culture_lens.storage.runs import Run


def found(scores):
    """One culture per entry: its neurons (0, i), with these scores."""
    neurons = {
        culture: Neurons(
            {"act": torch.tensor([(0, i) for i in range(len(held))])}, {"act": torch.tensor(held)}
        )
        for culture, held in scores.items()
    }
    return NeuronSet(neurons, {"act": (1, 64)})


def test_the_best_of_every_culture_with_all_who_chose_them():
    one = found({"Iran": [0.1, 0.9, 0.5], "Japan": [0.2, 0.1]})
    listed = list_neurons({"conact": one, "lape": found({"Iran": [3.0]})})
    # Ranks of conact: Iran 1, 2, 0; Japan 0, 1. Of lape: Iran 0. First come the
    # first ranks, Iran's before Japan's.
    assert [neuron.place[2] for neuron in listed] == [1, 0, 2]
    assert [(c.selector, c.culture, c.rank, c.of) for c in listed[1].choices] == [
        ("conact", "Japan", 1, 2),
        ("lape", "Iran", 1, 1),
        ("conact", "Iran", 3, 3),
    ]
    assert listed[0].cultures == ("Iran", "Japan")
    assert listed[2].name == "act, layer 0, neuron 2"


def test_at_most_twenty_of_a_culture_ties_by_place():
    listed = list_neurons({"conact": found({"Iran": [1.0] * 30})})
    assert [neuron.place[2] for neuron in listed] == list(range(MOST))
    assert MOST == 20


def test_a_neuron_beyond_the_first_is_named_where_another_lists_it():
    many = {"Iran": [float(i) for i in range(30)], "Japan": [1.0]}
    listed = {n.place[2]: n for n in list_neurons({"conact": found(many)})}
    assert [(c.culture, c.rank) for c in listed[0].choices] == [("Japan", 1), ("Iran", 30)]


def test_without_scores_there_are_no_ranks():
    bare = NeuronSet({"Iran": Neurons.of({"act": [(0, 1)]})}, {"act": (1, 4)})
    (neuron,) = list_neurons({"planted": bare})
    assert (neuron.choices[0].rank, neuron.choices[0].score) == (None, None)


def test_neurons_with_a_card_are_listed_whoever_chose_them():
    many = found({"Iran": [float(i) for i in range(30)]})
    listed = list_neurons({"conact": many}, also=[("act", 0, 0), ("act", 0, 63), ("act", 0, 29)])
    assert [neuron.place[2] for neuron in listed] == [*range(29, 9, -1), 0, 63]
    assert [neuron.best.rank for neuron in listed[:-1]] == [*range(1, 21), 30]
    assert listed[-1].best is None and listed[-1].cultures == ()


def test_frequencies_are_of_their_culture():
    often = {"conact": {("Iran", ("act", 0, 0)): 0.25}}
    (neuron,) = list_neurons({"conact": found({"Iran": [1.0], "Japan": [1.0]})}, often)
    assert [c.frequency for c in neuron.choices] == [0.25, None]


def test_the_page_gets_text_and_what_it_is_filtered_by(tmp_path):
    one = found({"Iran": [0.5], "Japan": [-0.25]})
    shown = listing(Run.open(tmp_path), {"conact": (one, None), "mad": (None, None)})
    assert (shown["selectors"], shown["cultures"], shown["layers"]) == (
        ["conact"], ["Iran", "Japan"], [0],
    )  # fmt: skip
    (neuron,) = shown["neurons"]
    assert neuron["who"] == "0:0 0:1" and neuron["best"] == "conact, rank 1 of 1"
    assert [choice["score"] for choice in neuron["choices"]] == ["0.5", "−0.25"]
    assert neuron["choices"][0]["frequency"] == "–"
