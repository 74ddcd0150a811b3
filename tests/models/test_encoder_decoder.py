"""T5, FLAN-T5 and mT5 against raw Hugging Face: prompts, counts, edits, gradients, scores."""

import dataclasses
import functools
import warnings

import pytest
import torch
import transformers

from culture_lens import plots
from culture_lens.activations.record import record_activations
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.attribution.gradients import attribute, gold_tokens
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.experiments.fidelity import fidelity, matrix_fidelity
from culture_lens.experiments.matrix import ablation_matrix
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix, predicted_effects
from culture_lens.find import find_culture_neurons, summarise
from culture_lens.interventions.hooks import ablated, ablation_hooks, enhance, steered, suppress
from culture_lens.models.encoder_decoder import EncoderDecoder
from culture_lens.models.load import load_model
from culture_lens.models.vision import NoPictures
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.prompts.answers import continuation_ids, label_ids
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from culture_lens.questions.question import PromptFormat, with_format
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import matched_random, select
from tests.conftest import lens as decoder_only
from tests.conftest import toy_questions
from tests.helpers import reference_t5 as reference
from tests.helpers.tiny_t5 import (
    D_HEAD,
    D_MLP,
    EOS,
    FAMILIES,
    LAYERS,
    N_HEADS,
    PAD,
    tiny_model,
    tiny_tokenizer,
)

PREFIX = PromptFormat(answer_prefix='{"answer_choice":"')


@functools.cache
def lens(family, dtype=torch.float32, attention="native"):
    return load_model(
        f"tiny-{family}",
        hf_model=tiny_model(family).to(dtype),
        tokenizer=tiny_tokenizer(),
        attention=attention,
    )


@functools.cache
def raw(family, dtype=torch.float32):
    return tiny_model(family).to(dtype)


def mixed_questions():
    """With a long answer prefix, a short one and none, so that both sides are padded in a batch.

    A padded decoder that had nothing but its start token would not tell: T5 starts from padding.
    """
    questions = toy_questions()
    short = PromptFormat(answer_prefix="Answer:")
    return [
        *with_format(questions[:5], PREFIX),
        *with_format(questions[5:9], short),
        *questions[9:],
    ]


def prompts_of(model, questions=None, style="choices"):
    return build_prompts(questions or mixed_questions(), model.processor, style=style)


def close(found, expected, dtype=torch.float64):
    """Equal to rounding, relative to the largest value.

    T5's norms are in float32 in every dtype, where 1e-16 of noise can tip a value by 6e-8.
    """
    bound = {torch.float32: 1e-5, torch.float64: 1e-7}[dtype]
    scale = expected.abs().max().clamp(min=1e-30)
    assert found.shape == expected.shape
    assert ((found.double() - expected.double()).abs().max() / scale) < bound


def some_neurons(model, site):
    """The first two neurons and the last of every layer of a site."""
    layers, width = model.shape(site)
    return Neurons.of({site: [(layer, i) for layer in range(layers) for i in (0, 1, width - 1)]})


def as_raw(neurons):
    """The same as the reference takes them: (site, layer) -> indices."""
    found = {}
    for site, layer, index in sorted(neurons.members()):
        found.setdefault((site, layer), []).append(index)
    return found


SITE_CASES = [
    (family, site)
    for family in FAMILIES
    for site in reference.SITES
    if not (family == "t5" and site.endswith(".up"))
]


# ------------------------------------------------------------------ what is loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_and_its_sites(family):
    model = lens(family)
    assert isinstance(model, EncoderDecoder)
    encoder, decoder = LAYERS[family]
    assert set(model.sites) == set(reference.sites_of(raw(family)))
    for site in model.sites:
        layers = encoder if site.startswith("encoder.") else decoder
        width = N_HEADS * D_HEAD if site[-2:] in (".q", ".k", ".v", ".z") else D_MLP
        assert model.shape(site) == (layers, width)
    assert model.gated == (family != "t5") and model.start_id == PAD
    assert (model.window, model.vision, model.default_site) == (0, NoPictures(), "encoder.act")
    assert set(model.projections) == {
        *(f"{stack}.{x}" for stack in ("encoder", "decoder") for x in ("gate", "q", "k", "v")),
        *(f"cross.{x}" for x in "qkv"),
    }  # fmt: skip
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())


