"""Selectors compared on the bundled organism, whose culture neurons are known."""

import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.experiments.comparison.compare import compare_selectors
from culture_lens.models.load import load_model
from culture_lens.organism.truth import load_truth


@pytest.fixture(scope="module")
def organism():
    """Two cultures' neurons, 2.5% of 1,920, which is about what was planted for each."""
    drawn = {"pictures": 1, "seed": 1}
    return compare_selectors(
        load_model("organism"),
        load_benchmark("organism", **drawn),
        ["conact", "gradient_contrast", "random"],
        shares=(0.025,),
        cultures=("Avaria", "Gulmara"),
        random_seeds=3,
        countryrc=load_benchmark("organism", subset="country", split="identify", **drawn),
        scoring="letter",
        batch_size=256,
        gradient_batch_size=64,
        progress=False,
    )


@pytest.mark.slow
def test_on_the_organism_both_ways_hit_the_culture_and_chance_does_not(organism):
    for selector in ("conact", "gradient_contrast"):
        assert organism.estimate(selector, 0.025).high < 0
        assert organism.difference(selector, "random", 0.025, "self").value < -0.15
    assert organism.estimate("conact", 0.025, "cross").low > -0.1
    chance = organism.estimate("random", 0.025, "self")
    assert chance.value > -0.1
    assert organism.metadata["items"] == 288 and organism.metadata["identified_on"] == 288


@pytest.mark.slow
def test_on_the_organism_profiles_show_where_knowledge_was_planted(organism):
    profiles, planted = organism.layer_profiles(), list(load_truth().layers)
    assert profiles.shape == (3, 5) and planted == [1, 2]
    assert profiles.loc["conact", planted].sum() > 0.6
    assert profiles.loc["gradient_contrast", [3, 4]].sum() < 0.1  # behind it
    assert abs(profiles.loc["random", planted].sum() - 0.4) < 0.15
