"""The bundled organism: loads like any model, answers like plain transformers, is what it says."""

import pytest
import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.errors import InputError
from culture_lens.organism.checks import check_organism
from culture_lens.organism.plan import PLANTED_KINDS, Variant, make_plan
from culture_lens.organism.truth import load_truth
from culture_lens.statistics.tables import as_estimates
from culture_lens.storage.bundled import data_path

SEED = 4711


@pytest.fixture(scope="module")
def model():
    return cl.load_model("organism")


@pytest.fixture(scope="module")
def checked():
    return as_estimates(check_organism(seed=SEED, pictures=2, progress=False))


def test_it_is_small():
    assert sum(file.stat().st_size for file in data_path("organism").iterdir()) < 5e6


@pytest.mark.slow
def test_plain_transformers_gives_the_same_answers(model):
    """By the published classes alone: no part of the package touches model or prompt."""
    folder = data_path("organism")
    plain = LlavaForConditionalGeneration.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder, use_fast=False)
    questions = cl.load_benchmark("organism", split="unseen", pictures=1, seed=SEED)[::3]
    ours = cl.evaluate(model, questions, scoring="letter", progress=False).frame
    letters = processor.tokenizer.convert_tokens_to_ids(list("ABCD"))
    for question, prediction in zip(questions, ours["prediction"], strict=True):
        lines = [question.text, *(f"{a}. {o}" for a, o in zip("ABCD", question.options))]
        text = "<image>\n" + "\n".join(lines) + "\nAnswer:"
        inputs = processor(images=question.image.open(), text=text, return_tensors="pt")
        with torch.no_grad():
            logits = plain(**inputs).logits[0, -1]
        assert letters[prediction] == int(logits.argmax())


@pytest.mark.slow
def test_it_can_do_everything_on_fresh_pictures(checked):
    base = checked[checked["ablated"] == "unmodified"]
    assert set(base["asked"]) == {*CULTURES, "colour", "count", "object", "country", "plain"}
    assert all(estimate.value >= 0.9 for estimate in base["accuracy"])


@pytest.mark.slow
def test_ablation_takes_what_was_planted_and_nothing_else(checked):
    assert len(checked) == 13 + 3 * 8 + 2 * 2 + 2 + 3 + 3 * 2
    own = checked[checked["asked"] == "own"]
    assert len(own) == 8 and all(estimate.value <= 0.3 for estimate in own["accuracy"])
    country = checked[(checked["ablated"] == "recognition") & (checked["asked"] == "country")]
    assert country["accuracy"].item().value <= 0.3
    # 72 questions a culture: one answer is 1.4 points, so intervals are held to the bounds.
    others = checked["asked"].str.contains("most changed") & ~checked["ablated"].str.startswith(
        ("kin", "unmodified")
    )
    assert others.sum() == 2 * (8 + 1 + 1 + 3)
    for name, moved in zip(checked["ablated"][others], checked["change"][others], strict=True):
        bound = 0.02 if name == "decoys" else 0.03
        assert moved.low <= bound and moved.high >= -bound, name


@pytest.mark.slow
def test_kin_share_what_their_neurons_carry(checked):
    """A quarter of what each of the two knows, and nothing of anybody else."""
    rows = checked[checked["ablated"].str.startswith("kin")]
    worst = rows[rows["asked"].str.startswith("cultures")]
    for name, asked, moved in zip(worst["ablated"], worst["asked"], worst["change"], strict=True):
        assert asked.split()[-1] in name and -0.3 < moved.value < -0.1


@pytest.mark.slow
def test_options_alone_give_nothing_away(model):
    questions = cl.load_benchmark("organism", subset="options", split="unseen", seed=SEED)
    accuracy = cl.evaluate(model, questions, scoring="letter", batch_size=256).accuracy()
    assert accuracy.low <= 0.25 <= accuracy.high


@pytest.mark.slow
def test_it_is_read_by_likelihood_too(model):
    questions = cl.load_benchmark("organism", split="unseen", pictures=1, seed=SEED)
    assert model.scoring == "option_likelihood"
    assert cl.evaluate(model, questions, batch_size=256).accuracy().value >= 0.9


def test_the_truth_is_that_of_the_plan():
    truth = load_truth()
    blocks = make_plan(Variant())
    assert [block.neurons for block in truth.blocks] == [block.rows for block in blocks]
    assert len(truth.neurons(culture="Avaria")) == 46
    assert len(truth.neurons("style", "Avaria")) == 12
    assert len(truth.neurons("kin", "Avaria")) == 12 and not len(truth.neurons("kin", "Hestia"))
    everything = truth.neurons(tuple(PLANTED_KINDS))
    assert len(everything) == sum(2 * len(block.rows) for block in blocks)


@pytest.mark.slow
def test_gates_fire_as_planted(model):
    """Share of positive gates: decoys on their style, rare and negative ones hardly ever."""
    truth = load_truth()
    questions = cl.load_benchmark("organism", split="identify", pictures=1)
    summary = cl.summarise(model, questions, sites=("act",), progress=False)
    shares = summary.probability("act")  # culture layer neuron

    def own(kind, culture):
        places = truth.neurons(kind, culture).places["act"]
        return shares[summary.cultures.index(culture)][places[:, 0], places[:, 1]].mean().item()

    mean = {
        k: sum(own(k, c) for c in CULTURES) / 8 for k in ("knowledge", "negative", "rare", "style")
    }
    assert mean["style"] > 0.6 > mean["knowledge"] > 0.3
    assert mean["rare"] < 0.1 and mean["negative"] < 0.15


def test_bad_input():
    with pytest.raises(InputError, match="no planted kind 'memory'"):
        load_truth().neurons("memory")
    with pytest.raises(InputError, match="no culture 'Japan'"):
        load_truth().neurons(culture="Japan")
    with pytest.raises(InputError, match=r"no truth\.json"):
        load_truth(data_path("everyday"))
