"""Read and write sparse autoencoders as SAELens does: cfg.json and sae_weights.safetensors.

SAELens has changed its keys over the years; all are read: ``hook_name`` at the top, in ``metadata``
or as ``hook_point``, ``architecture`` or ``activation_fn_str`` with ``activation_fn_kwargs``, and
``normalize_activations`` as a name, true or false. Nothing in a folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from culture_lens.checks import check_arguments, file_path, instance, optional, text
from culture_lens.errors import InputError, unknown
from culture_lens.models.sae import SAE
from culture_lens.models.sites import STREAM_HOOKS
from culture_lens.storage.files import load_json, save_json, write_whole

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
KINDS = {
    "standard": "standard",
    "topk": "topk",
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
"""Architectures that are read, and the equation of ``sae`` that each has."""
NORMALISED: Mapping[str | bool | None, str] = {
    None: "none",
    False: "none",
    "none": "none",
    True: "none",  # as is the next: what was divided by is part of the weights when it is saved
    "expected_average_only_in": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm_rescale",
}
EXCLUDED = "exclude_special_tokens"
"""The key that says which tokens it was not trained on: true, false or a list of ids."""
FORMAT = "6.0.0"
"""The version of SAELens' layout that is written."""


@check_arguments(path=file_path, revision=optional(text))
def load_sae(path: str | Path, *, revision: str | None = None) -> SAE:
    """Read a sparse autoencoder or transcoder in the layout of SAELens.

    Args:
        path: A folder with ``cfg.json`` and ``sae_weights.safetensors``, or a place on the hub,
            ``"owner/repository"`` or ``"owner/repository/folder/in/it"``.
        revision: Of the hub.

    Raises:
        InputError: A file is missing or damaged, an architecture is not known, or weights do not
            fit each other or hold NaN.

    Example:
        ``model = with_features(model, load_sae("path/to/blocks.5.hook_resid_post"))``
    """
    folder = Path(path) if Path(path).is_dir() else from_hub(str(path), revision)
    config = load_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise InputError(f"{folder / CONFIG} holds no names with values: it is no autoencoder's.")
    return read(config, tensors_in(folder / WEIGHTS), folder)


