"""Small pictures go through the tower in groups: each as if it were alone, bit for bit."""

import pytest
import torch

from culture_lens.models.picture_groups import group_size, in_groups, rows_of, stacked
from culture_lens.questions.images import as_image
from tests.helpers.tiny_vlm import picture
from tests.helpers.vlm import counting_tower, fresh
from tests.helpers.vlm_items import each_vlm

TOGETHER = ("llava", "gemma3")
"""Those whose tower is given nothing but one square of pixels for each picture."""


def images(count, sizes=((40, 40), (60, 20), (20, 60))):
    return [
        as_image(picture(seed, *sizes[seed % len(sizes)]), where=f"picture {seed}")
        for seed in range(count)
    ]


def pixels(side, value=1.0):
    return {"pixel_values": torch.full((1, 3, side, side), value)}


@each_vlm
def test_features_do_not_depend_on_the_other_pictures(architecture):
    some = images(7)
    expected = [fresh(architecture).vision.features(some[0])]
    model = fresh(architecture)
    for image in some[1:]:
        expected.append(model.vision.features(image))
    for asked in ([0, 1, 2, 3, 4, 5, 6], [6, 3, 0, 3, 5], [2, 1]):
        model.vision.forget()
        found = model.vision.all_features([some[at] for at in asked])
        assert all(torch.equal(rows, expected[at]) for rows, at in zip(found, asked, strict=True))
    kept = model.vision.all_features([some[at] for at in (0, 2, 1, 6)])  # two kept, two not
    assert all(torch.equal(a, expected[at]) for a, at in zip(kept, (0, 2, 1, 6), strict=True))
    assert all(not torch.equal(expected[0], rows) for rows in expected[1:])


@pytest.mark.parametrize("architecture", TOGETHER)
def test_the_tower_sees_one_shape_and_each_picture_once(architecture):
    model, runs = counting_tower(architecture)
    given, original = [], model.bridge.original_model.get_image_features

    def seen(pixel_values, **options):
        given.append(tuple(pixel_values.shape))
        return original(pixel_values=pixel_values, **options)

    model.bridge.original_model.get_image_features = seen
    side = model.vision.hf_model.config.vision_config.image_size
    size = 3 * 192 * 192 // (3 * side * side)
    some = images(size + 2)
    for asked in (some[:1], some[:3] * 2, some):
        model.vision.all_features(asked)
    assert given == [(size, 3, side, side)] * 3  # 1, 2 more and the other `size - 1`
    assert len(runs) == model.vision.runs == len(some)


def test_groups_worked_out_by_hand():
    """Of 96 x 96 four fit; 200 x 200, and what has more inputs than pixels, is alone."""
    tiled = {"pixel_values": torch.ones(1, 2, 3, 96, 96)}
    sized = pixels(96) | {"image_sizes": torch.ones(1, 2)}
    assert [group_size(one) for one in (pixels(96), pixels(200), tiled, sized)] == [4, 1, 1, 1]
    given = [*"abcde", "F", "g", "h"]
    prepared = [
        (as_image(name.encode(), where=name), pixels(200 if name == "F" else 96)) for name in given
    ]
    groups = ["".join(image.where for image, _ in group) for group in in_groups(prepared)]
    assert groups == ["abcd", "e", "F", "gh"]
    filled = stacked([pixels(96, 2.0), pixels(96, 3.0)])["pixel_values"]
    assert filled.amax((1, 2, 3)).tolist() == [2, 3, 0, 0] == filled.amin((1, 2, 3)).tolist()


def test_features_are_cut_by_picture_by_hand():
    two, made = images(2), torch.arange(12.0).reshape(3, 2, 2)
    assert [rows.tolist() for rows in rows_of(made, two, alone=False)] == made[:2].tolist()
    (whole,) = rows_of([made[0], made[1]], two[:1], alone=True)
    assert whole.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
