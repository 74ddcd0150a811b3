"""Greedy generation: every token is the argmax of a model that is run again from the start."""

from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import generation
from culture_lens.evaluation.generation import greedy_tokens, stop_ids, write_answers
from culture_lens.interventions.hooks import ablated
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers import reference, tiny_t5
from tests.helpers import vlm as vlm_helpers
from tests.helpers.forwards import rows_refused_beyond
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.questions import toy_questions
from tests.helpers.t5 import each_family
from tests.helpers.tiny import tiny_model, tiny_tokenizer

QUIET = Running(progress=False)
CHOSEN = {layer: list(range(0, 48, 2)) for layer in range(3)}
NEURONS = Neurons.of({"act": [(layer, i) for layer, row in CHOSEN.items() for i in row]})
LENGTH = 10


def prompts_of(model, questions=None):
    asked = toy_questions()[::3] if questions is None else questions
    return build_prompts(asked, model.processor, style="cloze")


def first_end(tokens, stops):
    return next((i for i, token in enumerate(tokens) if token in stops), len(tokens))


def rerun(model, prompt, length=LENGTH):
    """Every token from a forward over all that comes before it, alone in its batch, no cache."""
    found = []
    for _ in range(length):
        longer = (
            replace(prompt, decoder_ids=(*prompt.decoder_ids, *found))
            if prompt.decoder_ids
            else replace(
                prompt, ids=(*prompt.ids, *found), roles=(*prompt.roles, *(1 for _ in found))
            )
        )
        token = int(model.logits(collate([longer], model.pad_id)).argmax())
        if token in stop_ids(model):
            break
        found.append(token)
    return tuple(found)


# ------------------------------------------------------------------ which tokens


@pytest.mark.parametrize("neurons", [None, NEURONS])
@each_architecture
def test_tokens_equal_those_of_the_reference(architecture, neurons):
    model, hf = lens(architecture, torch.float64), raw(architecture, torch.float64)
    prompts, chosen = prompts_of(model), CHOSEN if neurons else {}
    assert len({len(prompt.ids) for prompt in prompts}) > 1  # rows are padded
    with ablated(model, neurons or Neurons.of({})):
        found = greedy_tokens(model, collate(prompts, model.pad_id), LENGTH)
    lengths = set()
    for prompt, tokens in zip(prompts, found, strict=True):
        row = torch.tensor([[*prompt.ids, *tokens]])  # no token sees those behind it
        logits = reference.ablated_logits(hf, row, torch.ones_like(row), chosen)[0]
        *best, after = logits[len(prompt.ids) - 1 :].argmax(-1).tolist()
        assert list(tokens) == best
        if len(tokens) < LENGTH:
            assert after in stop_ids(model)
        lengths.add(len(tokens))
    assert max(lengths) == LENGTH


@each_architecture
def test_tokens_equal_those_of_transformers(architecture):
    model, hf = lens(architecture, torch.float64), raw(architecture, torch.float64)
    prompts = prompts_of(model)
    found = greedy_tokens(model, collate(prompts, model.pad_id), LENGTH)
    for prompt, tokens in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt.ids])
        whole = hf.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(
                max_new_tokens=LENGTH,
                do_sample=False,
                eos_token_id=model.tokenizer.eos_token_id,
                pad_token_id=model.pad_id,
            ),
        )[0, len(prompt.ids) :].tolist()
        assert list(tokens) == whole[: first_end(whole, stop_ids(model))]


