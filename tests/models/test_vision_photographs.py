"""Photographs of K-Viscuit, from files to neurons, in every architecture."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from culture_lens.benchmarks import load_benchmark
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from tests.helpers.marks import QUIET, needs_data, quiet
from tests.helpers.places import DATA
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.vlm import counting_tower, lens, native, raw
from tests.helpers.vlm_items import each_vlm

FOLDER = DATA / "k_viscuit"
real = needs_data("k_viscuit")


@pytest.fixture(scope="module")
def photographs():
    """All pictures of K-Viscuit, by category, with up to two questions on each."""
    questions = load_benchmark("k_viscuit", FOLDER, grouping="category")
    kept, seen = [], Counter()
    for question in questions:
        seen[question.group] += 1
        if seen[question.group] <= 2:
            kept.append(question)
    assert 61 == len(seen) < len(kept)
    return kept


@pytest.mark.slow
@real
@quiet
@each_vlm
def test_photographs(architecture, photographs):
    files = {path.name for path in (FOLDER / "images").iterdir()}
    assert {Path(question.image.name).name for question in photographs} == files
    model, runs = counting_tower(architecture)
    prompts = build_prompts(photographs, model.processor, context=model.context)
    assert len(prompts) == len(photographs) > 61
    for prompt in prompts:
        tokens = sum(role == Role.IMAGE for role in prompt.roles)
        assert tokens == prompt.ids.count(raw(architecture).config.image_token_id) > 0
    found = find_culture_neurons(model, photographs, share=0.05, **QUIET)
    categories = {question.culture for question in photographs}
    assert set(found.cultures) == categories and len(categories) == 10
    one = replace(found, neurons={"Food": found["Food"]})
    matrix = ablation_matrix(model, one, photographs, random_seeds=0, scoring="letter", **QUIET)
    asked = [q for q in photographs if q.group not in found.metadata["groups"]]
    per_mask = matrix.frame.groupby(["condition", "mask", "seed"])["id"]
    assert per_mask.ngroups == 1 + 1
    assert all(list(ids) == [q.id for q in asked] for _, ids in per_mask)
    assert matrix.metadata["items"] == len(asked) > 25
    assert found.metadata["items"] == len(photographs) - len(asked) > 25
    assert len(runs) == model.vision.runs == len(files)


@pytest.mark.slow
@real
@quiet
@each_vlm
def test_photographs_give_the_logits_of_hugging_face(architecture, photographs):
    """Some of every kind: colour, grey, transparent; the largest and the smallest."""
    by_size = sorted(photographs, key=lambda q: q.image.size[0] * q.image.size[1])
    modes = {}
    for question in photographs:
        with Image.open(question.image.source) as image:
            modes.setdefault(image.mode, question)
    assert set(modes) == {"RGB", "RGBA", "L"}
    chosen = list({q.id: q for q in (by_size[0], by_size[-1], *modes.values())}.values())
    model = lens(architecture)
    found = evaluate(model, chosen, scoring="letter_options", batch_size=4, **QUIET).frame
    for question, scores in zip(chosen, found["scores"], strict=True):
        shown = replace(question, image=flat(question.image.source))
        logits = vlm_logits(raw(architecture), native(architecture, shown))
        tokenizer = model.tokenizer
        item = native(architecture, shown)["input_ids"][0].tolist()
        space = "" if tokenizer.decode(item)[-1] == "\n" else " "
        labels = [tokenizer(space + x, add_special_tokens=False).input_ids[0] for x in "ABCD"]
        assert np.allclose(scores, logits[labels], rtol=1e-4, atol=1e-4)


def flat(path):
    """A photograph in RGB, transparency over white, by PIL alone."""
    image = Image.open(path)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
