"""load_model: find a checkpoint, wrap it, check its tokenizer or processor and its sites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from culture_lens.errors import InputError, warn
from culture_lens.models.architectures import is_tested, supported
from culture_lens.models.bridge import boot, has_gate, prepare, site_widths
from culture_lens.models.checkpoints import check_class, embedded_path, load_checkpoint
from culture_lens.models.encoder_decoder import encoder_decoder
from culture_lens.models.given import name_of, name_of_bridge, plain_tokenizer
from culture_lens.models.hookable import is_bridge
from culture_lens.models.lens_model import LensModel
from culture_lens.models.loading import Loading, LoadingOptions
from culture_lens.models.picture_features import PictureFeatures
from culture_lens.models.recipe import Recipe
from culture_lens.models.vision import NoPictures, Vision, VisionTower, reads_pictures
from culture_lens.prompts.reader import Reader
from culture_lens.prompts.text_reader import TextReader
from culture_lens.prompts.vision_reader import VisionReader, image_token


def load_model(
    name_or_path: Any = "smollm2-135m",
    *,
    hf_model: Any = None,
    tokenizer: Any = None,
    processor: Any = None,
    **options: Unpack[LoadingOptions],
) -> LensModel:
    """Load a language model, vision-language model or encoder-decoder; check that its sites fire.

    Args:
        name_or_path: ``"smollm2-135m"`` (embedded), a folder, or a hub id; or a loaded Hugging Face
            model or ``TransformerBridge``, which is frozen and given hook points in place.
        hf_model: A loaded Hugging Face model to wrap in place, under the given name.
        tokenizer: A tokenizer to use instead of the checkpoint's. A loaded model needs one. A
            bridge needs one where its own cannot be read again from a folder or the hub's cache:
            booting changes how the bridge's tokenizer writes a BOS.
        processor: A processor to use instead of a vision-language checkpoint's, such as one with
            smaller pictures. A loaded vision-language model or bridge needs one.
        **options: ``dtype``, such as ``"bfloat16"``; ``device`` or ``device_map``; ``revision``;
            ``trust_remote_code``; ``attention``; ``image_memory``. See ``Loading``. A bridge keeps
            its dtype and device, and its own attention unless ``attention="native"``.

    Raises:
        InputError: The model cannot be found or loaded, its architecture is not supported, its
            tokenizer or processor is missing or another model's, one of its sites does not fire,
            or an unknown option.

    Example:
        ``model = load_model("smollm2-135m", dtype="float32")``; or, with what you have loaded,
        ``load_model(TransformerBridge.boot_transformers("gpt2"))``
    """
    if is_bridge(name_or_path):
        return take_bridge(name_or_path, tokenizer, processor, options)
    loading = Loading.of(options)
    name, hf_model = name_of(name_or_path, hf_model)
    source = embedded_path(name) or name
    recipe = None
    if hf_model is None:
        if tokenizer is None and processor is None:
            recipe = Recipe(str(Path(name).resolve()) if Path(name).is_dir() else name, loading)
        hf_model, tokenizer, processor = load_checkpoint(source, loading, tokenizer, processor)
    elif loading.dtype is not None or loading.device is not None:
        hf_model = hf_model.to(device=loading.device, dtype=loading.torch_dtype)
    tokenizer = check_model(name, hf_model, tokenizer, processor)
    bridge = boot(source, hf_model, tokenizer, loading.attention)
    return open_model(name, bridge, tokenizer, processor, loading, recipe)


def take_bridge(
    bridge: Any, tokenizer: Any, processor: Any, options: Mapping[str, Any]
) -> LensModel:
    """Make a LensModel of a TransformerBridge that the user booted; see ``load_model``.

    Raises:
        InputError: As ``load_model``, and for options that come too late.
    """
    loading = Loading.of({"attention": "eager", **options})
    name = name_of_bridge(bridge, options)
    if tokenizer is None and processor is None:
        tokenizer = plain_tokenizer(bridge)
    tokenizer = check_model(name, bridge.original_model, tokenizer, processor)
    prepare(bridge, tokenizer, loading.attention, "sdpa")
    return open_model(name, bridge, tokenizer, processor, loading)


def check_model(name: str, hf_model: Any, tokenizer: Any, processor: Any) -> Any:
    """Check that a model is supported and comes with what it reads with; give its tokenizer.

    Raises:
        InputError: An architecture that is not supported, or a tokenizer or processor that is
            missing or another model's.
    """
    check_class(name, type(hf_model).__name__, hf_model.config)
    say_if_untested(name, hf_model)
    check_reading(name, hf_model, tokenizer, processor)
    return tokenizer if processor is None else processor.tokenizer


def open_model(
    name: str,
    bridge: Any,
    tokenizer: Any,
    processor: Any,
    loading: Loading,
    recipe: Recipe | None = None,
) -> LensModel:
    """Make a LensModel of a bridge that is prepared, and check that its sites fire.

    Raises:
        InputError: A site does not fire.
    """
    hf_model, gated = bridge.original_model, has_gate(bridge)
    commit = getattr(hf_model.config, "_commit_hash", None)
    common: dict[str, Any] = {
        "name": name,
        "bridge": bridge,
        "widths": site_widths(bridge, gated, name),
        "gated": gated,
        "revision": str(loading.revision or commit or ""),
        # Small models cannot read letters: SmolLM2-135M is at chance there and not by likelihood.
        "scoring": "option_likelihood" if n_parameters(hf_model) < 1e9 else "letter",
        "attention": loading.attention,
        "recipe": recipe,
    }
    if hf_model.config.is_encoder_decoder:
        return encoder_decoder(hf_model, tokenizer, **common)
    reader: Reader = TextReader(tokenizer)
    vision: Vision = NoPictures()
    if processor is not None:
        reader = VisionReader(processor, hf_model.config.image_token_id)
        vision = open_vision(bridge, hf_model, reader, loading.image_memory)
    config = hf_model.config.get_text_config()
    return LensModel(
        **common,
        processor=reader,
        n_layers=len(bridge.blocks),
        context=int(getattr(config, "max_position_embeddings", None) or config.n_positions),
        window=attention_window(config),
        vision=vision,
    )


def say_if_untested(name: str, hf_model: Any) -> None:
    """Warn of a class that the tests do not cover; its sites are still checked."""
    kind = type(hf_model).__name__
    if not is_tested(kind):
        warn(
            f"the architecture {kind} of {name!r} is not covered by the tests: check counts and "
            f"edits on it before you rely on them. Covered are: {supported()}."
        )


def check_reading(name: str, hf_model: Any, tokenizer: Any, processor: Any) -> None:
    """Check that a model comes with its own tokenizer or processor.

    Raises:
        InputError: It is missing, or belongs to another model.
    """
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    kind = type(hf_model).__name__
    if not reads_pictures(hf_model):
        if processor is not None:
            raise InputError(
                f"{name!r} ({kind}) reads text only and takes no processor: give its "
                "tokenizer as tokenizer=..., or load a vision-language model."
            )
        if tokenizer is None:
            raise InputError(
                f"{name!r} ({kind}) was given without a tokenizer; pass tokenizer=... with it, "
                "such as AutoTokenizer.from_pretrained of the same checkpoint."
            )
        return
    if processor is None:
        raise InputError(
            f"{name!r} ({kind}) reads pictures, which takes a processor: pass processor=... with "
            "it, such as AutoProcessor.from_pretrained of the same checkpoint."
        )
    own = PROCESSOR_MAPPING_NAMES[hf_model.config.model_type]
    if own not in (base.__name__ for base in type(processor).__mro__):
        raise InputError(
            f"{type(processor).__name__} is not the {own} that {name!r} ({kind}) takes: the "
            "processor does not belong to the model; give that of its own checkpoint."
        )
    token = processor.tokenizer.convert_tokens_to_ids(image_token(processor))
    if token != hf_model.config.image_token_id:
        raise InputError(
            f"{type(processor).__name__} writes the image token {token} and {name!r} ({kind}) "
            f"looks for {hf_model.config.image_token_id}: the processor does not belong to the "
            "model; give that of its own checkpoint."
        )


def open_vision(bridge: Any, hf_model: Any, reader: VisionReader, memory: int) -> VisionTower:
    """Make what runs the pictures of a vision-language model."""
    tower = [point for name, point in bridge.hook_dict.items() if name.startswith("vision")]
    return VisionTower(
        hf_model,
        reader,
        PictureFeatures(memory),
        is_hooked=lambda: any(point.fwd_hooks for point in tower),
    )


def attention_window(config: Any) -> int:
    """Length of the attention's sliding window in tokens; 0 where there is none."""
    window = getattr(config, "sliding_window", None)
    return int(window) if window and getattr(config, "use_sliding_window", True) else 0


def n_parameters(hf_model: Any) -> int:
    """Count a model's parameters, tied ones once."""
    return sum(p.numel() for p in hf_model.parameters())
