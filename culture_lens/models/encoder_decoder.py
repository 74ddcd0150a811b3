"""EncoderDecoder: a LensModel of two stacks (T5, FLAN-T5, mT5).

The encoder reads the prompt, once; the decoder is given its start token and the answer prefix, and
writes the answer after them. What differs from a decoder-only model:

* Sites say their stack, ``encoder.act`` or ``decoder.act``; ``cross.q`` and ``cross.z`` lie over
  the decoder's positions, ``cross.k`` and ``cross.v`` over the encoder's. The stacks need not have
  the same number of layers.
* Over the encoder's positions statistics count tokens by role, as elsewhere. Over the decoder's
  they count one token per item whatever the roles: the last one, from which the answer is read. A
  culture has one number of tokens, so that one pass records one kind of sites. Attribution, which
  has no number of tokens, takes both together.
* There are no shared prefixes: an encoder's attention is bidirectional.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel, Place
from culture_lens.models.sites import (
    DEFAULT_SITE,
    PROJECTIONS,
    STACK_ENTRY_HOOKS,
    hook_name,
    on_encoder,
    sites_reading,
)
from culture_lens.prompts.encoder_decoder import EncoderDecoderReader
from culture_lens.prompts.prompt import Batch, Prompt

SANE_LENGTH = 10**6
"""Tokenizers without a limit of their own report a larger length."""
T5_LENGTH = 512
"""Tokens that T5 was trained on; its positions are relative, so it can read more."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EncoderDecoder(LensModel):
    """A frozen encoder-decoder with its tokenizer, its sites and their widths.

    Attributes:
        processor: What makes prompts for both stacks.
        n_decoder_layers: Number of decoder layers; ``n_layers`` are those of the encoder.

    Example:
        ``model = load_model("google/flan-t5-xl"); model.shape("decoder.act")``
    """

    processor: EncoderDecoderReader = field(repr=False)
    n_decoder_layers: int

    @property
    def start_id(self) -> int:
        """The token that the decoder starts from."""
        return self.processor.start_id

    @property
    def default_site(self) -> str:
        """The site of ConAct's neurons, in the stack that reads the question."""
        return f"encoder.{DEFAULT_SITE}"

    @property
    def projections(self) -> tuple[str, ...]:
        """The sites of CULNIG's neurons, in both stacks and between them."""
        return tuple(sites_reading(PROJECTIONS, self.sites))

    @property
    def entry_hooks(self) -> tuple[str, ...]:
        """Where the residual streams enter the first layers."""
        return STACK_ENTRY_HOOKS

    @property
    def gradient_hooks(self) -> tuple[str, ...]:
        """Where gradients begin: in either stack at the first layer."""
        return STACK_ENTRY_HOOKS

    def _plain_hook(self, site: str, layer: int) -> str:
        return hook_name(site, layer, gated=self.gated, encoder_decoder=True)

    def layers(self, site: str) -> int:
        """Count the layers that have a site; attention between the stacks is in the decoder's."""
        return self.n_layers if site.startswith("encoder.") else self.n_decoder_layers

    def token_mask(self, batch: Batch, site: str) -> Int[Tensor, "batch pos"]:
        """Mask of a batch's positions at a site: 1 on tokens and 0 on padding."""
        return batch.attention_mask if on_encoder(site) else decoder_inputs(batch, self.pad_id)[1]

    def counted(
        self, batch: Batch, sites: Sequence[str], roles: Sequence[int]
    ) -> Bool[Tensor, "batch pos"]:
        """Mask of the tokens that count: of the encoder by role, of the decoder the last one.

        Raises:
            InputError: Sites over both.
        """
        self.check_together(sites)
        if on_encoder(sites[0]):
            return batch.role_mask(roles)
        last = torch.zeros_like(decoder_inputs(batch, self.pad_id)[1], dtype=torch.bool)
        last[:, -1] = True
        return last

    def check_together(self, sites: Sequence[str]) -> None:
        """Raise an error for sites of both sides, which cannot be recorded in one pass.

        Raises:
            InputError: Names the sites of each side.
        """
        encoder = [site for site in sites if on_encoder(site)]
        decoder = [site for site in sites if not on_encoder(site)]
        if encoder and decoder:
            raise InputError(
                f"{', '.join(encoder)} count the encoder's tokens and {', '.join(decoder)} one "
                "token of the decoder, so they have no number of tokens in common: record them in "
                "two calls."
            )

    def lowest(self, places: Sequence[Place]) -> set[Place]:
        """The earliest places whose backward pass reaches all of these.

        Keys and values of cross-attention are computed from the encoder's output in every layer,
        so none of them comes before another.
        """
        encoder = [place for place in places if place[0].startswith("encoder.")]
        decoder = [place for place in places if not on_encoder(place[0])]
        beside = {place for place in places if place not in encoder and place not in decoder}
        found = set() if encoder else beside
        for stack in (encoder, decoder):
            found |= super().lowest(stack) if stack else set()
        return found

    def can_share_prefix(self, prompts: Sequence[Prompt]) -> bool:
        """Never: the encoder's attention is bidirectional, so a prefix depends on what follows."""
        return False

    def run_prefix(self, batch: Batch) -> Any:
        """Return None: an encoder-decoder has no shared prefixes to run.

        Raises:
            InputError: The batch has prefixes.
        """
        if batch.prefixes is not None:
            raise InputError(
                f"{self.name!r} reads a prompt both ways, so it cannot share prefixes: make the "
                "batch with collate(prompts, pad_id), without prefix_lengths."
            )

    def _inputs(self, text: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Tokenise texts, and let the decoder begin where nothing is given to it."""
        given, options = super()._inputs(text, options)
        if not {"decoder_input_ids", "decoder_input", "labels"} & set(options):
            rows = len(given) if isinstance(given, Tensor) and given.ndim > 1 else 1
            start = torch.full((rows, 1), self.start_id, device=self.device)
            options = {**options, "decoder_input_ids": start}
        return given, options

    def _forward(self, batch: Batch, cache: Any, **options: Any) -> Any:
        ids, mask = decoder_inputs(batch, self.pad_id)
        return self.bridge(
            batch.input_ids.to(self.device),
            attention_mask=batch.attention_mask.to(self.device),
            decoder_input_ids=ids.to(self.device),
            decoder_attention_mask=mask.to(self.device),
            **options,
        )

    def _run_after(
        self, batch: Batch, rows: Tensor, ids: Tensor, mask: Tensor, cache: Any
    ) -> Float[Tensor, "option pos vocab"]:
        """Run the decoder further; the encoder has run, once for all options of a row."""
        before = decoder_inputs(batch, self.pad_id)[1][rows]
        reads = batch.attention_mask[rows].to(self.device)
        # What the decoder reads of the encoder is in the cache: only the shape is looked at.
        read = torch.empty(*reads.shape, 1, dtype=self.dtype, device=self.device)
        logits: Tensor = self.bridge(
            batch.input_ids[rows].to(self.device),
            attention_mask=reads,
            encoder_outputs=(read,),
            decoder_input_ids=ids.to(self.device),
            decoder_attention_mask=torch.cat([before, mask], 1).to(self.device),
            past_key_values=cache,
        )
        return logits


def decoder_inputs(
    batch: Batch, pad_id: int
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Pad the decoder's tokens on the left, so that every answer is read at the last position.

    Returns:
        Token ids, and the mask that is 1 on tokens and 0 on padding.

    Raises:
        InputError: The prompts were made for a decoder-only model.

    Example:
        ``decoder_inputs(batch, model.pad_id)[0][:, -1]``
    """
    rows = [prompt.decoder_ids for prompt in batch.prompts]
    if not all(rows):
        raise InputError(
            "these prompts have no tokens for the decoder, which an encoder-decoder needs: make "
            "them with build_prompts(questions, model.processor), not model.tokenizer."
        )
    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def encoder_decoder(hf_model: Any, tokenizer: Any, **common: Any) -> EncoderDecoder:
    """Make the model of a bridge with two stacks; ``load_model`` calls this.

    The context is what the tokenizer says (T5's is 512), else the configuration's ``n_positions``,
    else 512: T5's positions are relative, and its configuration need not name a longest prompt.

    Raises:
        InputError: The configuration does not say what the decoder starts from.
    """
    config, bridge = hf_model.config, common["bridge"]
    start = getattr(config, "decoder_start_token_id", None)
    if start is None:
        start = getattr(hf_model.generation_config, "decoder_start_token_id", None)
    if start is None:
        raise InputError(
            f"{common['name']!r} does not say which token its decoder starts from: set "
            "decoder_start_token_id in its config (T5 starts from the padding token)."
        )
    length = tokenizer.model_max_length
    if length > SANE_LENGTH:
        length = getattr(config, "n_positions", None) or T5_LENGTH
    return EncoderDecoder(
        **common,
        n_layers=len(bridge.encoder_blocks),
        n_decoder_layers=len(bridge.decoder_blocks),
        processor=EncoderDecoderReader(tokenizer, int(start)),
        context=int(length),
        window=0,
    )
