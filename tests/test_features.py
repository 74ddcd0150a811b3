"""Features through the whole way: found, kept in a run folder, ablated, tested, shown, saved."""

import pytest
import torch

import culture_lens as cl
from culture_lens.cli.loading import open_model
from culture_lens.models import site_methods
from culture_lens.models.sae import SAE
from culture_lens.neurons.weight_norms import outgoing_norms
from culture_lens.prompts.build import build_prompts
from culture_lens.selectors import SELECTORS
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions
from tests.helpers.sae import WIDTH, random_sae

HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return cl.with_features(lens("llama"), random_sae(HOOK))


@pytest.fixture(scope="module")
def summary(model):
    return cl.summarise(model, toy_questions(), sites="sae", progress=False)


@pytest.mark.parametrize("method", sorted(set(SELECTORS) - {"random"}))
def test_every_activation_selector_chooses_features(summary, method):
    """A share is that of the features that there are; layers without any give none."""
    found = cl.select(summary, method, share=0.2)
    for neurons in found.neurons.values():
        places = neurons.places["sae"]
        assert (places[:, 0] == 1).all() and len(places) <= WIDTH // 5
    assert sum(len(neurons.places["sae"]) for neurons in found.neurons.values())
    assert found.metadata["units"]["sae"]["layers"] == [1]


def test_random_features_come_from_layers_that_have_some(summary):
    found = cl.select(summary, "random", k=WIDTH)
    for drawn in (
        found,
        cl.matched_random(found, match="layer"),
        cl.matched_random(found, match="pool"),
    ):
        for neurons in drawn.neurons.values():
            assert all((places[:, 0] == 1).all() for places in neurons.places.values())
    with pytest.raises(cl.InputError, match="21 of 20 neurons asked for"):
        cl.select(summary, "random", k=WIDTH + 1)


@pytest.mark.slow
def test_forwards_are_no_larger_than_features_allow(model, summary, monkeypatch):
    """Memory is tokens times features: a wide autoencoder takes few prompts at a time."""
    questions, seen = toy_questions(), []
    longest = max(map(len, (p.ids for p in build_prompts(questions, model.processor))))
    neurons = cl.Neurons.of({"sae": [(1, 3), (1, 7)]})
    encode = SAE.encode

    def noted(self, x):
        seen.append(x.shape[:-1].numel())
        return encode(self, x)

    def made():
        seen.clear()
        asked = {"batch_size": 16, "progress": False}
        counts = cl.summarise(model, questions, sites="sae", **asked)
        scores = cl.attribute(model, questions, sites="sae", scoring="letter", **asked)
        answers = cl.evaluate(model, questions, neurons, scoring="letter", **asked)
        return max(seen), counts.counts["sae"], scores.scores["sae"], answers.frame["p_gold"]

    monkeypatch.setattr(SAE, "encode", noted)
    most, counts, scores, p_gold = made()
    monkeypatch.setattr(site_methods, "UNIT_BYTES", 4 * WIDTH * 2 * longest)
    fewer, again, close, same = made()
    assert fewer <= 2 * longest < most
    assert torch.equal(again, counts) and torch.equal(counts, summary.counts["sae"])
    assert torch.allclose(close, scores, rtol=1e-4) and same.tolist() == pytest.approx(
        p_gold.tolist(), rel=1e-5
    )


def test_a_model_without_the_autoencoder_is_refused_with_the_remedy(model, tmp_path, idle):
    """One that lacks it, and one with another of the same size: found, saved, read and used."""
    places = {"sae": torch.tensor([[1, 3]])}
    facts = {"model": model.name, **model.units_facts(["sae"]), **cl.looked_at([])}
    neurons = {culture: cl.Neurons(places) for culture in ("Japan", "Mexico")}
    file = cl.NeuronSet(neurons, {"sae": model.shape("sae")}, facts).save(
        tmp_path / "f.safetensors"
    )
    found, questions = cl.NeuronSet.load(file), toy_questions()
    other = cl.with_features(idle, random_sae(HOOK, seed=1))
    for call in (
        lambda plain: cl.NeuronSet.load(file, plain),
        lambda plain: cl.ablation_matrix(plain, found, questions),
        lambda plain: cl.steering_curve(plain, found, questions),
        lambda plain: cl.compare_units(plain, questions, {"own": found}, k=1),
    ):
        with pytest.raises(cl.InputError, match="Give the model its autoencoder with with_feature"):
            call(idle)
        with pytest.raises(cl.InputError, match="units of another 'sae'"):
            call(other)
    for call in (
        lambda: cl.evaluate(idle, questions, found["Japan"]),
        lambda: cl.steered(idle, found["Japan"]).__enter__(),
        lambda: cl.find_culture_neurons(idle, questions, sites="sae"),
    ):
        with pytest.raises(cl.InputError, match="Give the model its autoencoder with with_feature"):
            call()
    with pytest.raises(cl.InputError, match="Give the model its heads with with_heads"):
        cl.find_culture_neurons(idle, questions, sites="head")
    with pytest.raises(cl.InputError, match="no units at layer 0"):
        cl.logit_lens(model, ("sae", 0, 3))
    with pytest.raises(cl.InputError, match="nothing can be read at 'blocks.99"):
        cl.with_features(idle, random_sae("blocks.99.hook_resid_post"))


