"""Vision-language models give what raw Hugging Face gives: logits, counts, edits, gradients.

The raw model is called natively, one unpadded item at a time, with everything that its own
processor returns. The package gives its language model features of pictures instead of pixels,
batches items of different pictures and lengths, and runs shared prefixes once.
"""

import numpy as np
import pytest
import torch

from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.prompt import Role
from tests.helpers.closeness import relative
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.tiny_vlm import picture
from tests.helpers.vlm import NAMES, SHARING, bare, lens, native, prompts_of, raw
from tests.helpers.vlm_items import F64, batch_of, each, each_sharing, expected_logits, questions


@pytest.mark.slow
def test_the_batches_of_these_tests_are_mixed():
    """Padded, several pictures of several sizes, several questions on one, and some on none."""
    for name in NAMES:
        batch = batch_of(name)
        lengths = batch.attention_mask.sum(1)
        assert len(set(lengths.tolist())) > 5 and (batch.attention_mask[:, 0] == 0).sum() > 8
        keys = [q.image.key if q.image is not None else "" for q in questions()]
        assert sorted(keys.count(key) for key in set(keys)) == [1, 2, 3, 3, 3, 4]
        tokens = {sum(r == Role.IMAGE for r in p.roles) for p in batch.prompts}
        assert 0 in tokens and len(tokens) >= 2


@pytest.mark.parametrize("attention", ["native", "eager"])
@each
def test_logits_are_those_of_hugging_face(name, attention):
    model = lens(name, attention=attention)
    found = model.logits(batch_of(name))
    assert relative(found, expected_logits(name)) < 1e-5
    if model.can_share_prefix(batch_of(name).prompts):
        assert (
            relative(model.logits(batch_of(name, share_prefix=True)), expected_logits(name)) < 1e-5
        )


@each
def test_an_item_alone_under_eager_attention(name):
    """Without padding there may be no mask; attention must look back all the same."""
    model = lens(name, attention="eager")
    for number in (0, 4, 12):
        found = model.logits(batch_of(name, slice(number, number + 1)))
        assert relative(found[0], expected_logits(name)[number]) < 1e-5


@each
def test_native_attention_is_what_hugging_face_would_take(name):
    """Eager attention takes memory quadratic in the length, and prompts with pictures are long."""
    asked = bare(name).config
    config = lens(name).bridge.original_model.config
    for part in (None, "text_config", "vision_config"):
        one, other = (getattr(c, part) if part else c for c in (config, asked))
        assert one._attn_implementation == other._attn_implementation == "sdpa"


@each
def test_padded_equals_unpadded(name):
    model = lens(name, F64)
    batch = batch_of(name)
    together = model.logits(batch)
    alone = torch.cat([model.logits(collate([p], model.pad_id)) for p in batch.prompts])
    assert relative(together, alone) < 1e-9
    assert relative(model.logits(collate(batch.prompts, 7)), alone) < 1e-9
    assert relative(together, expected_logits(name, F64)) < 1e-9
    assert alone.std(0).mean() > 0.1


@each_sharing
def test_shared_prefixes_change_nothing(name):
    model = lens(name, F64)
    assert model.can_share_prefix(batch_of(name).prompts)
    expected = expected_logits(name, F64)
    for chosen in (slice(None), slice(0, 12), slice(0, None, 4), slice(None, None, -1)):
        batch = batch_of(name, chosen, share_prefix=True)
        keys = [p.question.image.key if p.question.image else "" for p in batch.prompts]
        assert len(batch.prefixes.prompts) == len(set(keys)) < len(batch.prompts)
        assert len({tuple(p.ids) for p in batch.prefixes.prompts}) > 1 or len(set(keys)) == 1
        cache = model.run_prefix(batch)
        for found in (model.logits(batch), model.logits(batch, cache)):
            assert relative(found, expected[list(range(16))[chosen]]) < 1e-9


@pytest.mark.slow
def test_nothing_is_shared_within_a_window_that_prompts_outgrow():
    prompts = prompts_of("gemma3", questions())
    model = lens("gemma3")
    assert model.window == 8 and not model.can_share_prefix(prompts)
    work = batches(prompts, 16, model.pad_id, share_prefix=model.can_share_prefix(prompts))
    assert all(batch.prefixes is None for batch in work)
    assert [lens(name).window for name in NAMES if name not in ("gemma3", "gemma3_wide")] == [0] * 7
    assert lens("gemma3_wide").window == 512


@each
def test_any_batch_size_and_order(name):
    model = lens(name, F64)
    prompts = prompts_of(name, questions())
    expected = dict(zip([q.id for q in questions()], expected_logits(name, F64), strict=True))
    order = np.random.default_rng(3).permutation(len(prompts))
    for size, given in ((5, prompts), (3, [prompts[i] for i in order])):
        work = batches(given, size, model.pad_id, share_prefix=model.can_share_prefix(given))
        assert sum(len(batch.prompts) for batch in work) == 16
        assert any(b.prefixes is not None for b in work) == (name != "gemma3")
        for batch in work:
            its = torch.stack([expected[p.question.id] for p in batch.prompts])
            assert relative(model.logits(batch), its) < 1e-9


@each
def test_the_picture_and_its_place_in_the_batch_matter(name):
    """France's picture differs from Japan's in its pixels only."""
    model = lens(name)
    first, other = (picture(seed, 40, 40) for seed in (1, 4))
    asked = [
        type(q)(**{f: getattr(q, f) for f in q.__slots__} | {"id": f"{q.id}{i}", "image": image})
        for q in questions()[:2]
        for i, image in enumerate((first, other))
    ]
    prompts = prompts_of(name, asked)
    assert prompts[0].ids == prompts[1].ids
    found = model.logits(collate(prompts, model.pad_id))
    expected = torch.stack([vlm_logits(raw(name), native(name, question)) for question in asked])
    assert relative(found, expected) < 1e-5
    assert (found[0] - found[1]).abs().max() > 0.1


@each
def test_bfloat16_runs_and_stays_close(name):
    exact = expected_logits(name, F64).float()
    model = lens(name, torch.bfloat16)
    assert model.dtype == torch.bfloat16
    expected = expected_logits(name, torch.bfloat16).float()

    def error(logits):
        return float((logits - exact).square().mean().sqrt() / exact.std())

    for share in (False, True) if name in SHARING else (False,):
        found = model.logits(batch_of(name, share_prefix=share))
        assert found.dtype == torch.bfloat16 and found.isfinite().all()
        # no worse than Hugging Face itself in that precision, with room for chance
        assert error(found.float()) < 1.5 * error(expected) + 0.01
