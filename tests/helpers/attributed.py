"""Attribution by the package and by the plain reference, side by side, per culture."""

import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompts
from tests.helpers import reference_attribution as reference
from tests.helpers.lm import exact_raw
from tests.helpers.questions import toy_questions, with_options

LIKELIHOOD = {"scoring": "option_likelihood"}


def asked():
    """Of three cultures, with different numbers of options of different lengths."""
    questions = toy_questions()
    return [
        questions[0],
        with_options(questions[1], ("soup", "A"), 0),
        with_options(questions[6], ("A", "rice and bread", "coffee with milk and sugar"), 2),
        with_options(questions[8], ("A", "B"), 1),
    ]


def prompts_of(model, questions, how):
    style = "choices" if how.get("scoring", "letter") == "letter" else "cloze"
    return build_prompts(questions, model.processor, style=style)


def options_of(model, prompt):
    """Tokens of each option, or of each label; and whether they are labels."""
    letter = prompt.style == "choices"
    labels = [(token,) for token in label_ids(prompt, model.processor)] if letter else ()
    return labels or prompt.continuations, letter


def text_items(architecture, model, questions, how):
    """Pairs of culture and item of the raw model."""
    for prompt in prompts_of(model, questions, how):
        options, letter = options_of(model, prompt)
        yield (
            prompt.question.culture,
            reference.text_item(
                exact_raw(architecture), prompt.ids, options, prompt.question.answer, letter
            ),
        )


def expected(items, sites, how, start=None):
    """Sums per culture by the reference; ``start`` by culture."""
    known = {name: value for name, value in how.items() if name not in ("scoring", "baseline")}
    sums = {}
    for culture, item in items:
        own = start and start[culture]
        scores = reference.item_scores(item, sites, **known, start=own)
        held = sums.setdefault(culture, {})
        for site, values in scores.items():
            held[site] = held.get(site, 0) + values.detach()
    return sums


def found(model, questions, sites, how, **options):
    return attribute(model, questions, sites=sites, progress=False, **how, **options)


def assert_equal(scores, sums, relative=1e-8, of_largest=1e-10):
    """Neuron by neuron, and something was scored in every layer."""
    assert scores.cultures == tuple(sorted(sums))
    for site, table in scores.scores.items():
        assert table.dtype == torch.float64
        for row, culture in enumerate(scores.cultures):
            mine, its = table[row], sums[culture][site].double()
            assert mine.shape == its.shape
            allowed = relative * its.abs() + of_largest * table.abs().max()
            worst = ((mine - its).abs() / allowed).max()
            assert worst <= 1, f"{site}, {culture}: {worst} times what is allowed"
        assert (table.abs().amax(0) > 0).any(1).all(), f"{site}: a layer without scores"
