"""Give a model the features of an autoencoder as a site."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from culture_lens.checks import check_arguments, each, flag, instance, optional, text, whole
from culture_lens.errors import InputError
from culture_lens.models.features import Dictionary, Errors, Features, Given
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sae import SAE
from culture_lens.models.sae_files import EXCLUDED, load_sae

if TYPE_CHECKING:
    Autoencoder = SAE | str | Path | Sequence[SAE | str | Path]
else:
    Autoencoder = Any  # also any object with encode and decode

LAYER = re.compile(r"(?P<before>(?:encoder_|decoder_)?blocks\.)(?P<layer>\d+)(?P<after>\..+)")
SPECIAL = ("bos", "eos", "sep")
SAME_VALUE = {"hook_mlp_in": "hook_resid_mid", "hook_attn_in": "hook_in"}
"""Hook points that only fire on request, and those where the same activation is read."""


def flag_or_ids(name: str, value: Any) -> bool | list[int]:
    """Check for True, False or token ids.

    Example:
        >>> flag_or_ids("exclude_special_tokens", [0, 2])
        [0, 2]
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        ids: list[int] = each(whole(0))(name, value)
        return ids
    return flag(name, value)


@check_arguments(
    model=instance(LensModel, remedy="a model that load_model gives"),
    site=text,
    hook=optional(text),
    any_model=flag,
    exclude_special_tokens=optional(flag_or_ids),
)
def with_features(
    model: LensModel,
    sae: Autoencoder,
    *,
    site: str = "sae",
    hook: str | None = None,
    any_model: bool = False,
    exclude_special_tokens: bool | Sequence[int] | None = None,
) -> LensModel:
    """Give a model the features of an autoencoder as a site, beside its neurons.

    A feature is then a unit like any neuron: found by ``find_culture_neurons(..., sites="sae")``,
    ablated, steered, attributed to, tested and shown. What the features leave over is the one unit
    of ``"sae_error"``; a transcoder has no such site. The model is not changed: the one that is
    returned shares its weights.

    Args:
        model: The model.
        sae: What ``load_sae`` gives, or what it takes; several, of one kind of hook and one width,
            for several layers; or any object with ``encode`` and ``decode``.
        site: The site's name; of an encoder-decoder with its stack, ``"encoder.sae"``.
        hook: For an object with ``encode`` and ``decode``: the hook point that it reads.
        any_model: Take an autoencoder that was trained on another model, such as the base model
            of a chat model.
        exclude_special_tokens: Tokens at which there are no features and nothing is edited: True
            for those that begin, end and separate texts, or ids. By default what the file says.
            The first token of a text is often a hundred times as long as the others, and an
            autoencoder that was not trained on it says nothing there.

    Raises:
        InputError: It is of another model, width or hook, two are of one layer, or their files
            leave out different tokens; tokens are left out of an encoder-decoder.

    Example:
        ``model = with_features(model, "path/to/sae"); find_culture_neurons(model, questions,
        sites="sae")``
    """
    found = [opened(one) for one in several(sae)]
    dictionaries: dict[int, Dictionary] = {}
    templates = set[tuple[str, str]]()
    for one in found:
        read, write = hooks_of_one(one, hook)
        layer, template = split(read)
        if layer in dictionaries:
            raise InputError(f"two autoencoders are of layer {layer}: give one for each layer.")
        templates.add((template, split(write)[1]))
        dictionaries[layer] = fitted(model, one, read, write, any_model)
    if len(templates) > 1 or len({one.width for one in dictionaries.values()}) > 1:
        raise InputError(
            "the autoencoders differ in their kind of hook or in their width: give each kind a "
            "site of its own, with site=."
        )
    ((read, write),) = templates
    excluded = excluded_ids(model, found, exclude_special_tokens)
    features = Features(read, write, dict(sorted(dictionaries.items())), excluded)
    further = model.with_units(site, features)
    return further if read != write else further.with_units(f"{site}_error", Errors(features))


def excluded_ids(
    model: LensModel, saes: Sequence[Any], asked: bool | Sequence[int] | None
) -> tuple[int, ...]:
    """Give the ids of the tokens at which there are no features.

    Raises:
        InputError: The files differ, the tokenizer lacks an id, or there are two stacks.
    """
    if asked is None:
        asked = excluded_by(saes)
    ids = special_ids(model) if asked is True else tuple(sorted(set(asked or ())))
    if ids and hasattr(model.bridge, "encoder_blocks"):
        raise InputError("exclude_special_tokens is for decoder-only models: leave it out here.")
    if ids and ids[-1] >= len(model.tokenizer):
        raise InputError(
            f"exclude_special_tokens has {ids[-1]}, and {model.name!r} knows "
            f"{len(model.tokenizer)} tokens: give ids of its tokenizer."
        )
    return ids


def excluded_by(saes: Sequence[Any]) -> bool | list[int]:
    """Give what the files of autoencoders say of the tokens that they were not trained on.

    Raises:
        InputError: They differ, or a file says neither true, false nor ids.
    """
    files = [one.metadata for one in saes if isinstance(one, SAE)]
    said = [flag_or_ids(f"{EXCLUDED} in cfg.json", file.get(EXCLUDED, False)) for file in files]
    if any(one != said[0] for one in said):
        raise InputError(
            "the autoencoders' files leave out different tokens: say which with "
            "exclude_special_tokens=, or give them sites of their own."
        )
    return said[0] if said else False


