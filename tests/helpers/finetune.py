"""What the tests of fine-tuning share: neurons to choose by, weights before and after."""

import functools

import torch

from culture_lens.finetune import choose_modules, plain_copy, rank_modules
from culture_lens.finetune.modules import RankedModule
from culture_lens.finetune.projections import projections_of
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import ARCHITECTURES
from tests.helpers.tiny_t5 import FAMILIES as T5_FAMILIES
from tests.helpers.tiny_t5 import tiny_model as tiny_t5
from tests.helpers.tiny_t5 import tiny_tokenizer as t5_tokenizer
from tests.helpers.tiny_vlm import FAMILIES as VLM_FAMILIES
from tests.helpers.tiny_vlm import tiny_vlm
from tests.helpers.vlm import lens as vlm_lens
from tests.helpers.vlm import pictured_questions

TEXT = ARCHITECTURES
VLMS = tuple(VLM_FAMILIES)
ENCODER_DECODERS = T5_FAMILIES
EVERY = (*TEXT, *(f"vlm-{name}" for name in VLMS), *ENCODER_DECODERS)
FAST = {"scoring": "letter", "progress": False, "learning_rate": 1e-2, "max_steps": 2}


@functools.cache
def of(name: str) -> LensModel:
    """A tiny model of any kind; tests must leave it as it was."""
    if name.startswith("vlm-"):
        return vlm_lens(name.removeprefix("vlm-"))
    if name in ENCODER_DECODERS:
        return load_model(f"tiny-{name}", hf_model=tiny_t5(name), tokenizer=t5_tokenizer())
    return lens(name)


def reference(name: str) -> torch.nn.Module:
    """The same weights in a plain Hugging Face model that the package never sees."""
    if name.startswith("vlm-"):
        return tiny_vlm(name.removeprefix("vlm-"))
    if name in ENCODER_DECODERS:
        return tiny_t5(name)
    from tests.helpers.tiny import tiny_model

    return tiny_model(name)


def found_on(model: LensModel) -> NeuronSet:
    """Two cultures' neurons at gate, q, k and v: most in layer 1, none in the last layer."""
    sites = [site for site in ("gate", "q", "k", "v") if site in model.sites]
    first = {site: [(1, 0), (1, 1), (1, 2), (0, 3)] for site in sites}
    second = {"gate": [(1, 1), (1, 40), (1, 47)], "v": [(0, 0)]}
    shapes = {site: model.shape(site) for site in sites}
    neurons = {"Japan": Neurons.of(first), "Mexico": Neurons.of(second)}
    return NeuronSet(neurons, shapes, {"selector": "made up"})


def weights(plain: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter, by name."""
    return {name: p.detach().clone() for name, p in plain.named_parameters()}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bits of float32 numbers, in which 0 and -0 differ."""
    return tensor.contiguous().view(torch.int32)


def questions_for(name):
    if name.startswith("vlm-"):
        return pictured_questions()[:6]
    return toy_questions()[:8]


def three_modules(model):
    """A gate and a q of the middle layer and a v of another: single outputs of fused modules."""
    places = projections_of(model, plain_copy(model))
    stem = "encoder." if ("encoder.gate", 1) in places else ""
    wanted = [(f"{stem}gate", 1), (f"{stem}q", 1), (f"{stem}v", 0)]
    return [RankedModule(place[0], (places[place],), 1, places[place].width) for place in wanted]


def top_modules(model):
    ranking = rank_modules(found_on(model), model, unit="projection")
    return choose_modules(ranking, "top", parameter_share=0.1)