def test_context_comes_from_the_tokenizer_or_is_that_of_t5():
    assert lens("flan").context == 512
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 77
    assert load_model("t", hf_model=tiny_model("t5"), tokenizer=tokenizer).context == 77
    tokenizer.model_max_length = int(1e30)
    assert load_model("t", hf_model=tiny_model("t5"), tokenizer=tokenizer).context == 512
    hf = tiny_model("t5")
    hf.config.n_positions = 99
    assert load_model("t", hf_model=hf, tokenizer=tokenizer).context == 99


@pytest.mark.parametrize("family", FAMILIES)
def test_folder_round_trip(family, tmp_path):
    tiny_model(family).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded, model = load_model(tmp_path), lens(family)
    batch = collate(prompts_of(loaded), loaded.pad_id)
    assert [p.all_ids for p in batch.prompts] == [p.all_ids for p in prompts_of(model)]
    assert torch.equal(loaded.logits(batch), model.logits(batch))
    assert loaded.widths == model.widths and loaded.fingerprint == model.fingerprint


def test_models_of_one_stack_are_as_they_were():
    model = decoder_only("llama")
    assert type(model).__name__ == "LensModel" and model.layers("act") == model.n_layers
    assert (model.default_site, model.projections) == ("act", ("gate", "q", "k", "v"))
    assert prompts_of(model, toy_questions())[0].decoder_ids == ()


# ------------------------------------------------------------------ prompts


@pytest.mark.parametrize("style", ["choices", "cloze"])
def test_one_eos_and_no_bos(style):
    model = lens("flan")
    for prompt in prompts_of(model, style=style):
        assert prompt.ids[-1] == EOS and prompt.ids.count(EOS) == 1
        assert prompt.text.endswith("</s>") and prompt.text.count("</s>") == 1
        assert list(prompt.ids) == model.tokenizer(prompt.text[:-4]).input_ids
        assert len(prompt.roles) == len(prompt.ids) and prompt.roles[-1] == Role.TEMPLATE
        assert Role.ANSWER_PREFIX not in prompt.roles
        assert prompt.decoder_ids[0] == PAD


def test_roles_are_those_of_the_texts():
    model = lens("flan")
    for prompt in prompts_of(model, toy_questions()):
        asked = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == Role.QUESTION]
        shown = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == Role.OPTIONS]
        assert model.tokenizer.decode(asked).strip() == prompt.question.text
        words = " ".join(model.tokenizer.decode(shown).split())
        assert words == " ".join(" ".join(prompt.question.options).split())


def test_the_answer_prefix_is_the_decoders():
    model = lens("flan")
    with_prefix, without = prompts_of(model)[0], prompts_of(model, toy_questions())[0]
    prefix = model.tokenizer(PREFIX.answer_prefix, add_special_tokens=False).input_ids
    assert with_prefix.ids == without.ids and without.decoder_ids == (PAD,)
    assert with_prefix.decoder_ids == (PAD, *prefix)
    cloze = prompts_of(model, style="cloze")[0]
    assert cloze.decoder_ids == (PAD,)


def test_labels_are_one_token_as_the_decoder_writes_them():
    reader, tokenizer = lens("flan").processor, lens("flan").tokenizer
    with_prefix, without = prompts_of(lens("flan"))[0], prompts_of(lens("flan"))[-1]
    written = tokenizer.convert_ids_to_tokens(label_ids(without, reader))
    assert written == ["▁A", "▁B", "▁C", "▁D"]
    assert tokenizer.convert_ids_to_tokens(label_ids(with_prefix, reader)) == list("ABCD")
    words = with_format([without.question], PromptFormat(answer_prefix="Answer:"))
    said = label_ids(prompts_of(lens("flan"), words)[0], reader)
    assert tokenizer.convert_ids_to_tokens(said) == ["▁A", "▁B", "▁C", "▁D"]


def test_options_are_tokenised_for_the_decoder():
    model = lens("flan")
    for prompt in prompts_of(model, style="cloze"):
        for option, tokens in zip(prompt.question.options, prompt.continuations, strict=True):
            assert list(tokens) == model.tokenizer(option, add_special_tokens=False).input_ids
        assert prompt.longest_answer == 0  # they take no room of the encoder's


