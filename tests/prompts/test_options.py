"""Options behind their prompts: each once, like lengths together, as many as the batch has rows."""

from culture_lens.prompts.options import option_passes, padded_options
from culture_lens.prompts.prompt import Prompt
from tests.helpers.questions import toy_questions

LENGTHS = ((1, 4, 2), (3, 3, 1), (1, 1, 1), (9, 2, 5))


def prompts(of_lengths=LENGTHS):
    question = toy_questions()[0]
    return [
        Prompt(question, "", (), (), "cloze", tuple(tuple(range(n)) for n in lengths))
        for lengths in of_lengths
    ]


def test_every_option_of_several_tokens_is_run_once():
    passes = option_passes(prompts())
    run = [place for some in passes for place in some]
    expected = {(r, o) for r, own in enumerate(LENGTHS) for o, n in enumerate(own) if n > 1}
    assert len(run) == len(set(run)) and set(run) == expected


def test_passes_are_no_larger_than_the_batch_and_go_from_long_to_short():
    passes = option_passes(prompts())
    assert [len(some) for some in passes] == [4, 3]
    lengths = [LENGTHS[row][option] for some in passes for row, option in some]
    assert lengths == sorted(lengths, reverse=True)


def test_no_pass_where_every_option_is_one_token():
    assert option_passes(prompts([(1, 1)])) == []


def test_padding_is_behind_and_masked_and_the_last_token_is_not_run():
    ids, mask = padded_options([(5, 6, 7), (8, 9)], 3)
    assert ids.tolist() == [[5, 6], [8, 3]] and mask.tolist() == [[1, 1], [1, 0]]
