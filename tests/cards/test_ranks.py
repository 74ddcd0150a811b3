"""Ranks by hand, and which tables come of which scores."""

import pytest
import torch

from culture_lens.cards.choices import among_the_first, chosen_again, chosen_by
from culture_lens.cards.ranks import ranks_of, tables_of
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.selectors.selection import select
from tests.helpers.known import known
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET, quiet
from tests.helpers.questions import toy_questions
from tests.helpers.summaries import summary_of_counts

TABLE = NeuronScores(
    ("Japan", "Peru"),
    {
        "act": torch.tensor([[[0.1, 0.5], [0.5, NEVER]], [[1.0, 2.0], [3.0, 4.0]]]).double(),
        "q": torch.tensor([[[0.9]], [[0.0]]]).double(),
    },
    metadata={"selector": "mine"},
)


def test_ranks_are_over_all_sites_and_ties_share_the_best():
    (found,) = ranks_of(tables_of(TABLE), ("act", 0, 1), ["Japan"])
    assert (found.table, found.rank, found.of, found.neurons) == ("mine", 2, 4, 5)
    assert ranks_of(tables_of(TABLE), ("act", 1, 0), ["Japan"])[0].rank == 2
    assert found.percentile == pytest.approx(60)
    (never,) = ranks_of(tables_of(TABLE), ("act", 1, 1), ["Japan"])
    assert (never.rank, never.percentile) == (0, 0.0)


def test_a_neuron_is_found_before_its_activation_function_too():
    (found,) = ranks_of({"gradient": TABLE}, ("gate", 1, 0), ["Peru"])
    assert (found.table, found.rank) == ("gradient (act)", 2)
    assert ranks_of({"gradient": TABLE}, ("up", 1, 0), ["Peru"]) == ()
    assert ranks_of({"gradient": TABLE}, ("act", 1, 0), ["Chad"]) == ()


def test_kinds_of_scores_give_their_tables():
    of_activations = {"conact", "lap", "lape", "mad", "mad_probability"}
    assert set(tables_of(summary_of_counts())) == of_activations
    assert set(tables_of(known())) == {"knowledge", "CountryRC (contributions)"}
    assert set(tables_of([summary_of_counts(), TABLE])) == of_activations | {"mine"}
    assert set(tables_of({"a": TABLE})) == {"a"} and tables_of(None) == {}
    for wrong in (3, "conact", [3], {"a": 3}):
        with pytest.raises(InputError, match="NeuronScores"):
            tables_of(wrong)


def test_who_chose_it():
    found = NeuronSet(
        {
            "Japan": Neurons({"act": torch.tensor([[0, 1]])}, {"act": torch.tensor([0.7])}),
            "Peru": Neurons.of({"act": [(0, 0), (0, 1)]}),
        },
        {"act": (2, 2)},
    )
    (one, two) = chosen_by({"mine": found}, ("act", 0, 1), {("mine", "Peru", ("act", 0, 1)): 3}, 20)
    assert (one.culture, one.again) == ("Japan", None) and one.score == pytest.approx(0.7)
    assert (two.culture, two.again, two.samples, two.score) == ("Peru", 3, 20, None)
    assert chosen_by({"mine": found}, ("act", 1, 1), {}, 0) == ()


def test_without_sets_the_default_share_of_tables_says_who_would_choose_it():
    values = torch.zeros(1, 1, 400).double()
    values[0, 0, 7] = 1.0
    values[0, 0, 8] = 0.5
    values[0, 0, 9] = 0.4
    table = NeuronScores(("Japan",), {"act": values})
    named = {"conact": table, "CountryRC": table}
    assert [one.selector for one in among_the_first(named, ("act", 0, 8))] == ["conact, top 0.5%"]
    assert among_the_first(named, ("act", 0, 9)) == ()


@quiet
def test_bootstrap_samples_that_choose_it_again():
    from culture_lens.evaluation.summarise import summarise
    from culture_lens.selectors.frequency import selection_frequency

    summary = summarise(lens("llama"), toy_questions(), replicates=6, **QUIET)
    found = select(summary, "conact", k=4)
    counts, samples = chosen_again({"conact": found}, [summary])
    assert samples == 6 and len(counts) == 16
    table = selection_frequency(summary, found)
    assert sum(counts.values()) == pytest.approx(table["frequency"].sum() * 6)
    assert chosen_again({"conact": found}, None) == ({}, 0)
