"""Tiny vision-language models as the package loads them, untouched twins, questions on pictures.

``native`` makes an item without any code of the package: the chat template's text and the picture
go through the Hugging Face processor, and all that it returns goes to the raw model.
"""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import PromptFormat, Question
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.reference_culnig import norms_in_own_dtype
from tests.helpers.reference_vlm import Item, processed
from tests.helpers.tiny import GEMMA_WINDOW, N_LAYERS
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES, picture, tiny_processor, tiny_vlm

NAMES = (*VLM_ARCHITECTURES, "gemma3_wide")
"""The eight architectures; gemma3 with a window of 8 tokens, and with one longer than prompts."""
SHARING = tuple(name for name in NAMES if name != "gemma3")
SITES = ("act", "gate", "up", "post", "q", "k", "v", "z")
LONG_HEAD = PromptFormat(
    layout="People of many countries answer. {instruction} Now choose.\n{question}\n{options}"
)
SIZES = {"Japan": (40, 40), "Mexico": (60, 20), "Ethiopia": (20, 60), "France": (40, 40)}
"""Width and height; two cultures' pictures differ in nothing but their pixels."""


def architecture_of(name: str) -> str:
    return name.removesuffix("_wide")


def bare(name: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A fresh raw model; in float64 its norms are so, too."""
    window = 512 if name.endswith("_wide") else GEMMA_WINDOW
    hf = tiny_vlm(architecture_of(name), window=window).to(dtype)
    return norms_in_own_dtype(hf) if dtype == torch.float64 else hf


@functools.cache
def raw(name: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """A raw model that the package never sees."""
    return bare(name, dtype)


@functools.cache
def hf_processor(name: str):
    """A processor that the package never sees."""
    return tiny_processor(architecture_of(name))


def fresh(name: str, dtype: torch.dtype = torch.float32, **options) -> LensModel:
    """A model of one's own, to count its runs or to change it."""
    processor = tiny_processor(architecture_of(name))
    return load_model(f"tiny-{name}", hf_model=bare(name, dtype), processor=processor, **options)


@functools.cache
def lens(name: str, dtype: torch.dtype = torch.float32, attention: str = "native") -> LensModel:
    """A model as the package loads it; tests must leave it as it was."""
    return fresh(name, dtype, attention=attention)


def pictured_questions(form: PromptFormat | None = None, plain: bool = True) -> list[Question]:
    """Sixteen toy questions: three on each culture's picture or, one of Mexico's, on another.

    The fourth of each culture has no picture; ``plain=False`` leaves these out.
    """
    seeds = {culture: seed for seed, culture in enumerate(SIZES, start=1)}
    made = []
    for question in toy_questions():
        seed = 9 if question.id == "drink/Mexico" else seeds[question.culture]
        image = picture(seed, *SIZES[question.culture]) if question.category != "city" else None
        if image is not None or plain:
            made.append(replace(question, image=image, prompt=form or question.prompt))
    return made


def prompts_of(name: str, questions=None, style: str = "choices", **options):
    asked = pictured_questions(**options) if questions is None else questions
    return build_prompts(asked, lens(name).processor, style=style)


def message(question: Question, style: str = "choices") -> str:
    """The user's message, written out from the format alone."""
    form = question.prompt
    if style == "cloze":
        return f"{question.text} {form.cloze_instruction}"
    pairs = zip("ABCD", question.options, strict=False)
    options = "\n".join(f"{label}. {option}" for label, option in pairs)
    filled = form.layout.replace("{instruction}", form.instruction)
    return filled.replace("{question}", question.text).replace("{options}", options).strip()


def native(
    name: str, question: Question, style: str = "choices", dtype: torch.dtype = torch.float32
) -> Item:
    """One unpadded item as Hugging Face's own processor makes it."""
    processor = hf_processor(name)
    pictured = [{"type": "image"}] if question.image is not None else []
    content = [*pictured, {"type": "text", "text": message(question, style)}]
    text = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    image = question.image.source if question.image is not None else None
    item = processed(processor, text, image)
    return {n: v.to(dtype) if v.is_floating_point() else v for n, v in item.items()}


def continued(item: Item, tokens) -> Item:
    """The item with more text tokens behind it."""
    longer = dict(item)
    for key, filling in (("input_ids", None), ("attention_mask", 1), ("token_type_ids", 0),
                         ("mm_token_type_ids", 0)):  # fmt: skip
        if key in item:
            more = list(tokens) if filling is None else [filling] * len(tokens)
            longer[key] = torch.cat([item[key], torch.tensor([more])], 1)
    return longer


def counting_tower(architecture, **options):
    """A model of one's own, and a list that grows with every picture its raw tower is given."""
    hf = bare(architecture)
    name = "visual" if hasattr(hf.model, "visual") else "vision_tower"
    tower = getattr(hf.model, name if hasattr(hf.model, name) else "vision_model")
    runs = []
    forward = tower.forward

    def counted(*args, **options):
        pixels = args[0] if args else options["pixel_values"]
        together = architecture_of(architecture) in ("llava", "gemma3")  # a row each, or blank
        runs.extend(1 for one in (pixels if together else [pixels]) if one.any())
        return forward(*args, **options)

    tower.forward = counted  # a hook would not go with a run folder
    model = load_model(
        f"tiny-{architecture}", hf_model=hf, processor=tiny_processor(architecture), **options
    )
    runs.clear()
    return model, runs


def pictures_of(questions):
    return {question.image.key for question in questions if question.image is not None}


def made_up_neurons(model):
    """Neurons of one culture, identified on no question."""
    neurons = {"Japan": Neurons.of({"act": [(0, 1), (1, 5)], "v": [(1, 2)]})}
    return NeuronSet(neurons, {site: (N_LAYERS, model.widths[site]) for site in ("act", "v")})


def assert_nearly_same_records(one, other):
    """All but the last digits of float32."""
    columns = [name for name in one if name not in ("scores", "p_gold")]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    for name in ("scores", "p_gold"):
        found, expected = (np.vstack(frame[name].tolist()) for frame in (one, other))
        assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


MATRIX_OPTIONS = {"random_seeds": 2, "scoring": "letter_options", **QUIET}


@functools.cache
def whole_matrix(architecture):
    """No mask, one of a culture and two random ones, every picture's features in memory."""
    model = lens(architecture)
    return ablation_matrix(model, made_up_neurons(model), pictured_questions(), **MATRIX_OPTIONS)


def question_on(image, name="q7", text="What is it?", **fields):
    return Question(name, "Japan", text, ("tea", "milk"), 0, image=image, **fields)


def built(model, *questions, **options):
    return build_prompts(list(questions), model.processor, **options)