def test_prompts_too_long_for_the_encoder():
    model = lens("flan")
    lengths = [len(prompt.ids) for prompt in prompts_of(model)]
    options = {"context": max(lengths) - 3}
    with pytest.raises(InputError, match="do not fit"):
        build_prompts(mixed_questions(), model.processor, **options)
    with pytest.warns(CultureLensWarning, match="truncated"):
        cut = build_prompts(mixed_questions(), model.processor, too_long="truncate", **options)
    assert max(len(prompt.ids) for prompt in cut) == max(lengths) - 3
    assert all(p.ids[-1] == EOS and p.ids.count(EOS) == 1 for p in cut)


# ------------------------------------------------------------------ logits


@pytest.mark.parametrize("attention", ["native", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_hugging_face(family, dtype, attention):
    """A batch padded on both sides against one unpadded item at a time."""
    model, hf = lens(family, dtype, attention), raw(family, dtype)
    prompts = prompts_of(model)
    assert (
        len({len(p.ids) for p in prompts}) > 3 and len({len(p.decoder_ids) for p in prompts}) == 3
    )
    found = model.logits(collate(prompts, model.pad_id))
    with torch.no_grad():
        expected = [reference.logits(hf, p.ids, p.decoder_ids)[-1] for p in prompts]
    close(found, torch.stack(expected), dtype)


def test_native_attention_is_that_of_the_model():
    implementation = tiny_model("t5").config._attn_implementation
    model = lens("t5").bridge.original_model
    assert implementation == "sdpa"  # what this environment chooses
    for stack in (model, model.encoder, model.decoder):
        assert stack.config._attn_implementation == implementation


@pytest.mark.parametrize("attention", ["native", "eager"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, attention, tmp_path):
    """As from_pretrained loads T5: in float16 the MLP's last projection stays in float32."""
    tiny_model("flan").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = load_model(tmp_path, dtype=dtype, attention=attention)
    hf = transformers.T5ForConditionalGeneration.from_pretrained(
        tmp_path, dtype=dtype, attn_implementation="sdpa" if attention == "native" else "eager"
    ).eval()
    wo = hf.decoder.block[0].layer[-1].DenseReluDense.wo.weight.dtype
    assert (model.dtype, wo) == (dtype, torch.float32 if dtype == torch.float16 else dtype)
    prompt, neurons = prompts_of(model)[-1], some_neurons(model, "encoder.post")
    batch = collate([prompt], model.pad_id)
    with torch.no_grad():
        expected = reference.logits(hf, prompt.ids, prompt.decoder_ids)[-1]
    bound = 4 * torch.finfo(dtype).eps * expected.abs().max()
    assert (model.logits(batch)[0] - expected).abs().max() <= bound
    edited = reference.edited_logits(
        hf, prompt.ids, prompt.decoder_ids, as_raw(neurons), lambda v: torch.full_like(v, 0.7)
    )
    with ablated(model, neurons, 0.7):
        assert (model.logits(batch)[0] - edited[-1]).abs().max() <= bound
    assert (edited[-1] - expected).abs().max() > 4 * bound


# ------------------------------------------------------------------ statistics


@pytest.mark.parametrize(("family", "site"), SITE_CASES)
def test_counts_and_sums_at_every_site(family, site):
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    prompts = prompts_of(model)
    found = record_activations(model, prompts, sites=site, batch_size=5, progress=False).summary()
    counted = (Role.QUESTION, Role.OPTIONS)
    items = [
        (p.ids, p.decoder_ids, [r in counted for r in p.roles], p.question.culture)
        for p in prompts
    ]  # fmt: skip
    expected = reference.sums(hf, site, items)
    assert found.cultures == tuple(sorted(expected))
    for row, culture in enumerate(found.cultures):
        counts, sums, squares, tokens = expected[culture]
        assert found.tokens[row] == tokens
        assert tokens == 4 or reference.of_encoder_tokens(site)  # an item, a decoder's token
        assert torch.equal(found.counts[site][row], counts)
        # Sums within an item are made in float32.
        close(found.sums[site][row], sums, torch.float32)
        close(found.squares[site][row], squares, torch.float32)


def test_several_sites_of_one_side_in_one_pass():
    model = lens("flan")
    for sites in (("encoder.act", "encoder.q", "cross.k"), ("decoder.act", "cross.z")):
        together = record_activations(model, prompts_of(model), sites=sites, progress=False)
        for site in sites:
            alone = record_activations(model, prompts_of(model), sites=site, progress=False)
            assert torch.equal(together.summary().counts[site], alone.summary().counts[site])


def test_sites_of_both_sides_need_two_passes():
    model = lens("flan")
    for call in (
        lambda sites: record_activations(model, prompts_of(model), sites=sites),
        lambda sites: summarise(model, toy_questions(), sites=sites, only_correct=True),
        lambda sites: find_culture_neurons(model, toy_questions(), sites=sites, k=1),
    ):
        with pytest.raises(InputError, match=r"cross\.k.* two calls"):
            call(["decoder.act", "cross.k"])
        with pytest.raises(InputError, match=r"encoder\.act.*cross\.q.* two calls"):
            call(["encoder.act", "cross.q"])


# ------------------------------------------------------------------ edits


@pytest.mark.parametrize(("family", "site"), SITE_CASES)
def test_an_edit_is_the_same_edit_of_the_raw_module(family, site):
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    prompts = prompts_of(model)[4:10]  # with and without an answer prefix
    neurons = some_neurons(model, site)
    places = as_raw(neurons)
    means = torch.linspace(-1, 1, model.shape(site)[0] * model.shape(site)[1]).double()
    means = means.reshape(model.shape(site))
    batch = collate(prompts, model.pad_id)
    plain = model.logits(batch)

    def expected(edit):
        rows = [reference.edited_logits(hf, p.ids, p.decoder_ids, places, edit) for p in prompts]
        return torch.stack([row[-1] for row in rows])

    with ablated(model, neurons):
        zeroed = model.logits(batch)
    close(zeroed, expected(torch.zeros_like))
    with ablated(model, neurons, 0.7):
        close(model.logits(batch), expected(lambda v: torch.full_like(v, 0.7)))
    with steered(model, neurons, 2.5):
        close(model.logits(batch), expected(lambda v: v * 3.5))
    with ablated(model, neurons, {site: means}):
        found = model.logits(batch)
    # Each layer has values of its own.
    rows = []
    for prompt in prompts:
        order = iter(places.items())

        def put(values, order=order):
            (_, layer), indices = next(order)
            return means[layer, indices].expand_as(values)

        rows.append(reference.edited_logits(hf, prompt.ids, prompt.decoder_ids, places, put)[-1])
    close(found, torch.stack(rows))
    # On a single position attention is 1, whatever q and k: there only those edits do nothing.
    blind = site in ("decoder.q", "decoder.k")
    changed = (zeroed - plain).abs().amax(1) > 1e-6
    assert changed.tolist() == [not blind or len(p.decoder_ids) > 1 for p in prompts]


def test_masks_of_their_own_for_every_row():
    model = lens("flan", torch.float64)
    batch = collate(prompts_of(model)[:6], model.pad_id)
    sets = [some_neurons(model, site) for site in list(model.sites)[::3]][:6]
    with ablated(model, sets):
        found = model.logits(batch)
    for row, neurons in enumerate(sets):
        with ablated(model, neurons):
            close(found[row], model.logits(batch)[row])


# ------------------------------------------------------------------ options


@pytest.mark.parametrize("family", FAMILIES)
def test_option_likelihoods(family):
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    prompts = prompts_of(model, toy_questions(), "cloze")
    assert len({len(t) for p in prompts for t in p.continuations}) > 3
    for batch in batches(prompts, 5, model.pad_id, share_prefix=model.can_share_prefix(prompts)):
        answers = SCORINGS["option_likelihood_sum"].answers(model, batch)
        for prompt, answer in zip(batch.prompts, answers, strict=True):
            expected = [
                reference.option_log_likelihood(hf, prompt.ids, prompt.decoder_ids, option)
                for option in prompt.continuations
            ]
            close(torch.tensor(answer.scores), torch.tensor(expected).double(), torch.float32)


@pytest.mark.parametrize(("family", "site"), [case for case in SITE_CASES if case[0] != "mt5"])
def test_option_likelihoods_under_edits(family, site):
    """Rows with sets of their own, edited while the encoder runs and while every option runs."""
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    batch = collate(prompts_of(model, toy_questions(), "cloze")[:4], model.pad_id)
    whole = some_neurons(model, site)
    members = sorted(whole.members())
    sets = [Neurons.of({site: [(layer, i) for _, layer, i in members[row::3]]}) for row in range(4)]
    with ablated(model, sets, 0.4):
        found = model.continuation_log_probs(batch)
    for prompt, neurons, logs in zip(batch.prompts, sets, found, strict=True):
        for option, log in zip(prompt.continuations, logs, strict=True):
            expected = reference.option_log_likelihood(
                hf, prompt.ids, prompt.decoder_ids, option, as_raw(neurons),
                lambda v: torch.full_like(v, 0.4),
            )  # fmt: skip
            assert len(log) == len(option)
            assert abs(float(log.sum()) - expected) < 1e-5 * abs(expected)


def test_the_encoder_runs_once_for_all_options():
    model = lens("flan")
    batch = collate(prompts_of(model, toy_questions(), "cloze"), model.pad_id)
    rows = {"encoder.act": [], "cross.k": [], "decoder.act": []}
    hooks = [
        (model.hook_name(site, 0), lambda a, hook, site=site: rows[site].append(len(a)))
        for site in rows
    ]
    with model.hooks(hooks):
        model.continuation_log_probs(batch)
    assert rows["encoder.act"] == rows["cross.k"] == [16]
    assert sum(rows["decoder.act"]) > 16


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("aggregation", ["maximum", "sum", "last"])
def test_attribution_is_autograd_on_the_raw_model(family, aggregation):
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    sites = reference.sites_of(hf)
    prompts = prompts_of(model)
    gold = gold_tokens(prompts, model.processor)
    reduce = {"maximum": lambda s: s.amax(1), "sum": lambda s: s.sum(1), "last": lambda s: s[:, -1]}
    expected = {}
    for prompt in prompts:
        products, p = reference.attribution(
            hf, sites, prompt.ids, prompt.decoder_ids, gold[prompt.question.id]
        )
        for site in sites:
            held = expected.setdefault(site, {})
            own = p * reduce[aggregation](products[site])
            held[prompt.question.culture] = held.get(prompt.question.culture, 0) + own
    found = attribute(
        model, mixed_questions(), sites=sites, aggregation=aggregation, batch_size=5, progress=False
    )
    for site in sites:
        rows = torch.stack([expected[site][culture] for culture in found.cultures])
        close(found.scores[site], rows)


@pytest.mark.parametrize("sites", [["cross.k"], ["decoder.z", "cross.v"], ["cross.z", "encoder.q"]])
def test_a_backward_reaches_whatever_is_asked_for(sites):
    model = lens("flan", torch.float64)
    every = attribute(model, mixed_questions(), sites=model.sites, progress=False)
    found = attribute(model, mixed_questions(), sites=sites, progress=False)
    for site in sites:
        close(found.scores[site], every.scores[site])
        assert (found.scores[site].abs().amax((0, 2)) > 0).all()  # in every layer


def test_predictions_are_sums_of_attributions():
    model, hf = lens("flan", torch.float64), raw("flan", torch.float64)
    prompts = prompts_of(model)
    gold = gold_tokens(prompts, model.processor)
    sets = [
        Neurons.of({"encoder.act": [(2, 3)], "cross.v": [(1, 0), (0, 4)]}),
        Neurons.of({"decoder.post": [(0, 0), (1, 5)]}),
    ]
    p_gold, effects = predicted_effects(model, prompts, sets, batch_size=5, progress=False)
    for row, prompt in enumerate(prompts):
        sites = ("encoder.act", "cross.v", "decoder.post")
        products, p = reference.attribution(
            hf, sites, prompt.ids, prompt.decoder_ids, gold[prompt.question.id]
        )
        assert abs(float(p_gold[row]) - p) < 1e-12
        for column, neurons in enumerate(sets):
            total = sum(float(products[s][layer, :, i].sum()) for s, layer, i in neurons.members())
            assert abs(float(effects[row, column]) + total) < 1e-9


# ------------------------------------------------------------------ the whole way


def test_from_questions_to_plots(tmp_path):
    model, questions = lens("flan"), toy_questions()
    found = find_culture_neurons(model, questions, share=0.05, progress=False)
    assert found.shapes == {"encoder.act": model.shape("encoder.act")}
    assert all(len(found[culture]) for culture in found)
    again = NeuronSet.load(found.save(tmp_path / "t5.safetensors"), model)
    assert again.neurons == found.neurons and again.shapes == found.shapes
    matrix = ablation_matrix(model, found, questions, scoring="letter", progress=False)
    assert set(found.cultures) <= set(matrix.masks)
    assert set(matrix.cultures) == set(found.cultures)
    held = split_questions(questions)[1]
    predicted = predicted_ablation_matrix(model, found, held, progress=False)
    assert predicted.table().shape == (4, 4) and predicted.table().abs().to_numpy().min() > 0
    assert len(matrix_fidelity(predicted, matrix).frame)
    assert plots.layer_heatmap(found).data[0].z.shape == (4, 3)
    assert plots.ablation_heatmap(matrix).data
    assert matched_random(found, seed=1).layer_share().shape == (4, 3)
    for scoring in SCORINGS:
        frame = evaluate(model, held, found["Japan"], scoring=scoring, progress=False).frame
        assert frame["p_gold"].between(0, 1).all()


def test_fidelity_over_all_stacks():
    model = lens("flan", torch.float64)
    questions = toy_questions()
    scores = attribute(model, questions, sites=model.sites, aggregation="sum", progress=False)
    assert len(
        fidelity(model, questions[:4], scores, neurons=3, shares=(0.01,), progress=False).frame
    )


@pytest.mark.parametrize("site", reference.SITES)
def test_small_edits_do_what_gradients_say(site):
    """Central differences, not too small: T5's norms are in float32 whatever the weights are."""
    model = lens("flan", torch.float64)
    prompts, neurons = prompts_of(model), some_neurons(model, site)
    _, changes = predicted_effects(model, prompts, [neurons], factor=1.003, progress=False)
    ends = []
    for alpha in (0.003, -0.003):
        with steered(model, neurons, alpha):
            ends.append(predicted_effects(model, prompts, [neurons], progress=False)[0])
    assert ((ends[0] - ends[1]) / 2 - changes[:, 0]).abs().max() < 0.01 * changes.abs().max()
    assert changes.abs().max() > 1e-8


def test_stacks_of_different_depth_in_one_set():
    model = lens("flan")
    scores = attribute(model, toy_questions(), progress=False)
    found = scores.top(share=0.05)
    assert found.shapes["encoder.gate"][0] == 3 and found.shapes["decoder.gate"][0] == 2
    found.check_model(model)
    assert found.layer_share().shape == (4, 3)
    assert plots.layer_heatmap(found) is not None
    assert set(matched_random(found, match="pool").shapes) == set(found.shapes)
    with suppress(model, found["Japan"]), enhance(model, found["France"]):
        model.logits(collate(prompts_of(model), model.pad_id))


def test_culnig_pools_the_sites_of_all_stacks():
    """Shares are of the gates of both stacks together, and of every q, k and v."""
    model, questions = lens("flan"), toy_questions()
    gates, attention = D_MLP * (3 + 2), 3 * N_HEADS * D_HEAD * (3 + 2 + 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        scores = culnig_scores(model, questions, progress=False)
    assert set(scores.sites) == set(model.projections)
    found = select(scores, "culnig_specific", share=0.03, countryrc_share=0.0, z=None)
    assert set(found.shapes) == set(model.projections)
    assert [len(found[c]) for c in found] == [int(0.03 * (gates + attention))] * len(found)
    whole = select(
        scores,
        "culnig_general",
        mlp_share=0.05,
        attention_share=0.03,
        countryrc_mlp_share=0.0,
        countryrc_attention_share=0.0,
    )["general"]
    at_gates = sum(len(places) for site, places in whole.places.items() if "gate" in site)
    assert (at_gates, len(whole) - at_gates) == (int(0.05 * gates), int(0.03 * attention))


@pytest.mark.parametrize("method", ["culnig_specific", "culnig_general"])
def test_culnig_needs_no_sites_named(method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        found = find_culture_neurons(lens("t5"), toy_questions(), method=method, progress=False)
    assert set(found.shapes) == set(lens("t5").projections)


def test_a_run_goes_on_and_knows_the_answer_prefix(tmp_path, monkeypatch):
    model, questions = lens("flan"), toy_questions()
    sites = "decoder.act"
    first = summarise(model, questions, sites=sites, progress=False, run=tmp_path)
    scored = attribute(model, questions, progress=False, run=tmp_path)
    answered = evaluate(model, questions, scoring="letter", progress=False, run=tmp_path)

    def refuse(*_, **__):
        raise AssertionError("the model ran again")

    with monkeypatch.context() as patch:
        patch.setattr(EncoderDecoder, "_forward", refuse)
        again = summarise(model, questions, sites=sites, progress=False, run=tmp_path)
        assert torch.equal(again.counts[sites], first.counts[sites])
        kept = attribute(model, questions, progress=False, run=tmp_path)
        assert torch.equal(kept.scores["cross.k"], scored.scores["cross.k"])
        evaluate(model, questions, scoring="letter", progress=False, run=tmp_path)
        # The encoder reads the same tokens now; the decoder does not.
        begun = with_format(questions, PromptFormat(answer_prefix="Answer:"))
        with pytest.raises(AssertionError, match="ran again"):
            summarise(model, begun, sites=sites, progress=False, run=tmp_path)
        with pytest.raises(AssertionError, match="ran again"):
            attribute(model, begun, progress=False, run=tmp_path)
        with pytest.raises(AssertionError, match="ran again"):
            evaluate(model, begun, scoring="letter", progress=False, run=tmp_path)
    assert len(answered.frame) == 16


# ------------------------------------------------------------------ what is refused


def test_sites_must_say_their_stack():
    model = lens("flan")
    with pytest.raises(InputError, match=r"'act'.*encoder\.act.*such as 'encoder\.act'"):
        model.hook_name("act", 0)
    with pytest.raises(InputError, match=r"unknown site 'gate'.*decoder\.gate"):
        record_activations(model, prompts_of(model), sites="gate", progress=False)
    with pytest.raises(InputError, match="no gate, so it has no 'up'"):
        lens("t5").hook_name("encoder.up", 0)
    with pytest.raises(InputError, match=r"one stack: give 'act'"):
        decoder_only("llama").hook_name("encoder.act", 0)
    with pytest.raises(InputError, match="another model"):
        ablation_hooks(model, Neurons.of({"act": [(0, 0)]}))


def test_neurons_beyond_the_layers_of_their_own_stack():
    model = lens("flan")
    assert ablation_hooks(model, Neurons.of({"encoder.act": [(2, 0)]}))
    with pytest.raises(InputError, match=r"'decoder\.act'.*2 layers of 48"):
        ablation_hooks(model, Neurons.of({"decoder.act": [(2, 0)]}))
    with pytest.raises(InputError, match=r"\(2, 24\) \(layer neuron\) for site 'cross\.k'"):
        ablation_hooks(model, Neurons.of({"cross.k": [(0, 0)]}), {"cross.k": torch.zeros(3, 24)})
    other = NeuronSet({}, {"decoder.act": (3, 48)})
    with pytest.raises(InputError, match="3 layers of 48"):
        other.check_model(model)


def test_prompts_for_one_stack_are_refused():
    model = lens("flan")
    plain = build_prompts(toy_questions(), model.tokenizer)
    with pytest.raises(InputError, match=r"model\.processor"):
        model.logits(collate(plain, model.pad_id))


def test_beginnings_are_refused():
    model = lens("flan")
    prompts = prompts_of(model, toy_questions())
    assert not model.can_share_prefix(prompts)
    prompts = [dataclasses.replace(p, ids=(5,) * 9 + p.ids, roles=(1,) * 9 + p.roles)
               for p in prompts]  # fmt: skip
    batch = collate(prompts, model.pad_id, shared_prefix_lengths(prompts))
    assert batch.prefixes is not None
    for call in (model.logits, model.run_prefix, model.continuation_log_probs):
        with pytest.raises(InputError, match="reads a prompt both ways"):
            call(batch)
    with pytest.raises(InputError, match="without shared prefixes"):
        model.differentiable_logits(batch)


def test_an_answer_that_melts_into_the_prefix():
    model = lens("flan")
    assert model.tokenizer.tokenize("the") == ["▁the"]
    question = with_format(toy_questions()[:1], PromptFormat(answer_prefix="th"))
    prompt = prompts_of(model, question)[0]
    with pytest.raises(InputError, match="melts into the end of the answer prefix"):
        continuation_ids(prompt, "e", model.processor)


def test_a_decoder_that_starts_from_nothing():
    hf = tiny_model("t5")
    hf.config.decoder_start_token_id = hf.generation_config.decoder_start_token_id = None
    with pytest.raises(InputError, match="set decoder_start_token_id"):
        load_model("t5", hf_model=hf, tokenizer=tiny_tokenizer())
    hf = tiny_model("t5")
    hf.config.decoder_start_token_id, hf.generation_config.decoder_start_token_id = None, 7
    assert load_model("t5", hf_model=hf, tokenizer=tiny_tokenizer()).start_id == 7


def test_images_and_processors_are_refused():
    with pytest.raises(InputError, match="reads text only"):
        load_model("t5", hf_model=tiny_model("t5"), processor=object())
    with pytest.raises(InputError, match="without a tokenizer"):
        load_model("t5", hf_model=tiny_model("t5"))
