"""Rankings held against the truth of an organism, by hand."""

import math

import pytest

from culture_lens.neurons.neurons import Neurons
from culture_lens.organism.scores_against_truth import (
    at_activations,
    average_precision,
    held_against,
)
from culture_lens.organism.truth import Planted, Truth

TRUTH = Truth(
    seed=0,
    shuffled=False,
    layers=(1,),
    blocks=(
        Planted("knowledge", ("Avaria",), (), (0, 1, 2)),
        Planted("negative", ("Avaria",), (), (3,)),
        Planted("rare", ("Avaria",), (), (4,)),
        Planted("kin", ("Avaria", "Borduna"), (), (5,)),
        Planted("knowledge", ("Borduna",), (), (6, 7)),
        Planted("recognition", ("Avaria",), (), (8, 9)),
        Planted("style", ("Avaria",), (), (10, 11)),
        Planted("style", ("Borduna",), (), (12,)),
    ),
)


def order(*indices, layer=1):
    return [("act", layer, index) for index in indices]


def test_a_ranking_is_held_against_the_truth_by_hand():
    ranked = order(0, 10, 6, 3, 8, 5, 1, 2, 4)
    found = held_against(TRUTH, "Avaria", ranked, [(1, 0), (1, 4)])
    # Six are sought, so the first six count: 0, 3 and 5 are hits.
    assert found["precision"] == 3 / 6 and found["effective_precision"] == 1 / 6
    assert found["effective_recall"] == 1 / 2
    assert found["average_precision"] == pytest.approx(
        (1 / 1 + 2 / 4 + 3 / 6 + 4 / 7 + 5 / 8 + 6 / 9) / 6
    )
    assert found["effective_average_precision"] == pytest.approx((1 + 2 / 9) / 2)
    assert found["recall_knowledge"] == 1 / 3 and found["recall_negative"] == 1
    assert found["recall_rare"] == 0 and found["recall_kin"] == 1
    assert found["decoys"] == 1 / 2 and found["recognition"] == 1 / 2
    assert found["other_cultures"] == 1 / 6


def test_a_ranking_is_held_against_the_truth_at_a_number_of_its_own():
    ranked = order(0, 10, 6, 3, 8, 5, 1, 2, 4)
    two = held_against(TRUTH, "Avaria", ranked, [(1, 0), (1, 4)], 2)
    assert two["precision"] == 1 / 2 and two["recall"] == 1 / 6
    assert two["effective_precision"] == 1 / 2 and two["decoys"] == 1 / 2
    assert two["recognition"] == two["other_cultures"] == 0
    # More than the six planted: 0, 3, 5, 1, 2 and 4 of nine.
    nine = held_against(TRUTH, "Avaria", ranked, [(1, 0), (1, 4)], 9)
    assert nine["precision"] == 6 / 9 and nine["recall"] == nine["effective_recall"] == 1
    assert nine["other_cultures"] == 1 / 9
    assert nine["average_precision"] == two["average_precision"]


def test_where_nothing_is_taken_precision_and_recall_are_0():
    found = held_against(TRUTH, "Avaria", [], [(1, 0)], 0)
    assert set(found.values()) == {0.0}


def test_kinds_that_a_culture_does_not_have_are_not_scored():
    found = held_against(TRUTH, "Borduna", order(6), [])
    assert math.isnan(found["recall_rare"]) and found["recall_knowledge"] == 1 / 2
    assert found["precision"] == 1 and math.isnan(found["effective_recall"])


def test_a_neuron_of_another_layer_or_projection_is_no_hit():
    ranked = [("act", 2, 0), ("q", 1, 0), ("gate", 1, 0)]
    found = held_against(TRUTH, "Avaria", ranked, [])
    assert found["precision"] == 1 / 3 and average_precision(ranked, {(1, 0)}) == 1 / 3


def test_gates_are_ablated_where_activations_are():
    both = at_activations([("gate", 1, 3), ("q", 0, 2), ("act", 1, 4)])
    assert both == Neurons.of({"act": [(1, 3), (1, 4)], "q": [(0, 2)]})
