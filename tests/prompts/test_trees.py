"""Prompt trees: a small one worked out by hand, and what every tree must hold."""

from dataclasses import replace

import torch

from culture_lens.models.trees import repeated
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.trees import (
    PromptTree,
    attends,
    filled,
    groups_of_trees,
    prompt_trees,
    tree_batch,
)
from culture_lens.questions.images import as_image
from tests.helpers.questions import toy_questions
from tests.helpers.reference_trees import distinct_beginnings
from tests.helpers.tiny import tiny_tokenizer

ONE, TWO, *REST = toy_questions()


def prompt(question, ids, options):
    roles = (int(Role.QUESTION),) * len(ids)
    return Prompt(question, "", ids, roles, "cloze", continuations=options)


def made():
    tree = PromptTree()
    tree.add(prompt(ONE, (5, 6), ((8, 9), (7,), (8, 4, 3))))
    tree.add(prompt(TWO, (5, 6, 8), ((1, 2),)))
    return tree


def test_a_tree_by_hand():
    """5 6 8, then 4 (an option of the first) and 1 (one of the second); 9, 7, 3 and 2 are not run.

    5 - 6 - 8 - 4
             `- 1
    """
    tree = made()
    assert tree.tokens == [5, 6, 8, 4, 1] and tree.depths == [0, 1, 2, 3, 3]
    assert tree.ends == [1, 2] and tree.read == {1, 2, 3, 4}
    assert tree.reads == [(1, 8), (2, 9), (1, 7), (1, 8), (2, 4), (3, 3), (2, 1), (4, 2)]
    batch = tree_batch([tree], pad_id=0)
    assert batch.input_ids.tolist() == [[5, 6, 8, 4, 1]] and batch.last == 4
    assert attends(batch.enter, batch.leave)[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 0, 1],
    ]
    assert batch.ends.tolist() == [[0, 0], [0, 1]]
    assert batch.reads[0].tolist() == [0, 0, 8] and batch.reads[-1].tolist() == [0, 3, 2]


def test_padding_attends_to_itself_and_nothing_to_padding():
    short = PromptTree()
    short.add(prompt(ONE, (5,), ((7,),)))
    batch = tree_batch([made(), short], pad_id=0)
    seen = attends(batch.enter, batch.leave)[1]
    assert batch.input_ids[1].tolist() == [0, 0, 0, 0, 5]
    assert torch.equal(seen, torch.eye(5, dtype=torch.bool))
    assert batch.ends[-1].tolist() == [1, 3]


def test_children_that_are_added_later_lie_within_their_parent():
    """The second prompt goes on from an option of the first, after another option was added."""
    batch = tree_batch([made()], pad_id=0)
    enter, leave = batch.enter[0].tolist(), batch.leave[0].tolist()
    assert sorted(enter) == [0, 1, 2, 3, 4] and leave[0] == leave[1] == 5


def test_every_beginning_is_run_once():
    prompts = build_prompts(toy_questions(), tiny_tokenizer("llama"), style="cloze")
    (whole,) = prompt_trees(prompts, row_tokens=10**6)
    assert len(whole.tokens) == distinct_beginnings(prompts)
    apart = sum(distinct_beginnings([prompt]) for prompt in prompts)
    assert len(whole.tokens) < apart


def test_trees_have_at_most_so_many_tokens_and_prompts():
    prompts = build_prompts(toy_questions(), tiny_tokenizer("llama"), style="cloze")
    longest = max(distinct_beginnings([p]) for p in prompts)
    for tokens, most in ((longest, None), (3 * longest, None), (10**6, 3)):
        trees = prompt_trees(prompts, tokens, most)
        assert sorted(p.question.id for t in trees for p in t.prompts) == sorted(
            p.question.id for p in prompts
        )
        assert max(len(tree.tokens) for tree in trees) <= tokens
        assert most is None or max(len(tree.prompts) for tree in trees) <= most
        sizes = [len(tree.tokens) for tree in trees]
        assert sizes == sorted(sizes, reverse=True)
    groups = list(groups_of_trees(trees, 10**6, prompts=7))
    assert [sum(len(tree.prompts) for tree in group) for group in groups][:1] == [6]
    assert [len(g) for g in groups_of_trees(trees, 1)] == [1] * len(trees)


def test_few_trees_are_of_about_one_length():
    """As many as filling them one after the other gives, and so less padding."""
    prompts = build_prompts(toy_questions(), tiny_tokenizer("llama"), style="cloze")
    ordered = filled(sorted(prompts, key=lambda p: (p.ids, p.question.id)), 260, None)
    even = prompt_trees(prompts, 260)
    assert len(even) == len(ordered) > 2
    assert max(len(t.tokens) for t in even) < max(len(t.tokens) for t in ordered)


def test_a_prompt_longer_than_a_tree_stands_alone():
    prompts = build_prompts(toy_questions(), tiny_tokenizer("llama"), style="cloze")
    assert all(len(tree.prompts) == 1 for tree in prompt_trees(prompts, row_tokens=1))


def pictured(picture, number, *, tokens=3):
    """A prompt of BOS, a picture of so many tokens, and two words of its own."""
    image = as_image(picture.encode(), where=picture)
    question = replace(ONE, id=f"{picture}{number}", image=image)
    roles = (Role.TEMPLATE, *[Role.IMAGE] * tokens, Role.QUESTION, Role.QUESTION)
    ids = (1, *[4] * tokens, 10 + number, 20 + number)
    return Prompt(question, "", ids, tuple(map(int, roles)), "choices", labels=(30, 31))


def test_prompts_on_one_picture_stay_together_where_they_fit():
    """One question on a picture is 6 tokens, three are 10, and all begin with the same token."""
    keys = sorted("abcd", key=lambda name: pictured(name, 0).question.image.key)
    first, *others = keys
    prompts = [pictured(first, 0), *(pictured(name, at) for name in others for at in range(3))]
    trees = filled(prompts, 16, None)
    asked = ["".join(sorted({p.question.id[0] for p in tree.prompts})) for tree in trees]
    assert asked == ["".join(sorted(keys[:2])), *keys[2:]]
    assert [len(tree.tokens) for tree in trees] == [15, 10, 10]
    # Two of the second picture would fit behind the first; all three would not.
    assert [len(tree.tokens) for tree in filled(prompts, 13, None)] == [6, 10, 10, 10]
    assert all(len(tree.pictured) == len(name) for tree, name in zip(trees, asked, strict=True))
    assert [len(tree.prompts) for tree in filled(prompts, 16, 2)] == [2, 2, 2, 2, 2]


def test_a_large_picture_is_run_once_for_several_questions():
    """103 tokens and 2 more for each question, to twice 103, in trees of 16."""
    prompts = [pictured("a", at, tokens=100) for at in range(60)]
    assert [len(tree.tokens) for tree in filled(prompts, 16, None)] == [205, 117]
    assert [len(tree.tokens) for tree in filled(prompts[:3], 16, 1)] == [103] * 3


def test_a_repeated_batch_reads_from_its_own_rows():
    batch = tree_batch([made(), made()], pad_id=0)
    twice = repeated(batch, 2)
    assert twice.rows == 4 and torch.equal(twice.input_ids[2:], batch.input_ids)
    assert twice.ends[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(twice.reads[len(batch.reads) :, 1:], batch.reads[:, 1:])
    assert (twice.reads[len(batch.reads) :, 0] == batch.reads[:, 0] + 2).all()
