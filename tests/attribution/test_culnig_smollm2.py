"""CULNIG on SmolLM2 and rows of BLEnD finds the neurons of the plain reference."""

import numpy as np
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
from tests.helpers.gradients import as_tables, assert_equal_to
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
    """The same sets neuron by neuron in float64; in float32 as near to it as plain PyTorch is.

    In float32 sums of matrix products depend on the processor and the batch, so that scores and
    the neurons at the border of a set do too. Float64 says how much: scores may miss it by no more
    than twice what the float32 reference misses it by, one item at a time or in batches.
    """
    needs_smollm2()
    if not BLEND.is_dir():
        pytest.skip("no copy of BLEnD in shared/data/blend")
    from transformers import AutoModelForCausalLM

    def plain(dtype):
        path = embedded_path("smollm2-135m")
        return AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()

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
    exact = reference.norms_in_own_dtype(plain(torch.float64))
    model = load_model("smollm2-64", hf_model=exact, tokenizer=smollm2.tokenizer)
    scores = culnig_scores(model, identify, countryrc=questions, progress=False, batch_size=4)
    exact = reference.norms_in_own_dtype(plain(torch.float64))
    tables, n = reference_tables(model, exact, identify, questions), len(identify)
    expected = {
        "culnig_general": {"general": reference.culture_general(*tables, n, n)},
        "culnig_specific": reference.culture_specific(*tables, n, n, ("Iran", "Spain")),
    }
    for method, sets in expected.items():
        assert members(select(scores, method)) == sets
        assert all(len(chosen) > 20 for chosen in sets.values())
    for name, table in zip(NAMES, tables, strict=True):
        assert_equal_to(getattr(scores, name), table, 1e-9, of_largest=1e-11)

    theirs = reference_tables(smollm2, plain(torch.float32), identify, questions)
    for batch_size in (1, 4):
        single = culnig_scores(
            smollm2, identify, countryrc=questions, progress=False, batch_size=batch_size
        )
        for name, table, rounded in zip(NAMES, tables, theirs, strict=True):
            allowed = 2 * furthest(rounded, table)
            assert 0 < furthest(as_tables(getattr(single, name)), table) <= allowed
        for method, sets in expected.items():
            found = members(select(single, method))
            for label, chosen in sets.items():
                assert len(found[label] ^ chosen) <= 0.01 * len(chosen)


NAMES = ("task", "control", "countryrc")


def furthest(found, exact):
    """The greatest difference at a site, as a share of that site's largest score."""
    return max(
        np.abs(found[culture][site] - values).max() / np.abs(values).max()
        for culture, sites in exact.items()
        for site, values in sites.items()
    )
