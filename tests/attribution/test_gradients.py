"""Gradient attribution equals the plain reference, whatever the batches, and leaves nothing."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution.item_scores import item_scores
from culture_lens.attribution.settings import Attribution
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Batch
from culture_lens.questions.question import PromptFormat, Question
from tests.helpers import reference_culnig as reference
from tests.helpers.forwards import must_not_run
from tests.helpers.gradients import as_tables, assert_equal_to, reference_items, scored, sites_of
from tests.helpers.lm import each_architecture, exact, exact_raw, lens, raw
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import lengthened, toy_questions
from tests.helpers.tiny import D_MLP, N_LAYERS

TOKENS = ("maximum", "sum", "last")


# ------------------------------------------------------------------ the reference itself


@each_architecture
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


@functools.cache
def token_scores(architecture, control):
    """Culture, P(gold) and scores of all tokens of each item; the same for every aggregation."""
    model, hf = exact(architecture), exact_raw(architecture)
    items = reference_items(model, toy_questions(), control)
    return [
        (culture, *reference.token_scores(hf, ids, gold, sites_of(model)))
        for ids, gold, culture in items
    ]


@pytest.mark.parametrize("aggregation", mostly_slow(TOKENS, fast=TOKENS[:1]))
@pytest.mark.parametrize("control", [False, True])
@each_architecture
def test_scores_equal_the_reference_in_float64(architecture, control, aggregation):
    model, questions = exact(architecture), toy_questions()
    found = scored(model, questions, control=control, aggregation=aggregation, batch_size=5)
    expected = reference.per_culture(
        (culture, reference.over_tokens(p, by_token, aggregation, control))
        for culture, p, by_token in token_scores(architecture, control)
    )
    assert_equal_to(found, expected, 1e-9)
    if control:
        assert all((scores >= 0).all() for scores in found.scores.values())
    elif aggregation != "maximum":
        assert all((scores < 0).any() for scores in found.scores.values())


@pytest.mark.parametrize("control", mostly_slow([False, True], fast=[True]))
@each_architecture
def test_scores_equal_the_reference_in_float32(architecture, control):
    model, questions = lens(architecture), toy_questions()
    found = scored(model, questions, control=control, batch_size=5)
    items = reference_items(model, questions, control)
    options = {"sites": sites_of(model), "control": control}
    expected = reference.summed(raw(architecture), items, **options)
    assert_equal_to(found, expected, 0, of_largest=1e-5)


@each_architecture
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


@pytest.mark.slow
def test_sites_alone_are_those_of_all_together():
    """Also sites that do not come first in their layer, which a backward might stop short of."""
    model, questions = exact("llama"), toy_questions()[:6]
    together = scored(model, questions, sites=("act", "gate", "up", "post", "q", "k", "v", "z"))
    for site in together.scores:
        alone = scored(model, questions, sites=site)
        assert list(alone.scores) == [site]
        assert torch.equal(alone.scores[site], together.scores[site])


# ------------------------------------------------------------------ only the tokens count


@pytest.mark.parametrize("control", mostly_slow([False, True], fast=[True]))
@each_architecture
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
@each_architecture
def test_padding_by_hand_and_its_token_do_not_matter(architecture, aggregation):
    model = exact(architecture)
    prompts = build_prompts(toy_questions()[:3], model.tokenizer)
    sites, how = sites_of(model), Attribution(aggregation=aggregation)
    plain = [item_scores(model, collate([p], 0), sites, how) for p in prompts]
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
        found = item_scores(model, wide, sites, how)
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


# ------------------------------------------------------------------ what is refused


def test_unknown_names_are_refused_before_the_model_runs(monkeypatch):
    model, ungated, questions = lens("llama"), lens("gpt2"), toy_questions()
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match="unknown aggregation.*'maximun'.*'maximum'"):
        scored(model, questions, aggregation="maximun")
    with pytest.raises(InputError, match="unknown site 'gates': did you mean 'gate'"):
        scored(model, questions, sites=("gates", "q"))
    with pytest.raises(InputError, match="unknown site 'up'"):
        scored(ungated, questions, sites=("gate", "up"))
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        scored(model, questions, batch_size=0)


def test_questions_that_cannot_be_scored_are_refused_before_the_model_runs(monkeypatch):
    model, questions = lens("llama"), toy_questions()
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match="no questions"):
        scored(model, [])
    with pytest.raises(InputError, match="occurs twice"):
        scored(model, [*questions, questions[0]])
    long = [replace(questions[0], text="word " * 600), *questions[1:]]
    with pytest.raises(InputError, match="do not fit the context"):
        scored(model, long)


@pytest.mark.parametrize("control", [False, True])
def test_a_label_that_is_not_one_token_is_refused_before_the_model_runs(monkeypatch, control):
    spaced = PromptFormat(label_form="space", labels="WXYZ")
    model = lens("qwen2")
    must_not_run(monkeypatch)
    questions = [replace(q, prompt=spaced) for q in toy_questions()]
    assert len(model.tokenizer(" W", add_special_tokens=False).input_ids) > 1
    with pytest.raises(InputError, match="label .* is not one token"):
        scored(model, questions, control=control)


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
