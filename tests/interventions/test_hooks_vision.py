"""Edits of vision-language models are those of the raw modules, at text and image tokens."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated, enhance, steered
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from tests.helpers.closeness import relative
from tests.helpers.reference_vlm import at_site, vlm_edited_logits, vlm_logits
from tests.helpers.vlm import SHARING, SITES, lens, prompts_of, raw
from tests.helpers.vlm_items import (
    EDITED,
    F64,
    PLACES,
    assert_options,
    chosen_batch,
    each,
    each_sharing,
    item,
    questions,
    raw_options,
)


def raw_edited(name, number, site, edit):
    """The raw model with ``edit`` on the columns of PLACES."""

    def change(layer, x):
        x = x.clone()
        for at, index in PLACES:
            if at == layer:
                x[..., index] = edit(x[..., index])
        return x

    with at_site(raw(name, F64), site, change):
        return vlm_logits(raw(name, F64), item(name, number, F64))


@pytest.mark.parametrize("site", SITES)
@each
def test_edits_equal_those_on_the_raw_module(name, site):
    model = lens(name, F64)
    neurons = Neurons.of({site: PLACES})
    plain = model.logits(chosen_batch(name, False))
    edits = {
        "zero": (ablated(model, neurons), lambda x: 0 * x),
        "number": (ablated(model, neurons, 0.7), lambda x: 0 * x + 0.7),
        "scaled": (steered(model, neurons, 0.5), lambda x: 1.5 * x),
    }
    kinds = ("zero", "scaled") if site in ("act", "v") else ("number",)
    for context, edit in (edits[kind] for kind in kinds):
        expected = torch.stack([raw_edited(name, number, site, edit) for number in EDITED])
        assert (expected - plain).abs().max() > 1e-3
        with context:
            for share in (False, True) if name in SHARING else (False,):
                found = model.logits(chosen_batch(name, share))
                assert relative(found, expected) < 1e-9
    numbered = dict.fromkeys(PLACES, 0.7)
    again = vlm_edited_logits(raw(name, F64), item(name, 0, F64), {site: numbered})
    assert relative(again, raw_edited(name, 0, site, edits["number"][1])) < 1e-12
    assert torch.equal(model.logits(chosen_batch(name, False)), plain)


@each
def test_edits_in_float32(name):
    model = lens(name)
    neurons = Neurons.of({"gate": PLACES, "v": PLACES})
    expected = torch.stack(
        [
            vlm_edited_logits(
                raw(name),
                item(name, number),
                {site: dict.fromkeys(PLACES, 0.0) for site in ("gate", "v")},
            )
            for number in EDITED
        ]
    )
    with ablated(model, neurons):
        for share in (False, True) if name in SHARING else (False,):
            assert relative(model.logits(chosen_batch(name, share)), expected) < 1e-5


@each
def test_doubling_a_raw_projection(name):
    """CULNIG's enhance, at image tokens too."""
    model = lens(name, F64)
    expected = torch.stack([raw_edited(name, i, "gate", lambda x: 2 * x) for i in EDITED])
    with enhance(model, Neurons.of({"gate": PLACES})):
        for share in (False, True) if name in SHARING else (False,):
            assert relative(model.logits(chosen_batch(name, share)), expected) < 1e-9


ROWS = [{"gate": [(0, 1)], "v": [(1, 2)]}, {"gate": [(2, 5)]}, {}, {"v": [(0, 3)], "up": [(1, 1)]}]


@each
def test_neurons_of_each_row(name):
    model = lens(name, F64)
    rows = [Neurons.of(row) for row in ROWS]
    expected, options = [], []
    for number, row in zip(EDITED, ROWS, strict=True):
        edits = {site: dict.fromkeys(places, 0.0) for site, places in row.items()}
        expected.append(vlm_edited_logits(raw(name, F64), item(name, number, F64), edits))
        options.append(raw_options(name, number, edits))
    cloze = prompts_of(name, [questions()[number] for number in EDITED], "cloze")
    with ablated(model, rows):
        found = model.logits(chosen_batch(name, False))
        likelihoods = model.continuation_log_probs(collate(cloze, model.pad_id))
    assert relative(found, torch.stack(expected)) < 1e-9
    assert_options(likelihoods, options)


@each_sharing
def test_neurons_of_each_row_refuse_shared_prefixes(name):
    model = lens(name)
    rows = [Neurons.of(row) for row in ROWS]
    batch = chosen_batch(name, True)
    before = model.logits(batch)
    with (
        ablated(model, rows),
        pytest.raises(InputError, match="share their prefixes.*without prefix_lengths"),
    ):
        model.logits(batch)
    assert torch.equal(model.logits(batch), before)
