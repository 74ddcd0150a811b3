"""Questions may come from a generator: it is read once, and gives what a list gives."""

import pytest

import culture_lens as cl
from culture_lens.questions.strata import strata_of
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions

CALLS = {
    "split_questions": cl.split_questions,
    "halves": cl.halves,
    "strata_of": lambda questions: strata_of(questions, ["category", "length"]),
    "relabelled": lambda questions: cl.relabelled(questions, "category"),
    "balance_table": lambda questions: cl.balance_table(questions).to_dict(),
    "with_format": lambda questions: cl.with_format(questions, cl.PromptFormat(labels="1234")),
    "in_every_wording": cl.in_every_wording,
    "readable": lambda questions: cl.readable(questions, progress=False),
    "align_cultures": lambda questions: cl.align_cultures(found_set(), questions).cultures,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_generator_gives_what_a_list_gives(call):
    questions = toy_questions()
    assert call(question for question in questions) == call(questions)


def test_a_model_is_asked_all_of_a_generator(tiny):
    model, questions = tiny("llama"), toy_questions(topics=1)
    asked = cl.evaluate(model, (q for q in questions), progress=False)
    assert asked.frame["id"].tolist() == [q.id for q in questions]
    summary = cl.summarise(model, (q for q in toy_questions(topics=2)), progress=False)
    assert summary.items.tolist() == [2, 2, 2, 2]
