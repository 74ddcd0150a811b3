"""Each selector chooses from its own source, and says which when it is given another."""

import warnings

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.selectors import get_selector, plan, select
from culture_lens.selectors.ranking import RANKINGS, Sources, rank
from culture_lens.selectors.registry import reads
from culture_lens.selectors.selection import check_fits
from tests.helpers.culnig import as_culnig, drawn, members
from tests.helpers.known import known
from tests.helpers.summaries import summary_of_counts

TOLD = {
    "conact": "an ActivationSummary; see summarise",
    "culnig_specific": "CulnigScores; see culnig_scores",
    "knowledge": "KnowledgeScores; see knowledge_scores",
}


@pytest.fixture(scope="module")
def sources():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        return {
            "conact": summary_of_counts(),
            "culnig_specific": as_culnig(drawn(0), 20),
            "knowledge": known(),
        }


@pytest.mark.parametrize("method", TOLD)
@pytest.mark.parametrize("given", TOLD)
def test_the_wrong_source_is_refused_by_the_name_of_the_right_one(sources, method, given):
    options = {} if method == "culnig_specific" else {"k": 1}
    if method == given:
        assert len(select(sources[given], method, **options).cultures) >= 2
        return
    with pytest.raises(InputError, match=f"'{method}' chooses from {TOLD[method]}"):
        select(sources[given], method, **options)


@pytest.mark.parametrize("method", ["lape", "random", "culnig_general"])
def test_others_of_a_kind_are_told_likewise(sources, method):
    with pytest.raises(InputError, match="chooses from"):
        select(sources["knowledge"], method)


def test_what_each_selector_reads():
    assert {name: reads(name) for name in TOLD} == dict(
        zip(TOLD, ("activations", "culnig", "knowledge"), strict=True)
    )
    assert get_selector("Knowledge") is get_selector("knowledge")


@pytest.mark.parametrize("name", ["knowledge", "gradient", "conact"])
def test_a_ranking_without_its_source_says_so(name):
    told = {"knowledge": "KnowledgeScores", "gradient": "CulnigScores", "conact": "Activation"}
    with pytest.raises(InputError, match=told[name]):
        rank(name, Sources())


def test_the_ranking_orders_as_the_selector_chooses(sources):
    ranked = rank("knowledge", Sources(knowledge=sources["knowledge"]))
    chosen = select(sources["knowledge"], "knowledge", k=2)
    assert "knowledge" in RANKINGS
    assert {c: set(ranked.top(k=2)[c].members()) for c in chosen} == {
        c: set(found) for c, found in members(chosen).items()
    }


@pytest.mark.parametrize("options", [{"country_weight": -0.1}, {"country_weight": float("nan")}])
def test_a_weight_below_0_is_refused_by_the_plan(options):
    with pytest.raises(InputError, match="country_weight"):
        plan("knowledge", options=options)


def test_the_number_of_candidates_of_a_rate_is_not_checked_against_a_share():
    check_fits(plan("knowledge", fdr=0.05), {"act": (1, 10)})
    with pytest.raises(InputError, match="0 of 10 neurons"):
        check_fits(plan("knowledge"), {"act": (1, 10)})


def test_culnig_has_no_rate():
    with pytest.raises(InputError, match="no false discovery rate"):
        plan("culnig_specific", fdr=0.05)
