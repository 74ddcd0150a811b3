"""Variants that organisms are scored with: what is discovered, and what is weighed by strata."""

import numpy as np
import pytest

from culture_lens.activations.resampling import make_design
from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import make_world
from culture_lens.errors import InputError
from culture_lens.organism.variants import DISCOVERIES, STRATUM, discoveries, within_strata
from culture_lens.questions.strata import strata_of
from culture_lens.selectors import select
from culture_lens.selectors.ranking import Sources, get_ranking, in_order
from tests.helpers.simulated import CULTURES, TOKENS, counts_of, questions_of, summary_of

NEURONS = 300
NAMES = ["conact", "lape", "mad"]


def drawn(seed, **options):
    """Summarise a simulated pass; ``options`` say what there is to find."""
    questions = questions_of(24)
    counts = counts_of(questions, NEURONS, seed, **options)
    return summary_of(questions, counts, seed=seed, magnitudes=True)


@pytest.fixture(scope="module")
def planted():
    """Forty neurons of 300 fire more for one culture."""
    effect = np.zeros((len(CULTURES), NEURONS))
    for neuron in range(40):
        effect[neuron % len(CULTURES), neuron] = 2.0
    return drawn(1, effect=effect)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_discovered_has_a_place_and_nothing_else(planted, name):
    found = select(planted, name, fdr=0.05)
    table = discoveries(name)(Sources(planted))
    assert table.cultures == CULTURES and sum(len(found[c]) for c in found) >= 10
    whole = get_ranking(name)(Sources(planted))
    for culture in CULTURES:
        order, own = in_order(table, culture), found[culture].members()
        assert set(order) == own
        # In the order in which the selector itself would take them.
        assert order == [place for place in in_order(whole, culture) if place in own]


@pytest.mark.parametrize("name", NAMES)
def test_where_cultures_do_not_differ_nothing_has_a_place(name):
    table = discoveries(name)(Sources(drawn(2)))
    assert [in_order(table, culture) for culture in CULTURES] == [[]] * len(CULTURES)
    assert len(in_order(get_ranking("mad")(Sources(drawn(2))), "Iran")) == NEURONS


def test_without_permutations_nothing_can_be_discovered():
    questions = questions_of(6)
    summary = summary_of(questions, counts_of(questions, 20, 0), seed=0, permutations=5)
    with pytest.raises(InputError, match="at least 19 permutations"):
        DISCOVERIES["conact_fdr"](Sources(summary))


def test_strata_take_away_what_a_category_explains():
    """Three in four questions of Brazil are on food, one in four of the others; by hand."""
    questions = questions_of(
        24, category=lambda number, at: "food" if number % 4 < (1, 3)[at == 0] else "sport"
    )
    counts = np.zeros((len(questions), 20), dtype=np.int64)
    counts[[q.category == "food" for q in questions], 7] = TOKENS
    counts[[q.culture == "Iran" for q in questions], 3] = TOKENS
    plain = summary_of(questions, counts)
    weighed = summary_of(questions, counts, strata=strata_of(questions, "category"))
    unweighed = get_ranking("conact")(Sources(plain))
    assert in_order(unweighed, "Brazil") == [("act", 0, 7)]
    assert unweighed.scores["act"][0, 0, 7] == 3 / 4 - 1 / 4
    within = within_strata(Sources(plain, stratified=weighed)).scores["act"]
    assert within[:, 0, 7].amax() < 1e-12
    assert within[CULTURES.index("Iran"), 0, 3] == pytest.approx(1.0)


@pytest.mark.slow
def test_only_what_is_drawn_by_chance_can_be_weighed_on_an_organism():
    questions = organism_questions(make_world(0), split="identify", pictures=2, seed=1)
    for balanced in ("object", "category", "kind", "part"):
        weights = make_design(questions, strata=strata_of(questions, balanced)).weight
        assert (weights == 1).all()
    weights = make_design(questions, strata=strata_of(questions, STRATUM)).weight
    assert (weights > 0).all() and (weights != 1).any()
