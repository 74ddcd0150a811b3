"""The bundled configurations of the papers' models are their models'."""

import pytest

from culture_lens.experiments.planning.known import config_of, papers
from culture_lens.experiments.planning.pictures import picture_count
from culture_lens.experiments.planning.shape import shape_of
from culture_lens.models.architectures import PRESETS


def test_all_nine_are_there_as_the_presets_have_them():
    assert set(papers()) == {preset.model for preset in PRESETS}
    for preset in PRESETS:
        held = papers()[preset.model]["config"]
        assert held["architectures"] == [preset.architecture] and held["dtype"] == preset.dtype


@pytest.mark.parametrize("name", sorted(papers()))
def test_parameters_are_the_published_ones(name):
    shape, published = shape_of(name, config_of(name)), papers()[name]["parameters"]
    assert published in (None, shape.parameters)
    size = next(preset.gigabytes for preset in PRESETS if preset.model == name)
    assert 2 * shape.parameters / 1e9 == pytest.approx(size, abs=1)


def test_llama_by_hand():
    """q and o 4096 x 4096, k and v 4096 x 1024, three MLP matrices of 4096 x 14,336."""
    shape = shape_of("llama", config_of("meta-llama/Llama-3.1-8B-Instruct"))
    layer = 2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336
    assert shape.decoder.matrices == 32 * layer and shape.head == 4096 * 128256
    assert shape.decoder.attention == 2 * 32 * 128 and shape.decoder.keys == 2 * 8 * 128


@pytest.mark.parametrize(
    ("name", "size", "tokens", "tiles"),
    [  # 640 x 480 at LLaVA's best 672 x 672: 24 x 24 base, 36 x 48 tiles, and 36 line ends
        ("llava-hf/llava-v1.6-mistral-7b-hf", (640, 480), 576 + 36 * 48 + 36, 5),
        # 640 x 480 rounds to 644 x 476 pixels: 46 x 34 patches of 14, four to a token
        ("Qwen/Qwen2.5-VL-7B-Instruct", (640, 480), 46 * 34 // 4, None),
        ("google/gemma-3-12b-it", (640, 480), 256, None),
    ],
)
def test_picture_tokens_by_hand(name, size, tokens, tiles):
    found = picture_count(shape_of(name, config_of(name)), *size)
    assert found.tokens == tokens
    if tiles:
        assert found.patches == tiles * 576 and found.seen == tiles * 577
