"""The module and outputs of each projection in a plain Hugging Face model.

Names are those of transformers, for the classes in ``models/architectures.py``. A projection is
found as a module of a decoder layer, never by a part of a parameter's name, since a vision tower
has layers with the same names.

===========  ==========================  ============================  ==================
projection   most models                 Phi-3                         GPT-2
===========  ==========================  ============================  ==================
gate         mlp.gate_proj               rows of mlp.gate_up_proj      mlp.c_fc
up           mlp.up_proj                 rows of mlp.gate_up_proj      none
down         mlp.down_proj               mlp.down_proj                 mlp.c_proj
q, k, v      self_attn.q_proj, ...       rows of self_attn.qkv_proj    columns of attn.c_attn
o            self_attn.o_proj            self_attn.o_proj              attn.c_proj
===========  ==========================  ============================  ==================

T5's are ``q``, ``k``, ``v``, ``o`` and ``wi`` or ``wi_0``, ``wi_1``, ``wo``, with the stack before
the name: ``encoder.gate``, ``cross.q``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import part_of
from culture_lens.storage.display import Shown

MODULE_NAMES = {
    "gate": ("gate_proj", "wi_0", "wi", "c_fc"),
    "up": ("up_proj", "wi_1"),
    "down": ("down_proj", "wo", "c_proj"),
    "q": ("q_proj", "q"),
    "k": ("k_proj", "k"),
    "v": ("v_proj", "v"),
    "o": ("o_proj", "o", "c_proj"),
}
"""Projection -> what transformers calls it."""
FUSED = {
    "gate_up_proj": ("gate", "up"),
    "qkv_proj": ("q", "k", "v"),
    "c_attn": ("q", "k", "v"),
}
"""Fused modules -> their projections, in the order of their outputs."""
MLP, ATTENTION = ("gate", "up", "down"), ("q", "k", "v", "o")
BLOCK_OF = {**dict.fromkeys(MLP, "mlp"), **dict.fromkeys(ATTENTION, "attention")}
"""Projection -> the block of a layer that it is a part of."""
PROJECTION_OF = {
    "act": "gate",
    "gate": "gate",
    "up": "up",
    "post": "down",
    "q": "q",
    "k": "k",
    "v": "v",
    "z": "o",
}
"""The part of a site -> the projection whose output it is, or whose input."""


@dataclass(frozen=True)
class Projection(Shown):
    """One projection of one layer: a module, or some outputs of a fused one.

    Attributes:
        name: ``"gate"``, ``"up"``, ``"down"``, ``"q"``, ``"k"``, ``"v"`` or ``"o"``, behind the
            stack of an encoder-decoder.
        layer: Its layer.
        path: The module's path in the plain Hugging Face model.
        start: Its first output in the module.
        stop: The index after its last output.
        outputs: All outputs of the module.
        inputs: Inputs of the module.
        parameters: Its weights and biases.
    """

    name: str
    layer: int
    path: str
    start: int
    stop: int
    outputs: int
    inputs: int
    parameters: int

    @property
    def width(self) -> int:
        """Number of its outputs."""
        return self.stop - self.start

    @property
    def fused(self) -> bool:
        """Whether its module has other projections too."""
        return self.width < self.outputs


def transposed(module: Any) -> bool:
    """Tell whether a module's weight is inputs x outputs (GPT-2's ``Conv1D``)."""
    return type(module).__name__ == "Conv1D"


def projections_of(model: LensModel, plain: Any) -> dict[tuple[str, int], Projection]:
    """Find every projection of the language model.

    Args:
        model: The loaded model; its sites give the widths.
        plain: The same as a plain Hugging Face model; see ``unwrap``.

    Returns:
        ``(name, layer)`` -> projection, layer by layer.

    Raises:
        InputError: A projection is missing or has another width than its site.

    Example:
        ``projections_of(model, skeleton(model))["gate", 3].path``
    """
    found = {}
    for stem, layer, path, parts, kinds in blocks_in(plain):
        for projection in made_by(model, stem, layer, path, parts, kinds):
            found[projection.name, layer] = projection
    for site in model.sites:
        if part_of(site) not in PROJECTION_OF:
            continue  # units that are no single inputs or outputs of a projection
        name = projection_of(site)
        for layer in range(model.layers(site)):
            if (name, layer) not in found:
                raise InputError(
                    f"the projection {name!r} of layer {layer} is not found in "
                    f"{type(plain).__name__}: fine-tuning knows the architectures that the tests "
                    "cover; see `culture-lens models`."
                )
    return found


def projection_of(site: str) -> str:
    """Name the projection whose output a site is, or whose input.

    Raises:
        InputError: Its units are neither, such as features.

    Example:
        >>> projection_of("act"), projection_of("decoder.post")
        ('gate', 'decoder.down')
    """
    if part_of(site) not in PROJECTION_OF:
        raise InputError(
            f"units of site {site!r} are no outputs or inputs of one projection, so no module can "
            f"be ranked by them: find neurons at {', '.join(PROJECTION_OF)}."
        )
    return site[: len(site) - len(part_of(site))] + PROJECTION_OF[part_of(site)]


def block_of(projection: str) -> str:
    """Name the block of a layer that a projection is a part of.

    Example:
        >>> block_of("up"), block_of("cross.o")
        ('mlp', 'cross.attention')
    """
    part = part_of(projection)
    return projection[: len(projection) - len(part)] + BLOCK_OF[part]


def blocks_in(plain: Any) -> Iterator[tuple[str, int, str, Any, tuple[str, ...]]]:
    """Yield attention and MLP of every layer: stem, layer, path, module, its projections."""
    paths = {id(module): path for path, module in plain.named_modules()}
    if plain.config.is_encoder_decoder:
        for stack in ("encoder", "decoder"):
            for layer, block in enumerate(getattr(plain, stack).block):
                for sub in block.layer:
                    for name, module in sub.named_children():
                        stem = "cross." if name == "EncDecAttention" else f"{stack}."
                        if name == "DenseReluDense":
                            yield stem, layer, paths[id(module)], module, MLP
                        elif name in ("SelfAttention", "EncDecAttention"):
                            yield stem, layer, paths[id(module)], module, ATTENTION
        return
    decoder = plain.get_decoder()
    layers = decoder.layers if hasattr(decoder, "layers") else decoder.h
    for layer, block in enumerate(layers):
        attention = block.self_attn if hasattr(block, "self_attn") else block.attn
        yield "", layer, paths[id(attention)], attention, ATTENTION
        yield "", layer, paths[id(block.mlp)], block.mlp, MLP


def made_by(
    model: LensModel, stem: str, layer: int, path: str, parts: Any, kinds: tuple[str, ...]
) -> Iterator[Projection]:
    """Find the projections of one attention or MLP, fused ones by their outputs."""
    pending = list(kinds)
    for fused, names in FUSED.items():
        if hasattr(parts, fused):
            start = 0
            for name in names:
                width = model.widths.get(stem + name, 0)
                where = f"{path}.{fused}"
                yield made(stem + name, layer, where, getattr(parts, fused), start, start + width)
                start += width
                pending.remove(name)
            outputs = sizes(getattr(parts, fused))[0]
            if start != outputs:
                raise InputError(
                    f"{path}.{fused} has {outputs} outputs and {', '.join(names)} have {start}: "
                    "this fused projection is not laid out as expected."
                )
    for name in pending:
        called = next((n for n in MODULE_NAMES[name] if hasattr(parts, n)), None)
        if called is not None:
            module = getattr(parts, called)
            outputs, _ = sizes(module)
            wanted = model.widths.get(stem + name, outputs)
            if outputs != wanted:
                raise InputError(
                    f"{path}.{called} has {outputs} outputs and the site {stem + name!r} of "
                    f"{model.name!r} has {wanted} neurons: this architecture is not supported."
                )
            yield made(stem + name, layer, f"{path}.{called}", module, 0, outputs)


def made(name: str, layer: int, path: str, module: Any, start: int, stop: int) -> Projection:
    """Describe a projection and count its parameters."""
    outputs, inputs = sizes(module)
    per_output = inputs + (1 if getattr(module, "bias", None) is not None else 0)
    return Projection(name, layer, path, start, stop, outputs, inputs, (stop - start) * per_output)


def sizes(module: Any) -> tuple[int, int]:
    """Give a linear module's outputs and inputs.

    Example:
        >>> import torch
        >>> sizes(torch.nn.Linear(2, 3))
        (3, 2)
    """
    first, second = module.weight.shape
    return (second, first) if transposed(module) else (first, second)
