"""CULNIG's selections equal those of the plain reference, neuron by neuron; end to end as well."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution.culnig import CulnigScores, culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.find import find_culture_neurons
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import embedded_path, load_model
from culture_lens.neurons.scores import NeuronScores
from culture_lens.questions.question import PromptFormat, Question
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from tests.attribution.test_gradients import (
    assert_equal_to,
    counting,
    exact,
    exact_raw,
    reference_items,
)
from tests.conftest import lens, needs_smollm2, toy_questions
from tests.helpers import reference_culnig as reference
from tests.helpers.places import DATA

CULTURES = ("Brazil", "China", "Iran", "Japan")
NAMED = ("Brazil", "Iran", "Japan")  # those that CountryRC asks about
SHAPES = {"gate": (3, 401), "q": (3, 203), "k": (3, 101), "v": (3, 101)}
BLEND = DATA / "blend"

pytestmark = pytest.mark.filterwarnings("ignore:.*no more than guessing")


# ------------------------------------------------------------------ scores drawn at random


def drawn(seed, *, cultures=CULTURES, named=NAMED, shapes=SHAPES, steps=0):
    """Task, control and CountryRC tables; with ``steps`` only that many values per unit: ties.

    Multiples of 1/steps of few digits: sums and means over four cultures are exact, so a tie is
    a tie whatever the order of addition. CountryRC goes along with the task, as it does in models.
    """
    source = np.random.default_rng(seed)

    def table(labels, base=None):
        return {
            culture: {
                site: source.standard_normal(shape) + (0 if base is None else base[site])
                for site, shape in shapes.items()
            }
            for culture in labels
        }

    shared = table(["all"])["all"]
    task, control = table(cultures, shared), table(cultures)
    countryrc = {
        culture: {site: task[culture][site] + source.standard_normal(shapes[site])
                  for site in shapes}
        for culture in named
    }  # fmt: skip
    tables = (task, clamped(control), countryrc)
    if steps:
        for one in tables:
            for by_site in one.values():
                for site, values in by_site.items():
                    by_site[site] = np.round(values * steps) / steps
    return tables


def clamped(per_culture):
    return {c: {s: np.maximum(v, 0) for s, v in table.items()} for c, table in per_culture.items()}


def as_scores(per_culture, ids, sites=reference.SITES, **facts):
    cultures = tuple(sorted(per_culture))
    tensors = {
        site: torch.stack([torch.from_numpy(per_culture[c][site].copy()) for c in cultures])
        for site in sites
    }
    return NeuronScores(cultures, tensors, metadata={"ids": list(ids), **facts})


def as_culnig(tables, n_ids, **options):
    task, control, countryrc = tables
    ids = [str(number) for number in range(n_ids)]
    return CulnigScores(
        task=as_scores(task, ids, control=False, **options),
        control=as_scores(control, ids, control=True, **options),
        countryrc=as_scores(countryrc, ["a", "b"], control=False, **options),
    )


def members(found):
    return {label: found[label].members() for label in found}


GENERAL_OPTIONS = [
    {},
    {"mlp_share": 0.05},
    {"mlp_share": 1.0},
    {"attention_share": 0.03},
    {"countryrc_mlp_share": 0.2},
    {"countryrc_attention_share": 0.2},
    {"mlp_share": 0.1, "attention_share": 0.1, "countryrc_mlp_share": 1.0},
]
SPECIFIC_OPTIONS = [
    {},
    {"share": 0.05},
    {"share": 1.0},
    {"countryrc_share": 0.1},
    {"countryrc_share": 1.0},
    {"z": -0.25},
    {"z": 1.5},
    {"share": 0.2, "countryrc_share": 0.05, "z": 0.0},
]


@pytest.mark.parametrize("options", GENERAL_OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_general_neurons_are_those_of_the_reference(seed, options):
    for n_ids, steps in ((7, 0), (8, 2), (1, 1)):
        tables = drawn(seed, steps=steps)
        found = select(as_culnig(tables, n_ids), "culnig_general", **options)
        expected = reference.culture_general(*tables, n_ids, n_ids, **options)
        assert members(found) == {"general": expected}, (n_ids, steps)


@pytest.mark.parametrize("options", SPECIFIC_OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_specific_neurons_are_those_of_the_reference(seed, options):
    for n_ids, steps in ((7, 0), (8, 2), (1, 1)):
        tables = drawn(seed, steps=steps)
        found = select(as_culnig(tables, n_ids), "culnig_specific", **options)
        expected = reference.culture_specific(*tables, n_ids, n_ids, NAMED, **options)
        assert members(found) == expected, (n_ids, steps)


def test_shares_move_general_neurons_one_family_at_a_time():
    """Each of the four shares is felt by its own family only."""
    tables = drawn(5)
    wide = {"mlp_share": 0.2, "attention_share": 0.2}
    before = reference.culture_general(*tables, 8, 8, **wide)
    for option, family in (
        ("mlp_share", ("gate",)),
        ("attention_share", ("q", "k", "v")),
        ("countryrc_mlp_share", ("gate",)),
        ("countryrc_attention_share", ("q", "k", "v")),
    ):
        options = {**wide, option: 0.07}
        found = members(select(as_culnig(tables, 8), "culnig_general", **options))["general"]
        changed = {site for site, _, _ in found ^ before}
        assert changed and changed <= set(family), option


def test_every_option_of_specific_neurons_is_felt():
    tables = drawn(5)
    before = members(select(as_culnig(tables, 8), "culnig_specific", share=0.1))
    for option in ({"share": 0.09}, {"countryrc_share": 0.03}, {"z": 0.7}, {"z": 0.3}):
        found = members(select(as_culnig(tables, 8), "culnig_specific", **{"share": 0.1, **option}))
        assert all(found[culture] != before[culture] for culture in NAMED), option


def test_places_of_country_neurons_stay_empty():
    tables = drawn(1)
    options = {"mlp_share": 0.1, "attention_share": 0.1}
    found = select(as_culnig(tables, 8), "culnig_general", **options)["general"]
    sizes = {
        "mlp": int(0.1 * 3 * 401),
        "attention": int(0.1 * 3 * (203 + 101 + 101)),
    }
    mlp = sum(site == "gate" for site, _, _ in found.members())
    assert 0 < mlp < sizes["mlp"] and 0 < len(found) - mlp < sizes["attention"]
    everyone = reference.culture_specific(*tables, 8, 8, NAMED, share=0.05, z=-99)
    found = select(as_culnig(tables, 8), "culnig_specific", share=0.05, z=-99.0)
    for culture in NAMED:
        assert len(found[culture]) == len(everyone[culture]) < int(0.05 * 3 * 806)


def test_leaving_country_neurons_in_and_any_z():
    """Ways to switch a step off that the paper does not have."""
    tables = drawn(2)
    scores = as_culnig(tables, 8)
    found = select(scores, "culnig_general", countryrc_mlp_share=0.0, countryrc_attention_share=0.0)
    total = reference.beyond_control(
        reference.over_cultures(tables[0], reference.SITES),
        reference.over_cultures(tables[1], reference.SITES), 8, 8,
    )  # fmt: skip
    best = reference.top(total, ("gate",), 0.01) + reference.top(total, ("q", "k", "v"), 0.002)
    assert members(found) == {"general": set(best)}
    found = select(scores, "culnig_specific", countryrc_share=0.0, z=None)
    for culture in NAMED:
        own = reference.beyond_control(tables[0][culture], tables[1][culture], 8, 8)
        assert found[culture].members() == set(reference.top(own, reference.SITES, 0.003))


def test_scores_of_the_chosen_are_task_minus_control_per_item():
    tables = drawn(3)
    specific = select(as_culnig(tables, 7), "culnig_specific", share=0.05)
    general = select(as_culnig(tables, 7), "culnig_general", mlp_share=0.05)
    for site in reference.SITES:
        for culture in NAMED:
            chosen = specific[culture]
            for place, score in zip(chosen.places[site], chosen.scores[site], strict=True):
                at = tuple(place.tolist())
                expected = (tables[0][culture][site][at] - tables[1][culture][site][at]) / 7
                assert score.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)
        chosen = general["general"]
        for place, score in zip(chosen.places[site], chosen.scores[site], strict=True):
            at = tuple(place.tolist())
            expected = sum(tables[0][c][site][at] - tables[1][c][site][at] for c in CULTURES) / 7
            assert score.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_items_count_once_whatever_the_culture():
    """Divided by the number of all ids: twice the ids of both, half the scores, the same set."""
    tables = drawn(4)
    few = select(as_culnig(tables, 4), "culnig_specific", share=0.02)
    many = select(as_culnig(tables, 8), "culnig_specific", share=0.02)
    assert members(few) == members(many)
    for culture in NAMED:
        for site in reference.SITES:
            assert torch.equal(few[culture].scores[site], 2 * many[culture].scores[site])
    repeated = replace_metadata(as_culnig(tables, 4), ids=["0", "1", "2", "3", "3", "0"])
    again = select(repeated, "culnig_specific", share=0.02)
    assert torch.equal(again["Iran"].scores["gate"], few["Iran"].scores["gate"])


def replace_metadata(scores, **facts):
    def changed(one):
        return replace(one, metadata={**one.metadata, **facts})

    return CulnigScores(changed(scores.task), changed(scores.control), scores.countryrc)


# ------------------------------------------------------------------ z


def one_neuron(values, rest=-100.0):
    """Five cultures; neuron (gate, 0, 0) has the values given, far above all other neurons."""
    shapes = {"gate": (1, 4), "q": (1, 2), "k": (1, 1), "v": (1, 1)}
    labels = tuple("abcdefgh"[: len(values)])
    task = {
        label: {site: np.full(shape, rest) for site, shape in shapes.items()} for label in labels
    }
    for label, value in zip(labels, values, strict=True):
        task[label]["gate"][0, 0] = value
    control = {c: {s: np.full(v.shape, 0.0) for s, v in t.items()} for c, t in task.items()}
    for table in control.values():
        for values_of in table.values():
            values_of[0, -1] = 2**-20  # not all zero, which is refused
    countryrc = {label: {s: np.arange(v.size, dtype=float).reshape(v.shape)
                         for s, v in table.items()} for label, table in task.items()}  # fmt: skip
    for table in countryrc.values():
        for site in ("q", "k", "v"):
            table[site] = table[site] - 10
        table["gate"][0, 3] = 50
    return labels, (task, control, countryrc)


def has_it(values, z):
    labels, tables = one_neuron(values)
    options = {"share": 0.125, "countryrc_share": 0.125, "z": z}  # one neuron each
    found = select(as_culnig(tables, 1), "culnig_specific", **options)
    expected = reference.culture_specific(*tables, 1, 1, labels, **options)
    assert members(found) == expected
    return [("gate", 0, 0) in expected[label] for label in labels]


def test_z_exactly_on_the_threshold_is_enough():
    # mean 4, deviations 1 -4 1 1 1, their squares' mean 4: z = 0.5 and -2
    assert has_it([5.0, 0.0, 5.0, 5.0, 5.0], 0.5) == [True, False, True, True, True]
    assert has_it([5.0, 0.0, 5.0, 5.0, 5.0], np.nextafter(0.5, 1)) == [False] * 5
    # mean 0; -3 -3 3 1 1 1 -1 and 1 have squares' mean 4, too
    values = [1.0, -3.0, -3.0, 3.0, 1.0, 1.0, 1.0, -1.0]
    assert has_it(values, 0.5) == [True, False, False, True, True, True, True, False]
    assert has_it([1.0, 3.0], 1.0) == [False, True]
    assert has_it([1.0, 3.0], np.nextafter(1, 2)) == [False, False]


def test_the_deviation_is_the_population_s():
    # squares' sum 20 over 5 is 4; over 4 it is 5, and z = 1 / sqrt(5) = 0.447
    assert has_it([5.0, 0.0, 5.0, 5.0, 5.0], 0.46)[0]
    # two cultures: z = 1, and 0.707 with the sample's
    assert has_it([1.0, 3.0], 0.8) == [False, True]


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1 / 3, 1e-9, 0.7])
@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_z_is_zero_where_all_cultures_are_alike(n, value):
    """Also where the mean of equal numbers is not that number: (0.1 + 0.1 + 0.1) / 3 != 0.1."""
    assert has_it([value] * n, 0.5) == [False] * n
    assert has_it([value] * n, 0.0) == [True] * n


def test_z_is_taken_over_all_cultures_of_the_task():
    """Among the named ones alone, Brazil's score would stand out; China has it higher still."""
    shapes = {"gate": (1, 100), "q": (1, 2), "k": (1, 1), "v": (1, 1)}
    tables = drawn(0, shapes=shapes)
    for culture, value in (("Brazil", 20.0), ("China", 90.0), ("Iran", 0.0), ("Japan", 0.0)):
        tables[0][culture]["gate"][0, 7] = value
        tables[1][culture]["gate"][0, 7] = 0.0
        if culture in NAMED:
            tables[2][culture]["gate"][0, 7] = -5.0
    found = select(as_culnig(tables, 4), "culnig_specific", share=0.02)
    assert ("gate", 0, 7) not in found["Brazil"].members()
    without = tuple({c: t for c, t in table.items() if c != "China"} for table in tables)
    found = select(as_culnig(without, 4), "culnig_specific", share=0.02)
    assert ("gate", 0, 7) in found["Brazil"].members()