@pytest.mark.slow
def test_the_whole_way(model, tmp_path):
    questions = toy_questions()
    options = {"sites": "sae", "k": 3, "run": tmp_path, "progress": False}
    found = cl.find_culture_neurons(model, questions, method="conact", **options)
    again = cl.NeuronSet.load(found.save(tmp_path / "f.safetensors"), model)
    assert again.content == found.content
    matrix = cl.ablation_matrix(
        model, found, questions, random_seeds=1, seen=True, run=tmp_path, progress=False
    )
    frame = matrix.frame
    japan = frame[(frame["condition"] == "found") & (frame["mask"] == "Japan")]
    with cl.ablated(model, found["Japan"]):
        whole = cl.evaluate(model, questions, progress=False).frame
    merged = japan.merge(whole, on="id", suffixes=("", "_whole"))
    assert len(merged) == len(questions)
    assert (merged["p_gold"] - merged["p_gold_whole"]).abs().max() < 1e-5
    mean = cl.ablation_hooks(model, found["Japan"], "mean")
    assert [name for name, _ in mean] == [HOOK]
    (site, layer, index), *_ = sorted(found["Japan"].members())
    lens_of = cl.logit_lens(model, (site, layer, index))
    assert lens_of.norm == pytest.approx(float(outgoing_norms(model, "sae")[layer, index]))
    card = cl.neuron_card(
        model,
        (site, layer, index),
        questions,
        found=found,
        matrix=matrix,
        seen=True,
        progress=False,
    )
    assert "sae" in card._repr_html_()
    other = cl.with_features(lens("llama"), random_sae(HOOK, seed=1))
    with pytest.raises(cl.InputError, match="units of another 'sae' than that of"):
        found.check_model(other)


def test_a_command_opens_the_model_with_its_autoencoders(tmp_path, monkeypatch):
    places = [
        str(cl.save_sae(random_sae(f"blocks.{n}.hook_out"), tmp_path / str(n))) for n in (0, 2)
    ]
    monkeypatch.setattr("culture_lens.models.load.load_model", lambda *_, **__: lens("llama"))
    assert open_model({}).sites == lens("llama").sites
    opened = open_model({"sae": places})
    assert opened.layers_of("sae") == (0, 2) and not opened.units["sae"].excluded
    assert open_model({"sae": places, "exclude_special_tokens": True}).units["sae"].excluded


def test_what_is_for_neurons_alone_says_so(model, summary):
    found = cl.select(summary, "conact", k=3)
    with pytest.raises(
        cl.InputError, match="site 'sae' are no outputs or inputs of one projection"
    ):
        cl.rank_modules(found, model)
    with pytest.raises(cl.InputError, match="suppress and enhance act on raw projections"):
        with cl.suppress(model, found["Japan"]):
            pass
    scores = cl.NeuronScores(("Japan",), {"sae": summary.mean("sae")[:1]})
    with pytest.raises(cl.InputError, match="samples from every layer.*units at layers 1 of 3"):
        cl.fidelity(model, toy_questions(), scores, seen=True, progress=False)


@pytest.mark.slow
def test_kept_results_know_the_autoencoder(model, tmp_path):
    """One run folder, two autoencoders of one site: neither finds what the other kept."""
    other = cl.with_features(lens("llama"), random_sae(HOOK, seed=1))
    how = {"sites": "sae", "run": tmp_path, "progress": False}
    one, two = (cl.summarise(m, toy_questions(), **how) for m in (model, other))
    assert not one.counts["sae"].equal(two.counts["sae"])
    assert one.counts["sae"].equal(cl.summarise(model, toy_questions(), **how).counts["sae"])


@pytest.mark.slow
def test_gradient_selectors_take_features(model):
    asked = [question for question in toy_questions() if question.culture in ("Japan", "Mexico")]
    places = ("Japan", "Mexico", "Peru", "Italy")
    passages = [
        cl.Question(f"c/{name}", name, f"It came from {name}. Where from?", places, at)
        for at, name in enumerate(places[:2])
    ]
    scores = cl.knowledge_scores(
        model, asked, countryrc=passages, sites="sae", path="integrated", points=2,
        scoring="letter", progress=False,
    )  # fmt: skip
    further = {"countryrc": passages}
    for found in (
        cl.select(scores, "knowledge", k=2),
        cl.find_culture_neurons(
            model, asked, method="culnig_specific", sites="sae", share=0.2, z=None,
            countryrc_share=0.1, summary_options=further, progress=False,
        ),
        cl.find_culture_neurons(
            model, asked, method="culnig_general", sites="sae", mlp_share=0.2,
            countryrc_mlp_share=0.1, summary_options=further, progress=False,
        ),
    ):  # fmt: skip
        assert any(len(neurons) for neurons in found.neurons.values())
        assert all((n.places["sae"][:, 0] == 1).all() for n in found.neurons.values())


@pytest.mark.slow
def test_transcoders_read_at_one_hook_and_write_at_another(model):
    """Doubling a feature adds what it wrote, at the MLP's output."""
    coder = random_sae("blocks.1.ln2.hook_out", write="blocks.1.hook_mlp_out")
    model = cl.with_features(lens("llama"), coder)
    assert model.sites[-1] == "sae"  # there is no sae_error
    seen, ids = {}, model.to_tokens("Which food do people in Japan eat?")

    def keep(name):
        return name, lambda x, hook: seen.update({name: x.detach()})

    with model.hooks([keep("blocks.1.ln2.hook_out"), keep("blocks.1.hook_mlp_out")]):
        model(ids)
    before, f = seen["blocks.1.hook_mlp_out"], coder.encode(seen["blocks.1.ln2.hook_out"]).float()
    with cl.steered(model, cl.Neurons.of({"sae": [(1, 4)]}), 1.0):
        with model.hooks([keep("blocks.1.hook_mlp_out")]):
            model(ids)
    added = seen["blocks.1.hook_mlp_out"] - before
    expected = f[..., [4]] * coder.decoder[4].float()
    assert (added - expected).abs().max() < 1e-5 * expected.abs().max()
