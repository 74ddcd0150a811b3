"""Tiny decoder-only models as the package loads them, and the same weights as bare modules."""

import functools
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import PromptFormat, with_format
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions
from tests.helpers.reference_culnig import norms_in_own_dtype
from tests.helpers.tiny import ARCHITECTURES, tiny_model, tiny_tokenizer

each_architecture = pytest.mark.parametrize(
    "architecture", mostly_slow(ARCHITECTURES, fast=("llama", "gpt2"))
)


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


def wide_gemma3(dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A Gemma 3 whose attention window is longer than any prompt of the tests."""
    hf = tiny_model("gemma3").to(dtype)
    hf.config.sliding_window = 512
    for layer in hf.model.layers:
        if layer.self_attn.sliding_window is not None:
            layer.self_attn.sliding_window = 512
    return hf


@functools.cache
def exact(architecture):
    """A float64 model as the package loads it, with norms that are float64, too."""
    hf = norms_in_own_dtype(tiny_model(architecture).double())
    tokenizer = tiny_tokenizer(architecture)
    return load_model(f"exact-{architecture}", hf_model=hf, tokenizer=tokenizer)


@functools.cache
def exact_raw(architecture):
    """The same weights as a bare model that the package never sees."""
    return norms_in_own_dtype(tiny_model(architecture).double())


LONG_HEAD = PromptFormat(
    layout="People of many countries answer. Read the question and choose.\n{question}\n{options}"
)


def prompts_of(model, style="choices", form=None):
    return list(build_prompts(with_format(toy_questions(), form), model.tokenizer, style=style))


def raw_logits(hf, prompt):
    with torch.no_grad():
        return hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1]


@contextmanager
def captured(model, names):
    seen = {}

    def keep(activation, hook):
        seen[hook.name] = activation

    with model.hooks([(name, keep) for name in names]):
        yield seen


def live_hooks(model):
    """Count the functions on all hook points of the bridge."""
    return sum(
        len(point.fwd_hooks) + len(point.bwd_hooks) for point in model.bridge.hook_dict.values()
    )


@functools.cache
def spoilt(value: float, layer: int = 1) -> LensModel:
    """A tiny Llama that reads a weight of ``value`` at neuron 5 of a layer; leave it so."""
    hf = tiny_model("llama")
    with torch.no_grad():
        hf.model.layers[layer].mlp.gate_proj.weight[5] = value
    return load_model("spoilt", hf_model=hf, tokenizer=tiny_tokenizer("llama"))


def save_tiny(architecture: str, folder: str | Path) -> str:
    """Write model and tokenizer as a checkpoint of the hub; give the folder."""
    tiny_model(architecture).save_pretrained(folder)
    tiny_tokenizer(architecture).save_pretrained(folder)
    return str(folder)
