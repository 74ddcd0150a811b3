"""Tiny random T5, FLAN-T5 and mT5 checkpoints with a tokenizer of their class, made in memory.

| family | encoder, decoder layers | MLP                 | output layer     |
|--------|-------------------------|---------------------|------------------|
| t5     | 2, 3                    | no gate, ReLU       | tied, scaled     |
| flan   | 3, 2                    | gate, up, tanh GELU | its own          |
| mt5    | 2, 2                    | gate, up, tanh GELU | its own          |

Heads * d_head (24) is not d_model (32), nor are d_model and d_mlp (48) alike. The decoder starts
from the padding token, and the tokenizer, a Unigram model with the word mark of SentencePiece, puts
``</s>`` behind every text, as those of the real models do.
"""

import functools
import re
from collections import Counter

import torch
import transformers
from transformers import PreTrainedModel, T5Tokenizer

from tests.helpers.tiny import CORPUS

FAMILIES = ("t5", "flan", "mt5")
LAYERS = {"t5": (2, 3), "flan": (3, 2), "mt5": (2, 2)}
D_MODEL, D_MLP, N_HEADS, D_HEAD, N_CTX = 32, 48, 4, 6, 512
PAD, EOS = 0, 1


@functools.cache
def pieces() -> tuple[tuple[str, float], ...]:
    """Pieces with their scores, the special tokens first, as in T5.

    Words that occur more than once and the first three letters of others, then single characters.
    They are not trained: the Unigram trainer's result differs from process to process.
    """
    words = [f"▁{word}" for word in re.findall("[A-Za-z]+", " ".join(CORPUS))]
    counts = Counter([*words, *(word[:3] for word in words)])
    known = [piece for piece, count in sorted(counts.items()) if count > 1 and len(piece) > 1]
    characters = ["▁", *(chr(code) for code in range(33, 127))]
    scored = [(piece, -2 - i / 100) for i, piece in enumerate([*known, *characters])]
    return (("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -100.0), *scored)


def tiny_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer: ``▁`` before words, ``</s>`` behind every text, no BOS."""
    tokenizer = T5Tokenizer(vocab=list(pieces()), extra_ids=0, model_max_length=N_CTX)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD, EOS)
    return tokenizer


def tiny_model(family: str, seed: int = 0) -> PreTrainedModel:
    """A random model of the family, float32, in eval mode; torch's random state is left alone.

    Matrices have standard deviation 0.2, and noise is added to the norms, which would start at 1.
    """
    name = "MT5" if family == "mt5" else "T5"
    encoder, decoder = LAYERS[family]
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tiny_tokenizer()),
        d_model=D_MODEL,
        d_kv=D_HEAD,
        d_ff=D_MLP,
        num_layers=encoder,
        num_decoder_layers=decoder,
        num_heads=N_HEADS,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        feed_forward_proj="relu" if family == "t5" else "gated-gelu",
        tie_word_embeddings=family == "t5",
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
        architectures=[f"{name}ForConditionalGeneration"],
        dtype="float32",
    )
    config._name_or_path = f"tiny-{family}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = getattr(transformers, f"{name}ForConditionalGeneration")(config)
        if family != "t5":  # the classes tie it all the same; checkpoints bring their own
            model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.shared.weight))
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.2 * torch.randn_like(parameter))
    return model.float().eval()