def from_hub(name: str, revision: str | None) -> Path:
    """Fetch the two files from the hub, or find them in its cache.

    Raises:
        InputError: It is neither a folder nor a name on the hub, or cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    owner, _, rest = name.partition("/")
    repository, _, inside = rest.partition("/")
    if not owner or not repository or ".." in name or "\\" in name:
        raise InputError(
            f"{name!r} is neither a folder nor a place on the hub: give a folder with {CONFIG} and "
            f"{WEIGHTS}, or 'owner/repository/folder'."
        )
    try:
        for file in (WEIGHTS, CONFIG):
            found = hf_hub_download(
                f"{owner}/{repository}", file, subfolder=inside or None, revision=revision
            )
    except Exception as error:  # the hub's own errors, and those of the network
        raise InputError(
            f"no autoencoder at {name!r}: it is no folder here, and the hub says "
            f"{type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    return Path(found).parent


def tensors_in(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, half precision as float32.

    Raises:
        InputError: It is missing or damaged, or holds NaN.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"no such file: {path}. An autoencoder needs {CONFIG} and {WEIGHTS}.")
    try:
        held = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}): copy or download it again.") from error
    for name, values in held.items():
        if not values.is_floating_point() or not torch.isfinite(values).all():
            raise InputError(f"{name} in {path} is {values.dtype}, NaN or infinite: give numbers.")
    return {n: v if v.dtype == torch.float64 else v.float() for n, v in held.items()}


def read(config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: Path) -> SAE:
    """Make an autoencoder of what its two files hold.

    Raises:
        InputError: Names the key or the tensor, and the folder.
    """
    facts = {**config, **(config.get("metadata") or {})}
    architecture = architecture_of(config, place)
    normalised = config.get("normalize_activations")
    if not isinstance(normalised, str | bool | None) or normalised not in NORMALISED:
        raise unknown(
            "normalize_activations", str(normalised), [n for n in NORMALISED if isinstance(n, str)]
        )
    if facts.get("hook_head_index") is not None:
        raise InputError(f"{place} is of one head (hook_head_index): give one of all heads.")
    hook = hook_of(facts, ("hook_name", "hook_point"), place)
    transcoder = "transcoder" in architecture
    check_numbers(config, tensors, place)
    sae = SAE(
        encoder=taken(tensors, "W_enc", place),
        encoder_bias=taken(tensors, "b_gate" if architecture == "gated" else "b_enc", place),
        decoder=taken(tensors, "W_dec", place),
        decoder_bias=taken(tensors, "b_dec", place),
        hook=hook,
        write=hook_of(facts, ("hook_name_out", "hook_point_out"), place) if transcoder else hook,
        kind=KINDS[architecture],
        k=number_of(config, place) if architecture == "topk" else 0,
        threshold=threshold_of(tensors, place) if KINDS[architecture] == "jumprelu" else None,
        magnitude=torch.stack([taken(tensors, name, place) for name in ("r_mag", "b_mag")])
        if architecture == "gated"
        else None,
        skip=taken(tensors, "W_skip", place).T.contiguous() if "skip" in architecture else None,
        centred=bool(config.get("apply_b_dec_to_input", True)) and not transcoder,
        normalised=NORMALISED[normalised],
        mean_centred=mean_centred(facts, hook),
        metadata={
            "model_name": facts.get("model_name"),
            "architecture": architecture,
            EXCLUDED: facts.get(EXCLUDED) or False,
        },
    )
    scaled = tensors.get("scaling_factor")
    if scaled is not None:
        sae = replace(sae, decoder=sae.decoder * scaled[:, None])
    return folded(sae) if config.get("rescale_acts_by_decoder_norm") else sae


def architecture_of(config: Mapping[str, Any], place: Path) -> str:
    """Give the name of the architecture; older files say it by their activation function."""
    function = config.get("activation_fn_str") or config.get("activation_fn") or "relu"
    name = str(config.get("architecture") or "standard")
    if function == "topk" and name == "standard":
        return "topk"
    if name not in KINDS or function not in ("relu", "topk"):
        wrong = name if name not in KINDS else f"{name} with {function}"
        raise InputError(
            f"{place} is an autoencoder of the architecture {wrong!r}, which is not known. Known "
            f"are: {', '.join(KINDS)}."
        )
    return name


def hook_of(facts: Mapping[str, Any], keys: tuple[str, ...], place: Path) -> str:
    """Give the hook point that one of some keys names; very old files leave the layer open."""
    name = next((str(facts[key]) for key in keys if facts.get(key)), "")
    if not name:
        raise InputError(f"{place / CONFIG} has no {' or '.join(keys)}: say which hook it is of.")
    layer = facts.get("hook_layer", facts.get("hook_point_layer"))
    return name.replace("{layer}", str(layer))


def number_of(config: Mapping[str, Any], place: Path) -> int:
    """Give k of a top-k autoencoder."""
    k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
    if not isinstance(k, int) or k < 1:
        raise InputError(f"{place / CONFIG} is of a top-k autoencoder and gives k={k}.")
    return k


def threshold_of(tensors: Mapping[str, Tensor], place: Path) -> Tensor:
    """Give the thresholds of a JumpReLU; of batch-top-k one for all features."""
    if "log_threshold" in tensors:
        return tensors["log_threshold"].exp()
    if "topk_threshold" in tensors:
        return tensors["topk_threshold"].expand(len(taken(tensors, "W_dec", place))).float()
    return taken(tensors, "threshold", place)


def taken(tensors: Mapping[str, Tensor], name: str, place: Path) -> Tensor:
    """Give a tensor of the file.

    Raises:
        InputError: It is not there.
    """
    if name not in tensors:
        raise InputError(
            f"{place / WEIGHTS} lacks {name}: it holds {', '.join(sorted(tensors)) or 'nothing'}. "
            "It is damaged, or of another architecture than its cfg.json says."
        )
    return tensors[name]


def mean_centred(facts: Mapping[str, Any], hook: str) -> bool:
    """Whether the stream that it was trained on had the mean over dimensions taken off."""
    loaded = facts.get("model_from_pretrained_kwargs") or {}
    return bool(loaded.get("center_writing_weights")) and hook.rpartition(".")[2] in STREAM_HOOKS


def check_numbers(config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: Path) -> None:
    """Refuse weights of other sizes than the configuration says.

    Raises:
        InputError: Names the number.
    """
    width, d_out = taken(tensors, "W_dec", place).shape
    told = {"d_in": len(taken(tensors, "W_enc", place)), "d_sae": width, "d_out": d_out}
    for name, found in told.items():
        if config.get(name, found) != found:
            raise InputError(
                f"{place / CONFIG} says {name}={config[name]} and the weights have {found}: the "
                "files are of different autoencoders."
            )


def folded(sae: SAE) -> SAE:
    """Count features in units of what they write: the decoder's norms go into the encoder."""
    norms = sae.decoder.norm(dim=1)
    return replace(
        sae,
        encoder=sae.encoder * norms,
        encoder_bias=sae.encoder_bias * norms,
        decoder=sae.decoder / norms[:, None],
    )