@pytest.mark.slow
@each_family
def test_encoder_decoders_write_behind_what_the_decoder_is_given(family):
    model = load_model(
        f"tiny-{family}",
        hf_model=tiny_t5.tiny_model(family, seed=3).double(),
        tokenizer=tiny_t5.tiny_tokenizer(),
    )
    prompts = list(prompts_of(model))
    begun = tuple(model.tokenizer("people", add_special_tokens=False).input_ids)
    prompts[1] = replace(prompts[1], decoder_ids=(*prompts[1].decoder_ids, *begun))
    after_ablation = Neurons.of(
        {"decoder.act": [(layer, i) for layer in range(2) for i in range(24)]}
    )
    for neurons in (Neurons.of({}), after_ablation):
        with ablated(model, neurons):
            found = greedy_tokens(model, collate(prompts, model.pad_id), LENGTH)
            assert found == [rerun(model, prompt) for prompt in prompts]
    assert any(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", vlm_helpers.NAMES)
def test_vision_language_models_write_without_a_picture(name):
    model = vlm_helpers.lens(name, torch.float64)
    prompts = prompts_of(model)
    with ablated(model, Neurons.of({"act": [(1, i) for i in range(20)]})):
        found = greedy_tokens(model, collate(prompts, model.pad_id), 6)
        assert found == [rerun(model, prompt, 6) for prompt in prompts]


def own_model():
    return load_model("own", hf_model=tiny_model("llama").double(), tokenizer=tiny_tokenizer())


def test_settings_of_the_checkpoint_change_nothing_and_stay():
    model = own_model()
    batch = collate(prompts_of(model), model.pad_id)
    expected = greedy_tokens(model, batch, LENGTH)
    hf = model.bridge.original_model
    own = GenerationConfig(
        repetition_penalty=3.0, do_sample=True, temperature=5.0, suppress_tokens=[expected[0][0]]
    )
    own.eos_token_id = hf.generation_config.eos_token_id
    hf.generation_config = own
    assert greedy_tokens(model, batch, LENGTH) == expected
    assert hf.generation_config is own and own.repetition_penalty == 3.0
    with pytest.raises(RuntimeError), model.hooks([("blocks.0.mlp.hook_out", fails)]):
        greedy_tokens(model, batch, LENGTH)
    assert hf.generation_config is own and not model.is_hooked


def fails(activation, hook):
    raise RuntimeError("of this hook")


def test_end_tokens_that_only_the_checkpoint_names_end_an_answer():
    model = own_model()
    batch = collate(prompts_of(model), model.pad_id)
    whole = greedy_tokens(model, batch, LENGTH)
    other = next(t for t in whole[0][2:] if t not in whole[0][:2])
    model.bridge.original_model.generation_config.eos_token_id = [other]
    assert stop_ids(model) == tuple(sorted({other, model.tokenizer.eos_token_id}))
    found = greedy_tokens(model, batch, LENGTH)
    assert found == [row[: first_end(row, (other,))] for row in whole]
    assert 2 <= len(found[0]) < len(whole[0])


# ------------------------------------------------------------------ texts


@pytest.mark.slow
def test_batch_size_and_order_do_not_matter():
    model = lens("qwen2", torch.float64)
    prompts = prompts_of(model, toy_questions())
    expected = write_answers(model, prompts, NEURONS, running=replace(QUIET, batch_size=16))
    assert list(expected) == [prompt.question.id for prompt in prompts]
    for size in (1, 5):
        found = write_answers(
            model, prompts[::-1], NEURONS, running=replace(QUIET, batch_size=size)
        )
        assert found == expected and list(found) == list(expected)[::-1]


def test_texts_are_those_of_the_tokens():
    model = lens("llama", torch.float64)
    prompts = prompts_of(model)
    found = write_answers(model, prompts, max_new_tokens=4, running=replace(QUIET, batch_size=2))
    for prompt in prompts:
        (tokens,) = greedy_tokens(model, collate([prompt], model.pad_id), 4)
        assert len(tokens) <= 4
        assert found[prompt.question.id] == model.tokenizer.decode(
            list(tokens), skip_special_tokens=True
        )


@pytest.mark.slow
def test_ablation_changes_what_is_written_and_nothing_stays():
    model = lens("llama", torch.float64)
    prompts = prompts_of(model)
    base = write_answers(model, prompts, running=QUIET)
    assert write_answers(model, prompts, NEURONS, running=QUIET) != base
    assert write_answers(model, prompts, NEURONS, value=0.5, running=QUIET) != write_answers(
        model, prompts, NEURONS, running=QUIET
    )
    assert write_answers(model, prompts, running=QUIET) == base and not model.is_hooked


@pytest.mark.slow
def test_out_of_memory_halves_and_says_so(monkeypatch):
    model = lens("llama", torch.float64)
    prompts = prompts_of(model, toy_questions()[:8])
    expected = write_answers(model, prompts, running=replace(QUIET, batch_size=4))
    rows: list[int] = []

    def one(self, batch, length):
        return greedy_tokens(self, batch, length)

    monkeypatch.setattr(generation, "greedy_tokens", rows_refused_beyond(2, one, rows))
    with pytest.warns(CultureLensWarning, match="out of memory at 4 rows"):
        assert write_answers(model, prompts, running=replace(QUIET, batch_size=4)) == expected
    assert rows == [2] * 4


@pytest.mark.slow
def test_a_run_is_found_again_and_nothing_stale_is(tmp_path, monkeypatch):
    model, kept = lens("llama", torch.float64), replace(QUIET, run=tmp_path)
    prompts = prompts_of(model)
    base = write_answers(model, prompts, running=kept)
    after_ablation = write_answers(model, prompts, NEURONS, running=kept)
    assert after_ablation != base

    def refuse(*_):
        raise AssertionError("it was written before")

    monkeypatch.setattr(generation, "greedy_tokens", refuse)
    assert write_answers(model, prompts, running=kept) == base
    assert write_answers(model, prompts, NEURONS, running=kept) == after_ablation
    for changed in (
        {"max_new_tokens": 3},
        {"neurons": NEURONS, "value": 0.5},
        {"prompts": prompts[1:]},
        {"model": lens("llama")},  # another dtype
    ):
        given = {"model": model, "prompts": prompts, "running": kept} | changed
        with pytest.raises(AssertionError, match="written before"):
            write_answers(**given)


# ------------------------------------------------------------------ what is refused


def test_bad_input(tmp_path):
    model = lens("llama")
    prompts = prompts_of(model)
    with pytest.raises(InputError, match="max_new_tokens must be at least 1, not 0"):
        write_answers(model, prompts, max_new_tokens=0, running=QUIET)
    with pytest.raises(InputError, match="without a shared prefix"):
        greedy_tokens(model, collate(prompts[:2], model.pad_id, (3, 3)), 4)
    with pytest.raises(InputError, match="another model"):
        write_answers(model, prompts, Neurons.of({"act": [(30, 1)]}), running=QUIET)
    with ablated(model, NEURONS), pytest.raises(InputError, match="hooks are attached"):
        write_answers(model, prompts, running=replace(QUIET, run=tmp_path))
    assert isinstance(model, LensModel) and not model.is_hooked
