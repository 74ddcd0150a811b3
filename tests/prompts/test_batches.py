"""Padding, order, prompts too long for the context, and going on where memory runs out."""

import random
import warnings
from dataclasses import replace

import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompt, build_prompts, truncated
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.run_batches import out_of_memory, run_batches
from culture_lens.prompts.shared_prefix import shared_prefix_length, shared_prefix_lengths
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import ARCHITECTURES, tiny_tokenizer

PAD = 399


def prompts(architecture="llama"):
    return list(build_prompts(toy_questions(), tiny_tokenizer(architecture)))


def row_content(batch, row):
    real = batch.attention_mask[row].bool()
    return tuple(batch.input_ids[row, real].tolist()), tuple(batch.roles[row, real].tolist())


def test_collate_pads_on_the_left_and_changes_nothing_else():
    chosen = prompts()[:5]
    batch = collate(chosen, PAD)
    width = max(len(p.ids) for p in chosen)
    assert batch.input_ids.shape == batch.attention_mask.shape == batch.roles.shape == (5, width)
    assert len({len(p.ids) for p in chosen}) > 1
    for row, prompt in enumerate(chosen):
        assert row_content(batch, row) == (prompt.ids, prompt.roles)
        padding = batch.attention_mask[row] == 0
        assert (batch.input_ids[row, padding] == PAD).all()
        assert (batch.roles[row, padding] == Role.PADDING).all()
        assert padding.nonzero().flatten().tolist() == list(range(width - len(prompt.ids)))
    assert batch.prompts == tuple(chosen) and batch.prefixes is None and batch.prefix_length == 0


def test_collate_puts_shared_prefixes_first():
    """Two rows begin with the same 3 tokens, one with 5 of its own."""
    one, other = prompts("qwen2")[0], prompts("llama")[0]
    chosen = [one, replace(one, ids=(*one.ids, 9), roles=(*one.roles, 3)), other]
    batch = collate(chosen, PAD, [3, 3, 5])
    assert batch.prefix_of_row == (0, 0, 1) and batch.prefix_length == 5
    assert [p.ids for p in batch.prefixes.prompts] == [one.ids[:3], other.ids[:5]]
    assert batch.prefixes.attention_mask.tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    for row, prompt in enumerate(chosen):
        assert row_content(batch, row) == (prompt.ids, prompt.roles)
        padding = batch.attention_mask[row] == 0
        assert (batch.input_ids[row, padding] == PAD).all()
        assert (batch.roles[row, padding] == Role.PADDING).all()
    rests = [len(one.ids) - 3, len(one.ids) - 2, len(other.ids) - 5]
    assert batch.input_ids.shape[1] == 5 + max(rests)


def test_common_start():
    for architecture in ARCHITECTURES:
        every = prompts(architecture)
        length = shared_prefix_length(every)
        assert len({(p.ids[:length], p.roles[:length]) for p in every}) == 1
        assert len({(p.ids[length], p.roles[length]) for p in every}) > 1
    assert shared_prefix_length(prompts("qwen2")) > 8  # a system message
    same = prompts("qwen2")[:1] * 2
    assert shared_prefix_length(same) == len(same[0].ids) - 1
    other_role = replace(same[0], roles=(*same[0].roles[:4], 3, *same[0].roles[5:]))
    assert shared_prefix_length([same[0], other_role]) == 4
    assert shared_prefix_length([]) == 0


def test_only_what_pays_is_shared():
    assert shared_prefix_lengths(prompts("qwen2")[:1]) == ()
    assert shared_prefix_lengths(prompts("gpt2")) == ()  # these begin with their own words
    assert set(shared_prefix_lengths(prompts("qwen2"))) == {shared_prefix_length(prompts("qwen2"))}
    given = prompts("qwen2")
    whole, shared = list(batches(given, 6, PAD)), list(batches(given, 6, PAD, share_prefix=True))
    assert [b.prompts for b in whole] == [b.prompts for b in shared]
    assert all(b.prefixes is None for b in whole) and all(b.prefixes for b in shared)


@pytest.mark.parametrize("size", [1, 3, 16, 100])
def test_batches_hold_every_prompt_once_longest_first(size):
    given = prompts()
    work = list(batches(given, size, PAD))
    held = [prompt for batch in work for prompt in batch.prompts]
    assert sorted(p.question.id for p in held) == sorted(p.question.id for p in given)
    lengths = [len(prompt.ids) for prompt in held]
    assert lengths == sorted(lengths, reverse=True)
    assert [len(batch.prompts) for batch in work[:-1]] == [size] * (len(work) - 1)


def test_batches_do_not_depend_on_the_order_given():
    given = prompts()
    expected = [[p.question.id for p in b.prompts] for b in batches(given, 3, PAD)]
    random.Random(0).shuffle(given)
    assert [[p.question.id for p in b.prompts] for b in batches(given, 3, PAD)] == expected


