"""Vision-language models give what raw Hugging Face gives: logits, counts, edits, gradients.

The raw model is called natively, one unpadded item at a time, with everything that its own
processor returns. The package gives its language model features of pictures instead of pixels,
batches items of different pictures and lengths, and runs beginnings once.
"""

import functools
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from culture_lens.activations.record import record_activations
from culture_lens.attribution.gradients import attribute, gold_tokens, item_scores
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.interventions.hooks import ablated, enhance, steered
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES, Role
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from tests.helpers.audit import audited
from tests.helpers.reference_vlm import (
    at_site,
    vlm_attribution,
    vlm_edited_logits,
    vlm_logits,
)
from tests.helpers.tiny import D_MLP, N_HEADS, N_KV_HEADS, N_LAYERS
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES, picture, save_vlm
from tests.helpers.vlm import (
    LONG_HEAD,
    NAMES,
    SHARING,
    SITES,
    bare,
    continued,
    fresh,
    hf_processor,
    lens,
    native,
    pictured_questions,
    prompts_of,
    raw,
    relative,
)

F64 = torch.float64
each = pytest.mark.parametrize("name", NAMES)
each_sharing = pytest.mark.parametrize("name", SHARING)
each_architecture = pytest.mark.parametrize("architecture", VLM_ARCHITECTURES)
TEXT_ROLES = (Role.QUESTION, Role.OPTIONS)


@functools.cache
def questions():
    """Sixteen: with pictures of four sizes and two with one size, and without; long heads."""
    return tuple(pictured_questions(LONG_HEAD))


@functools.cache
def expected_logits(name, dtype=torch.float32):
    """Raw, one item at a time, in the order of the questions."""
    rows = [vlm_logits(raw(name, dtype), item(name, number, dtype)) for number in range(16)]
    return torch.stack(rows)


@functools.cache
def item(name, number, dtype=torch.float32, style="choices"):
    """A question as Hugging Face's own processor makes it."""
    return native(name, questions()[number], style, dtype)


def batch_of(name, chosen=slice(None), share_prefix=False, style="choices"):
    model = lens(name)
    prompts = prompts_of(name, questions()[chosen], style)
    batch = collate(prompts, model.pad_id, shared_prefix_lengths(prompts) if share_prefix else ())
    assert (batch.prefixes is not None) == share_prefix
    return batch


# ------------------------------------------------------------------ logits


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
def test_shared_beginnings_change_nothing(name):
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


# ------------------------------------------------------------------ activations


@functools.cache
def site_values(name, number):
    """Values at every site of one item of the raw float64 model: {site: [layer, pos, neuron]}."""
    found = {}

    def keep(layer, x, site):
        found.setdefault(site, {})[layer] = x.detach()[0].double().numpy().copy()

    hf = raw(name, F64)
    with ExitStack() as stack:
        for site in SITES:
            stack.enter_context(at_site(hf, site, functools.partial(keep, site=site)))
        vlm_logits(hf, item(name, number, F64))
    return {site: np.stack([v[i] for i in range(N_LAYERS)]) for site, v in found.items()}


def expected_statistics(name, roles):
    """Counts, sums and squares per culture by plain loops, and tokens."""
    prompts = prompts_of(name, questions())
    tables, tokens = {}, {}
    token = raw(name).config.image_token_id
    for number, prompt in enumerate(prompts):
        kinds = [Role.IMAGE if i == token else r for i, r in zip(prompt.ids, prompt.roles)]
        mask = np.array([kind in roles for kind in kinds])
        culture = prompt.question.culture
        tokens[culture] = tokens.get(culture, 0) + int(mask.sum())
        for site, values in site_values(name, number).items():
            counted = values[:, mask]
            new = ((counted > 0).sum(1), counted.sum(1), (counted**2).sum(1))
            old = tables.get((culture, site), (0, 0.0, 0.0))
            tables[culture, site] = tuple(a + b for a, b in zip(old, new, strict=True))
    return tables, tokens


def assert_statistics(summary, tables, tokens):
    assert summary.tokens.tolist() == [tokens[culture] for culture in summary.cultures]
    for position, culture in enumerate(summary.cultures):
        for site in SITES:
            counts, sums, squares = tables[culture, site]
            found = summary.counts[site][position].numpy()
            assert found.dtype == np.int64 and (found == counts).all(), (culture, site)
            # the error grows with the sum of magnitudes, at most sqrt(T * Q)
            scale = np.sqrt(tokens[culture] * squares)
            assert (np.abs(summary.sums[site][position].numpy() - sums) <= 1e-5 * scale).all()
            error = np.abs(summary.squares[site][position].numpy() - squares)
            assert (error <= 1e-5 * squares).all()


