"""Greedy generation: what a model writes behind its prompts, with neurons ablated where given.

``generate`` of transformers runs on the wrapped model, so that hooks fire at every token, those of
the prompt and those that are written, and its cache of keys and values is used. Every token is the
argmax of the logits: the settings that come with a checkpoint (a repetition penalty, forbidden
words, sampling) are left aside, for they would change what is compared.

Prompts hold text only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import Value, ablation_hooks, described
from culture_lens.models.encoder_decoder import EncoderDecoder, decoder_inputs
from culture_lens.models.lens_model import LensModel, check_unhooked
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.prompts.batches import batches, run_batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.storage.files import read_parquet, write_whole
from culture_lens.storage.runs import Run, content_key

if TYPE_CHECKING:
    from transformers import GenerationConfig


def stop_ids(model: LensModel) -> tuple[int, ...]:
    """List the tokens that end an answer: the tokenizer's end and those that the checkpoint names.

    Example:
        ``stop_ids(model)`` holds ``<|eot_id|>`` of a Llama 3 chat model.
    """
    own = getattr(model.bridge.original_model, "generation_config", None)
    named = getattr(own, "eos_token_id", None)
    found = list(named) if isinstance(named, (list, tuple)) else [named]
    found.append(model.tokenizer.eos_token_id)
    return tuple(sorted({int(token) for token in found if token is not None}))


@contextmanager
def plain_settings(model: LensModel, settings: GenerationConfig) -> Iterator[None]:
    """Put a checkpoint's own generation settings aside for the time of the block.

    ``generate`` fills whatever a caller leaves open from them, so that they must be gone and not
    only overruled.
    """
    hf = model.bridge.original_model
    own = hf.generation_config
    hf.generation_config = settings
    try:
        yield
    finally:
        hf.generation_config = own


def greedy_tokens(model: LensModel, batch: Batch, max_new_tokens: int) -> list[tuple[int, ...]]:
    """Write behind each prompt of a batch until an end token or the limit.

    Args:
        model: The model; hooks that are attached act at every token.
        batch: Prompts of text, made without beginnings (``collate(prompts, pad_id)``).
        max_new_tokens: At most so many tokens per row.

    Returns:
        The tokens of each row, the end token left out.

    Raises:
        InputError: The batch has prefixes, or fewer than one token is asked for.

    Example:
        ``greedy_tokens(model, collate(prompts, model.pad_id), 16)``
    """
    from transformers import GenerationConfig

    if batch.prefixes is not None:
        raise InputError("generation needs batches without prefixes: make them share_prefix=False.")
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}.")
    stops = stop_ids(model)
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=list(stops) or None,
        pad_token_id=model.pad_id,
    )
    begun, given = batch.input_ids.shape[1], {}
    if isinstance(model, EncoderDecoder):
        settings.decoder_start_token_id = model.start_id
        # transformers 5 sizes the decoder's cache by the layers of the encoder.
        settings.use_cache = model.n_layers == model.n_decoder_layers
        ids, mask = decoder_inputs(batch, model.pad_id)
        given = {
            "decoder_input_ids": ids.to(model.device),
            "decoder_attention_mask": mask.to(model.device),
        }
        begun = ids.shape[1]
    with plain_settings(model, settings), torch.inference_mode():
        found = model.bridge.original_model.generate(
            input_ids=batch.input_ids.to(model.device),
            attention_mask=batch.attention_mask.to(model.device),
            generation_config=settings,
            **given,
        )
    rows = found[:, begun:].tolist()
    ends = (next((i for i, token in enumerate(row) if token in stops), len(row)) for row in rows)
    return [tuple(row[:end]) for row, end in zip(rows, ends, strict=True)]


def write_answers(
    model: LensModel,
    prompts: Sequence[Prompt],
    neurons: Neurons | None = None,
    *,
    value: Value = "zero",
    max_new_tokens: int = 32,
    batch_size: int = 16,
    progress: bool = True,
    label: str = "writing",
    run: Run | None = None,
) -> dict[str, str]:
    """Let a model write behind prompts, with neurons ablated where given.

    Args:
        model: The model.
        prompts: Prompts of text; see ``build_prompts``, with ``reserve=max_new_tokens``.
        neurons: Neurons to ablate.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        max_new_tokens: At most so many tokens per prompt.
        batch_size: Prompts per forward; halved where memory runs out.
        progress: Show a progress bar.
        label: Its label.
        run: A run folder; what was written under the same conditions is found again.

    Returns:
        What was written, special tokens left out, by question id in the order of the prompts.

    Example:
        ``write_answers(model, prompts, found["Japan"])``
    """
    import pandas as pd

    where = None
    if run is not None:
        check_unhooked(model)
        key = writing_key(model, prompts, neurons, value, max_new_tokens)
        where = run.piece("written", key, ".parquet")
        if where.exists():
            kept = read_parquet(where)
            return dict(zip(kept["id"], kept["text"], strict=True))
    hooks = ablation_hooks(model, neurons, value) if neurons is not None else []
    found: dict[str, str] = {}
    with model.hooks(hooks):
        for batch, rows in run_batches(
            batches(prompts, batch_size, model.pad_id),
            lambda batch: greedy_tokens(model, batch, max_new_tokens),
            pad_id=model.pad_id,
            progress=progress,
            label=label,
        ):
            for prompt, tokens in zip(batch.prompts, rows, strict=True):
                text = model.tokenizer.decode(list(tokens), skip_special_tokens=True)
                found[prompt.question.id] = text
    ordered = {prompt.question.id: found[prompt.question.id] for prompt in prompts}
    if where is not None:
        frame = pd.DataFrame({"id": list(ordered), "text": list(ordered.values())})
        write_whole(where, lambda part: frame.to_parquet(part, index=False))
    return ordered


def writing_key(
    model: LensModel,
    prompts: Sequence[Prompt],
    neurons: Neurons | None,
    value: Value,
    max_new_tokens: int,
) -> str:
    """Hash everything that decides what is written."""
    return content_key(
        model.name,
        model.fingerprint,
        str(model.dtype),
        stop_ids(model),
        [(prompt.question.id, prompt.all_ids) for prompt in prompts],
        *described(neurons, value),
        max_new_tokens,
    )