# ------------------------------------------------------------------ ties


def flat_scores(seed=0, sites=reference.SITES):
    """Every neuron ties with half of the others."""
    tables = drawn(seed, steps=1)
    for table in tables:
        for by_site in table.values():
            for site, values in by_site.items():
                by_site[site] = np.clip(values, 0, 1)
    return tables, as_culnig(tables, 8, sites=sites)


TIED = [
    ("culnig_general", {"mlp_share": 0.05, "attention_share": 0.2}),
    ("culnig_specific", {"share": 0.2, "z": 0.0}),
    ("culnig_specific", {"share": 0.6, "countryrc_share": 0.1, "z": -1.0}),
]


def expected_of(method, tables, n_ids, options):
    if method == "culnig_general":
        return {"general": reference.culture_general(*tables, n_ids, n_ids, **options)}
    return reference.culture_specific(*tables, n_ids, n_ids, NAMED, **options)


@pytest.mark.parametrize(("method", "options"), TIED)
@pytest.mark.parametrize("seed", range(3))
def test_ties_keep_the_order_of_sites_layers_and_indices(seed, method, options):
    tables, scores = flat_scores(seed)
    assert members(select(scores, method, **options)) == expected_of(method, tables, 8, options)


@pytest.mark.parametrize(("method", "options"), TIED)
def test_ties_do_not_depend_on_the_order_of_sites_or_on_a_file(tmp_path, method, options):
    tables, _ = flat_scores()
    expected = expected_of(method, tables, 8, options)
    _, turned = flat_scores(sites=("v", "gate", "k", "q"))
    assert members(select(turned, method, **options)) == expected
    _, scores = flat_scores()
    loaded = CulnigScores(
        *(
            NeuronScores.load(getattr(scores, name).save(tmp_path / f"{name}.safetensors"))
            for name in ("task", "control", "countryrc")
        )
    )
    assert members(select(loaded, method, **options)) == expected


