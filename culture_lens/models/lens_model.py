"""LensModel: a frozen model with what it reads with, its sites and the ways to run a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.continuations import continuation_log_probs
from culture_lens.models.fingerprint import Fingerprint
from culture_lens.models.gradient_start import first_with_gradients
from culture_lens.models.loading import Attention
from culture_lens.models.recipe import Recipe
from culture_lens.models.running_batch import forward_of
from culture_lens.models.site_methods import Place, SiteMethods
from culture_lens.models.sites import ENTRY_HOOK
from culture_lens.models.transformer_lens import TransformerLensMethods
from culture_lens.models.units import Units
from culture_lens.models.vision import NoPictures, Vision
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.reader import Reader
from culture_lens.prompts.trees import TreeBatch
from culture_lens.storage.display import Shown

__all__ = ["LensModel", "Place"]


@dataclass(frozen=True, eq=False, repr=False)
class LensModel(SiteMethods, TransformerLensMethods, Shown):
    """A frozen model with what it reads with, its sites and their widths.

    What TransformerLens users call on a ``TransformerBridge`` can be called on it: ``cfg``,
    ``to_tokens``, ``to_string``, ``run_with_cache``, ``run_with_hooks``, ``hooks``, ``generate``,
    and the model itself with text or tokens.

    Nothing of it changes while it runs. The features of pictures are kept in a cache beside it,
    ``model.vision.kept``, which changes no result; see ``PictureFeatures``.

    Attributes:
        name: The name or path it was loaded by.
        bridge: The ``TransformerBridge``; evaluation mode, no parameter takes gradients.
        processor: What the model reads with: a ``TextReader``, ``VisionReader`` or
            ``EncoderDecoderReader``.
        n_layers: Number of decoder layers; of an encoder-decoder those of the encoder. See
            ``layers`` for those of a site.
        widths: Neurons per layer at each site of this model.
        gated: Whether the MLP has a gate.
        context: Length of the longest prompt in tokens.
        window: Length of the attention's sliding window in tokens; 0 without one.
        revision: Revision asked for, or the commit that was loaded.
        scoring: How answers are scored by default.
        attention: ``"native"`` or ``"eager"``.
        vision: The vision tower with the features of the pictures it has seen; ``NoPictures`` for
            a model that reads text only.
        recipe: How another process can load the same model; None where it was given as an object.
        units: The units of the sites that are no plain activations; see ``with_units``.

    Example:
        ``model = load_model("smollm2-135m"); model.n_layers, model.widths["act"]``
    """

    name: str
    bridge: Any = field(repr=False)
    processor: Reader = field(repr=False)
    n_layers: int
    widths: Mapping[str, int]
    gated: bool
    context: int
    window: int
    revision: str
    scoring: str
    attention: Attention
    vision: Vision = field(default=NoPictures(), repr=False)
    recipe: Recipe | None = field(default=None, repr=False)
    units: Mapping[str, Units] = field(default_factory=dict, repr=False, kw_only=True)

    def _headline(self) -> str:
        return f"LensModel {self.name}: {self.n_layers} layers, {self.dtype} on {self.device}"

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that makes prompts and reads text."""
        return self.processor.tokenizer

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
        return bool(self.processor.chat_template)

    @property
    def entry_hooks(self) -> tuple[str, ...]:
        """Where the residual stream enters the first layer."""
        return (ENTRY_HOOK,)

    @property
    def gradient_hooks(self) -> tuple[str, ...]:
        """Where gradients begin: where the stream enters a layer; see ``gradients_from``."""
        return (f"blocks.{first_with_gradients()}.hook_in",)

    @cached_property
    def pad_id(self) -> int:
        """The token id that fills padding; masked, so any id does."""
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if candidate is not None:
                return int(candidate)
        return 0

    @property
    def is_hooked(self) -> bool:
        """Whether any hook is attached to a hook point at this moment."""
        # Not by hook_dict, which is made anew each time, with all further names of the same points.
        points = self.bridge._hook_registry.values()
        return any(point.fwd_hooks or point.bwd_hooks for point in points)

    @cached_property
    def _weights(self) -> Fingerprint:
        return Fingerprint(self.bridge.original_model, on_change=self.vision.forget)

    @property
    def fingerprint(self) -> str:
        """A hash of all weights as they are, and of how pictures are prepared.

        It tells a model from one that was trained further, or edited in place, under the same name.
        """
        settings = self.processor.settings
        return hashlib.sha256(f"{self._weights.now()}{settings}".encode()).hexdigest()[:32]

    def token_mask(self, batch: Batch, site: str) -> Int[Tensor, "batch pos"]:
        """Mask of a batch's positions at a site: 1 on tokens and 0 on padding."""
        return batch.attention_mask

    def counted(
        self, batch: Batch, sites: Sequence[str], roles: Sequence[int]
    ) -> Bool[Tensor, "batch pos"]:
        """Mask of the tokens that count in statistics; shared prefixes are left out."""
        return batch.role_mask(roles)[:, batch.prefix_length :]

    def check_together(self, sites: Sequence[str]) -> None:
        """Raise an error for sites that cannot be recorded in one pass; here all can."""

    def lowest(self, places: Sequence[Place]) -> set[Place]:
        """The earliest of some (site, layer) places, whose backward pass reaches all of them."""
        first = min(layer for _, layer in places)
        return {place for place in places if place[1] == first}

    def can_share_prefix(self, prompts: Sequence[Prompt]) -> bool:
        """Whether shared prefixes can be run once without changing a result.

        With a sliding window, padding between a prefix and its rest would count as distance.

        Example:
            ``batches(prompts, 16, model.pad_id, share_prefix=model.can_share_prefix(prompts))``
        """
        if not self.window:
            return True
        return all(len(p.ids) + p.longest_answer <= self.window for p in prompts)

    @torch.inference_mode()
    def run_prefix(self, batch: Batch) -> Any:
        """Run the shared prefixes of a batch, under the hooks that are attached.

        Returns:
            The keys and values of each row's prefix, for ``logits``; None where the batch has no
            shared prefixes.
        """
        if batch.prefixes is None:
            return None
        with forward_of(batch.prefixes, ends=False):
            _, cache = self._forward(
                batch.prefixes, None, use_cache=True, return_type="logits_and_cache"
            )
        cache.batch_select_indices(torch.tensor(batch.prefix_of_row, device=self.device))
        return cache

    def _forward(self, batch: Batch, cache: Any, **options: Any) -> Any:
        ids = batch.input_ids[:, batch.prefix_length :].to(self.device)
        mask = batch.attention_mask.to(self.device)
        if cache is not None:
            options["past_key_values"] = cache
        options |= self.vision.arguments(batch)
        return self.bridge(ids, attention_mask=mask, logits_to_keep=1, **options)

    @torch.inference_mode()
    def logits(self, batch: Batch, cache: Any = None) -> Float[Tensor, "batch vocab"]:
        """Run a batch and return the logits after its last token.

        Args:
            batch: The prompts.
            cache: What ``run_prefix`` returned for the batch; without it, prefixes are run here.

        Example:
            ``model.logits(batch).argmax(-1)``
        """
        cache = self.run_prefix(batch) if cache is None else cache
        with forward_of(batch):
            logits: Tensor = self._forward(batch, cache, use_cache=cache is not None)
        return logits[:, -1]

    @torch.inference_mode()
    def tree_logits(self, tree: TreeBatch) -> Float[Tensor, "row last vocab"]:
        """Run prompt trees and return the logits of their last columns; see ``models.trees``."""
        logits: Tensor = self.bridge.original_model(
            tree.input_ids,
            attention_mask=tree.mask(self.dtype),
            position_ids=tree.positions,
            use_cache=False,
            logits_to_keep=tree.last,
            **self.vision.pictures(tree.pictured),
        ).logits
        return logits

    def differentiable_logits(self, batch: Batch) -> Float[Tensor, "batch vocab"]:
        """Run a batch and return the same logits, with gradients to every activation of its layers.

        Parameters stay frozen: the graph begins where the residual stream enters the first layer,
        or the one that ``gradients_from`` says.

        Raises:
            InputError: The batch has shared prefixes, which gradients would not reach.

        Example:
            ``torch.autograd.grad(model.differentiable_logits(batch).sum(), activations)``
        """
        with self._entered(batch), forward_of(batch):
            logits: Tensor = self._forward(batch, None, use_cache=False)
        return logits[:, -1]

    @contextmanager
    def _entered(self, batch: Batch) -> Iterator[None]:
        """Let gradients begin where the residual streams pass ``gradient_hooks``."""
        if batch.prefixes is not None:
            raise InputError(
                "gradients need batches without shared prefixes: make them with share_prefix=False."
            )

        def enter(activation: Tensor, hook: Any) -> Tensor:
            # An edit of units that are read here may have begun a graph already.
            begun = activation.requires_grad
            return activation if begun else activation.detach().requires_grad_(True)

        entries = [(name, enter) for name in self.gradient_hooks]
        with torch.enable_grad(), self.hooks(entries):
            yield

    @torch.inference_mode()
    def continuation_log_probs(self, batch: Batch) -> list[list[Tensor]]:
        """Run a batch of cloze prompts once, and the options of each row after it.

        Args:
            batch: The prompts, with their ``continuations``.

        Returns:
            For each row and continuation, the log-probability of each of its tokens, float64.
        """
        found = self._continuations(batch, self.run_prefix(batch))
        return [[own.double().cpu() for own in options] for options in found]

    def differentiable_log_probs(self, batch: Batch) -> list[list[Tensor]]:
        """Return the same log-probabilities, with gradients to every activation of the layers.

        Each prompt is run once for all its options, whose gradients reach it through its keys and
        values. They are on the model's device, in float32 or wider.

        Raises:
            InputError: The batch has shared prefixes, which gradients would not reach.

        Example:
            ``model.differentiable_log_probs(batch)[0][1].mean()``
        """
        with self._entered(batch):
            return self._continuations(batch, None)

    def _continuations(self, batch: Batch, prefix: Any) -> list[list[Tensor]]:
        run, asked = partial(self._run_after, batch), {"return_type": "logits_and_cache"}
        with forward_of(batch):
            last, cache = self._forward(batch, prefix, use_cache=True, **asked)
            return continuation_log_probs(batch.prompts, last[:, -1], cache, run, self.pad_id)

    def _run_after(
        self, batch: Batch, rows: Tensor, ids: Tensor, mask: Tensor, cache: Any
    ) -> Float[Tensor, "option pos vocab"]:
        """Run tokens after some rows of a batch, whose keys and values are in the cache."""
        logits: Tensor = self.bridge(
            ids.to(self.device),
            attention_mask=torch.cat([batch.attention_mask[rows], mask], 1).to(self.device),
            past_key_values=cache,
            **self.vision.arguments_after(batch, rows, ids.shape[1]),
        )
        return logits
