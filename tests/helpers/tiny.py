"""Tiny random checkpoints and tokenizers of the supported decoder-only families, made in memory.

The configuration, model and chat-template *shapes* are those of the real families; the weights are
noise drawn from a seed and the tokenizer is trained on the few sentences below. Nothing is loaded
from disk or from the network. `save_pretrained(folder)` of both gives a loadable checkpoint.

| family  | attention                       | MLP              | BOS added by         | pad       |
|---------|---------------------------------|------------------|----------------------|-----------|
| llama   | 4 query heads, 2 key heads      | gate, up         | tokenizer + template | own       |
| qwen2   | 4/2, biases on q, k, v          | gate, up         | nobody               | endoftext |
| qwen3   | 4/2, norms on q, k; d_head 16   | gate, up         | nobody               | endoftext |
| gemma3  | 4/2, norms; d_head 16; window 8 | gate, up, GELU   | tokenizer + template | own       |
| phi3    | 4/2, fused q, k, v              | gate, up fused   | tokenizer only       | endoftext |
| mistral | 4/2                             | gate, up         | tokenizer + template | own       |
| gpt2    | 4/4, fused, biases              | no gate, GELU    | nobody               | = eos     |

"tokenizer + template": both write BOS, so encoding the text of the chat template once more with
`add_special_tokens=True` doubles it. Where d_head is 16, heads * d_head is twice d_model.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3", "phi3", "mistral", "gpt2")

N_LAYERS, D_MODEL, D_MLP, N_HEADS, N_KV_HEADS, N_CTX, N_VOCAB = 3, 32, 48, 4, 2, 512, 400
GEMMA_WINDOW = 8  # small: layers 0 and 2 cannot see the start of any real prompt

CORPUS = (
    "Which food do people in Japan usually eat at the new year festival?",
    "What is the most popular sport in Mexico, and where do people play it?",
    "In Indonesia many families celebrate the end of the fasting month together.",
    "The capital of France is Paris, and the capital of Ethiopia is Addis Ababa.",
    "People drink tea with milk in the morning and coffee with sugar in the evening.",
    "Please read the question and choose the correct answer from the options.",
    'Answer with one letter only, in the form {"answer_choice":"A"}.',
    "A. rice\nB. bread\nC. noodles\nD. soup\nE. none of these\nAnswer: A",
) + ("A B C D E A B C D E",) * 8  # so that " A" .. " E" are merged to single tokens

# The chat templates, in the manner of the families' own.
LLAMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>"
    "\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2_CHAT = (  # puts a system message of its own before the conversation
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
) + CHATML
QWEN3_CHAT = CHATML + (  # an empty thought when thinking is switched off
    "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
GEMMA3_CHAT = (  # puts the system message into the first turn
    "{{ bos_token }}{% set system = messages[0].role == 'system' %}"
    "{% for m in (messages[1:] if system else messages) %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{% if system and loop.first %}{{ messages[0].content + '\n\n' }}{% endif %}"
    "{{ m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI3_CHAT = (  # writes no BOS although the tokenizer has one
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
MISTRAL_CHAT = (  # knows no system role
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + "
    "' [/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Family:
    """What distinguishes one family: classes, configuration, special tokens, chat template."""

    config_class: str
    model_class: str
    bos: str | None
    eos: str
    pad: str
    marks: tuple[str, ...] = ()  # further special tokens, those of the chat template
    chat_template: str | None = None
    tokenizer_adds_bos: bool = False
    config: tuple[tuple[str, object], ...] = ()


FAMILIES = {
    "llama": Family(
        "LlamaConfig", "LlamaForCausalLM",
        "<|begin_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>",
        ("<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"), LLAMA_CHAT, True,
    ),
    "qwen2": Family(
        "Qwen2Config", "Qwen2ForCausalLM",
        None, "<|im_end|>", "<|endoftext|>", ("<|im_start|>",), QWEN2_CHAT,
    ),
    "qwen3": Family(
        "Qwen3Config", "Qwen3ForCausalLM",
        None, "<|im_end|>", "<|endoftext|>", ("<|im_start|>", "<think>", "</think>"), QWEN3_CHAT,
        config=(("head_dim", 16),),
    ),
    "gemma3": Family(
        "Gemma3TextConfig", "Gemma3ForCausalLM",
        "<bos>", "<eos>", "<pad>", ("<start_of_turn>", "<end_of_turn>"), GEMMA3_CHAT, True,
        config=(
            ("head_dim", 16),
            ("query_pre_attn_scalar", 16),
            ("sliding_window", GEMMA_WINDOW),
            ("layer_types", ("sliding_attention", "full_attention", "sliding_attention")),
        ),
    ),
    "phi3": Family(
        "Phi3Config", "Phi3ForCausalLM",
        "<s>", "<|end|>", "<|endoftext|>", ("<|system|>", "<|user|>", "<|assistant|>"),
        PHI3_CHAT, True,
    ),
    "mistral": Family(
        "MistralConfig", "MistralForCausalLM",
        "<s>", "</s>", "<pad>", ("[INST]", "[/INST]"), MISTRAL_CHAT, True,
        config=(("sliding_window", None),),
    ),
    "gpt2": Family(
        "GPT2Config", "GPT2LMHeadModel", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>",
    ),
}  # fmt: skip


def trained(special: Iterable[str | None], vocab_size: int, added_bos: str | None) -> str:
    """A byte-level BPE tokenizer of the `tokenizers` library as JSON.

    Special tokens come first, from id 0; `added_bos` is put before every text.
    """
    special = list(dict.fromkeys(token for token in special if token is not None))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    steps = [processors.ByteLevel(trim_offsets=False)]
    if added_bos is not None:
        bos = (added_bos, tokenizer.token_to_id(added_bos))
        template = {"single": f"{bos[0]} $A", "pair": f"{bos[0]} $A {bos[0]}:1 $B:1"}
        steps.append(processors.TemplateProcessing(**template, special_tokens=[bos]))
    tokenizer.post_processor = processors.Sequence(steps) if len(steps) > 1 else steps[0]
    return tokenizer.to_str()


@functools.cache
def _trained(architecture: str) -> str:
    family = FAMILIES[architecture]
    special = (family.pad, family.bos, family.eos, *family.marks)
    return trained(special, N_VOCAB, family.bos if family.tokenizer_adds_bos else None)


def tiny_tokenizer(architecture: str = "llama") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 tokens with the family's special tokens and template.

    Padding side is the default of the library ("right"): batches must be padded by the caller.
    """
    family = FAMILIES[architecture]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(architecture)),
        bos_token=family.bos,
        eos_token=family.eos,
        pad_token=family.pad,
        model_max_length=N_CTX,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(family.marks),
    )
    tokenizer.chat_template = family.chat_template
    return tokenizer


