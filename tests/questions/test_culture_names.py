"""Names of one culture: those of the benchmarks are matched, nothing else is, and it is said."""

import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from babel import Locale

from culture_lens import align_cultures, same_culture
from culture_lens.attribution.culnig import CulnigScores, countryrc_for, culnig_scores
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.matrix import ablation_matrix
from culture_lens.experiments.transfer import same_labels
from culture_lens.neurons.neuron_set import Neurons, NeuronSet, renamed_tables
from culture_lens.questions.culture_names import counterparts, meaning, spelt, territory
from culture_lens.questions.question import Question
from culture_lens.selectors import select
from tests.attribution.test_culnig import as_culnig, as_scores, drawn, members
from tests.conftest import lens, toy_questions
from tests.experiments.test_matrix import found_set

BLEND = (
    "Algeria Assam Azerbaijan China Ethiopia Greece Indonesia Iran Mexico North_Korea "
    "Northern_Nigeria South_Korea Spain UK US West_Java"
).split()
CULTURALBENCH = (
    "Argentina,Australia,Bangladesh,Brazil,Canada,Chile,China,Czech Republic,Egypt,France,Germany,"
    "Hong Kong,India,Indonesia,Iran,Israel,Italy,Japan,Lebanon,Malaysia,Mexico,Morocco,Nepal,"
    "Netherlands,New Zealand,Nigeria,Pakistan,Peru,Philippines,Poland,Romania,Russia,Saudi Arabia,"
    "Singapore,South Africa,South Korea,Spain,Taiwan,Thailand,Turkey,Ukraine,United Kingdom,"
    "United States,Vietnam,Zimbabwe"
).split(",")
NORMAD = (
    "afghanistan argentina australia austria bangladesh bosnia_and_herzegovina brazil cambodia "
    "canada chile china colombia croatia cyprus egypt ethiopia fiji france germany greece "
    "hong_kong hungary india indonesia iran iraq ireland israel italy japan kenya laos lebanon "
    "malaysia malta mauritius mexico myanmar nepal netherlands new_zealand north_macedonia "
    "pakistan palestinian_territories papua_new_guinea peru philippines poland portugal romania "
    "russia samoa saudi_arabia serbia singapore somalia south_africa south_korea south_sudan spain "
    "sri_lanka sudan sweden syria taiwan thailand timor-leste tonga türkiye ukraine united_kingdom "
    "united_states_of_america venezuela vietnam zimbabwe"
).split()
REGIONS = {"Assam", "Northern_Nigeria", "West_Java"}


# ------------------------------------------------------------------ the benchmarks' names


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


