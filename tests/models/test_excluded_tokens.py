"""Features that leave out tokens: none there, nothing edited there, on every way to run a model."""

import pytest
import torch

import culture_lens as cl
from culture_lens.activations.record import item_statistics
from culture_lens.errors import InputError
from culture_lens.models.architectures import ARCHITECTURES
from culture_lens.models.attach import special_ids
from culture_lens.prompts.batches import collate
from culture_lens.prompts.prompt import CONTENT_ROLES
from tests.helpers import lm, t5
from tests.helpers import vlm as vlms
from tests.helpers.architecture_table import CASES, encoder_decoder_case
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET, mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.sae import plain_features, random_sae, raw_of, stream_edited, tensors

HOOK, LAYER, CHOSEN = "blocks.1.hook_resid_post", 1, [3, 8]
DECODERS = [(one.name, *CASES[one.name][1][:1]) for one in ARCHITECTURES]
DECODERS = [pair for pair in DECODERS if CASES[pair[0]][0] is not encoder_decoder_case]
NEURONS = cl.Neurons.of({"sae": [(LAYER, index) for index in CHOSEN]})


def among(prompt, ids):
    return torch.isin(torch.tensor(prompt.ids), torch.tensor(ids))


@pytest.mark.parametrize(
    "architecture, name",
    mostly_slow(DECODERS, fast=[("GPT2LMHeadModel", "gpt2")]),
    ids=lambda one: one,
)
def test_on_every_architecture_as_in_a_raw_model(architecture, name):
    """The first token and the last one: as if the layer had no features there."""
    make, _ = CASES[architecture]
    case, hf = make(name), raw_of(make, name)
    held, prompts = tensors(dtype=case.model.dtype), list(case.prompts)[:2]
    ids = [prompts[0].ids[0], prompts[0].ids[-1]]
    model = cl.with_features(case.model, random_sae(HOOK), exclude_special_tokens=ids)
    batch, wanted, without = collate(prompts, model.pad_id), [], []
    for prompt in prompts:

        def less(x, prompt=prompt, out=ids):
            features = plain_features(held, x)[..., CHOSEN]
            return x - features * ~among(prompt, out)[:, None] @ held["W_dec"][CHOSEN]

        for rows, some in ((wanted, ids), (without, [-1])):
            with stream_edited(hf, LAYER, lambda x, some=some, less=less: less(x, out=some)):
                rows.append(case.logits(prompt))
    with cl.ablated(model, NEURONS):
        found = model.logits(batch)
    assert relative(found, torch.stack(wanted)) < 1e-5
    assert relative(found, torch.stack(without)) > 1e-4  # the tokens do matter


def counts_of(model, prompts):
    batch = collate(prompts, model.pad_id)
    return item_statistics(model, batch, ["sae"], CONTENT_ROLES, False).counts["sae"]


def test_nothing_is_counted_there():
    """Counts are those of the features at all other tokens; the stream is read in the raw model."""
    plain = lm.exact("llama")
    prompts = lm.prompts_of(plain)
    tokens = [i for i, role in zip(prompts[0].ids, prompts[0].roles, strict=True) if role in
              CONTENT_ROLES][:3]  # fmt: skip
    model = cl.with_features(plain, random_sae(HOOK), exclude_special_tokens=tokens)
    expected, kept = [], []
    for prompt in prompts:
        with stream_edited(lm.exact_raw("llama"), LAYER, lambda x: kept.append(x[0]) or x):
            lm.raw_logits(lm.exact_raw("llama"), prompt)
        content = torch.tensor([role in CONTENT_ROLES for role in prompt.roles])
        active = plain_features(tensors(), kept[-1]) > 0
        expected.append(active[content & ~among(prompt, tokens)].sum(0))
    found = counts_of(model, prompts)
    assert found[:, LAYER].equal(torch.stack(expected))
    assert not found.equal(counts_of(cl.with_features(plain, random_sae(HOOK)), prompts))


