"""Features as units against plain PyTorch: encode, ablate and steer, on every architecture."""

import pytest
import torch

from culture_lens.activations.record import item_statistics
from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated, steered
from culture_lens.models.architectures import ARCHITECTURES
from culture_lens.models.attach import with_features
from culture_lens.models.features import Errors, Features
from culture_lens.models.sae import SAE
from culture_lens.models.units import scaled_vector
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.prompt import CONTENT_ROLES
from tests.helpers import lm, t5
from tests.helpers.architecture_table import CASES, encoder_decoder_case
from tests.helpers.closeness import relative
from tests.helpers.marks import mostly_slow
from tests.helpers.sae import plain_features, random_sae, raw_of, stream_edited, tensors
from tests.helpers.tiny import D_MODEL

NAMES = [(one.name, CASES[one.name][1][0]) for one in ARCHITECTURES]
HOOK, LAYER, CHOSEN = "blocks.1.hook_resid_post", 1, [3, 8]


@pytest.mark.parametrize(
    "architecture, name",
    mostly_slow(NAMES, fast=[("GPT2LMHeadModel", "gpt2")]),
    ids=lambda one: one,
)
def test_features_on_every_architecture(architecture, name):
    """Counts, an ablated pair, a scaled one and the reconstruction alone, against a raw layer."""
    make, _ = CASES[architecture]
    case, hf = make(name), raw_of(make, name)
    stem = "encoder" if make is encoder_decoder_case else ""
    site, dtype = f"{stem}.sae".lstrip("."), case.model.dtype
    sae = random_sae(f"{stem}_{HOOK}".lstrip("_"), centred=True)
    model, held = with_features(case.model, sae, site=site), tensors(dtype=dtype)
    prompts = list(case.prompts)[:2]
    batch = collate(prompts, model.pad_id)
    seen = []

    def edited(change):
        def edit(x):
            features = plain_features(held, x, centred=True)
            seen.append(features)
            return x + change(x, features)

        with stream_edited(hf, LAYER, edit):
            return torch.stack([case.logits(prompt) for prompt in prompts])

    def less(x, features):
        return -features[..., CHOSEN] @ held["W_dec"][CHOSEN]

    def error(x, features):
        return features @ held["W_dec"] + held["b_dec"] - x

    chosen = Neurons.of({site: [(LAYER, index) for index in CHOSEN]})
    plain = model.logits(batch)
    assert relative(plain, edited(lambda x, features: 0)) < 1e-5
    features, seen = seen, []
    with ablated(model, chosen):
        found = model.logits(batch)
    assert relative(found, edited(less)) < 1e-5 < relative(found, plain)
    with steered(model, chosen, 0.5):
        assert relative(model.logits(batch), edited(lambda x, f: -0.5 * less(x, f))) < 1e-5
    with ablated(model, Neurons.of({f"{site}_error": [(LAYER, 0)]})):
        assert relative(model.logits(batch), edited(error)) < 1e-5
    counts = item_statistics(model, batch, [site], CONTENT_ROLES, False).counts[site]
    others = [layer for layer in range(model.layers(site)) if layer != LAYER]
    assert not counts[:, others].any()  # they have no autoencoder
    for row, prompt, values in zip(counts, prompts, features, strict=True):
        content = torch.tensor([role in CONTENT_ROLES for role in prompt.roles])
        near = (values[0, content].abs() < 1e-5 * values.abs().max()).sum(0)
        off = (row[LAYER] - (values[0, content] > 0).sum(0)).abs()
        assert (off <= near).all()