@pytest.mark.parametrize("roles", [CONTENT_ROLES, TEXT_ROLES, (Role.IMAGE,)])
@each
def test_statistics_equal_the_reference(name, roles, monkeypatch):
    assert set(CONTENT_ROLES) == {Role.IMAGE, *TEXT_ROLES}
    model = lens(name, F64)
    prompts = prompts_of(name, questions())
    tables, tokens = expected_statistics(name, roles)
    assert min(tokens.values()) > 0
    order = np.random.default_rng(1).permutation(len(prompts))

    def summary(given, batch_size):
        found = record_activations(
            model, given, sites=SITES, roles=roles, batch_size=batch_size, progress=False
        )
        return found.summary()

    assert_statistics(summary(prompts, 16), tables, tokens)
    if roles == CONTENT_ROLES:
        assert_statistics(summary([prompts[i] for i in order], 5), tables, tokens)
        monkeypatch.setattr(LensModel, "shares", lambda self, prompts: False)
        assert_statistics(summary(prompts, 16), tables, tokens)


def test_counts_depend_on_the_picture():
    """In image tokens and in the text behind them."""
    model = lens("llava", F64)
    (one, *_), (other, *_) = (
        prompts_of("llava", pictured_questions(LONG_HEAD)[start:]) for start in (0, 3)
    )
    for roles in (TEXT_ROLES, (Role.IMAGE,)):
        a, b = (
            record_activations(model, [p], roles=roles, progress=False).summary()
            for p in (one, other)
        )
        assert not torch.equal(a.counts["act"][0], b.counts["act"][0])


@each
def test_widths_of_sites(name):
    d_head = 16 if name.startswith("gemma3") else 8
    q, kv = N_HEADS * d_head, N_KV_HEADS * d_head
    widths = dict.fromkeys(("act", "gate", "up", "post"), D_MLP)
    assert dict(lens(name).widths) == widths | {"q": q, "k": kv, "v": kv, "z": q}
    assert lens(name).n_layers == N_LAYERS


# ------------------------------------------------------------------ edits

PLACES = [(0, 2), (0, 9), (1, 3), (2, 15)]
EDITED = (0, 1, 4, 12)  # two on one culture's picture with one of another, and one without


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


def chosen_batch(name, share):
    """The questions of EDITED, two of which share a picture's beginning."""
    model = lens(name)
    prompts = prompts_of(name, [questions()[number] for number in EDITED])
    return collate(prompts, model.pad_id, shared_prefix_lengths(prompts) if share else ())


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
def test_neurons_of_each_row_refuse_shared_beginnings(name):
    model = lens(name)
    rows = [Neurons.of(row) for row in ROWS]
    batch = chosen_batch(name, True)
    before = model.logits(batch)
    wanted = "share their prefixes.*prefix_lengths"
    with ablated(model, rows), pytest.raises(InputError, match=wanted):
        model.logits(batch)
    assert torch.equal(model.logits(batch), before)


# ------------------------------------------------------------------ attribution


def attributed(name, numbers, sites, dtype=F64):
    """Package and reference side by side: pairs of [layer, neuron]."""
    model = lens(name, dtype)
    prompts = prompts_of(name, [questions()[number] for number in numbers])
    gold = gold_tokens(prompts, model.processor)
    rows = item_scores(model, collate(prompts, model.pad_id), gold, sites)
    for position, number in enumerate(numbers):
        token = gold[questions()[number].id]
        p = expected_logits(name, dtype)[number].softmax(-1)[token]
        assert float(rows.p_gold[position]) == pytest.approx(float(p), rel=1e-4)
        for site in sites:
            its = item(name, number, dtype)
            expected = vlm_attribution(raw(name, dtype), its, token, site)
            yield rows.scores[site][position].numpy(), expected


@each
def test_attribution_equals_the_reference(name):
    for found, expected in attributed(name, EDITED, ("gate", "q", "k", "v")):
        assert found.dtype == np.float64
        allowed = 1e-8 * np.abs(expected) + 1e-12 * np.abs(expected).max()
        assert (np.abs(found - expected) <= allowed).all() and np.abs(expected).max() > 0


@each
def test_attribution_at_the_other_sites(name):
    for found, expected in attributed(name, (0, 12), ("act", "up", "post", "z")):
        assert np.abs(found - expected).max() <= 1e-8 * np.abs(expected).max()


