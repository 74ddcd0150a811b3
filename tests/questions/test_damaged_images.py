"""Damaged, enormous and lost pictures are refused by name, and files are closed."""

import io
import threading
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from culture_lens.errors import InputError
from culture_lens.questions import images
from tests.helpers.images import GREEN, RED, claimed, corners, lazy, photo, saved


def spoiled(data, place):
    return data[:place] + bytes(200) + data[place + 200 :]


DAMAGED = {
    "empty": (b"", "is empty"),
    "text": (b"<html>404 not found</html>" * 20, "not an image of a known kind"),
    "signature alone": (b"\x89PNG\r\n\x1a\n", "not an image"),
    "truncated jpeg": (photo()[:-900], "cannot be decoded"),
    "half a jpeg": (photo()[: len(photo()) // 2], "cannot be decoded"),
    "truncated png": (photo(kind="PNG")[:-3000], "cannot be decoded"),
    "spoiled png": (spoiled(photo(kind="PNG"), 4000), "cannot be decoded"),
    "truncated webp": (photo(kind="WEBP")[:-500], "cannot be decoded"),
    "truncated tiff": (photo(kind="TIFF")[:-3000], "cannot be decoded"),
    "truncated gif": (photo(kind="GIF")[:-1500], "cannot be decoded"),
    "header of a jpeg": (photo()[:100], ""),
    "no width": (claimed(0, 10), ""),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "PNG"),
}


@pytest.mark.parametrize("tolerant", [False, True])
@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(case, tolerant, tmp_path, monkeypatch):
    # Another library may have told PIL to fill up truncated files with grey.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)
    data, words = DAMAGED[case]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (data, path, lambda: data, {"bytes": data or b"", "path": str(path)}):
        with pytest.raises(InputError) as caught:
            lazy(source).open()
        message = str(caught.value)
        assert message.startswith("question 'q7' of cvqa: ") and words in message
        assert "readable(questions)" in message and "\n" not in message
        assert ("photo.jpg" in message) == (not isinstance(source, bytes) and not callable(source))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is tolerant


def test_damage_in_a_pil_image_that_is_not_yet_loaded():
    with (
        Image.open(io.BytesIO(photo()[:-900])) as image,
        pytest.raises(InputError, match="decoded"),
    ):
        lazy(image).open()


def test_a_picture_without_pixels():
    with pytest.raises(InputError, match="has 0 x 5 pixels"):
        lazy(Image.new("RGB", (0, 5))).open()


@pytest.mark.parametrize("limit", [None, Image.MAX_IMAGE_PIXELS])
@pytest.mark.parametrize("member", ["open", "size", "frames"])
def test_an_enormous_picture_is_refused_by_its_header(limit, member, monkeypatch):
    # PIL's own limit may be set or lifted by others, and stays as they set it.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)

    def decode(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    with pytest.raises(InputError) as caught:
        image = lazy(claimed(100_000, 100_000))
        image.open() if member == "open" else getattr(image, member)
    assert "10000000000" in str(caught.value) or "100000 x 100000" in str(caught.value)
    assert "smaller copy" in str(caught.value)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_the_users_to_set():
    data = saved(corners())
    with pytest.raises(InputError, match="40 x 20 pixels, more than max_pixels=799"):
        lazy(data, max_pixels=799).open()
    with pytest.raises(InputError, match="max_pixels=799"):
        lazy(corners(), max_pixels=799).open()
    assert lazy(data, max_pixels=800).open().size == (40, 20)
    assert images.MAX_PIXELS == 100_000_000


def test_a_file_that_goes_away_and_functions_that_fail(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(corners()))
    image = lazy(path)
    path.unlink()
    for use in (image.open, lambda: image.key, lambda: image.size):
        with pytest.raises(InputError, match="a.png"):
            use()

    def broken():
        raise RuntimeError("the disk is gone")

    with pytest.raises(InputError, match="'q7'.*the disk is gone"):
        lazy(broken).open()
    with pytest.raises(InputError, match="gave a str"):
        lazy(lambda: "text").open()


def test_files_are_closed(tmp_path):
    path = tmp_path / "a.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    path.write_bytes(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    broken = tmp_path / "b.jpg"
    broken.write_bytes(photo()[:-900])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        lazy(path).open(), lazy(path).size, lazy(path).frames, lazy(path).key
        with pytest.raises(InputError):
            lazy(broken).open()
    if Path("/proc/self/fd").is_dir():
        links = [file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
        assert not [link for link in links if str(tmp_path) in str(link)]


def test_threads_are_strict_together(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    image, refused = lazy(photo()[:-900]), []

    def work():
        for _ in range(20):
            try:
                image.open()
            except InputError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 80
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
