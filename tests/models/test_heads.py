"""Heads as units: on paper, and against raw modules on every architecture."""

import pytest
import torch

from culture_lens.attribution.item_scores import item_scores
from culture_lens.attribution.settings import Attribution
from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated, steered
from culture_lens.models.heads import HeadUnits, with_heads
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from tests.helpers import heads, lm
from tests.helpers.architecture_table import BOUND
from tests.helpers.closeness import relative
from tests.helpers.reference_heads import entering, norms_written, output_of

CHOSEN = {0: (1,), 1: (0, 3)}


def units_on_paper() -> HeadUnits:
    """Two heads of two values: the first writes (z0, 2 z1), the second only its first value."""
    gram = torch.tensor([[[1.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]])
    return HeadUnits("z.{layer}", {0: gram}, "paper")


def test_norm_and_edits_on_paper():
    units, z = units_on_paper(), torch.tensor([[[3.0, 2.0, 0.0, 7.0]]])
    before = units.encode(0, z)
    assert before.tolist() == [[[5.0, 0.0]]]  # 3^2 + (2 * 2)^2; the second head writes nothing
    gone = z + units.change(0, z, before, torch.zeros(1, 1, 2))
    assert gone.tolist() == [[[0.0, 0.0, 0.0, 7.0]]]
    half = z + units.change(0, z, before, before / 2)
    assert half.tolist() == [[[1.5, 1.0, 0.0, 7.0]]]


def test_the_gradient_of_a_norm_of_zero_is_a_number():
    units, z = units_on_paper(), torch.zeros(1, 1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(units.encode(0, z).sum(), z)
    assert torch.equal(gradient, torch.zeros(1, 1, 4))


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "name"), heads.NAMES)
def test_heads_against_raw_modules(architecture, name):
    make, _ = heads.CASES[architecture]
    case, hf = make(name), heads.raw_of(make, name)
    prompts = list(case.prompts)[::7]
    plain_model = case.model
    model, batch = with_heads(plain_model), collate(prompts, case.model.pad_id)
    plain = model.logits(batch)
    for stack in heads.stacks_of(model):
        site, outputs = (
            heads.site_of(stack),
            list(map(output_of, heads.attentions_of(make, hf, stack))),
        )
        layers, count = model.shape(site)
        assert (layers, count) == (len(outputs), 4)
        seen: dict[int, torch.Tensor] = {}

        def scaled(at, z, factor):
            seen[at] = z
            width = z.shape[-1] // count
            z = z.clone()
            for head in CHOSEN.get(at, ()):
                z[..., head * width : (head + 1) * width] *= factor
            return z

        neurons = Neurons.of({site: [(layer, h) for layer, own in CHOSEN.items() for h in own]})
        for factor, edit in ((0.0, ablated(model, neurons)), (2.5, steered(model, neurons, 1.5))):
            with edit:
                found = model.logits(batch)
            expected = []
            for prompt in prompts:
                with entering(outputs, lambda at, z: scaled(at, z, factor)), torch.no_grad():
                    expected.append(case.logits(prompt))
            assert relative(found, torch.stack(expected)) <= BOUND
            assert relative(found, plain) > 1e-5
        with entering(outputs, lambda at, z: scaled(at, z, 1.0)), torch.no_grad():
            case.logits(prompts[0])
        read: dict[int, torch.Tensor] = {}
        hooks = [
            (model.hook_name(site, layer), lambda u, hook, layer=layer: read.update({layer: u}))
            for layer in range(layers)
        ]
        with model.hooks(hooks):
            model.logits(collate(prompts[:1], model.pad_id))
        for layer in range(layers):
            expected = norms_written(outputs[layer], seen[layer], count)
            assert relative(read[layer][0], expected) <= BOUND
    assert torch.equal(plain_model.logits(batch), plain)


def test_attribution_is_gradient_times_z_summed_over_the_head():
    model = with_heads(lm.exact("llama"))
    prompts = list(heads.CASES["LlamaForCausalLM"][0]("llama").prompts)[:4]
    how = Attribution("logit_difference", aggregation="sum")
    found = item_scores(model, collate(prompts, model.pad_id), ["head", "z"], how).scores
    by_value = found["z"].unflatten(-1, (4, -1)).sum(-1)
    assert relative(found["head"], by_value) <= 1e-9
    assert found["head"].abs().max() > 0


def test_what_is_refused():
    model = with_heads(lm.lens("llama"))
    assert with_heads(model).sites == model.sites
    with pytest.raises(InputError, match="outside"):
        with ablated(model, Neurons.of({"head": [(0, 4)]})):
            pass
