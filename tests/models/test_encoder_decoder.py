"""T5, FLAN-T5 and mT5 give what raw Hugging Face gives: logits and option likelihoods."""

import dataclasses

import pytest
import torch
import transformers

from culture_lens.activations.record import record_activations
from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.interventions.hooks import ablated, ablation_hooks
from culture_lens.models.encoder_decoder import EncoderDecoder
from culture_lens.models.load import load_model
from culture_lens.models.sites import STREAM_SITES
from culture_lens.models.vision import NoPictures
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from tests.helpers import reference_t5 as reference
from tests.helpers.closeness import assert_close
from tests.helpers.lm import lens as decoder_only
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.t5 import (
    ROUNDING,
    SITE_CASES,
    as_raw,
    each_family,
    lens,
    prompts_of,
    raw,
    save_t5,
    some_neurons,
)
from tests.helpers.tiny_t5 import (
    D_HEAD,
    D_MLP,
    D_MODEL,
    LAYERS,
    N_HEADS,
    PAD,
    tiny_model,
    tiny_tokenizer,
)

# ------------------------------------------------------------------ what is loaded


@each_family
def test_a_model_and_its_sites(family):
    model = lens(family)
    assert isinstance(model, EncoderDecoder)
    encoder, decoder = LAYERS[family]
    streams = {f"{stack}.{one}" for stack in ("encoder", "decoder") for one in STREAM_SITES}
    assert set(model.sites) == {*reference.sites_of(raw(family)), *streams}
    for site in model.sites:
        layers = encoder if site.startswith("encoder.") else decoder
        width = N_HEADS * D_HEAD if site[-2:] in (".q", ".k", ".v", ".z") else D_MLP
        width = D_MODEL if site in streams else width
        assert model.shape(site) == (layers, width)
    assert model.gated == (family != "t5") and model.start_id == PAD
    assert (model.window, model.vision, model.default_site) == (0, NoPictures(), "encoder.act")
    assert set(model.projections) == {
        *(f"{stack}.{x}" for stack in ("encoder", "decoder") for x in ("gate", "q", "k", "v")),
        *(f"cross.{x}" for x in "qkv"),
    }  # fmt: skip
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())


@pytest.mark.slow
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


@each_family
def test_folder_round_trip(family, tmp_path):
    save_t5(family, tmp_path)
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


# ------------------------------------------------------------------ logits


@pytest.mark.parametrize("attention", ["native", "eager"])
@pytest.mark.parametrize("dtype", mostly_slow([torch.float32, torch.float64], fast=[torch.float64]))
@each_family
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
    assert_close(found, torch.stack(expected), ROUNDING[dtype])


def test_native_attention_is_that_of_the_model():
    implementation = tiny_model("t5").config._attn_implementation
    model = lens("t5").bridge.original_model
    assert implementation == "sdpa"  # what this environment chooses
    for stack in (model, model.encoder, model.decoder):
        assert stack.config._attn_implementation == implementation


@pytest.mark.parametrize("attention", mostly_slow(["native", "eager"], fast=["native"]))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, attention, tmp_path):
    """As from_pretrained loads T5: in float16 the MLP's last projection stays in float32."""
    save_t5("flan", tmp_path)
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


# ------------------------------------------------------------------ options


@each_family
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
            assert_close(torch.tensor(answer.scores), torch.tensor(expected).double())


@pytest.mark.parametrize(
    ("family", "site"),
    mostly_slow([case for case in SITE_CASES if case[0] != "mt5"], fast=[("flan", "cross.v")]),
)
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


def test_prompts_for_one_stack_are_refused():
    model = lens("flan")
    plain = build_prompts(toy_questions(), model.tokenizer)
    with pytest.raises(InputError, match=r"model\.processor"):
        model.logits(collate(plain, model.pad_id))


def test_shared_prefixes_are_refused():
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
