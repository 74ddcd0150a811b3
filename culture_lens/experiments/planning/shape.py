"""ModelShape: what the counts need of a model, read off its configuration alone.

The model is built on torch's meta device, where tensors have shapes and no values: so every matrix
is counted as the real class has it, grouped queries, fused projections, gates and experts alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from culture_lens.errors import InputError
from culture_lens.models.checkpoints import model_class

TOWER = ("vision_tower.", "vision_model.", "visual.")
PROJECTOR = ("multi_modal_projector.", "connector.", "visual.merger.")
"""Where the parts of a vision-language model begin in the names of its parameters."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class Stack:
    """A stack of transformer layers.

    Attributes:
        layers: How many there are.
        matrices: Entries of the matrices that one token is multiplied with, of all layers; of a
            mixture of experts those of the experts that a token goes through.
        attention: Multiply-adds for a query and a key, of one layer: heads times twice their width.
        d_model: Width of the residual stream.
        d_mlp: Width of the MLP.
        keys: Entries of a token's keys and values, of one layer.
    """

    layers: int
    matrices: int
    attention: int
    d_model: int
    d_mlp: int
    keys: int


@dataclass(frozen=True)
class ModelShape:
    """A model as its configuration says, without its weights.

    Attributes:
        name: Its name or folder.
        config: The configuration, of transformers.
        parameters: Number of parameters, tied ones once.
        decoder: The stack that writes the answer.
        encoder: The stack that reads the prompt of an encoder-decoder, else None.
        cross: Entries of the matrices from an encoder's token to keys and values of the decoder.
        tower: The vision tower, else None.
        patch: Entries of the matrix that a patch of a picture is multiplied with.
        projector: Entries of the matrices between the tower and the decoder.
        vocabulary: Number of tokens that the head scores.
    """

    name: str
    config: Any
    parameters: int
    decoder: Stack
    encoder: Stack | None
    cross: int
    tower: Stack | None
    patch: int
    projector: int
    vocabulary: int

    @property
    def layers(self) -> int:
        """Layers of the deeper stack that neurons are sought in."""
        return max(self.decoder.layers, self.encoder.layers if self.encoder else 0)

    @property
    def head(self) -> int:
        """Entries of the matrix from the residual stream to the logits."""
        return self.decoder.d_model * self.vocabulary

    @property
    def neurons(self) -> int:
        """Neurons of the MLPs of all stacks that neurons are sought in."""
        stacks = [stack for stack in (self.encoder, self.decoder) if stack]
        return sum(stack.layers * stack.d_mlp for stack in stacks)


def shape_of(name: str, config: Any) -> ModelShape:
    """Read the shape of a model off its configuration.

    Args:
        name: Its name.
        config: Its configuration, of transformers.

    Raises:
        InputError: transformers cannot build it.

    Example:
        ``shape_of("gpt2", AutoConfig.from_pretrained("gpt2")).parameters``
    """
    model, text = on_meta(name, config), config.get_text_config()
    sizes = dict.fromkeys(("tower", "patch", "projector", "cross", "encoder", "decoder"), 0)
    share = active_share(text)
    for part, parameter_name, size in matrices_of(model):
        sizes[part] += round(size * (share if ".experts" in parameter_name else 1))
    both = bool(config.is_encoder_decoder)
    layers = decoder_layers(config)
    return ModelShape(
        name=name,
        config=config,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        decoder=stack_of(text, layers, sizes["decoder"]),
        encoder=stack_of(text, text.num_hidden_layers, sizes["encoder"]) if both else None,
        cross=sizes["cross"],
        tower=tower_of(config, sizes["tower"]),
        patch=sizes["patch"],
        projector=sizes["projector"],
        vocabulary=text.vocab_size,
    )


def on_meta(name: str, config: Any) -> Any:
    """Build a model without values.

    Raises:
        InputError: transformers cannot.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model_class(config).from_config(config)
    except (ValueError, KeyError, AttributeError, ImportError, TypeError) as error:
        raise InputError(
            f"transformers cannot build a model of the configuration of {name!r} ({error}): give a "
            "folder or hub id of a language or vision-language model."
        ) from error


def matrices_of(model: Any) -> Iterator[tuple[str, str, int]]:
    """Give the part, the name and the size of every matrix that inputs are multiplied with."""
    for place, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding):
            continue
        for own, parameter in module.named_parameters(recurse=False):
            name = f"{place}.{own}"
            if parameter.ndim >= 2 and not name.startswith("lm_head"):
                yield part_of(name, parameter), name, prod(parameter.shape)


def part_of(name: str, parameter: Any) -> str:
    """Say to which part of a model a parameter belongs.

    Example:
        >>> part_of("model.visual.merger.mlp.0.weight", torch.zeros(2, 2))
        'projector'
    """
    inside = name.removeprefix("model.")
    if inside.startswith(PROJECTOR) or inside.startswith("mm_"):
        return "projector"
    if inside.startswith(TOWER):
        return "patch" if parameter.ndim > 2 else "tower"
    if ".EncDecAttention.k." in name or ".EncDecAttention.v." in name:
        return "cross"
    return "encoder" if name.startswith("encoder.") else "decoder"


def active_share(text: Any) -> float:
    """Give the share of the experts that a token goes through; 1 where there are none."""
    count = next((n for n in (getattr(text, name, None) for name in EXPERTS) if n), None)
    chosen = getattr(text, "num_experts_per_tok", None)
    return float(chosen / count) if count and chosen else 1.0


def decoder_layers(config: Any) -> int:
    """Count the layers of the stack that writes the answer."""
    text = config.get_text_config()
    layers: int = getattr(text, "num_decoder_layers", None) or text.num_hidden_layers
    return layers


def stack_of(text: Any, layers: int, matrices: int) -> Stack:
    """Make a stack of a text configuration."""
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or getattr(text, "d_kv", None)
    width = width or text.hidden_size // heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    d_mlp = next(
        (
            n
            for n in (getattr(text, k, None) for k in ("intermediate_size", "d_ff", "n_inner"))
            if n
        ),
        4 * text.hidden_size,
    )
    return Stack(layers, matrices, 2 * heads * width, text.hidden_size, d_mlp, 2 * groups * width)


def tower_of(config: Any, matrices: int) -> Stack | None:
    """Make the stack of a vision tower; None of a model that reads text only."""
    vision = getattr(config, "vision_config", None)
    if vision is None:
        return None
    layers = getattr(vision, "depth", None) or vision.num_hidden_layers
    width = vision.hidden_size
    return Stack(layers, matrices, 2 * width, width, vision.intermediate_size, 2 * width)


__all__ = ["ModelShape", "Stack", "shape_of"]
