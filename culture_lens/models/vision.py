"""Run a picture through the vision tower and projector once, and keep what comes out.

What a tower makes of a picture does not depend on the question, the culture or the neurons that
are ablated in the language model. So it is computed once per picture, one picture at a time (no
result depends on what else is in the batch), and kept in memory up to a limit. Passes over many
pictures go through them in groups that fit; see ``groups_of_pictures``.

The language model is given the kept features instead of pixels. Beside them each class needs its
own keywords, listed in ``KINDS``.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.prompts.batches import out_of_memory, picture_key
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.prompts.vision_processor import VisionProcessor
from culture_lens.questions.images import LazyImage

GIBIBYTE = 2**30
IMAGE_MEMORY = 4 * GIBIBYTE
"""Bytes of picture features that are kept by default."""


@dataclass(frozen=True)
class Kind:
    """What the language model of a class wants to know of pictures, beside their features.

    Attributes:
        token_types: The keyword that says which tokens are of a picture; empty where none does.
        grid: Whether positions in the picture's grid rotate the keys (multimodal RoPE).
        one_tensor: Whether the features of all pictures come as one tensor instead of a list.
    """

    token_types: str = ""
    grid: bool = False
    one_tensor: bool = False


KINDS = {
    "llava": Kind(),
    "llava_next": Kind(),
    "llava_onevision": Kind(),
    "qwen2_5_vl": Kind(token_types="mm_token_type_ids", grid=True),
    "gemma3": Kind(token_types="token_type_ids", one_tensor=True),
    "idefics3": Kind(),
    "smolvlm": Kind(),
}
"""By ``config.model_type``."""


def reads_pictures(hf_model: Any) -> bool:
    """Say whether a Hugging Face model is one of the vision-language classes that work here."""
    return hf_model.config.model_type in KINDS and hasattr(hf_model, "get_image_features")


class Vision:
    """The vision tower and projector of a model, with what they made of each picture.

    Args:
        hf_model: The Hugging Face model.
        processor: What prepares its pictures.
        memory: Bytes of features to keep.
        is_hooked: Says whether hooks are attached inside the tower at this moment.

    Attributes:
        runs: How many pictures have been run through the tower.

    Example:
        ``model.vision.features(question.image).shape``
    """

    def __init__(
        self,
        hf_model: Any,
        processor: VisionProcessor,
        memory: int = IMAGE_MEMORY,
        is_hooked: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keep nothing yet."""
        self.hf_model = hf_model
        self.processor = processor
        self.kind = KINDS[hf_model.config.model_type]
        self.memory = memory
        self.is_hooked = is_hooked
        self.runs = 0
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._grids: dict[str, Tensor] = {}
        self._accepted = set(inspect.signature(hf_model.get_image_features).parameters)

    @property
    def device(self) -> torch.device:
        """The device that inputs go to."""
        device: torch.device = next(self.hf_model.parameters()).device
        return device

    @property
    def bytes_per_token(self) -> int:
        """Bytes that the features of one image token take."""
        width: int = self.hf_model.config.get_text_config().hidden_size
        return width * int(self.hf_model.dtype.itemsize)

    @torch.no_grad()
    def features(self, image: LazyImage) -> Float[Tensor, "token d_model"]:
        """Give what the language model reads in the place of a picture's tokens.

        Raises:
            InputError: The picture cannot be read.
        """
        hooked = self.is_hooked()
        if image.key in self._kept and not hooked:
            self._kept.move_to_end(image.key)
            return self._kept[image.key]
        found = self._run(image)
        if not hooked:  # what an edited tower makes is of this moment only
            self._keep(image.key, found)
        return found

    def _run(self, image: LazyImage) -> Tensor:
        inputs = self.processor.pixels(image)
        if "image_grid_thw" in inputs:
            self._grids[image.key] = inputs["image_grid_thw"]
        inputs = {name: value for name, value in inputs.items() if name in self._accepted}
        for name, value in inputs.items():
            wide = value.is_floating_point()
            inputs[name] = value.to(self.device, self.hf_model.dtype if wide else value.dtype)
        self.runs += 1
        try:
            made = self.hf_model.get_image_features(**inputs, return_dict=True).pooler_output
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            kind = type(self.processor.processor).__name__
            raise InputError(
                f"{image.where}: the vision tower cannot take the picture as {kind} prepares it "
                f"({error}): this processor does not belong to the model; give load_model the "
                "processor of its own checkpoint."
            ) from error
        pieces = made if isinstance(made, (list, tuple)) else [made]
        rows: Tensor = torch.cat([piece.reshape(-1, piece.shape[-1]) for piece in pieces])
        if not torch.isfinite(rows).all():
            raise InputError(
                f"{image.name}: the vision tower gives NaN or infinite features: load the model in "
                "bfloat16 or float32 (float16 overflows), or check its weights."
            )
        return rows

    def _keep(self, key: str, rows: Tensor) -> None:
        size = rows.nbytes
        held = sum(kept.nbytes for kept in self._kept.values())
        while self._kept and held + size > self.memory:
            held -= self._kept.popitem(last=False)[1].nbytes
        if size <= self.memory:
            self._kept[key] = rows.cpu()

    def forget(self) -> None:
        """Let go of all features, such as after the tower's weights were changed.

        Example:
            ``model.vision.forget()``
        """
        self._kept.clear()

    def arguments(self, batch: Batch) -> dict[str, Any]:
        """Make the keywords that a forward of a batch needs beside ids and mask.

        Of a batch with prefixes, those of the rests; pictures are in the prefixes.

        Raises:
            InputError: A picture has other features than its prompt has image tokens.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        pictured = [p for p in batch.prompts if Role.IMAGE in p.roles and not batch.prefix_length]
        given: dict[str, Any] = {}
        if pictured:
            rows = [self.features(prompt.question.image).to(self.device) for prompt in pictured]
            check_features(rows, pictured)
            pooled = torch.cat(rows)[None] if self.kind.one_tensor else rows
            given["mm_encoder_outputs"] = {
                "image": BaseModelOutputWithPooling(pooler_output=pooled)
            }
        if self.kind.token_types:
            of_picture = batch.roles[:, batch.prefix_length :] == Role.IMAGE
            given[self.kind.token_types] = of_picture.long().to(self.device)
        return given

    def positions(self, batch: Batch) -> Int[Tensor, "axis batch pos"] | None:
        """Give the positions in time, height and width of a batch's tokens, where a model has them.

        Beginnings, where the batch has any, are counted in.
        """
        if not self.kind.grid:
            return None
        grids = [self._grid(p.question.image) for p in batch.prompts if Role.IMAGE in p.roles]
        found: Tensor = self.hf_model.model.get_rope_index(
            batch.input_ids.to(self.device),
            mm_token_type_ids=(batch.roles == Role.IMAGE).int().to(self.device),
            image_grid_thw=torch.cat(grids).to(self.device) if grids else None,
            attention_mask=batch.attention_mask.to(self.device),
        )[0]
        return found

    def _grid(self, image: LazyImage) -> Tensor:
        if image.key not in self._grids:
            self.features(image)
        return self._grids[image.key]


def check_features(rows: Sequence[Tensor], prompts: Sequence[Prompt]) -> None:
    """Refuse pictures whose features are not as many as their image tokens.

    Raises:
        InputError: Names the question; the processor is not the model's.
    """
    for features, prompt in zip(rows, prompts, strict=True):
        tokens = sum(role == Role.IMAGE for role in prompt.roles)
        if len(features) != tokens:
            raise InputError(
                f"question {prompt.question.id!r}: its picture gives {len(features)} features but "
                f"its prompt has {tokens} image tokens: this processor does not belong to the "
                "model; give load_model the processor of its own checkpoint."
            )


def groups_of_pictures(prompts: Sequence[Prompt], vision: Vision | None) -> list[list[Prompt]]:
    """Cut prompts into groups whose pictures' features fit in memory together.

    Every mask is run over one group before the next group begins, so that a picture goes through
    the tower once however many masks there are. Prompts on one picture stay together.

    Example:
        ``groups_of_pictures(prompts, model.vision)`` is one group for text.
    """
    if vision is None or not any(prompt.question.image is not None for prompt in prompts):
        return [list(prompts)]
    together: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        together.setdefault(picture_key(prompt), []).append(prompt)
    groups: list[list[Prompt]] = [[]]
    held = 0
    for members in together.values():
        tokens = max(sum(role == Role.IMAGE for role in prompt.roles) for prompt in members)
        size = tokens * vision.bytes_per_token
        if groups[-1] and held + size > vision.memory:
            groups.append([])
            held = 0
        groups[-1] += members
        held += size
    return groups