def test_batches_have_at_most_so_many_tokens():
    """Padding counts; a prompt that is longer by itself is a batch."""
    given = prompts()
    lengths = sorted((len(prompt.ids) for prompt in given), reverse=True)
    for tokens in (1, lengths[0], 3 * lengths[0], 10**6):
        work = list(batches(given, 5, PAD, tokens=tokens))
        assert sorted(p.question.id for b in work for p in b.prompts) == sorted(
            prompt.question.id for prompt in given
        )
        sizes = [batch.input_ids.shape for batch in work]
        assert all(rows == 1 or rows * width <= tokens for rows, width in sizes)
        most = max(1, min(5, tokens // lengths[0]))
        assert sizes[0][0] == most  # as many as fit


@pytest.mark.parametrize("size", [0, -1])
def test_batch_size_is_checked(size):
    with pytest.raises(InputError, match=f"batch_size must be at least 1, not {size}"):
        batches(prompts(), size, PAD)


# ------------------------------------------------------------------ the context


def lengths():
    return sorted(len(prompt.ids) for prompt in prompts())


def test_prompts_that_fit_pass_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        every = build_prompts(toy_questions(), tiny_tokenizer("llama"), context=lengths()[-1])
        assert len(every) == 16
        build_prompts(
            toy_questions(), tiny_tokenizer("llama"), context=lengths()[-1] + 5, reserve=5
        )


@pytest.mark.slow
def test_too_long_is_refused_and_counted():
    long = [n for n in lengths() if n > lengths()[9]]
    with pytest.raises(InputError) as caught:
        build_prompts(toy_questions(), tiny_tokenizer("llama"), context=lengths()[9] + 7, reserve=7)
    words = [f"{len(long)} of 16 prompts", f"{lengths()[9] + 7} tokens", f"has {lengths()[-1]}"]
    words.append("needs 7 more for an answer")
    assert all(word in str(caught.value) for word in [*words, "too_long='skip' or 'truncate'"])


def test_too_long_is_left_out_on_request_and_counted():
    room = lengths()[9]
    with pytest.warns(
        CultureLensWarning, match=f"{sum(n > room for n in lengths())} of 16.*left out"
    ):
        kept = build_prompts(
            toy_questions(), tiny_tokenizer("llama"), context=room, too_long="skip"
        )
    assert sorted(len(p.ids) for p in kept) == [n for n in lengths() if n <= room]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_too_long_is_truncated_on_request_in_the_question_only(architecture):
    tokenizer = tiny_tokenizer(architecture)
    given = build_prompts(toy_questions(), tokenizer)
    room = max(len(p.ids) for p in given) - 4
    with pytest.warns(CultureLensWarning, match="truncated at the question's start"):
        cut = build_prompts(toy_questions(), tokenizer, context=room, too_long="truncate")
    assert max(len(p.ids) for p in cut) == room
    for before, after in zip(given, cut, strict=True):
        dropped = max(len(before.ids) - room, 0)
        places = [i for i, role in enumerate(before.roles) if role == Role.QUESTION][:dropped]
        keep = [i for i in range(len(before.ids)) if i not in places]
        assert after.ids == tuple(before.ids[i] for i in keep)
        assert after.roles == tuple(before.roles[i] for i in keep)
        assert label_ids(after, tokenizer) == label_ids(before, tokenizer)


def test_what_cannot_be_truncated():
    prompt = build_prompt(toy_questions()[0], tiny_tokenizer("llama"))
    question = sum(role == Role.QUESTION for role in prompt.roles)
    assert Role.QUESTION not in truncated(prompt, len(prompt.ids) - question).roles
    with pytest.raises(InputError, match="'food/Japan'.*without its question.*too_long='skip'"):
        truncated(prompt, len(prompt.ids) - question - 1)


def test_unknown_policy():
    with pytest.raises(InputError, match="too_long='cut': use one of error, skip, truncate"):
        build_prompts(toy_questions(), tiny_tokenizer("llama"), too_long="cut")


# ------------------------------------------------------------------ out of memory


def run(work, step):
    return list(run_batches(work, step, pad_id=PAD, progress=False))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
     RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")],
)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_batch_is_halved_and_every_item_runs_once(error, limit):
    tried = []

    def step(batch):
        tried.append(len(batch.prompts))
        if len(batch.prompts) > limit:
            raise error
        return [row_content(batch, row) for row in range(len(batch.prompts))]

    given = prompts()
    with pytest.warns(CultureLensWarning, match="out of memory at .* rows of .* tokens") as warned:
        done = run(batches(given, 8, PAD), step)
    contents = [content for _, contents in done for content in contents]
    assert sorted(contents) == sorted((p.ids, p.roles) for p in given)
    # 8 fails, then 4, and so on; what comes later starts at the size that worked
    failures = [n for n in tried if n > limit]
    assert failures == [n for n in (8, 4, 2) if n > limit]
    assert len(warned) == len(failures)


def test_one_warning_says_the_new_size():
    def step(batch):
        if len(batch.prompts) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.warns(CultureLensWarning) as warned:
        run(batches(prompts(), 8, PAD), step)
    (only,) = warned
    assert "at 8 rows of" in str(only.message) and "4 rows a batch" in str(only.message)


def test_a_single_row_that_does_not_fit_raises():
    def step(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.warns(CultureLensWarning), pytest.raises(torch.OutOfMemoryError):
        run(batches(prompts(), 2, PAD), step)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    calls = []

    def step(batch):
        calls.append(batch)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run(batches(prompts(), 8, PAD), step)
    assert len(calls) == 1
    assert not out_of_memory(ValueError("out of memory"))


def test_an_interrupt_passes_and_what_is_done_is_out():
    done = []

    def step(batch):
        if len(done) == 2:
            raise KeyboardInterrupt
        return len(batch.prompts)

    with pytest.raises(KeyboardInterrupt):
        for _, rows in run_batches(batches(prompts(), 4, PAD), step, pad_id=PAD, progress=False):
            done.append(rows)
    assert done == [4, 4]
