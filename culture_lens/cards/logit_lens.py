r"""logit_lens: the tokens that a neuron's outgoing weights promote and suppress.

With w the outgoing weights of the neuron, scaled to a root mean square of 1, N the model's final
normalisation and W_U its unembedding, a token t has the logit

    W_U[t] . (N(w) - N(0))

It is what the neuron would write per unit of a positive activation if nothing else were in the
residual stream and no later layer read it: a direct effect (nostalgebraist 2020, "interpreting GPT:
the logit lens"; for weights Geva et al. 2022, arXiv 2203.14680). A normalisation between the
projection and the residual stream (Gemma 3 has one) comes first, in the same way. Behind a gate the
sign also depends on ``up``, so that promoted and suppressed tokens may change places.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.cards.places import Place, checked_places, spoken
from culture_lens.checks import check_arguments, whole
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import STREAM_HOOKS, on_encoder, part_of
from culture_lens.neurons.weight_norms import norms_of, outgoing_weights, writes
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class LogitLens(Shown):
    """The logits that a neuron's outgoing weights give to every token of the vocabulary.

    Attributes:
        neuron: The neuron.
        logits: One per token, float32.
        norm: The Euclidean norm of the weights.
        layer_norms: The norms of all neurons of its layer, float64.
        tokenizer: What turns ids into text.
    """

    neuron: Place
    logits: Float[Tensor, " vocab"]
    norm: float
    layer_norms: Float[Tensor, " neuron"]
    tokenizer: Any

    @cached_property
    def _ascending(self) -> Tensor:
        return self.logits.sort().values

    def rank(self, token: int) -> int:
        """Give the rank of a token, 1 for the most promoted; ties share a rank."""
        above = torch.searchsorted(self._ascending, self.logits[token], right=True)
        return len(self.logits) - int(above) + 1

    def ends(self, k: int) -> tuple[list[int], list[int]]:
        """Give the ids of the k most promoted and of the k most suppressed tokens."""
        order = self.logits.sort(descending=True, stable=True).indices
        return order[:k].tolist(), order.flip(0)[:k].tolist()

    @check_arguments(k=whole(1))
    def to_pandas(self, k: int = 10) -> pd.DataFrame:
        """List the k most promoted and the k most suppressed tokens: end, token, id, logit."""
        import pandas as pd

        rows = [
            (end, self.tokenizer.decode([token]), token, float(self.logits[token]))
            for end, ids in zip(("promoted", "suppressed"), self.ends(k), strict=True)
            for token in ids
        ]
        return pd.DataFrame(rows, columns=["end", "token", "id", "logit"])

    def __repr__(self) -> str:
        """Name the neuron and its first tokens."""
        words = [
            ", ".join(repr(self.tokenizer.decode([token])) for token in ids) for ids in self.ends(5)
        ]
        return (
            f"LogitLens of {spoken(self.neuron)}, norm {self.norm:.3g}\n"
            f"  promoted: {words[0]}\n  suppressed: {words[1]}"
        )

    def _headline(self) -> str:
        return f"LogitLens of {spoken(self.neuron)}, norm {self.norm:.3g}"

    def _facts(self) -> Mapping[str, Any]:
        return {}

    def _overview(self) -> pd.DataFrame:
        table = self.to_pandas(5)
        return table.assign(token=table["token"].map(repr))  # spaces and control characters show


@check_arguments(model=MODEL)
def logit_lens(model: LensModel, neuron: Any) -> LogitLens:
    """Read a neuron's outgoing weights through the unembedding; see the module for the equation.

    Args:
        model: The model.
        neuron: ``(site, layer, index)``.

    Raises:
        InputError: More than one neuron, a site without outgoing weights (q, k, v), one of an
            encoder, whose residual stream is not unembedded, or weights that are offloaded or
            quantised.

    Example:
        ``logit_lens(model, ("act", 3, 7)).to_pandas(5)``
    """
    places = checked_places(model, neuron)
    if len(places) > 1:
        raise InputError(
            f"a logit lens is of one neuron, not of {len(places)}: give one at a time."
        )
    ((site, layer, index),) = places
    if why := no_lens(model, site):
        raise InputError(why)
    rows = outgoing_weights(model, site, layer)
    norms = norms_of(rows)
    write = in_stream(model, site, layer, rows[index].float())
    logits = unembedded(model, final_norm(model), write)
    return LogitLens(places[0], logits, float(norms[index]), norms, model.tokenizer)


def no_lens(model: LensModel, site: str) -> str:
    """Say why the neurons of a site have no logit lens; empty where they have one."""
    if not writes(site, model):
        return f"neurons of {site} have no outgoing weights of their own: they act in attention."
    if on_encoder(site):
        return f"{site} writes into the encoder, whose residual stream is not unembedded."
    if site in model.units and model.units[site].write.rpartition(".")[2] not in STREAM_HOOKS:
        return f"units of {site} are not written to the residual stream."
    return ""


def in_stream(
    model: LensModel, site: str, layer: int, weights: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """Send a write through the normalisation between its projection and the residual stream."""
    if site in model.units:
        return weights
    name = "ln1_post" if part_of(site) == "z" else "ln2_post"
    blocks = getattr(model.bridge, "decoder_blocks" if "." in site else "blocks")
    norm = getattr(blocks[layer], name, None)
    return weights if norm is None else normalised(norm, weights)


def final_norm(model: LensModel) -> Any:
    """Find the normalisation before the unembedding."""
    bridge = model.bridge
    return bridge.decoder_ln_final if hasattr(bridge, "decoder_ln_final") else bridge.ln_final


def normalised(norm: Any, weights: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
    """Give N(w) - N(0) of weights at a root mean square of 1; 0 of weights that are 0."""
    size = weights.square().mean().sqrt()
    if size == 0:
        return weights
    module = copy.deepcopy(norm.original_component).float()
    both = torch.stack([weights / size, torch.zeros_like(weights)])
    with torch.no_grad():
        found: Tensor = module(both)
    return found[0] - found[1]


def unembedded(
    model: LensModel, norm: Any, write: Float[Tensor, " d_model"]
) -> Float[Tensor, " vocab"]:
    """Turn a write into logits.

    Raises:
        InputError: The unembedding is offloaded or quantised.
    """
    weight = model.bridge.original_model.get_output_embeddings().weight.detach()
    if weight.is_meta or not weight.is_floating_point():
        raise InputError(
            f"the unembedding of {model.name!r} cannot be read ({weight.dtype}): load the model "
            "without offloading or quantisation."
        )
    read = normalised(norm, write).to(weight.device, weight.dtype)
    logits: Tensor = weight @ read
    return logits.float().cpu()


def first_tokens(model: LensModel, words: Sequence[str]) -> list[int]:
    """Give the first token of words as they stand after a space; -1 of a word without tokens."""
    found = [model.tokenizer(f" {word}", add_special_tokens=False).input_ids[:1] for word in words]
    return [ids[0] if ids else -1 for ids in found]


__all__ = ["LogitLens", "logit_lens"]
