"""Sixteen questions on pictures for every tiny vision-language model.

As batches of the package, and as items that Hugging Face's own processor makes, with what the raw
model gives for each.
"""

import functools
from contextlib import ExitStack

import pytest
import torch

from culture_lens.prompts.batches import collate
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from tests.helpers.closeness import relative
from tests.helpers.marks import mostly_slow
from tests.helpers.reference_vlm import at_site, vlm_logits
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES
from tests.helpers.vlm import (
    LONG_HEAD,
    NAMES,
    SHARING,
    continued,
    hf_processor,
    lens,
    native,
    pictured_questions,
    prompts_of,
    raw,
)

F64 = torch.float64
FAST = ("llava",)
"""The model that the fast tests cover."""
each = pytest.mark.parametrize("name", mostly_slow(NAMES, FAST))
each_sharing = pytest.mark.parametrize("name", mostly_slow(SHARING, FAST))
each_vlm = pytest.mark.parametrize("architecture", mostly_slow(VLM_ARCHITECTURES, FAST))
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


PLACES = [(0, 2), (0, 9), (1, 3), (2, 15)]
EDITED = (0, 1, 4, 12)  # two on one culture's picture with one of another, and one without


@functools.cache
def chosen_batch(name, share_prefix):
    """The questions of EDITED, two of which share a prefix with a picture."""
    model = lens(name)
    prompts = prompts_of(name, [questions()[number] for number in EDITED])
    return collate(prompts, model.pad_id, shared_prefix_lengths(prompts) if share_prefix else ())


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
