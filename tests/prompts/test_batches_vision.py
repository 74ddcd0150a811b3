"""Prompts with pictures that are too long."""

from collections import Counter
from dataclasses import replace

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from tests.helpers.marks import QUIET, quiet
from tests.helpers.vlm import lens, pictured_questions
from tests.helpers.vlm_items import each_vlm


def long_and_short():
    words = "people drink tea with milk in the morning and coffee in the evening " * 30
    short = pictured_questions()[:4]
    long = [replace(q, id=f"long/{q.id}", text=f"{words} {q.text}") for q in short[:2]]
    return short + long


@quiet
@each_vlm
def test_prompts_that_are_too_long(architecture):
    model, questions = lens(architecture), long_and_short()
    options = {"context": 300}
    with pytest.raises(InputError, match="2 of 6 prompts do not fit.*long/food"):
        build_prompts(questions, model.processor, **options)
    with pytest.warns(CultureLensWarning, match="2 of 6 prompts.*left out"):
        kept = build_prompts(questions, model.processor, too_long="skip", **options)
    assert [p.question.id for p in kept] == [q.id for q in questions[:4]]
    with pytest.warns(CultureLensWarning, match="truncated at the question's start"):
        cut = build_prompts(questions, model.processor, too_long="truncate", **options)
    whole = build_prompts(questions, model.processor)
    for short, long in zip(cut, whole, strict=True):
        assert len(short.ids) == min(len(long.ids), 300)
        kinds = [Counter(prompt.roles) for prompt in (short, long)]
        for role in (Role.IMAGE, Role.OPTIONS, Role.TEMPLATE):  # only the question gives way
            assert kinds[0][role] == kinds[1][role]
        assert short.ids[-20:] == long.ids[-20:]
        last = max(place for place, role in enumerate(long.roles) if role == Role.IMAGE) + 1
        assert short.ids[:last] == long.ids[:last]
    # and a truncated prompt can be asked
    found = evaluate(replace(model, context=300), questions, too_long="truncate", **QUIET)
    assert len(found.frame) == 6 and found.frame["p_gold"].notna().all()


@quiet
def test_a_picture_that_alone_is_too_long_is_never_cut():
    model = lens("llava_next_mistral")
    with pytest.raises(InputError, match="even without its question the prompt is longer"):
        build_prompts(pictured_questions()[:2], model.processor, context=60, too_long="truncate")
    with pytest.warns(CultureLensWarning, match="2 of 2.*left out"):
        assert not build_prompts(
            pictured_questions()[:2], model.processor, context=60, too_long="skip"
        )


def test_room_is_kept_for_the_options_of_a_cloze_prompt():
    model = lens("llava")
    questions = pictured_questions()[:4]
    prompts = build_prompts(questions, model.processor, style="cloze")
    need = max(len(p.ids) + p.longest_answer for p in prompts)
    build_prompts(questions, model.processor, style="cloze", context=need)
    with pytest.raises(InputError, match="do not fit"):
        build_prompts(questions, model.processor, style="cloze", context=need - 1)
