"""Objectives and paths by letter and by likelihood are those of the plain reference."""

import pytest

from culture_lens.attribution.baselines import start_means
from culture_lens.attribution.settings import Attribution
from culture_lens.prompts.running import Running
from tests.helpers.attributed import (
    LIKELIHOOD,
    asked,
    assert_equal,
    expected,
    found,
    prompts_of,
    text_items,
)
from tests.helpers.lm import exact
from tests.helpers.marks import mostly_slow
from tests.helpers.tiny import ARCHITECTURES

SITES = ("act", "gate", "up", "post", "q", "k", "v", "z")
DIFFERENCE = {**LIKELIHOOD, "objective": "logit_difference"}
LOG = {**LIKELIHOOD, "objective": "log_probability"}
WITHOUT_PATH = {
    "P": LIKELIHOOD,
    "log P, largest": {**LOG, "aggregation": "largest"},
    "log P, prompt, sum": {**LOG, "aggregation": "sum", "positions": "prompt"},
    "difference, options": {**DIFFERENCE, "positions": "options"},
    "difference, options, largest": {
        **DIFFERENCE, "positions": "options", "aggregation": "largest",
    },
    "difference, last": {**DIFFERENCE, "aggregation": "last"},
    "difference, sum": {**DIFFERENCE, "aggregation": "sum"},
    "letter, difference": {"objective": "logit_difference"},
    "letter, log P, largest": {"objective": "log_probability", "aggregation": "largest"},
}  # fmt: skip
WHOLE, LAYERWISE = ({"path": f"integrated{x}", "points": 2} for x in ("", "_layerwise"))
PATHS = {
    "P, whole": {**LIKELIHOOD, **WHOLE},
    "difference, layerwise": {**DIFFERENCE, **LAYERWISE},
    "difference, whole, largest": {**DIFFERENCE, **WHOLE, "aggregation": "largest"},
    "log P, layerwise, prompt": {**LOG, **LAYERWISE, "positions": "prompt"},
    "difference, layerwise, options, sum": {
        **DIFFERENCE, **LAYERWISE, "positions": "options", "aggregation": "sum",
    },
    "difference, whole, last": {**DIFFERENCE, **WHOLE, "aggregation": "last"},
    "letter, P, layerwise": LAYERWISE,
    "letter, difference, whole, sum": {
        "objective": "logit_difference", **WHOLE, "aggregation": "sum",
    },
}  # fmt: skip
OTHERS = {
    "difference, whole": {**DIFFERENCE, **WHOLE},
    "log P, layerwise, largest": {**LOG, **LAYERWISE, "aggregation": "largest"},
    "letter, difference, whole": {"objective": "logit_difference", **WHOLE},
}


def cases(ways, fast, everywhere):
    """Llama in every way, each other architecture in some."""
    every = [("llama", way) for way in ways]
    every += [(name, way) for name in ARCHITECTURES if name != "llama" for way in everywhere]
    return pytest.mark.parametrize(("architecture", "way"), mostly_slow(every, fast))


def sites_of(model):
    return [site for site in SITES if site in model.widths]


@cases(
    WITHOUT_PATH,
    fast=[("llama", "P"), ("gpt2", "difference, options")],
    everywhere=["P", "difference, options", "letter, difference"],
)
def test_objectives_equal_the_reference(architecture, way):
    model, questions, how = exact(architecture), asked(), WITHOUT_PATH[way]
    sites = sites_of(model)
    scores = found(model, questions, sites, how, batch_size=3)
    items = text_items(architecture, model, questions, how)
    assert_equal(scores, expected(items, sites, how))


@cases(
    PATHS,
    fast=[],
    everywhere=["difference, layerwise", "difference, whole, largest"],
)
def test_paths_from_zero_equal_the_reference(architecture, way):
    model, questions, how = exact(architecture), asked()[:3], PATHS[way]
    sites = sites_of(model)
    scores = found(model, questions, sites, how, batch_size=3)
    items = text_items(architecture, model, questions, how)
    assert_equal(scores, expected(items, sites, how))


@cases(
    OTHERS,
    fast=[("llama", "letter, difference, whole")],
    everywhere=["difference, whole"],
)
def test_paths_from_the_other_cultures_equal_the_reference(architecture, way):
    model, questions, how = exact(architecture), asked()[:3], {**OTHERS[way], "baseline": "others"}
    sites = ("gate", "v") if architecture != "gpt2" else ("act", "k")
    means = start_means(
        model, prompts_of(model, questions, how), sites, Attribution(**how), Running(progress=False)
    )
    start = {
        culture: {site: table[row].double() for site, table in means.means.items()}
        for row, culture in enumerate(means.cultures)
    }
    scores = found(model, questions, sites, how, batch_size=3)
    items = text_items(architecture, model, questions, how)
    assert_equal(scores, expected(items, sites, how, start))
