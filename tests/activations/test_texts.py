"""Plain texts per culture: against raw transformers, whatever the batches, padding and order."""

import pytest
import torch

from culture_lens.activations.texts import summarise_texts
from culture_lens.errors import CultureLensWarning
from culture_lens.selectors import infer, select
from tests.helpers import reference, t5, vlm
from tests.helpers.errors import refused
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.marks import QUIET
from tests.helpers.tiny import CORPUS, tiny_tokenizer

TEXTS = {
    "Japan": [CORPUS[0], "Tea.", CORPUS[4]],
    "Mexico": [CORPUS[1], "Soccer with friends in the evening."],
    "France": ["The capital of France is Paris.", "Bread, soup and noodles", CORPUS[5]],
}


@each_architecture
def test_counts_are_those_of_transformers(architecture):
    found = summarise_texts(lens(architecture), TEXTS, batch_size=3, **QUIET)
    tokenizer = tiny_tokenizer(architecture)
    asked = [(culture, tokenizer(text).input_ids) for culture in TEXTS for text in TEXTS[culture]]
    bos = tokenizer.bos_token_id
    masks = [[int(at > 0 or i != bos) for at, i in enumerate(ids)] for _, ids in asked]
    counts, tokens = reference.site_counts(
        raw(architecture), "act", [ids for _, ids in asked], masks, [name for name, _ in asked]
    )
    assert found.cultures == tuple(sorted(TEXTS))
    assert found.items.tolist() == [len(TEXTS[culture]) for culture in found.cultures]
    assert found.tokens.tolist() == [tokens[culture] for culture in found.cultures]
    for row, culture in enumerate(found.cultures):
        assert found.counts["act"][row].tolist() == counts[culture].tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_order_and_iterators_change_nothing(batch_size, monkeypatch):
    model = lens("llama")
    whole = summarise_texts(model, TEXTS, batch_size=16, **QUIET)
    monkeypatch.setattr("culture_lens.activations.texts.BATCHES_AT_ONCE", 1)
    turned = {culture: iter(TEXTS[culture][::-1]) for culture in reversed(TEXTS)}
    found = summarise_texts(model, turned, batch_size=batch_size, **QUIET)
    assert found.cultures == whole.cultures and torch.equal(found.tokens, whole.tokens)
    assert torch.equal(found.counts["act"], whole.counts["act"])
    assert torch.allclose(found.sums["act"], whole.sums["act"], atol=1e-4)


@pytest.mark.slow
def test_a_corpus_is_read_as_it_comes(monkeypatch):
    """No more texts are taken from an iterator than one group of batches holds."""
    taken, seen = [], []

    def corpus(culture):
        for number in range(12):
            taken.append((culture, number))
            yield f"{culture} text number {number}"

    from culture_lens.activations import texts

    record = texts.record_activations

    def watched(model, prompts, **options):
        seen.append(len(taken))
        return record(model, prompts, **options)

    monkeypatch.setattr(texts, "BATCHES_AT_ONCE", 2)
    monkeypatch.setattr(texts, "record_activations", watched)
    summarise_texts(lens("llama"), {c: corpus(c) for c in "xy"}, batch_size=2, **QUIET)
    assert seen == [4, 8, 12, 16, 20, 24]


@pytest.mark.slow
def test_selectors_and_replicates():
    texts = {c: [f"{t} {i}" for i in range(4) for t in TEXTS[c]] for c in TEXTS}
    summary = summarise_texts(lens("llama"), texts, replicates=19, **QUIET)
    assert summary.metadata["benchmark"] == "texts" and summary.metadata["items"] == 32
    for selector in ("lape", "conact", "mad"):
        found = select(summary, selector, k=5)
        assert set(found.cultures) == set(TEXTS)
    infer(summary, "conact")
    again = summarise_texts(lens("llama"), texts, replicates=19, batch_size=3, **QUIET)
    for site, counts in summary.replicates.counts.items():
        assert torch.equal(counts, again.replicates.counts[site])
    lazy = {culture: iter(own) for culture, own in texts.items()}
    refused(("'Japan'", "replicates need lists"), summarise_texts, lens("llama"), lazy,
            replicates=3, **QUIET)  # fmt: skip


