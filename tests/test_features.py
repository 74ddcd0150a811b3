"""Features through the whole way: found, kept in a run folder, ablated, tested, shown, saved."""

import pytest

import culture_lens as cl
from culture_lens.cli.loading import open_model
from culture_lens.neurons.weight_norms import outgoing_norms
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