@pytest.mark.slow
def test_shared_prefixes_trees_and_generation_leave_them_out_too():
    """The matrix by letter and by likelihood, and what is written, equal runs one at a time."""
    plain, asked = lm.lens("llama"), toy_questions()
    ids = sorted({i for prompt in lm.prompts_of(plain) for i in prompt.ids})[::2]
    model = cl.with_features(plain, random_sae(HOOK, dtype=torch.float32),
                             exclude_special_tokens=ids)  # fmt: skip
    found = cl.NeuronSet({"Japan": NEURONS}, {"sae": model.shape("sae")}, cl.looked_at([]))
    for scoring in ("letter", "option_likelihood"):
        matrix = cl.ablation_matrix(model, found, asked, scoring=scoring, **QUIET)
        cells = matrix.frame.query("condition == 'found'").set_index("id").p_gold
        with cl.ablated(model, NEURONS):
            single = cl.evaluate(model, asked, scoring=scoring, batch_size=1, **QUIET)
        assert (cells - single.frame.set_index("id").p_gold).abs().max() < 1e-5
    prompt = torch.tensor([lm.prompts_of(plain)[0].ids])
    with cl.ablated(model, NEURONS):
        written = model.generate(prompt, 6, do_sample=False, verbose=False)
        for end in range(prompt.shape[1], written.shape[1]):
            assert int(model(written[:, :end])[0, -1].argmax()) == int(written[0, end])


def test_the_report_keeps_them_as_they_are(recwarn):
    """A reconstruction of 0, but all tokens left out: the model loses nothing."""

    class Nothing:
        def encode(self, x):
            return torch.zeros(*x.shape[:-1], 2)

        def decode(self, f):
            return torch.zeros(*f.shape[:-1], 32)

    plain = lm.lens("llama")
    every = list(range(len(plain.tokenizer)))
    for ids, lost in ((every, False), (None, True)):
        model = cl.with_features(plain, Nothing(), hook=HOOK, exclude_special_tokens=ids)
        (row,) = cl.sae_report(model, toy_questions(), **QUIET).frame.to_dict("records")
        assert (row["answer_loss"] != row["answer_loss_sae"]) == lost
        assert (row["tokens"] > 0) == lost


def test_files_say_it_and_the_caller_has_the_last_word(tmp_path):
    plain = lm.lens("llama")
    some = random_sae(HOOK, dtype=torch.float32, metadata={"exclude_special_tokens": True})
    sae = cl.load_sae(cl.save_sae(some, tmp_path / "a"))
    special = special_ids(plain)
    assert special == (plain.tokenizer.bos_token_id, plain.tokenizer.eos_token_id)
    models = {
        said: cl.with_features(plain, sae, exclude_special_tokens=said)
        for said in (None, False, True)
    }
    assert models[None].units["sae"].excluded == models[True].units["sae"].excluded == special
    assert models[False].units["sae"].excluded == ()
    assert models[None].units["sae"].content != models[False].units["sae"].content
    before = cl.with_features(plain, random_sae(HOOK, dtype=torch.float32))
    assert models[False].units["sae"].content == before.units["sae"].content


def test_mere_padding_is_no_special_token():
    """Gemma 3 embeds padding in the place of a picture: features there are those of the picture."""
    model = vlms.lens("gemma3")
    out = special_ids(model)
    assert model.processor.image_token_id not in out
    assert model.tokenizer.pad_token_id not in out


def test_what_is_refused(tmp_path):
    plain = lm.lens("llama")
    said = {"exclude_special_tokens": True}
    mixed = [random_sae(f"blocks.{n}.hook_resid_post", metadata=said if n else {}) for n in (0, 1)]
    with pytest.raises(InputError, match="files leave out different tokens"):
        cl.with_features(plain, mixed)
    wrong = random_sae(HOOK, metadata={"exclude_special_tokens": "bos"})
    with pytest.raises(InputError, match="exclude_special_tokens in cfg.json.*True or False"):
        cl.with_features(plain, wrong)
    with pytest.raises(InputError, match=r"has 99999, and 'tiny-llama' knows \d+ tokens"):
        cl.with_features(plain, random_sae(HOOK), exclude_special_tokens=[99_999])
    with pytest.raises(InputError, match="exclude_special_tokens.*-1"):
        cl.with_features(plain, random_sae(HOOK), exclude_special_tokens=[-1])
    with pytest.raises(InputError, match="decoder-only"):
        cl.with_features(t5.lens("t5"), random_sae(f"encoder_{HOOK}"), site="encoder.sae",
                         exclude_special_tokens=True)  # fmt: skip
    model = cl.with_features(plain, random_sae(HOOK), exclude_special_tokens=[0])
    with cl.ablated(model, NEURONS), pytest.raises(InputError, match="was given embeddings"):
        model.bridge.original_model(inputs_embeds=torch.zeros(1, 3, 32))
