"""Models that the user made: a Hugging Face model, or a TransformerBridge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from culture_lens.checks import file_path, said
from culture_lens.errors import InputError

OF_WEIGHTS = ("dtype", "device", "device_map", "trust_remote_code")
"""Options of loading that a bridge, whose weights are loaded, no longer has."""


def name_of(model: Any, hf_model: Any) -> tuple[str, Any]:
    """Tell the name of what is to be loaded, and the Hugging Face model where one was made.

    Raises:
        InputError: Two models, neither a name nor a model, or a model that is already wrapped.
    """
    if isinstance(model, torch.nn.Module):
        if hf_model is not None:
            raise InputError("two models were given: give one, or a name and hf_model=.")
        hf_model = model
        if not hasattr(model, "config"):
            raise InputError(
                f"a {type(model).__name__} is no Hugging Face model (it has no config): give a "
                "name, a folder, a transformers model or a TransformerBridge."
            )
        model = getattr(model.config, "_name_or_path", "") or type(model).__name__
    if not isinstance(model, (str, Path)):
        raise InputError(
            f"a model is given by name, by folder, as a transformers model or as a "
            f"TransformerBridge, not as {type(model).__name__}."
        )
    model = file_path("name_or_path", model)
    if hf_model is not None:
        check_hf_model(hf_model)
        check_unwrapped(str(model), hf_model)
    return str(model), hf_model


def check_hf_model(hf_model: Any) -> None:
    """Refuse as ``hf_model`` what is no model of transformers.

    Raises:
        InputError: It is something else.
    """
    if hf_model is not None and not (
        isinstance(hf_model, torch.nn.Module) and hasattr(hf_model, "config")
    ):
        raise InputError(
            f"hf_model={said(hf_model)}: give a loaded Hugging Face model, or leave it out."
        )


def check_unwrapped(name: str, hf_model: Any) -> None:
    """Refuse a Hugging Face model that a bridge has already wrapped, which is done in place.

    Raises:
        InputError: It is wrapped.
    """
    if any(type(part).__module__.startswith("transformer_lens") for part in hf_model.modules()):
        raise InputError(
            f"{name!r} is already inside a TransformerBridge, which wraps a model in place: give "
            "load_model that bridge, use the model it has returned, or load the weights again."
        )


def name_of_bridge(bridge: Any, options: Mapping[str, Any]) -> str:
    """Tell the name that a bridge was booted by.

    Raises:
        InputError: Options that only apply while weights are loaded, or a bridge in compatibility
            mode, which computes MLPs by itself, so that act(gate) cannot be hooked.
    """
    late = [name for name in OF_WEIGHTS if name in options]
    if late:
        raise InputError(
            f"{', '.join(late)} cannot be set for a bridge, whose weights are loaded: give them to "
            "boot_transformers."
        )
    if bridge.compatibility_mode:
        raise InputError(
            "this TransformerBridge is in compatibility mode, where its weights are no longer the "
            "checkpoint's and its MLPs have no activation function to hook: give a bridge before "
            "enable_compatibility_mode()."
        )
    return str(bridge.cfg.model_name)


def plain_tokenizer(bridge: Any) -> Any:
    """Read a bridge's tokenizer again as its checkpoint has it, without the network.

    Booting reloads it with ``add_bos_token=True`` and gives it a BOS where it has none, so that
    prompts would begin with a token that the model has never seen there.

    Raises:
        InputError: It cannot be read, or it is not the one that the bridge has.

    Example:
        ``plain_tokenizer(TransformerBridge.boot_transformers("gpt2"))``
    """
    from transformers import AutoTokenizer

    changed = bridge.tokenizer
    source = str(getattr(changed, "name_or_path", ""))
    remedy = (
        "pass tokenizer=AutoTokenizer.from_pretrained(...) of its checkpoint; the bridge's own "
        "cannot be used, because booting changes how it writes a BOS."
    )
    try:
        plain = AutoTokenizer.from_pretrained(source, local_files_only=True)
    except Exception as error:  # transformers and the hub client each have their own
        raise InputError(
            f"the tokenizer of the bridge {bridge.cfg.model_name!r} cannot be read again from "
            f"{source!r}: {remedy}"
        ) from error
    same = plain.chat_template == changed.chat_template and len(plain) == len(changed)
    if not same:
        raise InputError(
            f"the tokenizer of the bridge {bridge.cfg.model_name!r} is not the one in {source!r} "
            f"(another vocabulary or chat template): {remedy}"
        )
    return plain
