"""Rankings choose what their selectors choose, at any number."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.organism.variants import SCORED
from culture_lens.selectors import SELECTORS
from culture_lens.selectors.culnig_general import culnig_general
from culture_lens.selectors.culnig_specific import culnig_specific
from culture_lens.selectors.ranking import RANKINGS, Sources, first, get_ranking, in_order
from tests.helpers.culnig import CULTURES, NAMED, as_culnig, drawn
from tests.helpers.summaries import summary_of_counts


def scores_of_drawn(seed):
    return as_culnig(drawn(seed), 7)


COUNTS = {
    "x": [90, 50, 20, 0, 11, 30, 2, 64],
    "y": [80, 50, 10, 0, 70, 31, 3, 9],
    "z": [10, 50, 60, 0, 12, 5, 99, 8],
}


@pytest.mark.parametrize("name", ["lap", "mad", "mad_probability", "conact", "random"])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_first_of_a_ranking_are_those_a_selector_chooses(name, k):
    summary = summary_of_counts(COUNTS, total=100)
    table, chosen = get_ranking(name)(Sources(summary)), SELECTORS[name](summary).top(k=k)
    for culture in summary.cultures:
        assert first(table, culture, k) == chosen[culture]


def test_lape_keeps_to_its_filter_and_membership():
    summary = summary_of_counts(COUNTS, total=100)
    found, table = SELECTORS["lape"](summary), get_ranking("lape")(Sources(summary))
    for culture in summary.cultures:
        assert set(in_order(table, culture)) == found.top(k=8)[culture].members()
        assert len(in_order(table, culture)) < 8


@pytest.mark.parametrize("seed", range(3))
def test_culnig_takes_the_first_of_its_ranking(seed):
    """What a share chooses is what comes first; the rest of the share has no place."""
    scores = scores_of_drawn(seed)
    gate = ("gate",)
    whole = get_ranking("culnig_all_projections")(Sources(scores=scores))
    every = culnig_specific(scores, share=0.02)
    for culture in NAMED:
        chosen = every[culture]
        assert len(chosen) and first(whole, culture, len(chosen)) == chosen
    general = culnig_general(scores, mlp_share=0.05)["general"].members()
    table = get_ranking("culnig_general")(Sources(scores=scores))
    mine = {member for member in general if member[0] in gate}
    for culture in CULTURES:
        assert first(table, culture, len(mine)).members() == mine


def test_without_a_part_more_neurons_are_ranked():
    scores = scores_of_drawn(0)

    def size(name):
        return len(in_order(get_ranking(name)(Sources(scores=scores)), "Japan"))

    n = scores.task.scores["gate"][0].numel()
    refused = int(0.01 * n)
    assert size("gradient") == size("gradient_contrast") == n
    assert size("culnig_no_z") == n - refused
    assert n > size("culnig_no_countryrc") > size("culnig_specific")
    assert size("culnig_no_countryrc") - size("culnig_specific") <= refused


def test_a_contrast_of_gradients_by_hand():
    task = scores_of_drawn(1).task.scores["gate"]
    table = get_ranking("gradient_contrast")(Sources(scores=scores_of_drawn(1)))
    others = torch.stack([task[i] for i in (0, 1, 2)]).mean(0)
    torch.testing.assert_close(table.scores["gate"][3], task[3] - others)


def test_neurons_without_a_place_are_not_taken():
    table = NeuronScores(("a",), {"act": torch.tensor([[[1.0, NEVER, 2.0, NEVER]]])})
    assert in_order(table, "a") == [("act", 0, 2), ("act", 0, 0)]
    assert len(first(table, "a", 4)) == 2


def test_bad_input():
    with pytest.raises(InputError, match="unknown ranking 'best'"):
        get_ranking("best")
    with pytest.raises(InputError, match="unknown culture 'q'"):
        in_order(get_ranking("lap")(Sources(summary_of_counts(COUNTS, total=100))), "q")
    for name in SCORED:
        with pytest.raises(InputError, match="ActivationSummary|(Culnig|Knowledge|Neuron)Scores"):
            get_ranking(name, SCORED)(Sources())


def test_what_only_organisms_are_scored_with_is_no_ranking():
    assert SCORED.keys() > RANKINGS.keys()
    for name in SCORED.keys() - RANKINGS.keys():
        with pytest.raises(InputError, match=f"unknown ranking '{name}'"):
            get_ranking(name)
    assert get_ranking("Conact-FDR", SCORED) is SCORED["conact_fdr"]
