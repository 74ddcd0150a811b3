"""Where patches lie: against Hugging Face's own unpadding, and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.models.llava_next.modeling_llava_next import (
    get_anyres_image_grid_shape,
    unpad_image,
)

from culture_lens.cards.grids import grids_of, over_marked_tiles, over_tiles, tile_shape
from culture_lens.prompts.build import build_prompts
from tests.helpers.tiny_vlm import picture
from tests.helpers.vlm import NAMES, lens, question_on

PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SIDE = 24


def test_tiles_have_the_shape_that_hugging_face_leaves_them():
    """LLaVA-NeXT's own resolutions, over pictures of many shapes."""
    vision = SimpleNamespace(image_size=336, patch_size=14)
    config = SimpleNamespace(image_grid_pinpoints=PINPOINTS, vision_config=vision)
    for width in range(60, 1400, 167):
        for height in range(60, 1400, 83):
            rows, columns = get_anyres_image_grid_shape((height, width), PINPOINTS, 336)
            whole = torch.zeros(1, rows * SIDE, columns * SIDE)
            left = tuple(unpad_image(whole, (height, width)).shape[1:])
            assert tile_shape(config, (width, height)) == left, (width, height)


def test_tokens_lie_row_by_row_each_ended_by_a_token_of_its_own():
    whole, tiles = over_tiles(np.arange(9 + 6 * 7.0), 3, (6, 6))
    assert whole.values.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert tiles.values[0].tolist() == [9, 10, 11, 12, 13, 14]
    assert tiles.values[1, 0] == 16  # 15 is the end of the first row


def test_marked_tiles_are_put_together():
    values = np.arange(12.0)  # two tiles side by side, then the whole picture
    whole, tiles = over_marked_tiles(values, [4, 4, 4], "<row_1_col_1><row_1_col_2>")
    assert tiles.values.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert whole.values.tolist() == [[8, 9], [10, 11]]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gemma3_wide"])
@pytest.mark.parametrize("size", [(40, 40), (60, 20), (20, 60)])
def test_every_class_has_a_layout_for_all_its_tokens(name, size):
    model = lens(name)
    (prompt,) = build_prompts([question_on(picture(1, *size))], model.processor, progress=False)
    if name == "qwen2_5_vl":
        model.vision.features(prompt.question.image)
    values = np.arange(len(prompt.ids), dtype=float)
    grids = grids_of(model, prompt, values)
    image = {at for at, role in enumerate(prompt.roles) if role == 2}
    placed = [int(value) for grid in grids for value in grid.values.flatten()]
    assert grids and len(set(placed)) == len(placed) and set(placed) <= image
    missing = len(image) - len(placed)
    ends = grids[-1].values.shape[0] if "llava_" in name else 0  # the ends of rows
    assert missing == ends
    wide = grids[-1].values.shape[1] / grids[-1].values.shape[0]
    if len(grids) > 1 or name == "qwen2_5_vl":
        assert (wide > 1) == (size[0] > size[1]) and (wide < 1) == (size[0] < size[1])


def test_a_prompt_without_a_picture_has_none():
    model = lens("llava")
    (prompt,) = build_prompts([question_on(None)], model.processor, progress=False)
    assert grids_of(model, prompt, np.zeros(len(prompt.ids))) == ()
