"""A model's configuration, tokenizer and image settings, without its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from culture_lens.errors import InputError
from culture_lens.experiments.planning.asking import Asking, Counts
from culture_lens.experiments.planning.shape import ModelShape
from culture_lens.models.checkpoints import check_class, embedded_path, load_failure
from culture_lens.models.vision import VISION_MODELS
from culture_lens.storage.bundled import data_path


@cache
def papers() -> Mapping[str, Any]:
    """Give the configurations of the papers' nine models, by hub id; see the file's provenance."""
    found: Mapping[str, Any] = json.loads(
        data_path("models", "configurations.json").read_text(encoding="utf-8")
    )
    models: Mapping[str, Any] = found["models"]
    return models


def config_of(name: str) -> Any:
    """Read a configuration: bundled for the papers' models, else of a folder or the hub.

    Args:
        name: Name, folder or hub id.

    Raises:
        InputError: There is none, or its class is not supported.

    Example:
        ``config_of("meta-llama/Llama-3.1-8B-Instruct").num_hidden_layers``
    """
    from transformers import AutoConfig

    if name in papers():
        values = dict(papers()[name]["config"])
        return AutoConfig.for_model(values.pop("model_type"), **values)
    source = embedded_path(name) or name
    local = Path(source).is_dir()
    if local and not (Path(source) / "config.json").is_file():
        raise InputError(f"the folder {source!r} has no config.json: name a checkpoint's folder.")
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local)
    except Exception as error:  # transformers and the hub client each have their own
        raise InputError(load_failure(source, local, error)) from error
    check_class(source, (config.architectures or [""])[0], config)
    return config


def dtype_of(name: str, config: Any, on_gpu: bool) -> str:
    """Name the dtype that a model is loaded in where nothing else is said; see ``load_model``.

    Example:
        ``dtype_of("smollm2-135m", config, on_gpu=False)`` is ``"float32"``
    """
    own = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)
    return str(own).removeprefix("torch.") if on_gpu and own is not None else "float32"


def asking_of(shape: ModelShape, tokenizer: Any, counts: Counts | None) -> Asking:
    """Find what a model reads with: what was given, what its folder or cache has, or a stand-in.

    Args:
        shape: The model.
        tokenizer: A tokenizer or processor; None to look for the model's own.
        counts: A benchmark in numbers, whose prompts a stand-in makes.
    """
    if counts is not None:
        return Asking(shape, settings=settings_of(shape), picture=counts.picture)
    own = tokenizer if tokenizer is not None else own_tokenizer(shape)
    reader = reader_of(shape, own) if own is not None else None
    return Asking(shape, reader, settings_of(shape))


def reader_of(shape: ModelShape, tokenizer: Any) -> Any:
    """Make what a model reads with of its tokenizer or processor."""
    from culture_lens.prompts.encoder_decoder import EncoderDecoderReader
    from culture_lens.prompts.text_reader import as_reader
    from culture_lens.prompts.vision_reader import VisionReader

    if shape.encoder is not None:
        return EncoderDecoderReader(tokenizer, shape.config.decoder_start_token_id)
    if hasattr(tokenizer, "image_processor"):
        return VisionReader(tokenizer, shape.config.image_token_id)
    return as_reader(tokenizer)


def own_tokenizer(shape: ModelShape) -> Any:
    """Read a model's tokenizer or processor from its folder or the hub's cache; None if absent."""
    from transformers import AutoTokenizer

    from culture_lens.models.processors import load_processor

    kind, source = shape.config.model_type, embedded_path(shape.name) or shape.name
    try:
        if kind in VISION_MODELS:
            return load_processor(source, kind, local_files_only=True)
        return AutoTokenizer.from_pretrained(source, local_files_only=True)
    except Exception:  # whatever is wrong with it, a stand-in does
        return None


def settings_of(shape: ModelShape) -> dict[str, Any] | None:
    """Read the settings of a folder's image processor; None where there are none."""
    folder = Path(embedded_path(shape.name) or shape.name)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text(encoding="utf-8"))
            return dict(found.get("image_processor", found))
    return None


__all__ = ["asking_of", "config_of", "dtype_of", "papers"]
