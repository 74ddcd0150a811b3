"""CULNIG on SmolLM2 and rows of BLEnD finds the neurons of the plain reference."""

import pytest
import torch

from culture_lens.attribution.culnig import culnig_scores
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning
from culture_lens.models.checkpoints import embedded_path
from culture_lens.models.load import load_model
from culture_lens.questions.question import PromptFormat, Question
from culture_lens.selectors import select
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import members, reference_tables
from tests.helpers.gradients import assert_equal_to
from tests.helpers.places import DATA
from tests.helpers.smollm2 import needs_smollm2

BLEND = DATA / "blend"


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


@pytest.mark.slow
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
        identify += sorted(own, key=lambda q: (len(q.text) + sum(map(len, q.options)), q.id))[:1]
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
