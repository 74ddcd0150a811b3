"""Counts equal those of the plain reference, whatever the batches; what is done stays."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.activations.record import item_statistics, record_activations, reduce_tokens
from culture_lens.activations.statistics import ActivationStatistics
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES, Role
from culture_lens.questions.question import PromptFormat, with_format
from tests.helpers import reference
from tests.helpers.forwards import rows_refused_beyond
from tests.helpers.lm import each_architecture, lens, raw, spoilt
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.reference import reference_inputs
from tests.helpers.smollm2 import needs_smollm2
from tests.helpers.tiny import ARCHITECTURES

SITES = ("act", "gate", "up", "q", "k", "v")
LONG_HEAD = PromptFormat(
    layout="People of many countries answer. Read the question and choose.\n{question}\n{options}",
    answer_prefix='{"answer_choice":"',
)


def prompts_of(model, form=LONG_HEAD):
    return build_prompts(with_format(toy_questions(), form), model.tokenizer)


def summarised(model, prompts, **options):
    return record_activations(model, prompts, progress=False, **options).summary()


def assert_counts_equal(summary, site, counts, totals):
    assert summary.cultures == tuple(sorted(counts))
    for position, culture in enumerate(summary.cultures):
        assert int(summary.tokens[position]) == totals[culture]
        found = summary.counts[site][position].numpy()
        assert found.dtype == np.int64
        differing = int((found != counts[culture]).sum())
        assert differing == 0, f"{differing} of {found.size} counts differ at {site}, {culture}"


def assert_same_counts(one, other):
    assert one.cultures == other.cultures
    assert torch.equal(one.tokens, other.tokens) and torch.equal(one.items, other.items)
    for site in other.counts:
        assert torch.equal(one.counts[site], other.counts[site])


# ------------------------------------------------------------------ against the reference


@each_architecture
def test_counts_equal_the_reference_in_float32(architecture):
    """One sequence at a time on both sides: the arithmetic is the same, so are the signs."""
    model, hf = lens(architecture), raw(architecture)
    sites = [site for site in SITES if site in model.widths]
    prompts = prompts_of(model)
    statistics = ActivationStatistics()
    for prompt in prompts:  # so that no prefix is shared either
        record_activations(model, [prompt], sites=sites, progress=False, into=statistics)
    summary = statistics.summary()
    expected = reference.counts_at_sites(hf, sites, *reference_inputs(prompts))
    for site in sites:
        assert_counts_equal(summary, site, *expected[site])


@functools.cache
def counts_in_float64(architecture):
    """Counts and totals of the reference at every site; the same for every batch size."""
    model = lens(architecture, torch.float64)
    sites = [site for site in SITES if site in model.widths]
    inputs = reference_inputs(prompts_of(model))
    return reference.counts_at_sites(raw(architecture, torch.float64), sites, *inputs)


@pytest.mark.parametrize("batch_size", mostly_slow([1, 5, 16], fast=[5]))
@each_architecture
def test_counts_equal_the_reference_in_float64(architecture, batch_size):
    """Padded, batched, with the common prefix run once."""
    model, expected = lens(architecture, torch.float64), counts_in_float64(architecture)
    summary = summarised(model, prompts_of(model), sites=list(expected), batch_size=batch_size)
    for site, (counts, totals) in expected.items():
        assert_counts_equal(summary, site, counts, totals)
        assert len(np.unique(counts["Japan"])) > 5
    assert_counts_equal(summary, "act", *expected["gate"])


@each_architecture
def test_sums_and_squares_equal_the_reference(architecture):
    model, hf = lens(architecture), raw(architecture)
    prompts = prompts_of(model)
    summary = summarised(model, prompts, sites="act", batch_size=5)
    sums, squares, totals = reference.act_sums(hf, *reference_inputs(prompts))
    for position, culture in enumerate(summary.cultures):
        # the error grows with the sum of magnitudes, at most sqrt(T * Q)
        scale = np.sqrt(totals[culture] * squares[culture])
        error = np.abs(summary.sums["act"][position].numpy() - sums[culture])
        assert (error <= 1e-5 * scale + 1e-5).all()
        error = np.abs(summary.squares["act"][position].numpy() - squares[culture])
        assert (error <= 1e-4 * squares[culture] + 1e-5).all()


@pytest.mark.slow
def test_smollm2_counts_equal_the_reference():
    needs_smollm2()
    from transformers import AutoModelForCausalLM

    from culture_lens.models.checkpoints import embedded_path

    model = load_model("smollm2-135m", dtype=torch.float64)
    hf = AutoModelForCausalLM.from_pretrained(embedded_path("smollm2-135m"), dtype=torch.float64)
    every = load_benchmark("everyday", cultures=["Japan", "Italy"])
    prompts = build_prompts(every, model.tokenizer, style="cloze")
    chosen = []
    for culture in ("Japan", "Italy"):
        own = [prompt for prompt in prompts if prompt.question.culture == culture]
        chosen += sorted(own, key=lambda prompt: len(prompt.ids))[:3]
    summary = summarised(model, chosen, sites=("act", "q", "v"), batch_size=4)
    inputs = reference_inputs(chosen)
    expected = reference.counts_at_sites(hf.eval(), ("act", "q", "v"), *inputs)
    for site, (counts, totals) in expected.items():
        assert_counts_equal(summary, site, counts, totals)


# ------------------------------------------------------------------ nothing but the tokens counts


@each_architecture
def test_batch_size_order_padding_and_split_do_not_matter(architecture):
    model = lens(architecture, torch.float64)
    prompts = prompts_of(model)
    sites = ("act", "k")
    expected = summarised(model, prompts, sites=sites, batch_size=16)
    source = np.random.default_rng(0)
    for batch_size in (1, 3, 7):
        order = [prompts[i] for i in source.permutation(len(prompts))]
        found = summarised(model, order, sites=sites, batch_size=batch_size)
        assert_same_counts(found, expected)
        scale = (expected.squares["act"] * expected.tokens[:, None, None]).sqrt()
        assert ((found.sums["act"] - expected.sums["act"]).abs() <= 1e-5 * scale + 1e-6).all()
    merged = ActivationStatistics()
    for part in (prompts[:2], prompts[2:9], prompts[9:]):
        merged.merge(record_activations(model, part, sites=sites, progress=False))
    assert_same_counts(merged.summary(), expected)


def test_the_padding_token_does_not_matter():
    model = lens("llama", torch.float64)
    prompts = prompts_of(model)[:6]
    found = [
        item_statistics(model, collate(prompts, pad), ("act", "v"), CONTENT_ROLES, True)
        for pad in (0, 7, 399)
    ]
    for other in found[1:]:
        assert torch.equal(other.tokens, found[0].tokens)
        for site in ("act", "v"):
            assert torch.equal(other.counts[site], found[0].counts[site])
            assert torch.allclose(other.sums[site], found[0].sums[site], atol=1e-5)


@pytest.mark.parametrize("roles", [(Role.QUESTION,), (Role.OPTIONS,), (Role.TEMPLATE,),
                                   (Role.ANSWER_PREFIX,), tuple(Role)[1:]])  # fmt: skip
def test_roles_decide_what_counts(roles):
    model, hf = lens("qwen2", torch.float64), raw("qwen2", torch.float64)
    prompts = prompts_of(model)
    summary = summarised(model, prompts, roles=roles, batch_size=6)
    inputs = reference_inputs(prompts, roles)
    assert_counts_equal(summary, "act", *reference.site_counts(hf, "act", *inputs))


def test_the_common_words_of_questions_are_counted():
    model, hf = lens("gpt2", torch.float64), raw("gpt2", torch.float64)
    alike = [replace(q, text="Which food do people eat in " + q.text) for q in toy_questions()]
    prompts = build_prompts(alike, model.tokenizer)
    assert len({prompt.ids[:9] for prompt in prompts}) == 1
    summary = summarised(model, prompts, batch_size=6)
    inputs = reference_inputs(prompts)
    assert_counts_equal(summary, "act", *reference.site_counts(hf, "act", *inputs))


def test_several_sites_in_one_pass_are_those_of_each():
    model = lens("llama", torch.float64)
    prompts = prompts_of(model)
    together = summarised(model, prompts, sites=("act", "q", "z"))
    for site in ("act", "q", "z"):
        alone = summarised(model, prompts, sites=site)
        assert torch.equal(together.counts[site], alone.counts[site])


@pytest.mark.slow
def test_act_and_gate_count_the_same_for_every_activation_function_in_use():
    for architecture in ARCHITECTURES:
        summary = summarised(
            lens(architecture, torch.float64), prompts_of(lens(architecture)), sites=("act", "gate")
        )
        assert torch.equal(summary.counts["act"], summary.counts["gate"])


def test_without_magnitudes_the_counts_are_the_same():
    model = lens("llama")
    prompts = prompts_of(model)
    bare = summarised(model, prompts, magnitudes=False)
    assert bare.sums == {} and bare.squares == {}
    assert torch.equal(bare.counts["act"], summarised(model, prompts).counts["act"])


def test_reduce_tokens_by_hand():
    activation = torch.tensor([[[1.0, -2.0], [0.0, 3.0], [5.0, 7.0]]])
    mask = torch.tensor([[1.0, 1.0, 0.0]])
    counts, sums, squares = reduce_tokens(activation, mask, True)
    assert counts.tolist() == [[1, 1]]  # zero is not positive
    assert sums.tolist() == [[1.0, 1.0]] and squares.tolist() == [[1.0, 13.0]]
    heads = reduce_tokens(activation.reshape(1, 3, 1, 2), mask, False)
    assert [part.tolist() for part in heads] == [[[1, 1]], [[1.0, 1.0]]]


# ------------------------------------------------------------------ going on


def test_out_of_memory_halves_and_says_so(monkeypatch):
    model = lens("llama", torch.float64)
    prompts = prompts_of(model)
    expected = summarised(model, prompts, batch_size=4)
    rows = []
    monkeypatch.setattr(LensModel, "logits", rows_refused_beyond(2, LensModel.logits, rows))
    with pytest.warns(
        CultureLensWarning, match="out of memory at 4 rows.*2 rows a batch"
    ) as warned:
        found = summarised(model, prompts, batch_size=4)
    assert len(warned) == 1
    assert rows == [2] * 8
    assert_same_counts(found, expected)


def test_an_interrupt_keeps_what_was_counted(monkeypatch):
    model = lens("llama", torch.float64)
    prompts = prompts_of(model)
    statistics, calls = ActivationStatistics(), []
    forward = LensModel.logits

    def interrupted(self, batch, *args):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append([prompt.question.id for prompt in batch.prompts])
        return forward(self, batch, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LensModel, "logits", interrupted)
        record_activations(model, prompts, batch_size=4, progress=False, into=statistics)
    done = {name for call in calls for name in call}
    assert int(statistics.summary().items.sum()) == len(done) == 8
    rest = [prompt for prompt in prompts if prompt.question.id not in done]
    assert record_activations(model, rest, progress=False, into=statistics) is statistics
    assert_same_counts(statistics.summary(), summarised(model, prompts))
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())


# ------------------------------------------------------------------ what is refused


def test_sites_the_model_does_not_have():
    with pytest.raises(InputError, match="unknown site 'acts': did you mean 'act'"):
        record_activations(lens("llama"), [], sites="acts")
    with pytest.raises(InputError, match="unknown site 'up'"):
        record_activations(lens("gpt2"), [], sites=("act", "up"))


@pytest.mark.parametrize("magnitudes", [True, False])
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_no_numbers(value, layer, magnitudes):
    model = spoilt(value, layer)
    prompts = prompts_of(model)
    with pytest.raises(InputError, match="NaN or infinite.*bfloat16 or float32"):
        record_activations(model, prompts, magnitudes=magnitudes, progress=False)


@pytest.mark.parametrize("magnitudes", [True, False])
def test_a_bad_activation_in_the_middle_of_a_prompt_is_noticed(magnitudes):
    """In the last layer nothing of an earlier token reaches the logits that are looked at."""
    model = lens("llama")
    prompts = prompts_of(model)

    def spoil(activation, hook):
        spoilt = activation.clone()
        spoilt[:, -25, 3] = float("nan")
        return spoilt

    with model.hooks([("blocks.2.mlp.gate.hook_out", spoil)]):
        with pytest.raises(InputError, match="NaN or infinite"):
            record_activations(model, prompts, sites="act", magnitudes=magnitudes, progress=False)


def test_no_prompts():
    with pytest.raises(InputError, match="no items|no prompts|nothing"):
        record_activations(lens("llama"), [], progress=False).summary()