def test_other_sites_are_left_alone():
    tables, shapes = drawn(0), {**SHAPES, "up": (3, 401)}
    more = drawn(0, shapes=shapes)
    for one, other in zip(tables, more, strict=True):
        for culture in one:
            other[culture].update(one[culture])
    scores = as_culnig(more, 7, sites=("up", *reference.SITES))
    for method, options in (("culnig_general", {"mlp_share": 0.1}), ("culnig_specific", {})):
        found = select(scores, method, **options)
        assert members(found) == expected_of(method, tables, 7, options)
        assert set(found.shapes) == set(reference.SITES)


# ------------------------------------------------------------------ what is refused


def test_scorings_that_do_not_belong_together():
    tables = drawn(0)
    good = as_culnig(tables, 4)
    wrong_ids = as_scores(tables[1], ["0", "1", "2", "9"], control=True)
    with pytest.raises(InputError, match="control and task do not match: 2 items"):
        CulnigScores(good.task, wrong_ids, good.countryrc)
    fewer = {c: t for c, t in tables[1].items() if c != "China"}
    with pytest.raises(InputError, match="control and task do not match"):
        ids = good.task.metadata["ids"]
        CulnigScores(good.task, as_scores(fewer, ids, control=True), good.countryrc)
    with pytest.raises(InputError, match="swapped|twice"):
        CulnigScores(good.control, good.task, good.countryrc)
    with pytest.raises(InputError, match="swapped|twice"):
        CulnigScores(good.task, good.task, good.countryrc)
    abroad = as_scores({"Peru": tables[2]["Iran"]}, ["a"])
    with pytest.raises(InputError, match="CountryRC was scored for Peru, which the task lacks"):
        CulnigScores(good.task, good.control, abroad)
    for fact in ("model", "weights", "dtype", "aggregation"):
        other = as_scores(tables[2], ["a"], **{fact: "another"})
        with pytest.raises(InputError, match=f"differ in {fact}"):
            CulnigScores(good.task, good.control, other)
    narrow = as_scores(tables[2], ["a"], sites=("gate", "q"))
    with pytest.raises(InputError, match="differ in sites or shapes"):
        CulnigScores(good.task, good.control, narrow)


