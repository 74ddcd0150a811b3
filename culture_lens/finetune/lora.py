"""LoRA on exactly the chosen modules: W + (alpha / r) B A, B and A of rank r (peft).

peft finds modules by the end of their names; here it is given whole paths. Of a fused module only
the rows of B of the chosen projection are trained: B starts at 0, so that the other rows stay 0
and merging leaves their weights as they were.
"""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.finetune.masks import check_projection
from culture_lens.finetune.projections import Projection, transposed

ADAPTER = "default"
LORA_RANK = 8
"""The rank where nothing else is said."""


def need_peft() -> None:
    """Check that peft is installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("peft") is None:
        raise InputError("LoRA needs the package 'peft': pip install 'culture-lens[finetune]'.")


def add_lora(
    plain: Any, projections: Sequence[Projection], rank: int
) -> tuple[Any, dict[str, Any]]:
    """Put LoRA on some projections, in place.

    Args:
        plain: The plain model.
        projections: Where.
        rank: r; alpha is twice that.

    Returns:
        The tuner that ``merge_lora`` takes, and masks of what is trained.

    Raises:
        InputError: peft is missing, a rank below 1, or a module that the model lacks.
    """
    need_peft()
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    if rank < 1:
        raise InputError(f"lora_rank={rank}: give 1 or more, such as 8.")
    for projection in projections:
        check_projection(plain, projection)
    paths = sorted({projection.path for projection in projections})
    kinds = {transposed(plain.get_submodule(path)) for path in paths}
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="|".join(re.escape(path) for path in paths),  # matched in full
        fan_in_fan_out=kinds == {True},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = LoraModel(plain, config, ADAPTER)
    masks: dict[str, Tensor] = {}
    for projection in projections:
        layer = plain.get_submodule(projection.path)
        a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        masks[f"{projection.path}.lora_A.{ADAPTER}.weight"] = torch.ones_like(a, dtype=torch.bool)
        name = f"{projection.path}.lora_B.{ADAPTER}.weight"
        rows = masks.setdefault(name, torch.zeros_like(b, dtype=torch.bool))
        rows[projection.start : projection.stop] = True
    return tuner, masks


def merge_lora(tuner: Any) -> Any:
    """Add LoRA's changes to the weights and give the plain model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = tuner.merge_and_unload()
    for name in ("peft_config",):
        if hasattr(merged, name):
            delattr(merged, name)
    return merged