@pytest.mark.slow
def test_an_encoder_decoder_counts_what_its_encoder_reads():
    model = t5.lens("flan")
    found = summarise_texts(model, TEXTS, sites="encoder.act", **QUIET)
    for row, culture in enumerate(found.cultures):
        ids = [model.to_tokens(text) for text in TEXTS[culture]]
        assert found.tokens[row] == sum(one.shape[1] - 1 for one in ids)  # without </s>
        total = 0
        for one in ids:
            _, cache = model.run_with_cache(one)
            names = [model.hook_name("encoder.act", layer) for layer in range(model.n_layers)]
            total = total + torch.stack([(cache[name][0, :-1] > 0).sum(0) for name in names])
        assert torch.equal(found.counts["encoder.act"][row], total)


def test_a_vision_language_model_reads_text():
    model = vlm.lens("llava")
    found = summarise_texts(model, TEXTS, **QUIET)
    alone = summarise_texts(model, TEXTS, batch_size=1, **QUIET)
    assert torch.equal(found.counts["act"], alone.counts["act"])
    with_picture = {**TEXTS, "Japan": [f"A picture: {model.processor.placeholder}"]}
    refused(("'Japan/0'", "image token"), summarise_texts, model, with_picture, **QUIET)


@pytest.mark.parametrize("family", ["llama", "flan"])
def test_texts_that_are_too_long(family):
    model = t5.lens("flan") if family == "flan" else lens("llama")
    site = model.default_site
    long = {"x": ["tea " * 600, "milk"], "y": ["rice"]}
    refused(("text 0 of 'x'", "context of 512", "'truncate'"), summarise_texts, model, long,
            **QUIET)  # fmt: skip
    with pytest.warns(CultureLensWarning, match="context of 512 tokens were left out: 1 of x"):
        short = summarise_texts(model, long, too_long="skip", **QUIET)
    only = summarise_texts(model, {"x": ["milk"], "y": ["rice"]}, **QUIET)
    assert torch.equal(short.counts[site], only.counts[site])
    with pytest.warns(CultureLensWarning, match="cut at their end: 1 of x"):
        cut = summarise_texts(model, long, too_long="truncate", **QUIET)
    assert cut.tokens[0] - only.tokens[0] == 511  # 512 with BOS, or with </s>
    with pytest.warns(CultureLensWarning):
        refused(("no text of x",), summarise_texts, model, {"x": ["tea " * 600], "y": ["a"]},
                too_long="skip", **QUIET)  # fmt: skip


def test_what_is_refused(idle):
    refused(("by culture",), summarise_texts, idle, ["tea"])
    refused(("1 cultures", "at least 2"), summarise_texts, idle, {"x": ["tea"]})
    refused(("'x'", "not one text"), summarise_texts, idle, {"x": "tea", "y": ["milk"]})
    refused(("'y'", "empty"), summarise_texts, idle, {"x": ["tea"], "y": []})
    refused(("by culture",), summarise_texts, idle, {"": ["tea"], "y": ["milk"]})
    refused(("'y/1'", "not empty"), summarise_texts, idle, {"x": ["tea"], "y": ["milk", "  "]})
    refused(("'x/0'", "None"), summarise_texts, idle, {"x": [None], "y": ["milk"]})
    refused(("roles=",), summarise_texts, idle, {"x": ["a"], "y": ["b"]}, roles="text")
    refused(("site", "'nowhere'"), summarise_texts, idle, {"x": ["a"], "y": ["b"]},
            sites="nowhere")  # fmt: skip
    refused(("batch_size",), summarise_texts, idle, {"x": ["a"], "y": ["b"]}, batch_size=0)
    refused(("too_long",), summarise_texts, idle, {"x": ["a"], "y": ["b"]}, too_long="cut")
    two = {"x": ["a"], "y": ["b"]}
    for replicates in (-1, 0.5, True):
        refused(("replicates",), summarise_texts, idle, two, replicates=replicates)
    refused(("seed",), summarise_texts, idle, two, seed="x")
    refused(("load_model",), summarise_texts, "smollm2-135m", two)
