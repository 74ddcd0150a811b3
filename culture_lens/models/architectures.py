"""The model classes that the tests cover, and the nine models of the two papers.

A class is in ``ARCHITECTURES`` because a checkpoint of it, tiny and random but with the real
configuration, tokenizer and processor classes, is held against plain Hugging Face in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from culture_lens.checks import check_arguments, text
from culture_lens.errors import unknown
from culture_lens.questions.question import PromptFormat
from culture_lens.storage.display import Shown

Paper = Literal["conact", "culnig"]
TEXT, IMAGES, ENCODER_DECODER = "text", "text, images", "text to text"


@dataclass(frozen=True)
class Architecture:
    """A Hugging Face model class that works here.

    Attributes:
        name: The class.
        reads: ``"text"``, ``"text, images"`` or, for encoder-decoders, ``"text to text"``.
        examples: Models of this class.
        notes: Its particularities.
        needs: Requirements besides this package; empty where there are none.
    """

    name: str
    reads: str
    examples: str
    notes: str
    needs: str = ""


ARCHITECTURES = (
    Architecture(
        "LlamaForCausalLM",
        TEXT,
        "SmolLM2, Llama 2 and 3, Llama-3.1-8B, Falcon3-10B",
        "grouped-query attention",
        "the licence accepted on the hub for Llama",
    ),
    Architecture("MistralForCausalLM", TEXT, "Mistral 7B", "sliding window"),
    Architecture("Qwen2ForCausalLM", TEXT, "Qwen2, Qwen2.5", "no BOS"),
    Architecture("Qwen3ForCausalLM", TEXT, "Qwen3-14B", "no BOS; prompts switch thinking off"),
    Architecture("Gemma3ForCausalLM", TEXT, "gemma-3-1b-it", "local and global layers"),
    Architecture("Phi3ForCausalLM", TEXT, "phi-4, Phi-3", "fused projections, shown apart"),
    Architecture("GPT2LMHeadModel", TEXT, "gpt2", "no gate: act is the neuron, there is no up"),
    Architecture("LlavaForConditionalGeneration", IMAGES, "LLaVA-1.5", "Llama text"),
    Architecture(
        "LlavaNextForConditionalGeneration",
        IMAGES,
        "LLaVA-1.6-Mistral-7B, Pangea-7B",
        "Mistral or Qwen2 text; tiles by the picture's shape",
    ),
    Architecture(
        "LlavaOnevisionForConditionalGeneration",
        IMAGES,
        "LLaVA-OneVision",
        "Qwen2 text; still pictures only",
    ),
    Architecture(
        "Qwen2_5_VLForConditionalGeneration",
        IMAGES,
        "Qwen2.5-VL-7B",
        "positions in time, height and width; still pictures only",
    ),
    Architecture(
        "Gemma3ForConditionalGeneration",
        IMAGES,
        "gemma-3-12b-it, gemma-3-27b-it",
        "attention both ways within a picture",
        "the licence accepted on the hub",
    ),
    Architecture(
        "Idefics3ForConditionalGeneration", IMAGES, "Idefics3-8B-Llama3", "tiles with marks"
    ),
    Architecture(
        "SmolVLMForConditionalGeneration",
        IMAGES,
        "SmolVLM, SmolVLM2",
        "built as Idefics3; still pictures only",
    ),
    Architecture(
        "T5ForConditionalGeneration",
        ENCODER_DECODER,
        "T5, T5 1.1, FLAN-T5",
        "sites encoder.*, decoder.* and cross.*; no gate in T5 itself",
    ),
    Architecture(
        "MT5ForConditionalGeneration",
        ENCODER_DECODER,
        "mT5",
        "as T5 1.1; answers nothing until it is trained to",
    ),
)


def is_tested(name: str) -> bool:
    """Whether the tests cover a model class.

    Example:
        >>> is_tested("LlamaForCausalLM"), is_tested("OPTForCausalLM")
        (True, False)
    """
    return any(name == architecture.name for architecture in ARCHITECTURES)


def supported() -> str:
    """List the classes that work, for messages."""
    return ", ".join(architecture.name for architecture in ARCHITECTURES)


LETTER = PromptFormat(
    instruction="Look at the question and the options. Reply with the letter of the right option.",
    layout="{question}\n{options}\n{instruction}",
)
"""The next token is the letter."""

JSON_ANSWER = PromptFormat(
    instruction='Choose the right option. Answer in JSON, as {"answer_choice":"letter"}.',
    layout="{instruction}\n\n{question}\n{options}",
    answer_prefix='{"answer_choice":"',
    label_form="bare",
)
"""The answer is started by the prompt, so that the next token is the letter (CULNIG)."""


@dataclass(frozen=True, repr=False)
class Preset(Shown):
    """One of the two papers' models, with how it is asked and loaded.

    Attributes:
        model: Its hub id.
        paper: ``"conact"`` (arXiv 2510.24942) or ``"culnig"`` (arXiv 2510.08284).
        architecture: Its class.
        prompt: The form of its prompts. CULNIG's answer prefix is as published; all other wording
            is this project's.
        dtype: The dtype it was trained in and should be run in; float16 overflows in some of them.
        gigabytes: Approximate size of its weights in that dtype.
        scoring: How answers are read.

    Example:
        >>> preset("Qwen/Qwen3-14B").dtype
        'bfloat16'
    """

    model: str
    paper: Paper
    architecture: str
    prompt: PromptFormat
    dtype: str
    gigabytes: int
    scoring: str = "letter"

    def _headline(self) -> str:
        return f"Preset {self.model}"


PRESETS = (
    Preset(
        "llava-hf/llava-v1.6-mistral-7b-hf",
        "conact",
        "LlavaNextForConditionalGeneration",
        LETTER,
        "float16",
        15,
    ),
    Preset(
        "neulab/Pangea-7B-hf", "conact", "LlavaNextForConditionalGeneration", LETTER, "bfloat16", 16
    ),
    Preset(
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "conact",
        "Qwen2_5_VLForConditionalGeneration",
        LETTER,
        "bfloat16",
        17,
    ),
    Preset(
        "google/gemma-3-12b-it",
        "culnig",
        "Gemma3ForConditionalGeneration",
        JSON_ANSWER,
        "bfloat16",
        24,
    ),
    Preset(
        "google/gemma-3-27b-it",
        "culnig",
        "Gemma3ForConditionalGeneration",
        JSON_ANSWER,
        "bfloat16",
        55,
    ),
    Preset("Qwen/Qwen3-14B", "culnig", "Qwen3ForCausalLM", JSON_ANSWER, "bfloat16", 30),
    Preset(
        "meta-llama/Llama-3.1-8B-Instruct",
        "culnig",
        "LlamaForCausalLM",
        JSON_ANSWER,
        "bfloat16",
        16,
    ),
    Preset("microsoft/phi-4", "culnig", "Phi3ForCausalLM", JSON_ANSWER, "bfloat16", 29),
    Preset(
        "tiiuae/Falcon3-10B-Instruct", "culnig", "LlamaForCausalLM", JSON_ANSWER, "bfloat16", 21
    ),
)


@check_arguments(model=text)
def preset(model: str) -> Preset:
    """How one of the two papers' models is asked and loaded.

    Args:
        model: Its hub id.

    Raises:
        InputError: It is not one of the nine.

    Example:
        ``with_format(questions, preset("microsoft/phi-4").prompt)``
    """
    known = {entry.model: entry for entry in PRESETS}
    if model not in known:
        raise unknown("preset", model, known, "Other models need none: give load_model their name.")
    return known[model]