# ------------------------------------------------------------------ what is one culture


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
    code = (
        "import sys, culture_lens.questions.culture_names; "
        "print('babel' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# ------------------------------------------------------------------ sets of neurons


def of(*names, **metadata):
    neurons = {name: Neurons.of({"act": [(0, i)]}) for i, name in enumerate(names)}
    return NeuronSet(neurons, {"act": (1, 48)}, metadata)


def asked(*cultures):
    return [Question(id=c, culture=c, text="?", options=("yes", "no"), answer=0) for c in cultures]


def test_renamed_keeps_order_neurons_and_tables_per_culture():
    found = of("UK", "Iran", right={"UK": 3, "Iran": 2}, selector="lape")
    other = found.renamed({"UK": "United Kingdom"})
    assert other.cultures == ("United Kingdom", "Iran")
    assert other["United Kingdom"] == found["UK"] and other["Iran"] == found["Iran"]
    assert other.metadata == {"right": {"United Kingdom": 3, "Iran": 2}, "selector": "lape"}
    assert found.cultures == ("UK", "Iran") and found.metadata["right"] == {"UK": 3, "Iran": 2}
    swapped = found.renamed({"UK": "Iran", "Iran": "UK"})
    assert swapped["Iran"] == found["UK"] and swapped["UK"] == found["Iran"]
    with pytest.raises(InputError, match="unknown culture 'Irak': did you mean 'Iran'"):
        found.renamed({"Irak": "Iraq"})
    with pytest.raises(InputError, match="'UK' and 'Iran' would both be called 'Iran'"):
        found.renamed({"UK": "Iran"})
    assert renamed_tables({"seeds": {"0": 1}}, {"UK": "x"}) == {"seeds": {"0": 1}}


def test_neurons_take_the_questions_names_and_it_is_said():
    found = of(*BLEND)
    with pytest.warns(CultureLensWarning) as said:
        other = align_cultures(found, asked(*CULTURALBENCH))
    assert len(said) == 1
    text = str(said[0].message)
    assert "'UK' is taken for 'United Kingdom'; 'US' is taken for 'United States'" in text
    assert "Nigeria" not in text and "Java" not in text and "Mexico" not in text
    changed = {a: b for a, b in zip(found, other, strict=True) if a != b}
    assert changed == counterparts(BLEND, CULTURALBENCH)
    assert list(other.neurons.values()) == list(found.neurons.values())


def test_what_could_be_several_is_said_and_left():
    with pytest.warns(CultureLensWarning, match="'UK' stays, though it may mean 'Britain'"):
        assert align_cultures(of("UK", "GBR"), asked("Britain")).cultures == ("UK", "GBR")


def test_nothing_is_said_where_names_agree_or_mean_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for names in (BLEND[:5], ["everyone", "planted 3", "West_Java"]):
            found = of(*names)
            assert align_cultures(found, asked(*BLEND[:5], "Indonesia")) is found


# ------------------------------------------------------------------ where it is used


def test_a_matrix_of_other_names_has_its_diagonal():
    """It is the matrix of the same neurons under the questions' names, random neurons too."""
    names = {"Ethiopia": "ETH", "France": "france", "Mexico": "West_Java"}
    found = found_set().renamed(names)
    options = {"progress": False, "scoring": "letter_options", "batch_size": 8, "random_seeds": 1}
    with pytest.warns(CultureLensWarning) as said:
        matrix = ablation_matrix(lens("llama"), found, toy_questions(), **options)
    assert [str(w.message).count("is taken for") for w in said] == [2]
    assert matrix.masks == ("Ethiopia", "France", "Japan", "West_Java")
    assert list(matrix.summary().index) == ["Ethiopia", "France", "Japan"]
    by_hand = found_set().renamed({"Mexico": "West_Java"})
    alone = ablation_matrix(lens("llama"), by_hand, toy_questions(), **options)
    pd.testing.assert_frame_equal(matrix.frame, alone.frame)
    assert matrix.metadata["neurons"] == alone.metadata["neurons"]
    own = [matrix.cell(c, c).value for c in ("Ethiopia", "France", "Japan")]
    assert (matrix.metrics()["self"][0] == own).all() and np.isfinite(own).all()


def test_benchmarks_of_other_names_have_cultures_in_common():
    benchmarks = {
        "blend": asked("South_Korea", "UK", "US", "West_Java", "Northern_Nigeria"),
        "culturalbench": asked("South Korea", "United Kingdom", "United States", "Nigeria"),
        "normad": asked("south_korea", "united_kingdom", "united_states_of_america", "indonesia"),
    }
    with pytest.warns(CultureLensWarning) as said:
        named = same_labels(benchmarks, {})
    assert [str(w.message).count("is taken for") for w in said] == [2, 3]
    assert "in benchmark 'normad': 'south korea' is taken for 'South Korea'" in str(said[1].message)
    for name, questions in named.items():
        assert [q.culture for q in questions] == ["South Korea", "UK", "US"]
        assert [q.id for q in questions] == [f"{name}/{q.id}" for q in benchmarks[name][:3]]
    with pytest.warns(CultureLensWarning):
        two = same_labels({k: benchmarks[k] for k in ("blend", "culturalbench")},
                          {"Northern_Nigeria": "Nigeria"})  # fmt: skip
    assert {q.culture for q in two["blend"]} == {"South Korea", "UK", "US", "Nigeria"}


def test_countryrc_scores_under_other_names_give_the_same_neurons():
    tables = drawn(0)
    same = as_culnig(tables, 4)
    codes = {"Brazil": "BRA", "Iran": "iran", "Japan": "JPN"}
    reading = as_scores(
        {codes[culture]: by_site for culture, by_site in tables[2].items()},
        ["a", "b"],
        control=False,
        right={"BRA": 1, "iran": 2, "JPN": 3},
    )
    with pytest.warns(CultureLensWarning, match="CountryRC's scores: 'BRA' is taken for 'Brazil'"):
        other = CulnigScores(same.task, same.control, reading)
    assert set(other.countryrc.cultures) == set(codes)
    assert other.countryrc.metadata["right"] == {"Brazil": 1, "Iran": 2, "Japan": 3}
    for method in ("culnig_general", "culnig_specific"):
        assert members(select(other, method)) == members(select(same, method))


@pytest.mark.parametrize(
    ("countries", "written"),
    [
        (["KOR", "US"], {"South Korea": "South Korea", "United States": "United States"}),
        (
            {"South_Korea": "Korea", "US": "the States"},
            {"South Korea": "Korea", "United States": "the States"},
        ),
    ],
)
def test_countryrc_asks_under_the_questions_names(countries, written):
    """No option is the right answer under another name."""
    task = asked("South Korea", "United States", "Iran", "Mexico", "Spain")
    with pytest.warns(CultureLensWarning, match="'US' is taken for 'United States'"):
        about = countryrc_for(task, countries)
    assert {q.culture: q.options[q.answer] for q in about} == written
    assert {option for q in about for option in q.options} == {
        *written.values(), "Iran", "Mexico", "Spain"
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*no more than guessing")
def test_countryrc_questions_under_other_names_are_scored():
    codes = {"Japan": "JPN", "Mexico": "MEX"}
    about = countryrc_for(toy_questions(1), list(codes))
    about = [replace(q, culture=codes[q.culture]) for q in about]
    with pytest.warns(CultureLensWarning, match="CountryRC's questions"):
        scores = culnig_scores(lens("llama"), toy_questions(1), countryrc=about, progress=False)
    assert set(scores.countryrc.cultures) == set(codes)
