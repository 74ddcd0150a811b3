"""load_model: a language model with its tokenizer, its sites and the ways to run a batch."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.batches import common_prefix
from culture_lens.bridges import boot, site_widths
from culture_lens.checkpoints import embedded_path, load_checkpoint
from culture_lens.errors import InputError
from culture_lens.items import Batch, Prompt
from culture_lens.sites import ENTRY_HOOK, hook_name

HookList = list[tuple[str, Callable[..., Any]]]
FINGERPRINT_VALUES = 64
SHORTEST_PREFIX = 8
"""Below so many tokens, running a common prefix apart costs more than it saves."""


@dataclass(frozen=True, eq=False)
class LensModel:
    """A frozen model with its tokenizer, its sites and their widths.

    Attributes:
        name: The name or path it was loaded by.
        bridge: The ``TransformerBridge``; evaluation mode, no parameter takes gradients.
        tokenizer: The tokenizer that makes prompts; never the bridge's own.
        n_layers: Number of decoder layers.
        widths: Neurons per layer at each site of this model.
        gated: Whether the MLP has a gate.
        context: Longest prompt in tokens.
        window: Tokens that attention reaches back where that is limited, else 0.
        revision: Revision asked for, or the commit that was loaded.
        scoring: How answers are scored where nothing else is asked for.
        attention: ``"native"`` or ``"eager"``.
        running_rows: Which rows of a batch are running, where not all are, for edits that differ
            from row to row; empty outside a forward.

    Example:
        ``model = load_model("smollm2-135m"); model.n_layers, model.widths["act"]``
    """

    name: str
    bridge: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    n_layers: int
    widths: Mapping[str, int]
    gated: bool
    context: int
    window: int
    revision: str
    scoring: str
    attention: str
    running_rows: list[Tensor] = field(default_factory=list, repr=False)

    @property
    def device(self) -> torch.device:
        """The device that inputs go to."""
        device: torch.device = next(self.bridge.original_model.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""
        dtype: torch.dtype = next(self.bridge.original_model.parameters()).dtype
        return dtype

    @property
    def chat_template(self) -> bool:
        """Whether prompts go through a chat template."""
        return bool(self.tokenizer.chat_template)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that this model has."""
        return tuple(self.widths)

    @cached_property
    def pad_id(self) -> int:
        """The token id that fills padding; masked, so any id does."""
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if candidate is not None:
                return int(candidate)
        return 0

    @property
    def is_hooked(self) -> bool:
        """Whether any hook is attached at this moment."""
        return any(point.fwd_hooks for point in self.bridge.hook_dict.values())

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every parameter's name, shape and some of its values, spread evenly.

        It tells a model from one that was trained further under the same name, in little time.
        """
        digest = hashlib.sha256()
        for name, parameter in self.bridge.original_model.named_parameters():
            digest.update(f"{name}{tuple(parameter.shape)}".encode())
            if not parameter.is_meta:  # offloaded weights cannot be looked at
                values = parameter.detach().flatten()
                step = max(1, len(values) // FINGERPRINT_VALUES)
                digest.update(values[::step].double().cpu().numpy().tobytes())
        return digest.hexdigest()[:20]

    def hook_name(self, site: str, layer: int) -> str:
        """Name the hook point of a site at a layer of this model.

        Example:
            ``model.hook_name("act", 3)``
        """
        return hook_name(site, layer, gated=self.gated)

    @contextmanager
    def hooks(self, hooks: Sequence[tuple[str, Callable[..., Any]]]) -> Iterator[None]:
        """Attach ``(name, function)`` hooks for the time of the block, exceptions included.

        Example:
            ``with model.hooks([(model.hook_name("act", 0), function)]): model.logits(batch)``
        """
        with self.bridge.hooks(fwd_hooks=list(hooks)):
            yield

    @torch.inference_mode()
    def run_prefix(self, prompts: Sequence[Prompt]) -> tuple[int, Any]:
        """Run the tokens that all prompts begin with once, under the hooks of the moment.

        Returns:
            How many tokens, and their keys and values for ``logits`` and
            ``continuation_log_probs``; 0 and nothing where sharing would not pay or not be exact.
        """
        if len(prompts) < 2:
            return 0, None
        prefix = common_prefix(prompts)
        longest = max(len(p.ids) for p in prompts) + max(p.longest_answer for p in prompts)
        # Within a sliding window, padding behind the prefix would count as distance.
        if prefix < SHORTEST_PREFIX or longest > (self.window or longest):
            return 0, None
        ids = torch.tensor([prompts[0].ids[:prefix]], device=self.device)
        _, cache = self.bridge(
            ids,
            attention_mask=torch.ones_like(ids),
            logits_to_keep=1,
            use_cache=True,
            return_type="logits_and_cache",
        )
        return prefix, cache

    def _forward(self, batch: Batch, prefix_cache: Any, **options: Any) -> Any:
        ids = batch.input_ids.to(self.device)
        if prefix_cache is not None:
            # A forward writes into the cache it is given.
            cache = copy.deepcopy(prefix_cache)
            cache.batch_repeat_interleave(len(batch.prompts))
            ids, options = ids[:, batch.prefix :], {**options, "past_key_values": cache}
        mask = batch.attention_mask.to(self.device)
        return self.bridge(ids, attention_mask=mask, logits_to_keep=1, **options)

    @torch.inference_mode()
    def logits(self, batch: Batch, prefix_cache: Any = None) -> Float[Tensor, "batch vocab"]:
        """Run a batch and give the logits after its last token.

        Args:
            batch: The prompts.
            prefix_cache: What ``run_prefix`` gave for them.

        Example:
            ``model.logits(batch).argmax(-1)``
        """
        logits: Tensor = self._forward(batch, prefix_cache, use_cache=False)
        return logits[:, -1]

    def differentiable_logits(self, batch: Batch) -> Float[Tensor, "batch vocab"]:
        """Run a batch and give the same logits, with gradients to every activation of its layers.

        Parameters stay frozen: the graph begins where the residual stream enters the first layer.

        Example:
            ``torch.autograd.grad(model.differentiable_logits(batch).sum(), activations)``
        """

        def enter(activation: Tensor, hook: Any) -> Tensor:
            return activation.detach().requires_grad_(True)

        with torch.enable_grad(), self.hooks([(ENTRY_HOOK, enter)]):
            logits: Tensor = self._forward(batch, None, use_cache=False)
        return logits[:, -1]

    @torch.inference_mode()
    def continuation_log_probs(self, batch: Batch, prefix_cache: Any = None) -> list[list[Tensor]]:
        """Run a batch of cloze prompts once, and the options of each row behind it.

        Args:
            batch: The prompts, with their ``continuations``.
            prefix_cache: What ``run_prefix`` gave for them, or nothing.

        Returns:
            For each row and continuation, the log-probability of each of its tokens, float64.
        """
        last, cache = self._forward(
            batch, prefix_cache, use_cache=True, return_type="logits_and_cache"
        )
        first = last[:, -1].float().log_softmax(-1)
        flat = [
            (row, option, tokens)
            for row, prompt in enumerate(batch.prompts)
            for option, tokens in enumerate(prompt.continuations)
        ]
        found: list[list[Tensor]] = [[] for _ in batch.prompts]
        for row, _, tokens in flat:
            found[row].append(first[row, list(tokens[:1])].double().cpu())
        # Of like length together: at most half of what runs is padding.
        buckets: dict[int, list[tuple[int, int, tuple[int, ...]]]] = {}
        for item in flat:
            if len(item[2]) > 1:
                buckets.setdefault((len(item[2]) - 2).bit_length(), []).append(item)
        for members in buckets.values():
            # The last token predicts nothing that is asked for, so it is not run.
            width = max(len(tokens) for _, _, tokens in members) - 1
            ids = torch.full((len(members), width), self.pad_id)
            mask = torch.zeros_like(ids)
            for position, (_, _, tokens) in enumerate(members):
                ids[position, : len(tokens) - 1] = torch.tensor(tokens[:-1])
                mask[position, : len(tokens) - 1] = 1
            rows = torch.tensor([row for row, _, _ in members])
            held = copy.deepcopy(cache)
            held.batch_select_indices(rows.to(self.device))
            self.running_rows.append(rows)
            try:
                logits = self.bridge(
                    ids.to(self.device),
                    attention_mask=torch.cat([batch.attention_mask[rows], mask], 1).to(self.device),
                    past_key_values=held,
                )
            finally:
                self.running_rows.pop()
            logs = logits.float().log_softmax(-1)
            for position, (row, option, tokens) in enumerate(members):
                places = torch.arange(len(tokens) - 1, device=logs.device)
                later = logs[position, places, torch.tensor(tokens[1:], device=logs.device)]
                found[row][option] = torch.cat([found[row][option], later.double().cpu()])
        return found


def load_model(
    name_or_path: str | Path = "smollm2-135m",
    *,
    dtype: torch.dtype | str | None = None,
    device: str | torch.device | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    hf_model: Any = None,
    tokenizer: Any = None,
    attention: str = "native",
) -> LensModel:
    """Load a language model, frozen and in evaluation mode, and check that its sites fire.

    Args:
        name_or_path: ``"smollm2-135m"`` (embedded), a folder, or a hub id.
        dtype: Such as ``torch.bfloat16`` or ``"bfloat16"``; the checkpoint's own by default, and
            float32 on a CPU.
        device: Where the model goes; a GPU where there is one. Not together with ``device_map``.
        device_map: Placement over several devices, as in transformers.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the checkpoint. Off unless you say so.
        hf_model: A loaded Hugging Face model to wrap, in place; ``tokenizer`` must come with it.
        tokenizer: A tokenizer to use instead of the checkpoint's.
        attention: ``"native"``, or ``"eager"`` to make attention patterns hookable.

    Raises:
        InputError: The model cannot be found or loaded, its architecture is not supported, or one
            of its sites does not fire.

    Example:
        ``model = load_model("smollm2-135m")``
    """
    name = str(name_or_path)
    if attention not in ("native", "eager"):
        raise InputError(f"attention={attention!r}: use 'native' or 'eager'.")
    if hf_model is not None and tokenizer is None:
        raise InputError("hf_model was given without a tokenizer; pass tokenizer=... with it.")
    dtype = resolve_dtype(dtype)
    source = embedded_path(name) or name
    if hf_model is None:
        hf_model, tokenizer = load_checkpoint(
            source,
            dtype=dtype,
            device=device,
            device_map=device_map,
            revision=revision,
            trust_remote_code=trust_remote_code,
            tokenizer=tokenizer,
        )
    elif dtype is not None or device is not None:
        hf_model = hf_model.to(device=device, dtype=dtype)
    bridge = boot(source, hf_model, tokenizer, attention)
    gated = "blocks.0.mlp.gate.hook_out" in bridge.hook_dict
    config = hf_model.config
    commit = getattr(config, "_commit_hash", None)
    return LensModel(
        name=name,
        bridge=bridge,
        tokenizer=tokenizer,
        n_layers=len(bridge.blocks),
        widths=site_widths(bridge, gated, name),
        gated=gated,
        context=int(getattr(config, "max_position_embeddings", None) or config.n_positions),
        window=attention_window(config),
        revision=str(revision or commit or ""),
        # Small models cannot read letters: SmolLM2-135M is at chance there and not by likelihood.
        scoring="option_likelihood" if n_parameters(hf_model) < 1e9 else "letter",
        attention=attention,
    )


def check_logits(logits: Float[Tensor, "item vocab"], batch: Batch) -> None:
    """Refuse logits that are NaN or infinite.

    Raises:
        InputError: Names the question.
    """
    bad = ~torch.isfinite(logits).all(-1)
    if bad.any():
        question = batch.prompts[int(bad.nonzero()[0])].question
        raise InputError(
            f"the model gives NaN or infinite logits on question {question.id!r}: load it in "
            "bfloat16 or float32 (float16 overflows), or check its weights."
        )


def resolve_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Turn ``"bfloat16"`` into ``torch.bfloat16``.

    Example:
        >>> resolve_dtype("float32")
        torch.float32
    """
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise InputError(f"unknown dtype {dtype!r}: use float32, bfloat16, float16 or float64.")
    return found


def attention_window(config: Any) -> int:
    """Read how far back sliding-window attention reaches; 0 where there is no window."""
    window = getattr(config, "sliding_window", None)
    return int(window) if window and getattr(config, "use_sliding_window", True) else 0


def n_parameters(hf_model: Any) -> int:
    """Count a model's parameters, tied ones once."""
    return sum(p.numel() for p in hf_model.parameters())