def tiny_model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A random model of the family: 3 layers, d_model 32, d_mlp 48, float32, in eval mode.

    Matrices have standard deviation 0.2; noise of 0.2 is added to every vector (biases, norm
    weights), which the classes would otherwise start at constants. The global random state of
    torch is left as it was.
    """
    family = FAMILIES[architecture]
    tokenizer = tiny_tokenizer(architecture)
    if architecture == "gpt2":
        sizes = {"n_layer": N_LAYERS, "n_embd": D_MODEL, "n_inner": D_MLP, "n_head": N_HEADS}
        sizes["n_positions"] = N_CTX
    else:
        sizes = {
            "num_hidden_layers": N_LAYERS,
            "hidden_size": D_MODEL,
            "intermediate_size": D_MLP,
            "num_attention_heads": N_HEADS,
            "num_key_value_heads": N_KV_HEADS,
            "max_position_embeddings": N_CTX,
        }
    config = getattr(transformers, family.config_class)(
        vocab_size=N_VOCAB,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        architectures=[family.model_class],
        dtype="float32",
        **sizes,
        **{k: list(v) if isinstance(v, tuple) else v for k, v in family.config},
    )
    config._name_or_path = f"tiny-{architecture}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = getattr(transformers, family.model_class)(config)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.float().eval()
