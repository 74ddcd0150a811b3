"""Lazy images: every source gives one picture, and nothing is decoded before it is asked for."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from culture_lens.errors import InputError
from culture_lens.questions.images import LazyImage
from culture_lens.questions.question import Question
from tests.helpers.images import BLUE, RED, corners, lazy, photo, pixels, saved
from tests.helpers.processes import imported_by


def test_every_source_gives_the_same_picture(tmp_path):
    data = saved(corners())
    path = tmp_path / "a" / "picture.png"
    path.parent.mkdir()
    path.write_bytes(data)
    expected = pixels(corners())
    sources = {
        "path": path,
        "text": str(path),
        "bytes": data,
        "array of bytes": bytearray(data),
        "view": memoryview(data),
        "dict with bytes": {"bytes": data, "path": "elsewhere.png"},
        "dict with path": {"bytes": None, "path": str(path)},
        "function": partial(path.read_bytes),
        "lazy": lazy(path),
    }
    keys = set()
    for name, source in sources.items():
        image = lazy(source)
        assert isinstance(image, LazyImage), name
        opened = image.open()
        assert (opened.mode, opened.size, pixels(opened)) == ("RGB", (40, 20), expected)
        assert (image.size, image.frames) == ((40, 20), 1)
        keys.add(image.key)
    assert keys == {hashlib.sha256(data).hexdigest()[:24]}
    relative = lazy("a/picture.png", root=tmp_path)
    assert relative.key in keys and relative.name == str(path)
    up = lazy("../a/picture.png", root=tmp_path / "a")
    assert up.key in keys
    assert pixels(lazy(corners()).open()) == expected


def test_a_lazy_image_is_taken_as_it_is():
    image = lazy(b"x")
    assert lazy(image, where="elsewhere") is image


def test_key_of_a_pil_image_tells_mode_size_palette_and_pixels():
    plain = corners()
    other = plain.copy()
    other.putpixel((0, 0), (254, 0, 0))
    palette = plain.convert("P", palette=Image.Palette.ADAPTIVE)
    swapped = palette.copy()
    colours = palette.getpalette()
    swapped.putpalette([*colours[3:6], *colours[:3], *colours[6:]])
    turned = plain.resize((20, 40))
    pictures = [plain, other, palette, swapped, turned, plain.convert("L")]
    assert len({lazy(picture).key for picture in pictures}) == len(pictures)
    assert lazy(plain).key == lazy(corners()).key
    assert all(len(lazy(picture).key) >= 20 for picture in pictures)


def test_n_bytes_is_known_without_reading(tmp_path):
    data = saved(corners())
    (tmp_path / "a.png").write_bytes(data)
    assert lazy(tmp_path / "a.png").n_bytes == lazy(data).n_bytes == len(data)
    assert lazy(corners()).n_bytes == 40 * 20 * 3
    assert lazy(lambda: data).n_bytes is None
    assert lazy("https://example.org/a.png", allow_urls=True).n_bytes is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere.jpg", ["nowhere.jpg", "does not exist", "correct the path"]),
        (Path("nowhere.jpg"), ["nowhere.jpg", "does not exist"]),
        ({"bytes": None, "path": "nowhere.jpg"}, ["nowhere.jpg", "does not exist"]),
        ("x" * 100_000, ["does not exist"]),
        ("a\0b", ["does not exist"]),
        ("", ["is a folder"]),
        (3, ["is a int", "a path, bytes, a PIL image"]),
        ([b"x"], ["is a list"]),
        (np.zeros((2, 2)), ["is a ndarray"]),
        (None, ["is a NoneType"]),
        ({"bytes": None, "path": None}, ["neither bytes nor a path"]),
        ({"url": "x"}, ["is a dict"]),
        ("https://example.org/a.jpg", ["example.org/a.jpg", "allow_urls=True"]),
        ("HTTP://example.org/a.jpg", ["allow_urls=True"]),
        ("ftp://example.org/a.jpg", ["neither http nor https"]),
        ("file:///etc/passwd", ["neither http nor https"]),
    ],
)
def test_what_cannot_be_an_image_is_refused_at_once(value, words):
    with pytest.raises(InputError) as caught:
        lazy(value)
    for word in ("question 'q7' of cvqa", *words):
        assert word in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_nothing_is_read_before_it_is_asked_for():
    asked = []

    def read():
        asked.append(1)
        return saved(corners())

    image = lazy(read)
    repr(image), image.name, image.where, image.n_bytes
    assert not asked
    image.key, image.key
    assert len(asked) == 1
    image.open(), image.open()
    assert len(asked) == 3  # each time anew: nothing is kept


def test_neither_pixels_nor_bytes_are_in_the_text_of_a_question():
    question = Question("1", "Japan", "?", ("a", "b"), 0, image=lazy(photo()))
    assert len(repr(question)) < 1000


def test_pictures_are_not_kept():
    image = lazy(photo())
    first = image.open()
    image.size, image.key, image.frames
    assert first is not image.open()
    held = {name: value for name, value in vars(image).items() if name != "source"}
    assert set(held) == {"where", "name", "max_pixels", "size", "key", "frames"}
    assert all(isinstance(value, (str, int, tuple)) for value in held.values())


def test_changing_what_was_opened_does_not_change_the_source():
    source = corners()
    lazy(source).open().putpixel((0, 0), BLUE)
    assert source.getpixel((0, 0)) == RED


def test_importing_images_is_light():
    heavy = ("PIL", "numpy", "torch", "urllib.request")
    assert imported_by("import culture_lens.questions.images", *heavy) == []
