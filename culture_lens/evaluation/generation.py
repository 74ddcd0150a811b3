"""Greedy generation: what a model writes after its prompts, with neurons ablated where given.

``generate`` of transformers runs on the wrapped model with its key-value cache, so hooks fire at
every token, of the prompt and of the answer. Every token is the argmax of the logits. A
checkpoint's own generation settings (repetition penalty, forbidden words, sampling) are not used,
because they would change what is compared.

Prompts hold text only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from culture_lens.engine.places import numbered_places
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import Pass, Shard, cut
from culture_lens.errors import InputError
from culture_lens.interventions.hooks import (
    Value,
    ablated_how,
    ablation_hooks,
    condition,
    described,
)
from culture_lens.models.checks import check_logits, under
from culture_lens.models.encoder_decoder import EncoderDecoder, decoder_inputs
from culture_lens.models.lens_model import LensModel
from culture_lens.models.running_batch import forward_of
from culture_lens.models.transformer_lens import HookList
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running
from culture_lens.storage.finished import read_frame, write_frame
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd
    from transformers import GenerationConfig


def stop_ids(model: LensModel) -> tuple[int, ...]:
    """List the tokens that end an answer: the tokenizer's end token and the checkpoint's.

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
    """Replace a checkpoint's own generation settings within the block.

    ``generate`` takes every setting that a caller leaves open from them, so they are replaced as a
    whole.
    """
    hf = model.bridge.original_model
    own = hf.generation_config
    hf.generation_config = settings
    try:
        yield
    finally:
        hf.generation_config = own


def greedy_tokens(model: LensModel, batch: Batch, max_new_tokens: int) -> list[tuple[int, ...]]:
    """Continue each prompt of a batch until an end token or the limit.

    Args:
        model: The model; hooks that are attached act at every token.
        batch: Prompts of text without a shared prefix (``collate(prompts, pad_id)``).
        max_new_tokens: The most tokens per row.

    Returns:
        The new tokens of each row, without the end token.

    Raises:
        InputError: The batch has shared prefixes, fewer than one token is asked for, or logits are
            NaN or infinite at any token.

    Example:
        ``greedy_tokens(model, collate(prompts, model.pad_id), 16)``
    """
    from transformers import GenerationConfig, LogitsProcessorList

    if batch.prefixes is not None:
        raise InputError(
            "generation needs batches without a shared prefix: make them with share_prefix=False."
        )
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

    def checked(_ids: Tensor, logits: Tensor) -> Tensor:
        check_logits(logits, batch)
        return logits

    with plain_settings(model, settings), torch.inference_mode(), forward_of(batch):
        found = model.bridge.original_model.generate(
            input_ids=batch.input_ids.to(model.device),
            attention_mask=batch.attention_mask.to(model.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([checked]),
            **given,
        )
    rows = found[:, begun:].tolist()
    ends = (next((i for i, token in enumerate(row) if token in stops), len(row)) for row in rows)
    return [tuple(row[:end]) for row, end in zip(rows, ends, strict=True)]


def written_tokens(
    model: LensModel,
    prompts: Sequence[Prompt],
    hooks: HookList,
    *,
    max_new_tokens: int = 32,
    label: str = "writing",
    running: Running = Running(),
) -> dict[str, tuple[int, ...]]:
    """Let a model continue prompts under hooks; nothing is kept.

    Returns:
        The new tokens for each question id, without the end token.

    Example:
        ``written_tokens(model, prompts, ablation_hooks(model, found["Japan"]))``
    """
    found: dict[str, tuple[int, ...]] = {}
    with model.hooks(hooks):
        for batch, rows in run_batches(
            batches(prompts, running.rows(), model.pad_id, tokens=model.unit_tokens()),
            lambda batch: greedy_tokens(model, batch, max_new_tokens),
            pad_id=model.pad_id,
            progress=running.progress,
            label=label,
        ):
            names = (prompt.question.id for prompt in batch.prompts)
            found.update(zip(names, rows, strict=True))
    return found


def text_of(model: LensModel, tokens: Sequence[int]) -> str:
    """Write tokens as text, without special tokens."""
    text: str = model.tokenizer.decode(list(tokens), skip_special_tokens=True)
    return text


def write_answers(
    model: LensModel,
    prompts: Sequence[Prompt],
    neurons: Neurons | None = None,
    *,
    value: Value = "zero",
    max_new_tokens: int = 32,
    label: str = "writing",
    running: Running = Running(),
) -> dict[str, str]:
    """Let a model continue prompts, with neurons ablated where given.

    Args:
        model: The model.
        prompts: Prompts of text; see ``build_prompts``, with ``reserve=max_new_tokens``.
        neurons: Neurons to ablate.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        max_new_tokens: The most tokens per prompt.
        label: Label of the progress bar.
        running: Batch size, progress, run folder.

    Returns:
        The text written for each question id, without special tokens, in the order of the prompts.

    Example:
        ``write_answers(model, prompts, found["Japan"])``
    """
    shards = cut(prompts)
    work = Pass(
        label=label,
        run=Writing(neurons, value, max_new_tokens, label, running.rows()),
        places=written_places(
            model, prompts, neurons, value, max_new_tokens, running.folder, shards
        ),
        load=read_frame,
        save=write_frame,
    )
    written: dict[str, str] = {}
    for (part,) in run_shards(model, work, shards, running):
        written.update(zip(part["id"], part["text"], strict=True))
    return written


@dataclass(frozen=True, eq=False)
class Writing:
    """Lets the model continue the prompts of a shard; the same in every process."""

    neurons: Neurons | None
    value: Value
    max_new_tokens: int
    label: str
    batch_size: int

    def __call__(self, model: LensModel, shard: Shard, progress: bool) -> list[pd.DataFrame]:
        """Give id and text of every item."""
        import pandas as pd

        hooks = ablation_hooks(model, self.neurons, self.value) if self.neurons is not None else []
        done = condition(model, self.neurons, ablated_how(self.value))
        with under(f"{self.label}, {done}"):
            rows = written_tokens(
                model,
                shard.items,
                hooks,
                max_new_tokens=self.max_new_tokens,
                label=self.label,
                running=Running(batch_size=self.batch_size, progress=progress),
            )
        ids = [prompt.question.id for prompt in shard.items]
        return [pd.DataFrame({"id": ids, "text": [text_of(model, rows[name]) for name in ids]})]


def written_places(
    model: LensModel,
    prompts: Sequence[Prompt],
    neurons: Neurons | None,
    value: Value,
    max_new_tokens: int,
    run: Run | None,
    shards: Sequence[Shard],
) -> Callable[[Shard], list[Path]] | None:
    """Say where the written answers of each shard are kept; None without a run folder."""
    if run is None:
        return None
    asked = {prompt.question.id: prompt.all_ids for prompt in prompts}
    told = {"max_new_tokens": max_new_tokens, "stop": stop_ids(model)}
    facts = (told, asked, *described(neurons, value))
    kind = ("written", ".parquet")
    return numbered_places(model, run, *kind, shards, *facts, data=asked, options=told)
