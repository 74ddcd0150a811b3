"""Tiny encoder-decoders as the package loads them, their raw twins, and prompts for them."""

import functools

import pytest
import torch

from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import PromptFormat, with_format
from tests.helpers import reference_t5 as reference
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.reference_culnig import norms_in_own_dtype
from tests.helpers.tiny_t5 import FAMILIES, tiny_model, tiny_tokenizer

ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-7}
"""T5's norms are in float32 in every dtype, where 1e-16 of noise can tip a value by 6e-8."""
PREFIX = PromptFormat(answer_prefix='{"answer_choice":"')


@functools.cache
def lens(family, dtype=torch.float32, attention="native"):
    return load_model(
        f"tiny-{family}",
        hf_model=tiny_model(family).to(dtype),
        tokenizer=tiny_tokenizer(),
        attention=attention,
    )


@functools.cache
def raw(family, dtype=torch.float32):
    return tiny_model(family).to(dtype)


@functools.cache
def exact(family):
    """A float64 model as the package loads it, with norms that are float64, too."""
    hf = norms_in_own_dtype(tiny_model(family).double())
    return load_model(f"exact-{family}", hf_model=hf, tokenizer=tiny_tokenizer())


@functools.cache
def exact_raw(family):
    """The same weights as a bare model that the package never sees."""
    return norms_in_own_dtype(tiny_model(family).double())


def save_t5(family, folder):
    """Write model and tokenizer as a checkpoint of the hub."""
    tiny_model(family).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def mixed_questions():
    """With a long answer prefix, a short one and none, so that both sides are padded in a batch.

    A padded decoder that had nothing but its start token would not tell: T5 starts from padding.
    """
    questions = toy_questions()
    short = PromptFormat(answer_prefix="Answer:")
    return [
        *with_format(questions[:5], PREFIX),
        *with_format(questions[5:9], short),
        *questions[9:],
    ]


def prompts_of(model, questions=None, style="choices"):
    return build_prompts(questions or mixed_questions(), model.processor, style=style)


def some_neurons(model, site):
    """The first two neurons and the last of every layer of a site."""
    layers, width = model.shape(site)
    return Neurons.of({site: [(layer, i) for layer in range(layers) for i in (0, 1, width - 1)]})


def as_raw(neurons):
    """The same as the reference takes them: (site, layer) -> indices."""
    found = {}
    for site, layer, index in sorted(neurons.members()):
        found.setdefault((site, layer), []).append(index)
    return found


SITE_CASES = [
    (family, site)
    for family in FAMILIES
    for site in reference.SITES
    if not (family == "t5" and site.endswith(".up"))
]
each_family = pytest.mark.parametrize("family", mostly_slow(FAMILIES, fast=("flan",)))
each_site = pytest.mark.parametrize(
    ("family", "site"),
    mostly_slow(
        SITE_CASES, fast=[("flan", "encoder.act"), ("flan", "cross.k"), ("t5", "decoder.q")]
    ),
)