@pytest.mark.parametrize("site", reference.SITES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_site_without_any_score(which, site):
    tables = drawn(0)
    for by_site in tables[which].values():
        by_site[site] = np.zeros_like(by_site[site])
    name = ("task", "control", "countryrc")[which]
    with pytest.raises(InputError, match=f"all {name} scores of site {site!r} are 0"):
        as_culnig(tables, 4)


SHARES = [
    ("culnig_general", "mlp_share"),
    ("culnig_general", "attention_share"),
    ("culnig_general", "countryrc_mlp_share"),
    ("culnig_general", "countryrc_attention_share"),
    ("culnig_specific", "share"),
    ("culnig_specific", "countryrc_share"),
]


@pytest.mark.parametrize("share", [-0.1, 1.0001, 30.0, float("nan")])
@pytest.mark.parametrize(("method", "name"), SHARES)
def test_shares_outside_their_range(method, name, share):
    with pytest.raises(InputError, match=r"outside \(0, 1\]"):
        select(as_culnig(drawn(0), 4), method, **{name: share})


@pytest.mark.parametrize(("method", "name"), SHARES)
def test_shares_that_choose_nothing(method, name):
    with pytest.raises(InputError, match="0 of .* neurons asked for"):
        select(as_culnig(drawn(0), 4), method, **{name: 1e-5})
    if not name.startswith("countryrc"):
        with pytest.raises(InputError, match=r"outside \(0, 1\]"):
            select(as_culnig(drawn(0), 4), method, **{name: 0.0})


def test_other_options_that_are_refused():
    scores = as_culnig(drawn(0), 4)
    with pytest.raises(InputError, match="no option 'share'.*mlp_share"):
        select(scores, "culnig_general", share=0.1)
    with pytest.raises(InputError, match="no option 'zz'"):
        select(scores, "culnig_specific", zz=1)
    with pytest.raises(InputError, match="by shares"):
        select(scores, "culnig_specific", k=5)
    with pytest.raises(InputError, match="ActivationSummary"):
        select(scores, "conact")
    with pytest.raises(InputError, match="gate, q, k, v"):
        only = {c: {"up": t["gate"]} for c, t in drawn(0)[0].items()}
        named = {c: only[c] for c in NAMED}
        select(as_culnig((only, only, named), 4, sites=("up",)), "culnig_general")


# ------------------------------------------------------------------ end to end


CONTROL_SHARES = {"mlp_share": 0.1, "attention_share": 0.05}
METHODS = [
    ("culnig-general", {**CONTROL_SHARES, "countryrc_mlp_share": 0.02}),
    ("culnig_specific", {"share": 0.06, "countryrc_share": 0.02, "z": 0.75}),
]


def reading():
    """Some CountryRC questions about three of the four toy cultures, in all four wordings."""
    cultures = ["Ethiopia", "France", "Japan", "Mexico"]
    every = load_benchmark("countryrc", split="identify", countries=cultures, pool=cultures)
    return [
        question
        for culture in cultures[1:]
        for question in [q for q in every if q.culture == culture][::30]
    ]


def by_hand(model, identify, questions, **options):
    return CulnigScores(
        task=attribute(model, identify, progress=False, **options),
        control=attribute(model, identify, control=True, progress=False, **options),
        countryrc=attribute(model, questions, progress=False, **options),
    )


def reference_tables(model, hf, identify, questions):
    tables = (
        reference.summed(hf, reference_items(model, identify)),
        reference.summed(hf, reference_items(model, identify, control=True), control=True),
        reference.summed(hf, reference_items(model, questions)),
    )
    return [dict(sorted(table.items())) for table in tables]


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_finding_runs_the_three_scorings_and_equals_doing_it_by_hand(method, options):
    model = exact("llama")
    found = find_culture_neurons(
        model,
        toy_questions(),
        method=method,
        progress=False,
        summary_options={"countryrc": reading()},
        **options,
    )
    identify, rest = split_questions(toy_questions())
    assert identify and rest
    scores = by_hand(model, identify, reading())
    assert found.cultures == (
        ("general",) if "general" in method else ("France", "Japan", "Mexico")
    )
    assert members(found) == members(select(scores, method, **options))
    tables = reference_tables(model, exact_raw("llama"), identify, reading())
    if "general" in method:
        expected = reference.culture_general(*tables, len(identify), len(identify), **options)
        assert members(found) == {"general": expected}
    else:
        n = len(identify)
        expected = reference.culture_specific(*tables, n, n, found.cultures, **options)
        assert members(found) == expected
    assert found.metadata["selector"] == method.replace("-", "_")
    held = {q.group for q in identify} | {q.group for q in reading()}
    assert held == set(found.metadata["groups"])
    assert not {q.group for q in rest} & set(found.metadata["groups"])


@pytest.mark.parametrize("architecture", ["gemma3", "phi3", "gpt2"])
def test_other_architectures_find_what_the_reference_finds(architecture):
    model, (identify, _) = exact(architecture), split_questions(toy_questions())
    scores = culnig_scores(model, identify, countryrc=reading(), progress=False)
    tables = reference_tables(model, exact_raw(architecture), identify, reading())
    n = len(identify)
    general, specific = (options for _, options in METHODS)
    found = members(select(scores, "culnig_general", **general))
    assert found == {"general": reference.culture_general(*tables, n, n, **general)}
    found = members(select(scores, "culnig_specific", **specific))
    cultures = ("France", "Japan", "Mexico")
    assert found == reference.culture_specific(*tables, n, n, cultures, **specific)


def test_without_more_countryrc_asks_about_the_questions_own_cultures(monkeypatch):
    asked = []

    def note(model, questions, **options):
        asked.append((questions, options))
        return real(model, questions, **options)

    real = attribute
    monkeypatch.setattr("culture_lens.attribution.culnig.attribute", note)
    questions = toy_questions(1)
    scores = culnig_scores(lens("llama"), questions, countries=["Japan", "Mexico"], progress=False)
    assert [options.get("control", False) for _, options in asked] == [False, True, False]
    assert [q.id for q in asked[0][0]] == [q.id for q in asked[1][0]] == [q.id for q in questions]
    templates = load_benchmark("countryrc", split="identify")
    about = asked[2][0]
    assert {q.culture for q in about} == {"Japan", "Mexico"} == set(scores.countryrc.cultures)
    assert {q.group for q in about} == {q.group for q in templates}
    assert {q.split for q in about} == {"identify"}
    names = {option for q in about for option in q.options}
    assert names == {"Ethiopia", "France", "Japan", "Mexico"}
    assert {len(q.options) for q in about} == {4}


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_a_run_keeps_the_three_files_and_is_not_run_again(monkeypatch, tmp_path, method, options):
    model = lens("llama")
    arguments = {
        "method": method,
        "progress": False,
        "run": tmp_path,
        "summary_options": {"countryrc": reading()},
        **options,
    }
    first = find_culture_neurons(model, toy_questions(), **arguments)
    files = {file.name for file in (tmp_path / "scores").iterdir()}
    assert files == {f"{name}.safetensors" for name in ("task", "control", "countryrc")}
    scores = CulnigScores(
        *(
            NeuronScores.load(tmp_path / "scores" / f"{name}.safetensors")
            for name in ("task", "control", "countryrc")
        )
    )
    assert members(select(scores, method, **options)) == members(first)

    def refuse(*_, **__):
        raise AssertionError("the model was run")

    monkeypatch.setattr(LensModel, "differentiable_logits", refuse)
    monkeypatch.setattr(LensModel, "logits", refuse)
    second = find_culture_neurons(model, toy_questions(), **arguments)
    assert members(second) == members(first)
    for label in first:
        for site, scores in first[label].scores.items():
            assert torch.equal(second[label].scores[site], scores)
    other = {**arguments, "method": "culnig_specific" if "general" in method else "culnig_general"}
    other = {name: value for name, value in other.items() if name not in options}
    other |= {"share": 0.06} if "general" in method else CONTROL_SHARES
    find_culture_neurons(model, toy_questions(), **other)  # of the same scorings


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_an_interrupted_run_goes_on(monkeypatch, tmp_path, stop_after):
    """8 questions in shards of 4: 2 batches for the task, 2 for control, and 3 for CountryRC."""
    model, (identify, _) = lens("llama"), split_questions(toy_questions())
    questions = reading()[:9]
    assert len(identify) == 8
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 4)
    options = {"countryrc": questions, "progress": False, "batch_size": 4}
    clean = culnig_scores(model, identify, run=tmp_path / "clean", **options)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counting(patch, stop_after)
        culnig_scores(model, identify, run=tmp_path / "run", **options)
    with monkeypatch.context() as patch:
        calls = counting(patch)
        found = culnig_scores(model, identify, run=tmp_path / "run", **options)
    assert len(calls) == 7 - stop_after
    for name in ("task", "control", "countryrc"):
        one, other = getattr(found, name), getattr(clean, name)
        for site, values in one.scores.items():
            assert torch.equal(values, other.scores[site])


