"""Names of one culture: those of the benchmarks are matched, nothing else is, and it is said."""

from collections import Counter

import pytest
from babel import Locale

from culture_lens import same_culture
from culture_lens.questions.culture_names import counterparts, meaning, spelt, territory
from tests.helpers.culture_names import BLEND, CULTURALBENCH, NORMAD, REGIONS
from tests.helpers.processes import imported_by


def test_blend_in_culturalbench():
    assert (len(BLEND), len(CULTURALBENCH), len(NORMAD)) == (16, 45, 75)
    assert set(BLEND) & set(CULTURALBENCH) == {"China", "Indonesia", "Iran", "Mexico", "Spain"}
    expected = {"South_Korea": "South Korea", "UK": "United Kingdom", "US": "United States"}
    assert counterparts(BLEND, CULTURALBENCH) == expected
    assert counterparts(CULTURALBENCH, BLEND) == {b: a for a, b in expected.items()}


def test_blend_in_normad():
    alike = ["China", "Ethiopia", "Greece", "Indonesia", "Iran", "Mexico", "South_Korea", "Spain"]
    expected = {name: name.lower() for name in alike}
    expected |= {"UK": "united_kingdom", "US": "united_states_of_america"}
    assert counterparts(BLEND, NORMAD) == expected
    assert counterparts(NORMAD, BLEND) == {b: a for a, b in expected.items()}


def test_culturalbench_in_normad():
    expected = {name: name.lower().replace(" ", "_") for name in CULTURALBENCH}
    for lacking in ("Czech Republic", "Morocco", "Nigeria"):
        del expected[lacking]
    expected |= {"Turkey": "türkiye", "United States": "united_states_of_america"}
    assert len(expected) == 42
    assert counterparts(CULTURALBENCH, NORMAD) == expected


@pytest.mark.parametrize("names", [BLEND, CULTURALBENCH, NORMAD])
def test_every_country_is_known_and_no_two_of_a_benchmark_are_one(names):
    assert {name for name in names if territory(name) is None} == REGIONS & set(names)
    assert len({meaning(name) for name in names}) == len(names)
    assert counterparts(names, names) == {}


def test_no_two_territories_are_spelt_alike():
    names = Locale("en").territories.values()
    assert [n for n, count in Counter(map(spelt, names)).items() if count > 1] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("UK", "GBR"),
        ("U.S.A.", "United States of America"),
        ("KOR", "Republic of Korea"),
        ("TUR", "Türkiye"),
        ("Czechia", "Czech Republic"),
        ("HKG", "Hong Kong SAR"),
        ("Burma", "myanmar"),
        ("The Netherlands", "netherlands"),
        ("Côte d’Ivoire", "ivory_coast"),
        ("Bosnia & Herzegovina", "bosnia_and_herzegovina"),
        ("TL", "East Timor"),
        ("West_Java", "west java"),
        ("South_Korea (Korean)", "South Korea"),
        ("('Korean', 'South_Korea')", "South Korea (Korean)"),
        ("Mexico (Spanish)", "MEX"),
        ("India (Tamil)", "('Tamil', 'India')"),
    ],
)
def test_one_culture(one, other):
    assert same_culture(one, other) and same_culture(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("West_Java", "Indonesia"),
        ("Northern_Nigeria", "Nigeria"),
        ("Assam", "India"),
        ("North_Korea", "South_Korea"),
        ("Korea", "South Korea"),
        ("Sudan", "South Sudan"),
        ("Samoa", "American Samoa"),
        ("Niger", "Nigeria"),
        ("Hong Kong", "China"),
        ("Taiwan", "China"),
        ("ar", "Argentina"),  # a language in small letters
        ("SU", "Russia"),  # now fifteen countries
        ("India (Tamil)", "India (Hindi)"),
        ("Spain (Spanish)", "Mexico (Spanish)"),
        ("France (Breton)", "France"),
        ("Indonesia (Javanese)", "Indonesia"),
        ("Nigeria (Igbo)", "Nigeria"),
        ("-", "_"),
    ],
)
def test_two_cultures(one, other):
    assert not same_culture(one, other) and not same_culture(other, one)


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        # a name that is there wins, and nothing else takes it
        (["UK", "United Kingdom"], ["United Kingdom"], {}),
        (["UK"], ["United Kingdom", "UK"], {}),
        # two of one culture on either side
        (["UK", "GBR"], ["United Kingdom"], {}),
        (["United Kingdom"], ["UK", "GBR"], {}),
        (["UK", "UK"], ["United Kingdom"], {"UK": "United Kingdom"}),
        # a country and its only pair, or several
        (["India"], ["India (Hindi)"], {"India": "India (Hindi)"}),
        (["India"], ["India (Hindi)", "India (Tamil)"], {}),
        (["India (Hindi)", "India (Tamil)"], ["India"], {}),
        (["India (Hindi)", "India (Urdu)"], ["IND (Hindi)"], {"India (Hindi)": "IND (Hindi)"}),
        (["India (Hindi)", "India"], ["India"], {}),
    ],
)
def test_ambiguity_is_refused(names, known, expected):
    assert counterparts(names, known) == expected


def test_importing_it_leaves_babel_out():
    assert imported_by("import culture_lens.questions.culture_names", "babel", "torch") == []