@each
def test_attribution_in_float32(name):
    for found, expected in attributed(name, (0, 5), ("gate", "v"), torch.float32):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@each
def test_attribution_summed_over_questions(name):
    """By culture, whatever the batches, and after the features were kept by a plain forward."""
    model = lens(name, F64)
    model.logits(batch_of(name))
    numbers = (0, 3, 4, 7, 12)
    asked = [questions()[number] for number in numbers]
    prompts = prompts_of(name, asked)
    gold = gold_tokens(prompts, model.processor)
    expected = {}
    for number, question in zip(numbers, asked, strict=True):
        token = gold[question.id]
        scores = vlm_attribution(raw(name, F64), item(name, number, F64), token, "v")
        expected[question.culture] = expected.get(question.culture, 0) + scores
    for batch_size in (2, 8):
        found = attribute(model, asked, sites="v", batch_size=batch_size, progress=False)
        assert found.cultures == tuple(sorted(expected))
        for position, culture in enumerate(found.cultures):
            error = np.abs(found.scores["v"][position].numpy() - expected[culture])
            assert error.max() <= 1e-8 * np.abs(expected[culture]).max()


@each_sharing
def test_no_gradients_through_a_shared_picture(name):
    with pytest.raises(InputError, match="without shared prefixes"):
        lens(name).differentiable_logits(batch_of(name, share_prefix=True))


# ------------------------------------------------------------------ option likelihood


def raw_options(name, number, edits=None):
    """Log-probabilities of each option's tokens, the whole of prompt and option run anew."""
    hf, tokenizer = raw(name, F64), hf_processor(name).tokenizer
    cloze = item(name, number, F64, "cloze")
    known = cloze["input_ids"].shape[1]
    space = "" if tokenizer.decode(cloze["input_ids"][0])[-1] == "\n" else " "
    found = []
    for option in questions()[number].options:
        tokens = tokenizer(space + option, add_special_tokens=False).input_ids
        whole = continued(cloze, tokens)
        with ExitStack() as stack:
            for site, values in (edits or {}).items():
                stack.enter_context(at_site(hf, site, functools.partial(set_to, values=values)))
            with torch.no_grad():
                logs = hf(**whole).logits[0].double().log_softmax(-1)
        places = range(known - 1, known - 1 + len(tokens))
        found.append(torch.stack([logs[at, i] for at, i in zip(places, tokens, strict=True)]))
    return found


def set_to(layer, x, values):
    x = x.clone()
    for (at, index), value in values.items():
        if at == layer:
            x[..., index] = value
    return x


def assert_options(found, expected):
    """The package takes logarithms in float32."""
    for row, its in zip(found, expected, strict=True):
        assert [len(log) for log in row] == [len(log) for log in its]
        for mine, other in zip(row, its, strict=True):
            assert relative(mine, other) < 1e-6


@functools.cache
def expected_options(name):
    return [raw_options(name, number) for number in range(16)]


@each
def test_option_log_probabilities_equal_the_reference(name):
    expected = expected_options(name)
    assert len({len(log) for row in expected for log in row}) > 4  # options of many lengths
    model = lens(name, F64)
    whole = prompts_of(name, questions(), "cloze")
    found = model.continuation_log_probs(collate(whole, model.pad_id))
    assert_options(found, expected)
    alone = [model.continuation_log_probs(collate([p], model.pad_id))[0] for p in whole[::5]]
    assert_options(alone, expected[::5])
    prompts = prompts_of(name, pictured_questions(), "cloze")  # the cloze question leads
    if name in SHARING:
        pictured = [i for i, p in enumerate(prompts) if p.question.image is not None]
        chosen = [prompts[i] for i in pictured]
        batch = collate(chosen, model.pad_id, shared_prefix_lengths(chosen))
        assert batch.prefixes is not None
        found = model.continuation_log_probs(batch)
        assert_options(found, [expected[i] for i in pictured])


@pytest.mark.parametrize("scoring", ["option_likelihood", "option_likelihood_sum"])
@each
def test_scoring_by_option_likelihood(name, scoring):
    found = evaluate(lens(name), questions(), scoring=scoring, batch_size=6, progress=False)
    assert found.frame["id"].tolist() == [question.id for question in questions()]
    for scores, prediction, logs in zip(
        found.frame["scores"], found.frame["prediction"], expected_options(name), strict=True
    ):
        its = [float(log.sum() if scoring.endswith("sum") else log.mean()) for log in logs]
        assert list(scores) == pytest.approx(its, rel=1e-4)
        assert prediction == int(np.argmax(its))