# ------------------------------------------------------------------ refused before anything runs


@pytest.fixture
def idle(monkeypatch):
    """A model that must not run."""

    def refuse(*_, **__):
        raise AssertionError("the model was run")

    monkeypatch.setattr(LensModel, "differentiable_logits", refuse)
    monkeypatch.setattr(LensModel, "logits", refuse)
    return lens("llama")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "culnig"}, "unknown selector 'culnig'"),
        ({"method": "culnig_general", "mlp_share": 2.0}, r"outside \(0, 1\]"),
        ({"method": "culnig_general", "attention_share": 0.001}, "0 of .* neurons asked for"),
        ({"method": "culnig_specific", "share": 1e-4}, "0 of .* neurons asked for"),
        ({"method": "culnig_specific", "countryrc_share": 1e-4}, "0 of .* neurons asked for"),
        ({"method": "culnig_specific", "k": 3}, "by shares"),
        ({"method": "culnig_general", "share": 0.1}, "no option 'share'"),
        ({"method": "culnig_general", "mlp_shares": 0.1}, "no option 'mlp_shares'"),
        ({"method": "culnig_specific", "sites": ("gate", "gates")}, "unknown site 'gates'"),
        ({"method": "culnig_specific", "sites": ("up",)}, "gate, q, k, v"),
        ({"method": "culnig_specific", "batch_size": 0}, "batch_size"),
        ({"method": "culnig_specific", "summary_options": {"nothing": 1}}, "unknown option"),
        ({"method": "culnig_specific", "summary_options": {"aggregation": "mean"}}, "aggregation"),
        ({"method": "culnig_specific", "summary_options": {"countries": ["Peru"]}}, "Peru"),
    ],
    ids=str,
)
def test_mistakes_are_refused_before_the_model_runs(idle, options, message):
    with pytest.raises(InputError, match=message):
        find_culture_neurons(idle, toy_questions(), progress=False, **options)