@check_arguments(sae=instance(SAE), path=file_path)
def save_sae(sae: SAE, path: str | Path) -> Path:
    """Write an autoencoder in the layout of SAELens, which can read it.

    Args:
        sae: The autoencoder.
        path: A folder; it is made where there is none.

    Example:
        ``load_sae(save_sae(sae, "my_sae"))``
    """
    from safetensors.torch import save_file

    names = {"encoder": "W_enc", "decoder": "W_dec", "decoder_bias": "b_dec"}
    names["encoder_bias"] = "b_gate" if sae.kind == "gated" else "b_enc"
    tensors = {names.get(n, n): v.detach().cpu().contiguous() for n, v in sae.tensors.items()}
    if sae.magnitude is not None:
        tensors["r_mag"], tensors["b_mag"] = (row.clone() for row in tensors.pop("magnitude"))
    if sae.skip is not None:
        tensors["W_skip"] = tensors.pop("skip").T.contiguous()
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, lambda part: save_file(tensors, part))
    save_json(folder / CONFIG, configuration(sae))
    return folder


def configuration(sae: SAE) -> dict[str, Any]:
    """Give the content of cfg.json."""
    parts = [sae.kind] if sae.kind != "standard" or not sae.is_transcoder else []
    parts += ["skip"] if sae.skip is not None else []
    parts += ["transcoder"] if sae.is_transcoder else []
    architecture = "_".join(parts)
    if architecture not in KINDS:
        raise InputError(f"SAELens has no architecture {architecture!r}, so this cannot be saved.")
    metadata: dict[str, Any] = {"sae_lens_version": FORMAT, "hook_name": sae.hook}
    if sae.metadata.get("model_name"):
        metadata["model_name"] = sae.metadata["model_name"]
    if sae.metadata.get(EXCLUDED):
        metadata[EXCLUDED] = sae.metadata[EXCLUDED]
    if sae.mean_centred:
        metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    config: dict[str, Any] = {
        "architecture": architecture,
        "d_in": len(sae.encoder),
        "d_sae": sae.width,
        "dtype": str(sae.encoder.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": sae.centred,
        "normalize_activations": sae.normalised,
        "reshape_activations": "hook_z" if sae.hook.endswith("hook_z") else "none",
    }
    if sae.kind == "topk":
        config["k"] = sae.k
    if sae.is_transcoder:
        config["d_out"] = sae.decoder.shape[1]
        metadata["hook_name_out"] = sae.write
    return {**config, "metadata": metadata}


__all__ = ["EXCLUDED", "load_sae", "save_sae"]