@pytest.mark.parametrize("scoring", ["letter", "letter_options"])
@each
def test_scoring_by_letter(name, scoring):
    found = evaluate(lens(name), questions(), scoring=scoring, batch_size=6, progress=False)
    golds = gold_tokens(prompts_of(name, questions()), lens(name).tokenizer)
    for question, row, logits in zip(
        questions(), found.frame.itertuples(), expected_logits(name), strict=True
    ):
        assert row.id == question.id
        label = logits[golds[question.id]]
        assert row.scores[question.answer] == pytest.approx(float(label), rel=1e-4, abs=1e-4)
        if scoring == "letter":
            p = logits.softmax(-1)[golds[question.id]]
            assert row.p_gold == pytest.approx(float(p), rel=1e-3)


# ------------------------------------------------------------------ the vision tower


def tower_hook(model):
    """The hook behind the MLP of the tower's first layer, and the raw module's name ends with."""
    (hook,) = [
        name
        for name in model.bridge.hook_dict
        if name.startswith("vision") and name.endswith(".0.mlp.hook_out")
    ]
    return hook


def triple(activation, hook):
    return 3 * activation


@each_architecture
def test_an_edit_in_the_tower_is_seen_and_not_kept(architecture):
    model = fresh(architecture)
    batch = batch_of(architecture, slice(0, 5))
    image = questions()[0].image
    plain = model.logits(batch)
    features, runs = model.vision.features(image), model.vision.runs
    with model.hooks([(tower_hook(model), triple)]):
        edited = model.vision.features(image)
        assert model.vision.runs == runs + 1
        assert (edited - features).abs().max() > 1e-3
        found = model.logits(batch)
        assert torch.equal(model.vision.features(image), edited)
        # four pictured rows once more, and the picture that was asked for by name
        assert model.vision.runs == runs + 1 + 5 + 1
    assert torch.equal(model.vision.features(image), features)
    assert torch.equal(model.logits(batch), plain)
    assert model.vision.runs == runs + 7  # what was kept before is still there
    hf = raw(architecture)
    (module,) = [
        module
        for name, module in hf.named_modules()
        if name.endswith(".0.mlp") and ("vision" in name or "visual" in name)
    ]
    handle = module.register_forward_hook(lambda _module, _args, output: 3 * output)
    try:
        expected = torch.stack([vlm_logits(hf, item(architecture, i)) for i in range(5)])
    finally:
        handle.remove()
    assert relative(found, expected) < 1e-5 and relative(plain, expected) > 1e-3


def test_what_an_edited_tower_made_first_is_not_kept_either():
    model = fresh("llava")
    image = questions()[0].image
    with model.hooks([(tower_hook(model), triple)]):
        edited = model.vision.features(image)
    assert model.vision.runs == 1
    assert (model.vision.features(image) - edited).abs().max() > 1e-3
    assert model.vision.runs == 2


def test_forget():
    model = fresh("qwen2_5_vl")
    batch = batch_of("qwen2_5_vl", slice(0, 4))
    before = model.logits(batch)
    assert model.vision.runs == 4
    model.logits(batch)
    assert model.vision.runs == 4
    with torch.no_grad():
        for name, parameter in model.bridge.original_model.named_parameters():
            if "visual" in name:
                parameter.mul_(1.5)
    assert torch.equal(model.logits(batch), before)  # as documented: kept until forgotten
    model.vision.forget()
    assert (model.logits(batch) - before).abs().max() > 1e-3
    assert model.vision.runs == 8


@each_architecture
def test_features_are_those_of_the_raw_tower(architecture):
    for number, question in enumerate(questions()[:4]):
        vision = {
            n: v
            for n, v in item(architecture, number).items()
            if n not in ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
        }
        with torch.no_grad():
            rows = raw(architecture).get_image_features(**vision).pooler_output
        rows = rows if isinstance(rows, torch.Tensor) and rows.ndim == 2 else torch.cat(list(rows))
        rows = rows.reshape(-1, rows.shape[-1])
        found = lens(architecture).vision.features(question.image)
        assert found.shape == rows.shape
        assert relative(found, rows) < 1e-6