def special_ids(model: LensModel) -> tuple[int, ...]:
    """Give the ids of the tokens that begin, end and separate texts, as SAELens leaves them out.

    Those of chat templates stay. So does mere padding, which is masked: models embed it in the
    place of pictures where their token is outside the vocabulary.
    """
    found = {getattr(model.tokenizer, f"{name}_token_id", None) for name in SPECIAL}
    return tuple(sorted(one for one in found if one is not None))


def several(sae: Any) -> list[Any]:
    """Give one autoencoder, or several, as a list.

    Raises:
        InputError: There is none.
    """
    given = list(sae) if isinstance(sae, (list, tuple)) else [sae]
    if not given:
        raise InputError("no autoencoder was given: give what load_sae gives.")
    return given


def opened(sae: Any) -> Any:
    """Read an autoencoder where a place is given.

    Raises:
        InputError: It is no autoencoder.
    """
    if isinstance(sae, (str, Path)):
        return load_sae(sae)
    if not all(callable(getattr(sae, name, None)) for name in ("encode", "decode")):
        raise InputError(
            f"{type(sae).__name__} has no encode and decode: give what load_sae gives, a folder "
            "with cfg.json and sae_weights.safetensors, or an object with both functions."
        )
    return sae


def hooks_of_one(sae: Any, hook: str | None) -> tuple[str, str]:
    """Give the hook points that an autoencoder reads and stands for."""
    if isinstance(sae, SAE):
        if hook is not None and hook != sae.hook:
            raise InputError(
                f"hook={hook!r}, but this autoencoder says that it reads {sae.hook!r}."
            )
        read, write = sae.hook, sae.write
    else:
        if hook is None:
            raise InputError(
                "say which hook point the autoencoder reads: hook='blocks.5.hook_resid_post'."
            )
        read = write = hook
    last = read.rpartition(".")[2]
    if read != write and last in SAME_VALUE:
        read = read.removesuffix(last) + SAME_VALUE[last]
    return read, write


def split(hook: str) -> tuple[int, str]:
    """Give the layer of a hook point, and its name with ``{layer}`` in its place.

    Raises:
        InputError: It is in no layer.

    Example:
        >>> split("blocks.5.hook_resid_post")
        (5, 'blocks.{layer}.hook_resid_post')
    """
    named = LAYER.fullmatch(hook)
    if named is None:
        raise InputError(
            f"{hook!r} is no hook point of a layer: give one such as 'blocks.5.hook_resid_post'."
        )
    return int(named["layer"]), f"{named['before']}{{layer}}{named['after']}"


def fitted(model: LensModel, sae: Any, read: str, write: str, any_model: bool) -> Dictionary:
    """Check that an autoencoder fits a model, and put it where the model is.

    Raises:
        InputError: Names the model, the hook point or the width.
    """
    told = sae.metadata.get("model_name") if isinstance(sae, SAE) else None
    if told and not any_model and not same_name(str(told), model.name):
        raise InputError(
            f"this autoencoder was trained on {told!r}, and the model is {model.name!r}: give one "
            "of this model, or any_model=True where the models share their weights' origin."
        )
    widths = widths_at(model, {read, write})
    dtype = model.dtype if model.dtype == torch.float64 else torch.float32
    if not isinstance(sae, SAE):
        return Given.of(sae, widths[read], model.device, dtype)
    have = {read: len(sae.encoder), write: sae.decoder.shape[1]}
    for hook, width in have.items():
        if width != widths[hook]:
            raise InputError(
                f"this autoencoder is {width} wide at {hook!r} and {model.name!r} is "
                f"{widths[hook]} wide there: it is of another model."
            )
    return sae.to(model.device, dtype)


def same_name(one: str, other: str) -> bool:
    """Say whether two names are of one model, with or without its owner, or as an alias.

    Example:
        >>> same_name("gpt2-small", "gpt2"), same_name("gpt2", "smollm2-135m")
        (True, False)
    """
    from transformer_lens.supported_models import get_official_model_name

    def last(name: str) -> str:
        try:
            name = get_official_model_name(name)
        except ValueError:
            pass  # no name that TransformerLens knows
        return name.rstrip("/").rpartition("/")[2].lower()

    return last(one) == last(other)


@torch.inference_mode()
def widths_at(model: LensModel, hooks: set[str]) -> Mapping[str, int]:
    """Run two tokens and give the width of the activation at some hook points, heads joined.

    Raises:
        InputError: The model lacks a hook point, or nothing passes it.
    """
    seen: dict[str, int] = {}

    def note(activation: Tensor, hook: Any, *, name: str) -> None:
        seen[name] = activation.flatten(2).shape[-1]

    ids = torch.tensor([[0, 1]], device=model.device)
    more: dict[str, Any] = {"attention_mask": torch.ones_like(ids)}
    if hasattr(model.bridge, "encoder_blocks"):
        more["decoder_input_ids"] = ids
    pairs: list[tuple[str, Callable[..., None]]] = [(n, partial(note, name=n)) for n in hooks]
    if all(name in model.bridge.hook_dict for name in hooks):
        try:
            with model.bridge.hooks(fwd_hooks=pairs):
                model.bridge(ids, **more)
        except ValueError:
            seen.clear()  # a hook point that TransformerLens does not let be used
    lacking = sorted(hooks - set(seen))
    if lacking:
        raise InputError(
            f"nothing can be read at {lacking[0]!r} in {model.name!r}, which this autoencoder is "
            "of: it is of another architecture, layer or kind of hook. The residual stream, "
            "hook_mlp_out, hook_attn_out and hook_z can be read in every model."
        )
    return seen


__all__ = ["with_features"]
