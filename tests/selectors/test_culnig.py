"""What both of CULNIG's selections keep to: scores, ties, sites, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import InputError
from culture_lens.neurons.scores import NeuronScores
from culture_lens.selectors import select
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import (
    CULTURES,
    METHODS,
    NAMED,
    SHAPES,
    as_culnig,
    drawn,
    expected_of,
    members,
)

# ------------------------------------------------------------------ scores drawn at random


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
    """Steps may be left out, which CULNIG itself does not do."""
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


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_features_are_chosen_as_gate_neurons_are(method, options):
    """The same scores at the gate of three layers, and as features of the last three of five."""
    options = {name: value for name, value in options.items() if "attention" not in name}
    tables = [
        {culture: {"gate": table["gate"]} for culture, table in one.items()} for one in drawn(3)
    ]
    features = [
        {culture: {"sae": np.pad(t["gate"], ((2, 0), (0, 0)))} for culture, t in one.items()}
        for one in tables
    ]
    facts = {"units": {"sae": {"layers": [2, 3, 4]}}}
    gate = select(as_culnig(tables, 4, sites=("gate",)), method, **options)
    found = select(as_culnig(features, 4, sites=("sae",), **facts), method, **options)
    expected = {
        label: {("sae", layer + 2, index) for _, layer, index in own}
        for label, own in members(gate).items()
    }
    assert members(found) == expected and all(expected.values())