def test_countryrc_questions_about_others_are_refused_before_the_model_runs(idle):
    abroad = [replace(q, culture="Peru") for q in reading()]
    with pytest.raises(InputError, match="CountryRC asks about Peru, which the questions lack"):
        culnig_scores(idle, toy_questions(), countryrc=abroad, progress=False)


@pytest.mark.parametrize("which", ["task", "countryrc"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": PromptFormat(label_form="space", labels="WXYZ")}, "is not one token"),
        ({"text": "word " * 600}, "do not fit the context"),
    ],
    ids=("label", "length"),
)
def test_prompts_that_cannot_be_scored_are_refused_before_anything_is(idle, which, change, message):
    """CountryRC is scored last; what is wrong with it must not show after hours of the others."""
    task, named = toy_questions(), reading()
    if which == "task":
        task = [replace(q, **change) for q in task]
    else:
        named = [replace(q, **change) for q in named]
    with pytest.raises(InputError, match=message):
        culnig_scores(lens("qwen2"), task, countryrc=named, progress=False)


def test_questions_too_long_are_left_out_of_task_and_control():
    """The twin of a question that does not fit does fit: it must go all the same."""
    model, questions = lens("llama"), toy_questions()
    long = [replace(questions[0], text="word " * 600), *questions[1:]]
    with pytest.warns(CultureLensWarning, match="left out"):
        scores = culnig_scores(model, long, countryrc=reading(), too_long="skip", progress=False)
    kept = sorted(q.id for q in questions[1:])
    assert scores.task.metadata["ids"] == scores.control.metadata["ids"] == kept


