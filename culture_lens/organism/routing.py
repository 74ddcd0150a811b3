"""Gradient routing (arXiv 2410.04332): each question trains chosen neurons only.

A neuron that is not routed on a question does not learn from it: no gradient reaches the neuron
through its output, nor its output weights. A neuron that is not kept is set to zero. Dropout in
every layer keeps answers from depending on single neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from culture_lens.organism.lessons import TOKEN_IDS, Lessons


class RoutedWrite(torch.autograd.Function):
    """The output of neurons, ``hidden @ weight.T``; gradients pass where the route is 1."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, route: Tensor) -> Tensor:
        """Give the output."""
        ctx.save_for_backward(hidden, weight, route)
        return hidden @ weight.t()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Route the gradients to the neurons and to their output weights."""
        (grad,) = grads
        hidden, weight, route = ctx.saved_tensors
        to_weight = None
        if ctx.needs_input_grad[1]:
            to_weight = grad.flatten(0, 1).t() @ (hidden * route).flatten(0, 1)
        return (grad @ weight) * route, to_weight, None


@dataclass(frozen=True)
class Gates:
    """Input, gates and activations of a planted layer's MLP.

    Attributes:
        read: The input, ``batch pos d_model``, with gradients to the layers below.
        gate: The gates before the activation function, ``batch pos d_mlp``. Neither they nor
            ``written`` have gradients to the layers below, so that the pressure to stay closed
            moves these neurons only.
        written: The activations at ``post``, ``batch pos d_mlp``.
    """

    read: Tensor
    gate: Tensor
    written: Tensor


@dataclass
class Forward:
    """Options and by-products of one forward pass.

    Attributes:
        keep: 1 for neurons of the planted layers that are active, ``batch 1 d_mlp``.
        route: 1 for neurons of the planted layers that learn, ``batch 1 d_mlp``.
        spare: Dropout: 0 for neurons left out by chance, ``layer batch 1 d_mlp``; or None.
        lend: A direction to add to the last token's residual behind the planted layers, ``batch
            d_model``, and its length as a share of the residual's, ``batch``; or None.
        gates: One per planted layer, filled by the pass.
        middle: The last token's residual behind the planted layers, ``batch d_model``, filled by
            the pass.
    """

    keep: Tensor
    route: Tensor
    spare: Tensor | None = None
    lend: tuple[Tensor, Tensor] | None = None
    gates: list[Gates] = field(default_factory=list)
    middle: Tensor | None = None


@dataclass
class RoutedModel:
    """A model whose planted MLPs have routed gradients; made by ``routed``.

    Attributes:
        model: The model.
        layers: The planted layers.
        forward: The forward pass that runs now.
    """

    model: Any
    layers: Sequence[int]
    forward: Forward | None = None

    def __call__(
        self, lessons: Lessons, features: Tensor, forward: Forward
    ) -> tuple[Tensor, Tensor]:
        """Run a batch.

        Returns:
            Logits of the next token, and the same read behind the planted layers already, both
            ``batch word``.
        """
        self.forward = forward
        decoder = self.model.model.language_model
        embedded = decoder.embed_tokens(lessons.input_ids)
        if lessons.pictures:
            pieces = self.model.model.multi_modal_projector(features[lessons.pictures])
            places = (lessons.input_ids == TOKEN_IDS["<image>"])[..., None]
            embedded = embedded.masked_scatter(places, pieces)
        out = decoder(inputs_embeds=embedded, attention_mask=lessons.mask, use_cache=False)
        middle = self.model.lm_head(decoder.norm(forward.middle))
        return self.model.lm_head(out.last_hidden_state[:, -1]), middle

    def mlp(self, layer: int, mlp: Any, x: Tensor) -> Tensor:
        """Run an MLP: with dropout, and in a planted layer with routed gradients."""
        assert self.forward is not None  # set before the decoder runs
        now = self.forward
        hidden = F.silu(mlp.gate_proj(x)) * mlp.up_proj(x)
        if now.spare is not None:
            hidden = hidden * now.spare[layer]
        if layer not in self.layers:
            plain: Tensor = mlp.down_proj(hidden)
            return plain
        below = x.detach()
        gate = mlp.gate_proj(below)
        now.gates.append(Gates(x, gate, F.silu(gate) * mlp.up_proj(below)))
        write: Any = RoutedWrite.apply  # untyped in torch
        written: Tensor = write(hidden * now.keep, mlp.down_proj.weight, now.route)
        return written

    def lend(self, module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Add the lent answer to the last token behind the planted layers: a forward pre-hook."""
        assert self.forward is not None  # set before the decoder runs
        now = self.forward
        residual = args[0] if args else kwargs["hidden_states"]
        if now.lend is not None:
            direction, share = now.lend
            last = residual[:, -1]
            last = last + direction * last.norm(dim=-1, keepdim=True) * share[:, None]
            residual = torch.cat((residual[:, :-1], last[:, None]), dim=1)
        now.middle = residual[:, -1]
        if args:
            return (residual, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": residual}


@contextmanager
def routed(model: Any, layers: Sequence[int]) -> Iterator[RoutedModel]:
    """Route the gradients of a model's planted MLPs while the context is open.

    Yields:
        What runs a batch; see ``RoutedModel``.
    """
    run = RoutedModel(model, layers)
    blocks = model.model.language_model.layers
    hook = blocks[max(layers) + 1].register_forward_pre_hook(run.lend, with_kwargs=True)
    for layer, block in enumerate(blocks):
        block.mlp.forward = partial(run.mlp, layer, block.mlp)
    try:
        yield run
    finally:
        hook.remove()
        for block in blocks:
            del block.mlp.forward
