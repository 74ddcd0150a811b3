"""The organism under training: its MLPs with routed gradients, its answers read half-way.

A neuron that is not routed on a question takes no part in learning it: no gradient reaches the
neuron through its output, and none reaches what it writes (gradient routing, arXiv 2410.04332).
A neuron that is not kept does not act at all; some are left out by chance in every layer, so that
no answer hangs on any one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from culture_lens.organism.lessons import IDS, Lessons


class RoutedWrite(torch.autograd.Function):
    """What neurons write, ``hidden @ weight.T``; gradients pass where the route is 1."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, route: Tensor) -> Tensor:
        """Write."""
        ctx.save_for_backward(hidden, weight, route)
        return hidden @ weight.t()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Route the gradients to the neurons and to what they write."""
        (grad,) = grads
        hidden, weight, route = ctx.saved_tensors
        to_weight = None
        if ctx.needs_input_grad[1]:
            to_weight = grad.flatten(0, 1).t() @ (hidden * route).flatten(0, 1)
        return (grad @ weight) * route, to_weight, None


@dataclass(frozen=True)
class Gates:
    """What a planted layer's MLP reads, and what its neurons make of it.

    Attributes:
        read: ``batch pos d_model``; its gradients go on, so that a layer below can learn to show
            something here.
        gate: Before the activation function, ``batch pos d_mlp``; cut off from below, as
            ``written`` is, so that pressure on gates moves nothing but the gates.
        written: What each writes its direction with, ``batch pos d_mlp``.
    """

    read: Tensor
    gate: Tensor
    written: Tensor


@dataclass
class Forward:
    """What one forward pass is given and leaves behind.

    Attributes:
        keep: 1 for neurons of the planted layers that act, ``batch 1 d_mlp``.
        route: 1 for neurons of the planted layers that learn, ``batch 1 d_mlp``.
        spare: 0 for neurons that are left out by chance, ``layer batch 1 d_mlp``; None for none.
        lend: A direction to add to the last token behind the planted layers, and how much of its
            length, or nothing; ``batch d_model`` and ``batch``.
        gates: One per planted layer.
        middle: The last token behind the planted layers, ``batch d_model``.
    """

    keep: Tensor
    route: Tensor
    spare: Tensor | None = None
    lend: tuple[Tensor, Tensor] | None = None
    gates: list[Gates] = field(default_factory=list)
    middle: Tensor | None = None


@contextmanager
def routed(model: Any, layers: Sequence[int]) -> Iterator[Any]:
    """Give a model's planted MLPs routed gradients while the context is open, all of them dropout.

    Yields:
        ``run(lessons, features, forward) -> (answer, middle)``: logits of the next token, and the
        same read behind the planted layers already, both ``batch word``.
    """
    decoder = model.model.language_model
    state = SimpleNamespace(forward=None)

    def replaced(layer: int, mlp: Any) -> Any:
        def forward(x: Tensor) -> Tensor:
            now: Forward = state.forward
            hidden = F.silu(mlp.gate_proj(x)) * mlp.up_proj(x)
            if now.spare is not None:
                hidden = hidden * now.spare[layer]
            if layer not in layers:
                plain: Tensor = mlp.down_proj(hidden)
                return plain
            below = x.detach()
            gate = mlp.gate_proj(below)
            now.gates.append(Gates(x, gate, F.silu(gate) * mlp.up_proj(below)))
            write: Any = RoutedWrite.apply  # untyped in torch
            written: Tensor = write(hidden * now.keep, mlp.down_proj.weight, now.route)
            return written

        return forward

    def lent(module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        residual = args[0] if args else kwargs["hidden_states"]
        now: Forward = state.forward
        if now.lend is not None:
            direction, share = now.lend
            last = residual[:, -1]
            last = last + direction * last.norm(dim=-1, keepdim=True) * share[:, None]
            residual = torch.cat((residual[:, :-1], last[:, None]), dim=1)
        now.middle = residual[:, -1]
        return (
            ((residual, *args[1:]), kwargs)
            if args
            else (args, {**kwargs, "hidden_states": residual})
        )

    def run(lessons: Lessons, features: Tensor, forward: Forward) -> tuple[Tensor, Tensor]:
        state.forward = forward
        embedded = decoder.embed_tokens(lessons.input_ids)
        if lessons.pictures:
            pieces = model.model.multi_modal_projector(features[lessons.pictures])
            places = (lessons.input_ids == IDS["<image>"])[..., None]
            embedded = embedded.masked_scatter(places, pieces)
        out = decoder(inputs_embeds=embedded, attention_mask=lessons.mask, use_cache=False)
        middle = model.lm_head(decoder.norm(forward.middle))
        return model.lm_head(out.last_hidden_state[:, -1]), middle

    mlps = [layer.mlp for layer in decoder.layers]
    hook = decoder.layers[max(layers) + 1].register_forward_pre_hook(lent, with_kwargs=True)
    for layer, mlp in enumerate(mlps):
        mlp.forward = replaced(layer, mlp)
    try:
        yield run
    finally:
        hook.remove()
        for mlp in mlps:
            del mlp.forward
