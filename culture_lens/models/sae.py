"""SAE: a sparse autoencoder or transcoder, its equations and what its features add.

    pre = (n(x) - b_dec) E + b_enc          n: none, layer_norm or constant_norm_rescale
    f   = relu(pre)                         standard (arXiv 2309.08600)
          the k largest of relu(pre)        topk (arXiv 2406.04093)
          pre where pre > threshold         jumprelu (arXiv 2407.14435); batch-top-k is saved so
          relu(exp(r) (pre - b_enc) + b_mag) where pre > 0       gated (arXiv 2404.16014)
    x^  = s(x) (f D + b_dec) + m(x)         s, m: what n has divided by and subtracted

b_dec is subtracted from x where the file says so. A transcoder (arXiv 2406.11944) reads x at one
hook and its x^ stands for the activation at another; a skip transcoder adds x S to it. A feature i
adds s(x) f_i D_i to x^, whatever the other features are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import check_fields, instance, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.storage.display import Shown
from culture_lens.storage.hashing import content_hash

if TYPE_CHECKING:
    import pandas as pd

NEEDED = {"topk": "k", "jumprelu": "threshold", "gated": "magnitude"}
"""Kinds of autoencoders, and what each has beside the others."""
TENSOR = instance(Tensor, remedy="a tensor; see load_sae")
EPS = 1e-5
"""What layer_norm adds to the deviation that it divides by."""


@dataclass(frozen=True, eq=False, repr=False)
class SAE(Shown):
    """A sparse autoencoder or transcoder, frozen.

    Attributes:
        encoder: E, ``d_in unit``.
        encoder_bias: b_enc, ``unit``; of a gated one b_gate.
        decoder: D, ``unit d_out``; its rows are the features' directions.
        decoder_bias: b_dec, ``d_out``.
        hook: The hook point that it reads, such as ``"blocks.5.hook_resid_post"``.
        write: The hook point that it stands for; ``hook`` if left out, another of transcoders.
        kind: ``"standard"``, ``"topk"``, ``"jumprelu"`` or ``"gated"``.
        k: Features that may be active at once, of ``"topk"``.
        threshold: Of ``"jumprelu"``, ``unit``.
        magnitude: Of ``"gated"``, r and b_mag, ``2 unit``.
        skip: S of a skip transcoder, ``d_in d_out``.
        centred: Whether b_dec is subtracted from what is read.
        normalised: How the input is normalised, as ``normalize_activations`` of SAELens.
        mean_centred: Whether the mean over dimensions is taken off what is read, as models do that
            TransformerLens loaded with centred weights.
        metadata: What else the file says: model, data, version.

    Example:
        ``sae = load_sae("path/to/folder"); sae.encode(activations)``
    """

    encoder: Float[Tensor, "d_in unit"]
    encoder_bias: Float[Tensor, " unit"]
    decoder: Float[Tensor, "unit d_out"]
    decoder_bias: Float[Tensor, " d_out"]
    hook: str
    write: str = ""
    kind: str = "standard"
    k: int = 0
    threshold: Float[Tensor, " unit"] | None = None
    magnitude: Float[Tensor, "two unit"] | None = None
    skip: Float[Tensor, "d_in d_out"] | None = None
    centred: bool = False
    normalised: str = "none"
    mean_centred: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts are tensors of a known kind that fit each other.

        Raises:
            InputError: Names the part.
        """
        given = dict.fromkeys(("encoder", "encoder_bias", "decoder", "decoder_bias"), TENSOR)
        check_fields(self, **given, hook=text, kind=text, k=whole(0))
        object.__setattr__(self, "write", self.write or self.hook)
        if self.kind not in ACTIVATIONS:
            raise unknown("kind of autoencoder", self.kind, ACTIVATIONS)
        lacks = self.kind in NEEDED and NEEDED[self.kind] not in self.tensors
        if lacks and not (self.kind == "topk" and self.k):
            raise InputError(f"an autoencoder of kind {self.kind!r} needs {NEEDED[self.kind]}=.")
        if self.k > self.decoder.shape[0]:
            raise InputError(f"k={self.k}, and there are {self.decoder.shape[0]} features.")
        d_in, width, d_out = len(self.encoder), len(self.decoder), self.decoder.shape[-1]
        wanted: dict[str, tuple[int, ...]] = {
            **{"encoder": (d_in, width), "encoder_bias": (width,), "decoder": (width, d_out)},
            **{"decoder_bias": (d_out,), "threshold": (width,), "magnitude": (2, width)},
            "skip": (d_in, d_out),
        }
        for name, values in self.tensors.items():
            if tuple(values.shape) != wanted[name] or not torch.isfinite(values).all():
                raise InputError(
                    f"the {name} of an autoencoder has the shape {tuple(values.shape)}, not "
                    f"{wanted[name]}, or holds NaN: its parts are damaged or mixed."
                )
        if not self.is_transcoder and d_in != d_out:
            raise InputError(
                f"an autoencoder reads {d_in} dimensions and writes {d_out}: a transcoder says "
                "with write= which hook point it stands for."
            )

    def _headline(self) -> str:
        what = "transcoder" if self.is_transcoder else "SAE"
        return f"{what} ({self.kind}): {self.width} features of {self.hook}"

    def _facts(self) -> Mapping[str, Any]:
        return {"writes to": self.write} if self.is_transcoder else {}

    def to_pandas(self) -> pd.DataFrame:
        """List the features: index, norm of the row of D, bias of E."""
        import pandas as pd

        norms, bias = self.decoder.norm(dim=1).tolist(), self.encoder_bias.tolist()
        return pd.DataFrame({"index": range(self.width), "norm": norms, "bias": bias})

    def _overview(self) -> pd.DataFrame:
        return self.to_pandas().nlargest(5, "norm")

    @property
    def width(self) -> int:
        """Number of features."""
        return self.decoder.shape[0]

    @property
    def is_transcoder(self) -> bool:
        """Whether it stands for another activation than the one that it reads."""
        return self.write != self.hook

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors, by name."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in held.items() if isinstance(value, Tensor)}

    @property
    def content(self) -> str:
        """A hash of all that its features depend on."""
        facts = {
            name: getattr(self, name)
            for name in ("hook", "write", "kind", "k", "centred", "normalised", "mean_centred")
        }
        return content_hash(self.tensors, facts)[:32]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> SAE:
        """Give the same one on a device, and in a dtype."""
        moved: dict[str, Any] = {n: t.detach().to(device, dtype) for n, t in self.tensors.items()}
        return replace(self, **moved)

    def encode(self, x: Float[Tensor, "*any d_in"]) -> Float[Tensor, "*any unit"]:
        """Compute the features of an activation."""
        given, _, _ = self._normalised(x.to(self.encoder.device, self.encoder.dtype))
        if self.centred:
            given = given - self.decoder_bias
        pre = given @ self.encoder + self.encoder_bias
        return ACTIVATIONS[self.kind](self, pre)

    def decode(self, features: Float[Tensor, "*any unit"]) -> Float[Tensor, "*any d_out"]:
        """Give f D + b_dec: the reconstruction, where the input is not normalised."""
        return features @ self.decoder + self.decoder_bias

    def reconstruct(self, x: Float[Tensor, "*any d_in"]) -> Float[Tensor, "*any d_out"]:
        """Give x^: what the features of an activation say that it is, or that ``write`` is."""
        given = x.to(self.encoder.device, self.encoder.dtype)
        _, scale, shift = self._normalised(given)
        decoded = self.decode(self.encode(x))
        if self.is_transcoder:
            return decoded if self.skip is None else decoded + given @ self.skip
        return decoded * scale + shift

    def change(
        self,
        x: Float[Tensor, "*any d_in"],
        before: Float[Tensor, "*any unit"],
        after: Float[Tensor, "*any unit"],
    ) -> Float[Tensor, "*any d_out"]:
        """Give how much x^ changes where features are edited: s(x) (after - before) D."""
        difference = (after - before) @ self.decoder
        if self.is_transcoder or self.normalised == "none":
            return difference
        return difference * self._normalised(x.to(difference.device, difference.dtype))[1]

    def outgoing(self) -> Float[Tensor, "unit d_out"] | None:
        """Give what a feature of 1 adds; None where the input is normalised."""
        plain = self.is_transcoder or self.normalised == "none"
        return self.decoder if plain else None

    def _normalised(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """Give the normalised input, what it was divided by and what was subtracted."""
        shift: Tensor | float = x.mean(-1, keepdim=True) if self.mean_centred else 0.0
        x = x - shift if self.mean_centred else x
        if self.normalised == "constant_norm_rescale":
            scale = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
            return x / scale, scale, shift
        if self.normalised == "layer_norm":
            mean = x.mean(-1, keepdim=True)
            deviation = (x - mean).std(-1, keepdim=True)
            return (x - mean) / (deviation + EPS), deviation, shift + mean
        return x, 1.0, shift


def top_k(sae: SAE, pre: Tensor) -> Tensor:
    """Keep the k largest, where they are positive."""
    values, places = pre.topk(sae.k, dim=-1, sorted=False)
    kept: Tensor = torch.zeros_like(pre).scatter(-1, places, values.relu())
    return kept


def jump_relu(sae: SAE, pre: Tensor) -> Tensor:
    """Keep what is above its threshold, where it is positive."""
    assert sae.threshold is not None  # the record has checked
    return pre.relu() * (pre > sae.threshold)


def gated(sae: SAE, pre: Tensor) -> Tensor:
    """Let one half of the encoder say whether a feature is active, and the other how much."""
    assert sae.magnitude is not None  # the record has checked
    ratio, bias = sae.magnitude
    size: Tensor = ((pre - sae.encoder_bias) * ratio.exp() + bias).relu()
    return size * (pre > 0)


ACTIVATIONS: Mapping[str, Callable[[SAE, Tensor], Tensor]] = {
    "standard": lambda _, pre: pre.relu(),
    "topk": top_k,
    "jumprelu": jump_relu,
    "gated": gated,
}

__all__ = ["ACTIVATIONS", "SAE"]
