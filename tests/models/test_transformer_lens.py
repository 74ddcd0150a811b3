"""What a TransformerLens user calls on a model, against the same weights in plain transformers."""

import copy

import pytest
import torch

from culture_lens.models.load import load_model
from tests.helpers import t5, vlm
from tests.helpers.closeness import assert_close
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.tiny import tiny_model, tiny_tokenizer
from tests.helpers.tiny_t5 import FAMILIES
from tests.helpers.tiny_t5 import tiny_tokenizer as t5_tokenizer
from tests.helpers.tiny_vlm import tiny_vlm_tokenizer

TEXTS = [
    "What is the most popular sport in Mexico, and where do people play it?",
    "Tea with milk",
]
some_vlm = pytest.mark.parametrize(
    "name", ["llava", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gemma3", "qwen2_5_vl"))]
)


def ids_of(tokenizer, text):
    return tokenizer(text, return_tensors="pt").input_ids


def check_reading(model, tokenizer):
    """Text becomes what the tokenizer alone makes of it, whichever way it is given."""
    own = ids_of(tokenizer, TEXTS[0])
    assert torch.equal(model.to_tokens(TEXTS[0]), own)
    assert torch.equal(model.bridge.to_tokens(TEXTS[0]), own)
    assert model.to_string(own[0]) == tokenizer.decode(own[0])
    assert "".join(model.to_str_tokens("tea")) == model.to_string(ids_of(tokenizer, "tea")[0])
    assert model.bridge.tokenizer is model.tokenizer
    starts = tokenizer.bos_token_id is not None and own[0, 0] == tokenizer.bos_token_id
    assert model.cfg.default_prepend_bos == starts == model.cfg.tokenizer_prepends_bos
    without = model.to_tokens(TEXTS[0], prepend_bos=False)
    assert torch.equal(without, own[:, int(starts) :])


# ------------------------------------------------------------------ decoder-only


@each_architecture
def test_text_is_read_by_the_models_own_tokenizer(architecture):
    check_reading(lens(architecture), tiny_tokenizer(architecture))


@each_architecture
def test_text_gives_the_logits_and_the_loss_of_transformers(architecture):
    model, hf, tokenizer = lens(architecture), raw(architecture), tiny_tokenizer(architecture)
    ids = ids_of(tokenizer, TEXTS[0])
    with torch.no_grad():
        plain = hf(ids, labels=ids)
    for given in (TEXTS[0], ids, ids[0]):
        assert_close(model(given).detach(), plain.logits)
    for asked in (model, model.bridge):
        loss = asked(TEXTS[0], return_type="loss")
        assert float(loss) == pytest.approx(float(plain.loss), rel=1e-5)


@pytest.mark.parametrize("side", ["left", "right", None])
@each_architecture
def test_a_batch_of_texts_gives_what_each_gives_alone(architecture, side):
    model = lens(architecture)
    alone = [model(text)[0].detach() for text in TEXTS]
    found = model(TEXTS, **({"padding_side": side} if side else {})).detach()
    for row, one in zip(found, alone, strict=True):
        assert_close(row[-len(one) :] if side == "left" else row[: len(one)], one)


@each_architecture
def test_greedy_generation(architecture):
    model, hf, tokenizer = lens(architecture), raw(architecture), tiny_tokenizer(architecture)
    ids = ids_of(tokenizer, TEXTS[0])
    for _ in range(6):
        with torch.no_grad():
            ids = torch.cat([ids, hf(ids).logits[:, -1:].argmax(-1)], 1)
    options = {"max_new_tokens": 6, "do_sample": False, "stop_at_eos": False}
    assert torch.equal(model.generate(TEXTS[0], return_type="tokens", **options), ids)
    assert model.generate(TEXTS[0], **options) == tokenizer.decode(ids[0], skip_special_tokens=True)


@each_architecture
def test_caches_and_hooks(architecture):
    model = lens(architecture)
    name = model.hook_name("act", 1)
    logits, cache = model.run_with_cache(TEXTS[0])
    assert torch.equal(logits, model(TEXTS[0]))
    assert cache[name].shape == (*logits.shape[:2], 48)
    zero = [(name, lambda activation, hook: torch.zeros_like(activation))]
    edited = model.run_with_hooks(TEXTS[0], fwd_hooks=zero)
    with model.hooks(fwd_hooks=zero) as inside:
        assert inside is model and torch.equal(model(TEXTS[0]), edited)
    assert not torch.equal(edited, logits) and torch.equal(model(TEXTS[0]), logits)
    _, both = model.run_with_cache(TEXTS, names_filter=name)
    assert both[name].shape[0] == 2


def test_a_tokenizer_without_padding_is_copied_for_the_bridge():
    tokenizer = tiny_tokenizer("llama")
    tokenizer.pad_token = None
    model = load_model("unpadded", hf_model=tiny_model("llama"), tokenizer=tokenizer)
    assert torch.equal(model.to_tokens(TEXTS[1]), ids_of(tiny_tokenizer("llama"), TEXTS[1]))
    assert tokenizer.pad_token is None and model.tokenizer is tokenizer
    assert model(TEXTS).shape[0] == 2


def test_loading_leaves_the_tokenizer_as_it_was():
    tokenizer = tiny_tokenizer("qwen2")
    before = copy.deepcopy(tokenizer.init_kwargs), tokenizer.padding_side
    model = load_model("same", hf_model=tiny_model("qwen2"), tokenizer=tokenizer)
    model(TEXTS, padding_side="left")
    model.generate(TEXTS, max_new_tokens=2, do_sample=False)
    assert tokenizer.bos_token is None
    assert (tokenizer.init_kwargs, tokenizer.padding_side) == before


# ------------------------------------------------------------------ encoder-decoder and vision


@pytest.mark.parametrize(
    "family", [f if f == "flan" else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES]
)
def test_an_encoder_decoder_reads_text_with_its_end(family):
    model, hf, tokenizer = t5.lens(family), t5.raw(family), t5_tokenizer()
    check_reading(model, tokenizer)
    ids = ids_of(tokenizer, TEXTS[0])
    assert ids[0, -1] == tokenizer.eos_token_id
    with torch.no_grad():
        plain = hf(ids, decoder_input_ids=torch.tensor([[model.start_id]])).logits
    assert_close(model(TEXTS[0]).detach(), plain)
    alone = torch.cat([model(text).detach() for text in TEXTS])
    assert_close(model(TEXTS).detach(), alone)
    given = torch.tensor([[model.start_id, 5, 6]])
    with torch.no_grad():
        longer = hf(ids, decoder_input_ids=given).logits
    assert_close(model(TEXTS[0], decoder_input_ids=given).detach(), longer)
    _, cache = model.run_with_cache(TEXTS[0])
    assert cache[model.hook_name("encoder.act", 0)].shape[1] == ids.shape[1]
    assert cache[model.hook_name("decoder.act", 0)].shape[1] == 1
    assert isinstance(model.generate(TEXTS[0], max_new_tokens=3, do_sample=False), str)


@some_vlm
def test_a_vision_language_model_reads_text(name):
    model, hf = vlm.lens(name), vlm.raw(name)
    check_reading(model, tiny_vlm_tokenizer(name))
    ids = ids_of(tiny_vlm_tokenizer(name), TEXTS[0])
    more = {"token_type_ids": torch.zeros_like(ids)} if name == "gemma3" else {}
    with torch.no_grad():
        plain = hf(ids, **more).logits
    assert_close(model(TEXTS[0], **more).detach(), plain)