def test_on_paper():
    """x = (3, 1) has the features 3 and 2; without the first it loses 3 (1, 0), and no more."""
    sae = SAE(
        encoder=torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        encoder_bias=torch.zeros(2),
        decoder=torch.tensor([[1.0, 0.0], [0.0, 0.25]]),
        decoder_bias=torch.zeros(2),
        hook="blocks.0.hook_resid_post",
    )
    x = torch.tensor([[[3.0, 1.0]]])
    units = Features(sae.hook, sae.hook, {0: sae})
    before = units.encode(0, x)
    assert before.tolist() == [[[3.0, 2.0]]]
    without = torch.tensor([[[0.0, 2.0]]])
    assert (x + units.change(0, x, before, without)).tolist() == [[[0.0, 1.0]]]
    errors = Errors(units)  # x^ = (3, 0.5)
    assert errors.encode(0, x).tolist() == [[[0.5]]]
    gone = errors.change(0, x, errors.encode(0, x), torch.zeros(1, 1, 1))
    assert (x + gone).tolist() == [[[3.0, 0.5]]]
    assert units.outgoing(0).tolist() == [[1.0, 0.0], [0.0, 0.25]]


def test_a_vector_of_norm_zero_stays():
    vector, norm = torch.zeros(2), torch.tensor(0.0)
    assert scaled_vector(vector, norm, torch.tensor(2.0)).tolist() == [0.0, 0.0]


def test_nothing_changes_where_nothing_is_edited():
    """To the last bit, also where units are read and steered by 0."""
    model = with_features(lm.lens("llama"), random_sae(HOOK))
    batch = collate(lm.prompts_of(model), model.pad_id)
    plain = lm.lens("llama").logits(batch)
    with steered(model, Neurons.of({"sae": [(1, 3)]}), 0.0):
        assert torch.equal(model.logits(batch), plain)
    seen = []
    with model.hooks([(model.hook_name("sae", 1), lambda units, hook: seen.append(units.shape))]):
        assert torch.equal(model.logits(batch), plain)
    assert seen[0][2] == 20 and not model.is_hooked


def test_units_of_one_hook_are_read_from_one_activation():
    """Features and error edited together: x' = the features that are left, and b_dec."""
    model = with_features(lm.exact("llama"), random_sae(HOOK))
    every = {"sae": [(1, n) for n in range(20)], "sae_error": [(1, 0)]}
    batch, held = collate(lm.prompts_of(model), model.pad_id), []
    keep = (model.hook_name("resid", 1), lambda x, hook: held.append(x))
    with ablated(model, Neurons.of(every)), model.hooks([keep]):
        model.logits(batch)
    assert (held[0] - model.units["sae"].dictionaries[1].decoder_bias).abs().max() < 1e-12


def test_what_is_refused():
    model = with_features(lm.lens("llama"), random_sae(HOOK))
    with pytest.raises(InputError, match="site 'sae' has no units at layer 0: it has those.*1"):
        model.hook_name("sae", 0)
    with pytest.raises(InputError, match="'sae' of 'tiny-llama' is taken"):
        with_features(model, random_sae(HOOK))
    with pytest.raises(InputError, match="two autoencoders are of layer 1"):
        with_features(lm.lens("llama"), [random_sae(HOOK), random_sae(HOOK)])
    with pytest.raises(InputError, match="33 wide at 'blocks.1.hook_resid_post'.*32 wide"):
        with_features(lm.lens("llama"), random_sae(HOOK, d_in=D_MODEL + 1))
    with pytest.raises(InputError, match="nothing can be read at 'blocks.7.hook_resid_post'"):
        with_features(lm.lens("llama"), random_sae("blocks.7.hook_resid_post"))
    with pytest.raises(InputError, match="trained on 'gpt2-small', and the model is 'tiny-llama'"):
        with_features(lm.lens("llama"), random_sae(HOOK, metadata={"model_name": "gpt2-small"}))
    with pytest.raises(InputError, match="call it 'encoder.sae' or 'decoder.sae'|'decoder.sae'"):
        with_features(t5.lens("t5"), random_sae(f"encoder_{HOOK}"))
    with pytest.raises(InputError, match="dict has no encode and decode"):
        with_features(lm.lens("llama"), {})
    other = with_features(lm.lens("llama"), random_sae(HOOK, seed=1))
    assert other.units["sae"].content != model.units["sae"].content
