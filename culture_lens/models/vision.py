"""Run a picture through the vision tower and projector once, and keep its features.

The features of a picture do not depend on the question, the culture or the neurons that
are ablated in the language model. So it is computed once per picture, and kept in memory up to a
limit. A picture goes through the tower alone, a small one in a group whose size never changes (see
``picture_groups``): no result depends on what else is in the batch. Passes over many pictures take
them in parts that fit; see ``prompt_groups``.

The language model is given the kept features instead of pixels. Beside them each class needs its
own keywords, listed in ``VISION_MODELS``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.picture_features import PictureFeatures, check_features
from culture_lens.models.picture_groups import Prepared, group_size, in_groups, rows_of, stacked
from culture_lens.models.pictures_ahead import PicturesAhead
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.prompts.run_batches import out_of_memory
from culture_lens.prompts.vision_reader import VisionReader
from culture_lens.questions.images import LazyImage


@dataclass(frozen=True)
class PictureInputs:
    """What the language model of a class takes for pictures, besides their features.

    Attributes:
        token_types: The keyword that marks a picture's tokens; empty where there is none.
        grid: Whether positions in the picture's grid rotate the keys (multimodal RoPE).
        one_tensor: Whether the features of all pictures come as one tensor instead of a list.
    """

    token_types: str = ""
    grid: bool = False
    one_tensor: bool = False


VISION_MODELS = {
    "llava": PictureInputs(),
    "llava_next": PictureInputs(),
    "llava_onevision": PictureInputs(),
    "qwen2_5_vl": PictureInputs(token_types="mm_token_type_ids", grid=True),
    "gemma3": PictureInputs(token_types="token_type_ids", one_tensor=True),
    "idefics3": PictureInputs(),
    "smolvlm": PictureInputs(),
}
"""By ``config.model_type``."""


def reads_pictures(hf_model: Any) -> bool:
    """Whether a Hugging Face model is one of the vision-language classes that work here."""
    return hf_model.config.model_type in VISION_MODELS and hasattr(hf_model, "get_image_features")


@runtime_checkable
class Vision(Protocol):
    """What a forward needs of pictures; ``VisionTower``, or ``NoPictures`` for text."""

    @property
    def memory(self) -> int:
        """Bytes of picture features that may be kept."""

    @property
    def bytes_per_token(self) -> int:
        """Bytes that the features of one image token take."""

    def arguments(self, batch: Batch) -> dict[str, Any]:
        """Make the keywords that a forward of a batch needs besides ids and mask."""

    def pictures(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Make the keywords that hand over the pictures of some prompts, in their order."""

    def arguments_after(self, batch: Batch, rows: Tensor, width: int) -> dict[str, Any]:
        """Make the keywords of a forward of ``width`` tokens after rows of a batch."""

    def ahead(self, images: Iterable[LazyImage], threads: int) -> AbstractContextManager[None]:
        """Prepare pictures in threads, in the time of the block."""

    def forget(self) -> None:
        """Drop all features that are kept."""


