"""Gradient attribution equals the plain reference, whatever the batches, and leaves nothing."""

import functools
import gc
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution import gradients as attribution
from culture_lens.attribution.gradients import AttributionSums, attribute, gold_tokens, item_scores
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.interventions.hooks import ablated
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.batches import build_prompts, collate
from culture_lens.prompts.build import label_ids
from culture_lens.prompts.prompt import Batch
from culture_lens.questions.question import PromptFormat, Question, control_twin
from tests.conftest import lens, raw, rows_refused_beyond, toy_questions
from tests.helpers import reference_culnig as reference
from tests.helpers.tiny import ARCHITECTURES, D_MLP, N_LAYERS, tiny_model, tiny_tokenizer

SITES = ("gate", "q", "k", "v", "up")
TOKENS = ("maximum", "sum", "last")


@functools.cache
def exact(architecture):
    """A float64 model as the package loads it, with norms that are float64, too."""
    hf = reference.norms_in_own_dtype(tiny_model(architecture).double())
    tokenizer = tiny_tokenizer(architecture)
    return load_model(f"exact-{architecture}", hf_model=hf, tokenizer=tokenizer)


@functools.cache
def exact_raw(architecture):
    """The same weights as a bare model that the package never sees."""
    return reference.norms_in_own_dtype(tiny_model(architecture).double())


def sites_of(model):
    return tuple(site for site in SITES if site in model.widths)


def reference_items(model, questions, control=False):
    asked = [control_twin(q) if control else q for q in questions]
    return [
        (p.ids, label_ids(p, model.tokenizer)[p.question.answer], p.question.culture)
        for p in build_prompts(asked, model.tokenizer)
    ]


def scored(model, questions, **options):
    return attribute(model, questions, **{"sites": sites_of(model), "progress": False, **options})


def lengthened(questions):
    """Every third question is asked at great length, so that batches are mostly padding."""
    return [
        replace(q, text=f"{q.text} " * (5 if number % 3 == 0 else 1))
        for number, q in enumerate(questions)
    ]


def assert_equal_to(found, expected, relative, of_largest=1e-12):
    """Neuron by neuron; differences below ``of_largest`` times the largest score do not count."""
    assert found.cultures == tuple(sorted(expected))
    for site, scores in found.scores.items():
        assert scores.dtype == torch.float64
        for position, culture in enumerate(found.cultures):
            mine, its = scores[position].numpy(), expected[culture][site]
            allowed = relative * np.abs(its) + of_largest * np.abs(its).max()
            worst = (np.abs(mine - its) / allowed).max()
            assert worst <= 1, f"{site}, {culture}: {worst} times what is allowed"
            assert np.abs(its).max() > 0


def as_tables(scores):
    return {
        culture: {site: values[position].numpy() for site, values in scores.scores.items()}
        for position, culture in enumerate(scores.cultures)
    }


def assert_same(one, other):
    assert one.cultures == other.cultures and set(one.scores) == set(other.scores)
    for site, scores in one.scores.items():
        assert torch.equal(scores, other.scores[site])


# ------------------------------------------------------------------ the reference itself


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_reference_is_right_about_small_nudges(architecture):
    """No autograd: the raw projection is nudged at one neuron and token, and P looked at."""
    hf, model = exact_raw(architecture), exact(architecture)
    ids, gold, _ = reference_items(model, toy_questions())[3]
    sites = sites_of(model)
    _, by_token = reference.token_scores(hf, ids, gold, sites)
    source = np.random.default_rng(0)

    def nudged(module, column, token, step):
        def edit(module, args, output):
            output = output.clone()
            output[0, token, column] *= 1 + step
            return output

        handle = module.register_forward_hook(edit)
        try:
            with torch.no_grad():
                return hf(input_ids=torch.tensor([list(ids)])).logits[0, -1].softmax(-1)[gold]
        finally:
            handle.remove()

    for site in sites:
        for layer, block in enumerate(reference.decoder_layers(hf)):
            module, columns = reference.site_module(hf, block, site)
            width = by_token[site].shape[2]
            index = int(source.integers(width))
            reaching = np.abs(by_token[site][layer, :, index]).argmax()
            for token in (reaching, len(ids) - 1):
                h = 1e-4  # n dP/dn is the change of P for n -> n (1 + h), over h
                column = (columns.start or 0) + index
                up, down = (nudged(module, column, token, step) for step in (h, -h))
                slope = (up - down).item() / (2 * h)
                expected = by_token[site][layer, token, index]
                assert slope == pytest.approx(expected, rel=1e-5, abs=1e-13), (site, layer)