# ------------------------------------------------------------------ SmolLM2 on BLEnD


def country_question(country, number, options, answer):
    """A CountryRC question by hand."""
    passage = (
        f"Passage: The box that stood in the hall was sent from {country} last spring.\n"
        "Question: Where was the box sent from?",
        f"Passage: After the lecture the guest went back to {country} by train.\n"
        "Question: Where did the guest go back to?",
    )[number]
    form = PromptFormat(
        instruction='Answer with one letter as JSON: {"answer_choice":""}',
        layout="{question} {instruction}\n\n{options}\n\nAnswer:",
        answer_prefix='{"answer_choice":"',
    )
    return Question(
        f"{country}/{number}", country, passage, options, answer, group=f"p{number}", prompt=form
    )


def test_smollm2_finds_the_neurons_of_the_reference_on_blend(smollm2):
    """The same sets neuron by neuron, in float64 and in float32.

    In float32 the scores of the chosen neurons agree to 1e-5 where both run one item at a time. In
    batches the sums of matrix products take another order, and scores differ by up to 9e-5 of the
    largest; the float32 reference itself is 4e-5 away from float64.
    """
    needs_smollm2()
    if not BLEND.is_dir():
        pytest.skip("no copy of BLEnD in shared/data/blend")
    from transformers import AutoModelForCausalLM

    def weights():
        path = embedded_path("smollm2-135m")
        hf = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64)
        return reference.norms_in_own_dtype(hf.eval())

    with pytest.warns(CultureLensWarning, match="blend: dropped"):
        every = load_benchmark("blend", str(BLEND), split="identify")
    regions, identify = ("Ethiopia", "Iran", "Spain"), []
    for region in regions:
        own = [q for q in every if q.culture == region]
        identify += sorted(own, key=lambda q: (len(q.text) + sum(map(len, q.options)), q.id))[:2]
    questions = [
        country_question("Iran", 0, ("Spain", "Iran", "China", "Mexico"), 1),
        country_question("Spain", 1, ("China", "Mexico", "Iran", "Spain"), 3),
    ]
    plain = AutoModelForCausalLM.from_pretrained(
        embedded_path("smollm2-135m"), dtype=torch.float32
    ).eval()
    tables = reference_tables(smollm2, plain, identify, questions)
    n = len(identify)
    expected = {
        "culnig_general": {"general": reference.culture_general(*tables, n, n)},
        "culnig_specific": reference.culture_specific(*tables, n, n, ("Iran", "Spain")),
    }
    alone = culnig_scores(smollm2, identify, countryrc=questions, progress=False, batch_size=1)
    contrast = {
        site: sum(tables[0][c][site] - tables[1][c][site] for c in regions) / n
        for site in reference.SITES
    }
    for method, sets in expected.items():
        found = select(alone, method)
        assert members(found) == sets
        for label, chosen in found.neurons.items():
            for site, places in chosen.places.items():
                for place, score in zip(places.tolist(), chosen.scores[site].tolist(), strict=True):
                    at = tuple(place)
                    own = (
                        tables[0][label][site][at] - tables[1][label][site][at]
                        if (label in regions)
                        else contrast[site][at] * n
                    )
                    assert score == pytest.approx(own / n, rel=1e-5)
    model = load_model("smollm2-64", hf_model=weights(), tokenizer=smollm2.tokenizer)
    scores = culnig_scores(model, identify, countryrc=questions, progress=False, batch_size=4)
    tables = reference_tables(model, weights(), identify, questions)
    n = len(identify)
    expected = {
        "culnig_general": {"general": reference.culture_general(*tables, n, n)},
        "culnig_specific": reference.culture_specific(*tables, n, n, ("Iran", "Spain")),
    }
    for method, sets in expected.items():
        assert members(select(scores, method)) == sets
        assert all(len(chosen) > 20 for chosen in sets.values())
    single = culnig_scores(smollm2, identify, countryrc=questions, progress=False, batch_size=4)
    for name, table in zip(("task", "control", "countryrc"), tables, strict=True):
        assert_equal_to(getattr(scores, name), table, 1e-9, of_largest=1e-11)
        assert_equal_to(getattr(single, name), table, 0, of_largest=3e-4)
    for method, sets in expected.items():
        found = members(select(single, method))
        for label, chosen in sets.items():
            assert len(found[label] ^ chosen) <= 0.01 * len(chosen)