@dataclass(frozen=True)
class NoPictures:
    """The vision of a model that reads text only; it adds nothing to a forward."""

    memory: int = 0
    bytes_per_token: int = 0

    def arguments(self, batch: Batch) -> dict[str, Any]:
        """Return no keywords."""
        return {}

    def pictures(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return no keywords."""
        return {}

    def arguments_after(self, batch: Batch, rows: Tensor, width: int) -> dict[str, Any]:
        """Return no keywords."""
        return {}

    def ahead(self, images: Iterable[LazyImage], threads: int) -> AbstractContextManager[None]:
        """Do nothing: there are no pictures."""
        return nullcontext()

    def forget(self) -> None:
        """Do nothing: no features are kept."""


@dataclass(frozen=True, eq=False)
class VisionTower:
    """The vision tower and projector of a model, with the features of pictures they have seen.

    Attributes:
        hf_model: The Hugging Face model.
        processor: What prepares its pictures.
        kept: The features that are kept.
        is_hooked: Whether hooks are attached inside the tower at this moment.

    Example:
        ``model.vision.features(question.image).shape``
    """

    hf_model: Any = field(repr=False)
    processor: VisionReader = field(repr=False)
    kept: PictureFeatures = field(default_factory=PictureFeatures, repr=False)
    is_hooked: Callable[[], bool] = field(default=lambda: False, repr=False)

    @property
    def inputs(self) -> PictureInputs:
        """What the language model takes for pictures."""
        return VISION_MODELS[self.hf_model.config.model_type]

    @property
    def device(self) -> torch.device:
        """The device that inputs go to."""
        device: torch.device = next(self.hf_model.parameters()).device
        return device

    @property
    def memory(self) -> int:
        """Bytes of picture features that may be kept."""
        return self.kept.memory

    @property
    def runs(self) -> int:
        """How many pictures have been run through the tower."""
        return self.kept.runs

    @property
    def bytes_per_token(self) -> int:
        """Bytes that the features of one image token take."""
        width: int = self.hf_model.config.get_text_config().hidden_size
        return width * int(self.hf_model.dtype.itemsize)

    @cached_property
    def _ahead(self) -> PicturesAhead:
        return PicturesAhead(self.processor)

    def ahead(self, images: Iterable[LazyImage], threads: int) -> AbstractContextManager[None]:
        """Prepare pictures in threads, in the time of the block; see ``pictures_ahead``.

        Args:
            images: The pictures in the order in which they will be needed.
            threads: How many threads; 0 for none.

        Example:
            ``with model.vision.ahead(work.images(), 2): ...``
        """
        return self._ahead.of(images, threads, self.kept)

    @cached_property
    def accepted(self) -> set[str]:
        """The keywords that the tower takes."""
        return set(inspect.signature(self.hf_model.get_image_features).parameters)

    def features(self, image: LazyImage) -> Float[Tensor, "token d_model"]:
        """What the language model reads in the place of a picture's tokens.

        Raises:
            InputError: The picture cannot be read.
        """
        return self.all_features([image])[0]

    @torch.no_grad()
    def all_features(self, images: Sequence[LazyImage]) -> list[Float[Tensor, "_ d_model"]]:
        """What the language model reads in the place of each picture's tokens.

        Small pictures go through the tower in groups of one size; see ``picture_groups``.

        Raises:
            InputError: A picture cannot be read.

        Example:
            ``model.vision.all_features([question.image for question in questions])``
        """
        if self.is_hooked():  # features of an edited tower are not kept
            return [self._run([(image, self._inputs(image))])[0] for image in images]
        found, asked = dict[str, Tensor](), dict[str, LazyImage]()
        for image in images:
            kept = self.kept.get(image.key)
            if kept is None:
                asked[image.key] = image
            else:
                found[image.key] = kept
        for group in in_groups((image, self._inputs(image)) for image in asked.values()):
            for (image, _), rows in zip(group, self._run(group), strict=True):
                self.kept.keep(image.key, rows)
                found[image.key] = rows
        return [found[image.key] for image in images]

    def _inputs(self, image: LazyImage) -> dict[str, Tensor]:
        inputs = self._ahead.take(image)
        if "image_grid_thw" in inputs:
            self.kept.grids[image.key] = inputs["image_grid_thw"]
        return {name: value for name, value in inputs.items() if name in self.accepted}

    def _run(self, group: Sequence[Prepared]) -> list[Tensor]:
        first, alone = group[0], self.is_hooked() or group_size(group[0][1]) == 1
        inputs = dict(first[1]) if alone else stacked([given for _, given in group])
        for name, value in inputs.items():
            wide = value.is_floating_point()
            inputs[name] = value.to(self.device, self.hf_model.dtype if wide else value.dtype)
        self.kept.runs += len(group)
        try:
            made = self.hf_model.get_image_features(**inputs, return_dict=True).pooler_output
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            name = type(self.processor.hf_processor).__name__
            raise InputError(
                f"{first[0].where}: the vision tower cannot take the picture as {name} prepares "
                f"it ({error}): this processor does not belong to the model; give load_model the "
                "processor of its own checkpoint."
            ) from error
        return rows_of(made, [image for image, _ in group], alone=alone)

    def forget(self) -> None:
        """Drop all features, such as after the tower's weights were changed.

        Example:
            ``model.vision.forget()``
        """
        self.kept.forget()

    def arguments(self, batch: Batch) -> dict[str, Any]:
        """Make the keywords that a forward of a batch needs besides ids and mask.

        For a batch with shared prefixes, those of the rests; its pictures are in the prefixes.

        Raises:
            InputError: A picture has more or fewer features than its prompt has image tokens.
        """
        pictured = [p for p in batch.prompts if Role.IMAGE in p.roles and not batch.prefix_length]
        given = self.pictures(pictured)
        if self.inputs.token_types:
            of_picture = batch.roles[:, batch.prefix_length :] == Role.IMAGE
            given[self.inputs.token_types] = of_picture.long().to(self.device)
        if self.inputs.grid:
            given["position_ids"] = self._positions(batch)[..., batch.prefix_length :]
        return given

    def pictures(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Make the keywords that hand over the pictures of some prompts, in their order.

        Raises:
            InputError: A picture has more or fewer features than its prompt has image tokens.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        if not prompts:
            return {}
        features = self.all_features([prompt.question.image for prompt in prompts])
        rows = [held.to(self.device) for held in features]
        check_features(rows, prompts)
        pooled = torch.cat(rows)[None] if self.inputs.one_tensor else rows
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=pooled)}}

    def arguments_after(self, batch: Batch, rows: Tensor, width: int) -> dict[str, Any]:
        """Make the keywords of a forward of ``width`` tokens after rows of a batch.

        Positions go on from the furthest one of each row, in all three axes.
        """
        if not self.inputs.grid:
            return {}
        positions = self._positions(batch)
        furthest = positions.amax((0, 2))[rows.to(self.device), None]
        steps = furthest + 1 + torch.arange(width, device=self.device)
        return {"position_ids": steps.expand(len(positions), -1, -1)}

    def _positions(self, batch: Batch) -> Int[Tensor, "axis batch pos"]:
        """Compute positions in time, height and width of a batch's tokens, prefixes included."""
        grids = [self._grid(p.question.image) for p in batch.prompts if Role.IMAGE in p.roles]
        found: Tensor = self.hf_model.model.get_rope_index(
            batch.input_ids.to(self.device),
            mm_token_type_ids=(batch.roles == Role.IMAGE).int().to(self.device),
            image_grid_thw=torch.cat(grids).to(self.device) if grids else None,
            attention_mask=batch.attention_mask.to(self.device),
        )[0]
        return found

    def _grid(self, image: LazyImage) -> Tensor:
        if image.key not in self.kept.grids:
            self.features(image)
        return self.kept.grids[image.key]