# ------------------------------------------------------------------ against the reference


@pytest.mark.parametrize("aggregation", TOKENS)
@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_equal_the_reference_in_float64(architecture, control, aggregation):
    model, questions = exact(architecture), toy_questions()
    found = scored(model, questions, control=control, aggregation=aggregation, batch_size=5)
    items = reference_items(model, questions, control)
    options = {"sites": sites_of(model), "control": control, "aggregation": aggregation}
    assert_equal_to(found, reference.summed(exact_raw(architecture), items, **options), 1e-9)
    if control:
        assert all((scores >= 0).all() for scores in found.scores.values())
    elif aggregation != "maximum":
        assert all((scores < 0).any() for scores in found.scores.values())


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_equal_the_reference_in_float32(architecture, control):
    model, questions = lens(architecture), toy_questions()
    found = scored(model, questions, control=control, batch_size=5)
    items = reference_items(model, questions, control)
    options = {"sites": sites_of(model), "control": control}
    expected = reference.summed(raw(architecture), items, **options)
    assert_equal_to(found, expected, 0, of_largest=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_item_by_itself_equals_the_reference(architecture):
    model, questions = exact(architecture), toy_questions()[3:7]
    for question, (ids, gold, culture) in zip(
        questions, reference_items(model, questions), strict=True
    ):
        p, expected = reference.item_scores(exact_raw(architecture), ids, gold, sites_of(model))
        found = scored(model, [question])
        assert_equal_to(found, {culture: expected}, 1e-9)
        assert found.metadata["p_gold"][culture] == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize("control", [False, True])
def test_what_is_said_about_the_items(control):
    model, questions = exact("llama"), toy_questions()[:14]
    found = scored(model, questions, control=control)
    items = reference_items(model, questions, control)
    p = {culture: 0.0 for culture in found.cultures}
    for ids, gold, culture in items:
        p[culture] += reference.token_scores(exact_raw("llama"), ids, gold, ("gate",))[0]
    assert found.metadata["ids"] == sorted(q.id for q in questions)
    assert found.metadata["items"] == {"Ethiopia": 3, "France": 3, "Japan": 4, "Mexico": 4}
    assert found.metadata["p_gold"] == pytest.approx(p, rel=1e-12)
    assert found.metadata["control"] is control


def test_sites_alone_are_those_of_all_together():
    """Also sites that do not come first in their layer, which a backward might stop short of."""
    model, questions = exact("llama"), toy_questions()[:6]
    together = scored(model, questions, sites=("act", "gate", "up", "post", "q", "k", "v", "z"))
    for site in together.scores:
        alone = scored(model, questions, sites=site)
        assert list(alone.scores) == [site]
        assert torch.equal(alone.scores[site], together.scores[site])


# ------------------------------------------------------------------ only the tokens count


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batch_size_order_and_padding_do_not_matter(architecture, control):
    model = exact(architecture)
    questions = lengthened(toy_questions())
    lengths = [len(ids) for ids, _, _ in reference_items(model, questions)]
    assert max(lengths) > 2 * min(lengths)
    expected = scored(model, questions, batch_size=1, control=control)
    source = np.random.default_rng(0)
    for batch_size in (3, 16):
        order = [questions[i] for i in source.permutation(len(questions))]
        found = scored(model, order, batch_size=batch_size, control=control)
        assert_equal_to(found, as_tables(expected), 1e-10)


@pytest.mark.parametrize("aggregation", TOKENS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_by_hand_and_its_token_do_not_matter(architecture, aggregation):
    model = exact(architecture)
    prompts = build_prompts(toy_questions()[:3], model.tokenizer)
    gold, sites = gold_tokens(prompts, model.tokenizer), sites_of(model)
    plain = [item_scores(model, collate([p], 0), gold, sites, aggregation) for p in prompts]
    for extra, pad in ((1, 0), (40, 399)):
        batch = collate(prompts, pad)
        rows, width = batch.input_ids.shape
        more = torch.zeros(rows, extra, dtype=torch.long)
        wide = Batch(
            batch.prompts,
            torch.cat([more + pad, batch.input_ids], 1),
            torch.cat([more, batch.attention_mask], 1),
            torch.cat([more, batch.roles], 1),
        )
        found = item_scores(model, wide, gold, sites, aggregation)
        for site in sites:
            for row in range(rows):
                mine, its = found.scores[site][row], plain[row].scores[site][0]
                allowed = 1e-10 * its.abs() + 1e-12 * its.abs().max()
                assert ((mine - its).abs() <= allowed).all()


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("architecture", ["gpt2", "mistral"])
def test_a_maximum_below_zero_is_lost_in_no_padding_and_only_on_controls(architecture, control):
    """Of short prompts, since a single token that does nothing puts the maximum at 0 or above."""
    model, sites = exact(architecture), sites_of(exact(architecture))
    form = PromptFormat(layout="{question}\n{options}")
    short, below = [("a", "b"), ("tea", "milk"), ("Paris", "Tokyo")], 0
    questions = [
        Question(f"{x}/{gold}", f"{x}/{gold}", " ", (x, y), gold, prompt=form)
        for x, y in short
        for gold in (0, 1)
    ]
    long = replace(toy_questions()[0], culture="long")
    found = scored(model, [*questions, long], control=control, batch_size=7)
    for question in questions:
        ids, gold, culture = reference_items(model, [question], control)[0]
        _, expected = reference.item_scores(exact_raw(architecture), ids, gold, sites)
        own = found.cultures.index(culture)
        for site, its in expected.items():
            mine = found.scores[site][own].numpy()
            below += (its < 0).sum()
            its = np.maximum(its, 0) if control else its
            assert (np.abs(mine - its) <= 1e-9 * np.abs(its) + 1e-12 * np.abs(its).max()).all()
    assert below > 0


# ------------------------------------------------------------------ half precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_agrees_with_float32(architecture, dtype):
    questions = toy_questions()
    full, half = scored(lens(architecture), questions), scored(lens(architecture, dtype), questions)
    for site, scores in half.scores.items():
        assert torch.isfinite(scores).all() and scores.dtype == torch.float64
        # Over all cultures: bfloat16 has 8 bits, and a culture of four items is mostly rounding.
        assert np.corrcoef(scores.flatten(), full.scores[site].flatten())[0, 1] > 0.99, site


def loud(scale, dtype):
    """A model whose logits are so far apart that most tokens have next to no probability."""
    hf = tiny_model("llama").half()
    with torch.no_grad():
        hf.lm_head.weight *= scale
    return hf.to(dtype)


def test_answers_too_unlikely_for_float16_keep_their_scores():
    tokenizer = tiny_tokenizer("llama")
    model = load_model("loud", hf_model=loud(12, torch.float16), tokenizer=tokenizer)
    hf = loud(12, torch.float64)
    seen = []
    for question in toy_questions()[4:8]:
        ids, gold, culture = reference_items(model, [question])[0]
        p, expected = reference.item_scores(hf, ids, gold)
        found = scored(model, [question], sites=reference.SITES)
        assert p < 6e-8 / 1000, "below the smallest number of float16"
        seen.append(p)
        assert found.metadata["p_gold"][culture] == pytest.approx(p, rel=0.2)
        for site, values in found.scores.items():
            assert torch.isfinite(values).all()
            assert np.corrcoef(values.flatten(), expected[site].flatten())[0, 1] > 0.99
    assert min(seen) < 1e-20  # P^2 is below the smallest normal number of float32


def test_answers_of_no_probability_at_all_score_nothing_and_are_finite():
    tokenizer = tiny_tokenizer("llama")
    model = load_model("louder", hf_model=loud(60, torch.float16), tokenizer=tokenizer)
    for site, values in scored(model, toy_questions()[4:8]).scores.items():
        assert torch.isfinite(values).all(), site


# ------------------------------------------------------------------ parts and files


def test_two_halves_add_up_to_all():
    model, questions = exact("qwen2"), toy_questions()
    whole = scored(model, questions)
    halves = [scored(model, part) for part in (questions[:8], questions[8:])]
    for site, scores in whole.scores.items():
        both = halves[0].scores[site] + halves[1].scores[site]
        assert torch.allclose(both, scores, rtol=1e-9, atol=1e-18)
    for name in ("items", "right"):
        for culture in whole.cultures:
            parts = [half.metadata[name][culture] for half in halves]
            assert sum(parts) == whole.metadata[name][culture]


def test_merging_adds_cultures_that_only_one_part_has():
    model, questions = exact("llama"), toy_questions()
    whole = scored(model, questions)
    sums = AttributionSums()
    for part in (questions[:3], questions[3:5], questions[5:]):
        sums.merge(scored(model, part))
    merged = sums.scores({})
    assert_equal_to(merged, as_tables(whole), 1e-12, 1e-13)
    for name in ("ids", "groups", "items", "right"):
        assert merged.metadata[name] == whole.metadata[name], name
    assert merged.metadata["p_gold"] == pytest.approx(whole.metadata["p_gold"])
    with pytest.raises(InputError, match="scored in both"):
        sums.merge(scored(model, questions[4:6]))


def test_saved_and_loaded_scores_are_the_same_bits(tmp_path):
    scores = scored(exact("llama"), toy_questions())
    loaded = NeuronScores.load(scores.save(tmp_path / "task.safetensors"))
    assert loaded.cultures == scores.cultures and set(loaded.scores) == set(scores.scores)
    for site, values in scores.scores.items():
        assert loaded.scores[site].dtype == torch.float64
        assert torch.equal(loaded.scores[site], values)
    assert loaded.metadata == scores.metadata
    again = NeuronScores.load(loaded.save(tmp_path / "again.safetensors"))
    assert_same(again, loaded)


def test_the_same_call_gives_the_same_bits():
    model = lens("llama")
    assert_same(scored(model, toy_questions()), scored(model, toy_questions()))


# ------------------------------------------------------------------ nothing stays behind


def facts_of(model):
    parameters = list(model.bridge.original_model.parameters())
    return (
        [p.requires_grad for p in parameters],
        [p.grad is None for p in parameters],
        model.bridge.original_model.training,
        model.is_hooked,
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_model_is_left_as_it_was(architecture):
    model = lens(architecture)
    before, state = facts_of(model), torch.get_rng_state()
    weights = [p.detach().clone() for p in model.bridge.original_model.parameters()]
    scored(model, toy_questions()[:4])
    assert facts_of(model) == before
    assert not any(before[0]) and all(before[1]) and not model.is_hooked
    assert torch.equal(torch.get_rng_state(), state)
    for parameter, weight in zip(model.bridge.original_model.parameters(), weights, strict=True):
        assert torch.equal(parameter, weight) and not parameter.is_inference()


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_exception_inside_the_pass_leaves_no_hooks(monkeypatch, where, error):
    model = lens("llama")
    before = facts_of(model)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        if where == "forward":
            patch.setattr(attribution, "check_logits", fail)
        else:
            patch.setitem(attribution.AGGREGATIONS, "maximum", fail)
        scored(model, toy_questions()[:4])
    assert facts_of(model) == before
    assert_same(scored(model, toy_questions()[:4]), scored(model, toy_questions()[:4]))


def tensors_alive(n_pos):
    """Activations of a given length that somebody still holds, counted without collecting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    return [tuple(x.shape) for x in held if x.ndim >= 3 and n_pos in x.shape[1:3]]


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "phi3", "gpt2"])
def test_no_activation_outlives_the_call(architecture):
    model, questions = lens(architecture), toy_questions()
    n_pos = max(len(ids) for ids, _, _ in reference_items(model, questions))
    gc.collect()
    before = len(tensors_alive(n_pos))
    gc.disable()  # what only the garbage collector frees would pile up from batch to batch
    try:
        found = scored(model, questions, batch_size=4)
        assert len(tensors_alive(n_pos)) == before
    finally:
        gc.enable()
    for scores in found.scores.values():
        assert not scores.requires_grad and scores.grad_fn is None


def test_activations_are_let_go_of_between_batches(monkeypatch):
    model, questions = lens("llama"), toy_questions()
    lengths = sorted((len(ids) for ids, _, _ in reference_items(model, questions)), reverse=True)
    gc.collect()
    before, alive = len(tensors_alive(lengths[0])), []
    check = attribution.check_logits

    def look(logits, batch):
        if batch.input_ids.shape[1] < lengths[0]:
            alive.append(len(tensors_alive(lengths[0])))
        return check(logits, batch)

    monkeypatch.setattr(attribution, "check_logits", look)
    gc.disable()
    try:
        scored(model, questions, batch_size=4)
    finally:
        gc.enable()
    assert len(alive) >= 2 and set(alive) == {before}


def test_hooks_around_the_call_take_part_and_stay():
    """An ablated neuron: its gate and up have nothing left to add, and the rest feels it."""
    model, questions = exact("llama"), toy_questions()[:4]
    plain = scored(model, questions)
    after_ablation = Neurons.of({"act": [(1, 5), (2, 7)]})
    with ablated(model, after_ablation, 0.0):
        found = scored(model, questions)
        assert model.is_hooked
    assert not model.is_hooked
    for layer, index in ((1, 5), (2, 7)):
        for site in ("gate", "up"):
            assert (found.scores[site][:, layer, index] == 0).all()
            assert (plain.scores[site][:, layer, index] != 0).any()
    hf = exact_raw("llama")
    layers = {1: 5, 2: 7}
    handles = [
        reference.decoder_layers(hf)[layer].mlp.act_fn.register_forward_hook(
            lambda module, args, output, index=index: output.index_fill(
                -1, torch.tensor([index]), 0.0
            )
        )
        for layer, index in layers.items()
    ]
    try:
        items = reference_items(model, questions)
        expected = reference.summed(hf, items, sites=sites_of(model))
    finally:
        for handle in handles:
            handle.remove()
    assert_equal_to(found, expected, 1e-9)


# ------------------------------------------------------------------ going on


def test_out_of_memory_halves_and_says_so(monkeypatch):
    model, questions = exact("llama"), toy_questions()
    expected = scored(model, questions, batch_size=4)
    rows = []
    refused = rows_refused_beyond(2, LensModel.differentiable_logits, rows)
    monkeypatch.setattr(LensModel, "differentiable_logits", refused)
    with pytest.warns(CultureLensWarning, match="out of memory at 4 rows.*2 rows a batch"):
        found = scored(model, questions, batch_size=4)
    assert rows == [2] * 8
    assert_equal_to(found, as_tables(expected), 1e-10)
    assert found.metadata["items"] == expected.metadata["items"]


def test_memory_that_runs_out_in_the_backward_counts_nothing_twice(monkeypatch):
    model, questions = exact("llama"), toy_questions()
    expected = scored(model, questions, batch_size=4)
    whole = attribution.AGGREGATIONS["maximum"]

    def small_only(products, mask):
        if len(products) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(products, mask)

    monkeypatch.setitem(attribution.AGGREGATIONS, "maximum", small_only)
    with pytest.warns(CultureLensWarning, match="out of memory"):
        found = scored(model, questions, batch_size=4)
    assert_equal_to(found, as_tables(expected), 1e-10)


def counting(monkeypatch, stop_after=None):
    """Count the forwards with gradients; interrupt the one after ``stop_after``."""
    calls, forward = [], LensModel.differentiable_logits

    def counted(self, batch):
        if stop_after is not None and len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.append([prompt.question.id for prompt in batch.prompts])
        return forward(self, batch)

    monkeypatch.setattr(LensModel, "differentiable_logits", counted)
    return calls


@pytest.mark.parametrize("stop_after", [0, 1, 4, 5])
def test_an_interrupted_run_goes_on_where_it_was(monkeypatch, tmp_path, stop_after):
    model, questions = exact("llama"), toy_questions()
    monkeypatch.setattr(attribution, "SHARD", 4)
    options = {"batch_size": 2, "control": True}
    clean = scored(model, questions, run=tmp_path / "clean", **options)
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counting(patch, stop_after)
        scored(model, questions, run=run, **options)
    assert not model.is_hooked
    with monkeypatch.context() as patch:
        calls = counting(patch)
        found = scored(model, questions, run=run, **options)
    assert len(calls) == 8 - stop_after // 2 * 2, "finished shards are not run again"
    assert_same(found, clean)
    assert found.metadata == clean.metadata
    assert_equal_to(scored(model, questions, **options), as_tables(clean), 1e-12, 1e-13)
    must_not_run(monkeypatch)
    assert_same(scored(model, questions, run=run, **options), clean)


def test_a_run_does_not_mistake_one_thing_for_another(monkeypatch, tmp_path):
    model, questions = lens("llama"), toy_questions()[:4]
    scored(model, questions, run=tmp_path)
    other_gold = [replace(q, answer=(q.answer + 1) % 4) for q in questions]
    other_culture = [replace(q, culture="elsewhere") for q in questions]
    changed = [
        (questions, {"control": True}),
        (questions, {"tokens": "sum"}),
        (questions, {"sites": ("gate", "q")}),
        (other_gold, {}),
        (other_culture, {}),
        (questions[:3], {}),
    ]
    for asked, options in changed:
        with monkeypatch.context() as patch:
            calls = counting(patch)
            found = scored(model, asked, run=tmp_path, **options)
        assert calls, (options, "was taken from another piece")
        assert_same(found, scored(model, asked, **options))


def test_a_run_folder_refuses_hooks_around_the_call(tmp_path):
    model = lens("llama")
    with ablated(model, Neurons.of({"act": [(0, 1)]})), pytest.raises(InputError, match="hooks"):
        scored(model, toy_questions()[:4], run=tmp_path)


# ------------------------------------------------------------------ what is refused


def must_not_run(monkeypatch):
    def refuse(*_):
        raise AssertionError("the model was run")

    monkeypatch.setattr(LensModel, "differentiable_logits", refuse)


def test_unknown_names_are_refused_before_the_model_runs(monkeypatch):
    must_not_run(monkeypatch)
    model, questions = lens("llama"), toy_questions()
    with pytest.raises(InputError, match="unknown aggregation.*'maximun'.*'maximum'"):
        scored(model, questions, tokens="maximun")
    with pytest.raises(InputError, match="unknown site 'gates': did you mean 'gate'"):
        scored(model, questions, sites=("gates", "q"))
    with pytest.raises(InputError, match="unknown site 'up'"):
        scored(lens("gpt2"), questions, sites=("gate", "up"))
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        scored(model, questions, batch_size=0)


def test_questions_that_cannot_be_scored_are_refused_before_the_model_runs(monkeypatch):
    must_not_run(monkeypatch)
    model, questions = lens("llama"), toy_questions()
    with pytest.raises(InputError, match="no questions"):
        scored(model, [])
    with pytest.raises(InputError, match="occurs twice"):
        scored(model, [*questions, questions[0]])
    long = [replace(questions[0], text="word " * 600), *questions[1:]]
    with pytest.raises(InputError, match="do not fit the context"):
        scored(model, long)


@pytest.mark.parametrize("control", [False, True])
def test_a_label_that_is_not_one_token_is_refused_before_the_model_runs(monkeypatch, control):
    must_not_run(monkeypatch)
    spaced = PromptFormat(label_form="space", labels="WXYZ")
    model = lens("qwen2")
    questions = [replace(q, prompt=spaced) for q in toy_questions()]
    assert len(model.tokenizer(" W", add_special_tokens=False).input_ids) > 1
    with pytest.raises(InputError, match="label .* is not one token"):
        scored(model, questions, control=control)


def spoilt(value):
    """A model with one neuron of layer 1 that is no number."""
    hf = tiny_model("llama")
    with torch.no_grad():
        hf.model.layers[1].mlp.gate_proj.weight[5] = value
    return load_model("spoilt", hf_model=hf, tokenizer=tiny_tokenizer("llama"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers(value):
    with pytest.raises(InputError, match="NaN or infinite.*question 'food/"):
        scored(spoilt(value), toy_questions()[:4])


def test_scores_that_are_no_numbers_are_refused():
    """In the middle of a prompt, in the last layer, NaN does not reach the logits looked at."""
    model = lens("llama")

    def spoil(activation, hook):
        spoilt = activation.clone()
        spoilt[:, -25, 3] = float("nan")
        return spoilt

    with model.hooks([("blocks.2.mlp.gate.hook_out", spoil)]):
        with pytest.raises(InputError, match="attribution at site .* NaN or infinite.*'food/"):
            scored(model, toy_questions()[:4])
    assert not model.is_hooked


def test_long_questions_are_left_out_or_cut_where_asked():
    model, questions = exact("llama"), toy_questions()[:4]
    long = [replace(questions[0], text="word " * 600), *questions[1:]]
    with pytest.warns(CultureLensWarning, match="left out"):
        found = scored(model, long, too_long="skip")
    assert found.metadata["ids"] == sorted(q.id for q in questions[1:])
    assert_equal_to(found, as_tables(scored(model, questions[1:])), 1e-10)
    with pytest.warns(CultureLensWarning, match="truncated"):
        cut = scored(model, long, too_long="truncate")
    assert cut.metadata["ids"] == sorted(q.id for q in questions)


def test_shapes_are_culture_layer_neuron():
    found = scored(lens("llama"), toy_questions()[:3], sites=("gate", "k"))
    assert found.scores["gate"].shape == (3, N_LAYERS, D_MLP)
    assert found.scores["k"].shape == (3, N_LAYERS, 16)