@each_architecture
def test_a_spoilt_tower_is_noticed(architecture):
    hf = bare(architecture)
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if ("vision" in name or "visual" in name) and name.endswith(
                ("0.mlp.fc1.weight", "0.mlp.gate_proj.weight")
            ):
                parameter[0, 0] = float("nan")
    processor = hf_processor(architecture)
    model = load_model("spoilt", hf_model=hf, processor=processor)
    with pytest.raises(InputError, match="vision tower gives NaN or infinite.*bfloat16"):
        model.logits(batch_of(architecture, slice(0, 2)))


# ------------------------------------------------------------------ loading


def forbid_installing(monkeypatch, calls):
    """Note every call of what in TransformerLens loads processors and installs torchvision."""
    from transformer_lens.model_bridge.sources.transformers import helpers, source

    for module in (helpers, source):
        for function in ("_ensure_torchvision", "load_modality_processor"):
            if hasattr(module, function):
                noted = functools.partial(calls.append, function)
                monkeypatch.setattr(module, function, lambda *args, noted=noted: noted())
    return source.load_modality_processor


@each_architecture
def test_a_folder_opens_no_socket_and_starts_no_process(architecture, tmp_path, monkeypatch):
    from transformer_lens.model_bridge.supported_architectures import qwen2_5_vl

    save_vlm(architecture, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    calls = []
    noted = forbid_installing(monkeypatch, calls)
    required = qwen2_5_vl.Qwen2_5_VLArchitectureAdapter.required_libraries
    with audited() as events:
        model = load_model(tmp_path)
        prompts = build_prompts(questions()[:5], model.processor, context=model.context)
        found = model.logits(collate(prompts, model.pad_id))
    assert events == [] and calls == []
    assert relative(found, expected_logits(architecture)[:5]) < 1e-5
    assert model.name == str(tmp_path) and model.vision.runs == 4
    # and TransformerLens is left as it was
    from transformer_lens.model_bridge.sources.transformers import source

    assert source.load_modality_processor is noted
    assert qwen2_5_vl.Qwen2_5_VLArchitectureAdapter.required_libraries is required
    assert required == ["torchvision"]


@each_architecture
def test_wrapping_a_loaded_model_opens_nothing_either(architecture, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    calls = []
    forbid_installing(monkeypatch, calls)
    hf, processor = bare(architecture), hf_processor(architecture)
    declared = list(hf.config.architectures)
    with audited() as events:
        model = load_model("x", hf_model=hf, processor=processor, attention="eager")
        model.logits(collate(prompts_of(architecture, questions()[:2]), model.pad_id))
    assert events == [] and calls == []
    assert hf.config.architectures == declared


def test_the_installer_that_must_not_run_is_there(monkeypatch):
    """Were it renamed, the tests above would prove nothing."""
    calls = []
    forbid_installing(monkeypatch, calls)
    from transformer_lens.model_bridge.sources.transformers import helpers, source

    helpers._ensure_torchvision()
    source.load_modality_processor(None, None, "x", False, None)
    assert calls == ["_ensure_torchvision", "load_modality_processor"]


def test_the_audit_sees_sockets_and_processes():
    import socket
    import subprocess

    with audited() as events:
        socket.socket().close()
        subprocess.run(["true"], check=True)
    assert any(e.startswith("socket.") for e in events) and "subprocess.Popen" in events


@each_architecture
def test_what_a_model_says_of_itself(architecture):
    model = lens(architecture)
    assert model.processor is model.vision.processor and model.chat_template
    assert model.processor.tokenizer is model.tokenizer
    assert (model.context, model.n_layers, model.gated) == (512, N_LAYERS, True)
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())
    assert not any(module.training for module in model.bridge.original_model.modules())
    assert model.vision.memory > 2**30 and "processor" not in repr(model)


def test_the_fingerprint_knows_how_pictures_are_prepared():
    processors = [hf_processor("llava"), *(fresh_processor() for _ in range(2))]
    processors[2].image_processor.image_mean = [0.1, 0.1, 0.1]
    prints = [
        load_model("x", hf_model=bare("llava"), processor=processor).fingerprint
        for processor in processors
    ]
    assert prints[0] == prints[1] != prints[2]


def fresh_processor():
    from tests.helpers.tiny_vlm import tiny_processor

    return tiny_processor("llava")


def test_the_tokenizer_is_left_as_it_was():
    for architecture in VLM_ARCHITECTURES:
        one, other = lens(architecture).tokenizer, hf_processor(architecture).tokenizer
        assert one.bos_token == other.bos_token and one.pad_token == other.pad_token
        assert one("Answer").input_ids == other("Answer").input_ids
        assert one.padding_side == other.padding_side and one.chat_template == other.chat_template
