"""Directions are fitted, added and projected out as on the raw model, on every architecture."""

import pytest
import torch

from culture_lens.activations.directions import fit_directions
from culture_lens.interventions.change_norm import change_norm
from culture_lens.interventions.directions import direction_added, direction_removed
from culture_lens.models.architectures import ARCHITECTURES
from culture_lens.models.sites import part_of
from culture_lens.neurons.direction_hooks import addition_hooks
from culture_lens.prompts.batches import collate
from tests.helpers import lm, reference, reference_t5, reference_vlm, t5
from tests.helpers import vlm as vlm_helpers
from tests.helpers.architecture_table import BOUND, CASES, encoder_decoder_case, image_case
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET, mostly_slow, quiet
from tests.helpers.reference_directions import at_output, differences, stream_of

LAYER = 1


def raw_layer(make, name, site):
    """The layer of the raw model after which the residual stream is read."""
    if make is encoder_decoder_case:
        return reference_t5.blocks_of(t5.raw(name, torch.float64), site)[LAYER]
    if make is image_case:
        return reference_vlm.text_layers(vlm_helpers.raw(name))[LAYER]
    return reference.decoder_layers(lm.raw(name))[LAYER]


def raw_edits(one):
    """What is done to the residual stream, in plain PyTorch: subtract, remove, set to the mean."""
    unit = one.vector / one.vector.norm()

    def to(level):
        return lambda x: (x.double() + (level - x.double() @ unit)[..., None] * unit).to(x)

    return [lambda x: x - 2.5 * one.vector.to(x), to(0.0), to(one.mean)]


@quiet
@pytest.mark.parametrize(
    "architecture",
    mostly_slow(ARCHITECTURES, fast=[a for a in ARCHITECTURES if a.name == "GPT2LMHeadModel"]),
    ids=lambda one: one.name,
)
def test_fit_add_and_remove_are_those_of_the_raw_model(architecture):
    make, names = CASES[architecture.name]
    case = make(names[0])
    prompts = list(case.prompts)[::3]
    batch = collate(prompts, case.model.pad_id)
    for site in [site for site in case.model.sites if part_of(site) == "resid"]:
        layer = raw_layer(make, names[0], site)
        last = {
            prompt.question.id: stream_of(layer, lambda prompt=prompt: case.logits(prompt))[-1]
            for prompt in prompts
        }
        asked = [prompt.question for prompt in prompts]
        expected = differences(last, {question.id: question.culture for question in asked})
        fitted = fit_directions(case.model, asked, layer=LAYER, site=site, **QUIET)
        assert set(fitted) == set(expected)
        for culture, vector in expected.items():
            assert relative(fitted[culture].vector, vector) <= BOUND
        one = fitted[fitted.cultures[0]]
        edited = [
            direction_added(case.model, one, -2.5),
            direction_removed(case.model, one),
            direction_removed(case.model, one, "mean"),
        ]
        plain = case.model.logits(batch)
        for context, edit in zip(edited, raw_edits(one), strict=True):
            with context:
                found = case.model.logits(batch)
            with at_output(layer, edit):
                raw = torch.stack([case.logits(prompt) for prompt in prompts])
            assert relative(found, raw) <= BOUND
            assert relative(found, plain) > 100 * BOUND  # the edit does something
        hooks = addition_hooks(case.model, one, -2.5)
        moved = change_norm(case.model, hooks, asked, layer=LAYER, site=site, **QUIET)
        assert moved.value == pytest.approx(2.5 * one.norm, rel=1e-4)
