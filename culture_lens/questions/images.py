"""Images that are checked when they are named and decoded only when they are used.

A ``LazyImage`` holds where its picture comes from, never its pixels, so a list of questions takes
no more memory with images than without. ``open`` decodes every time and returns every kind of
file as upright RGB of 8 bits:

1. Raise an error for more than ``max_pixels`` by the header, before anything is decoded.
2. Take the first frame of an animation.
3. Turn the picture as its EXIF orientation says.
4. Bring 16-bit grey to 8 bits by its whole range, 65535 to 255.
5. Lay transparency over white.
6. Convert to RGB; colour profiles are not applied.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from culture_lens.checks import check_arguments, file_path, flag, optional, text, whole
from culture_lens.errors import InputError
from culture_lens.questions.decoding import is_pil, strict_decoding, to_rgb
from culture_lens.questions.downloads import SCHEME, allowed, fetch
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    from PIL import Image


Source: TypeAlias = "Path | bytes | str | Image.Image | Callable[[], bytes]"

MAX_PIXELS = 100_000_000
"""Larger images raise an error: a small file can unpack to more than the memory holds."""

ORIENTATION = 0x0112


@dataclass(frozen=True, eq=False)
class LazyImage(Shown):
    """A picture that is read when it is used; made by ``as_image``.

    Attributes:
        where: What it belongs to, for messages, such as ``"question 'q7' of cvqa"``.
        name: The picture's own name, for messages: its path, its address, or what it belongs to.
        source: A path, the bytes of a file, an address (a string), a PIL image, or a function
            without arguments that gives bytes.
        max_pixels: The largest width times height that is opened.

    Raises:
        InputError: On the first use of a picture that is empty, damaged, truncated, too large or
            not an image.

    Example:
        ``as_image("photo.jpg", where="my notebook").open()``
    """

    where: str
    name: str
    source: Source = field(repr=False)
    max_pixels: int = MAX_PIXELS

    def open(self) -> Image.Image:
        """Decode the picture, upright and in RGB; it is not kept, so each call decodes again."""
        from PIL import ImageOps

        with self._opened() as image:
            return to_rgb(ImageOps.exif_transpose(image))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height as it will be opened; most files are read up to their header only.

        PNG may keep its EXIF behind the pixels, so that it is decoded where it has none before.
        """
        with self._opened() as image:
            # PIL turns a TIFF itself as it loads it; before, its size and its EXIF do not agree.
            if image.format == "TIFF":
                image.load()
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)

    @cached_property
    def frames(self) -> int:
        """How many frames the file holds; more than one for an animation, whose first is used."""
        with self._opened() as image:
            return int(getattr(image, "n_frames", 1))

    @cached_property
    def key(self) -> str:
        """A hash of the file's bytes, or of mode, size and pixels of what came as a PIL image.

        The same file has the same key by path, by bytes or from a dataset; as a PIL image, which
        has lost its file, it has another.
        """
        if not is_pil(self.source):
            return hashlib.sha256(self.read()).hexdigest()[:24]
        with self._opened() as image:
            parts = (image.mode, image.size, image.getpalette(), image.info.get("transparency"))
            return hashlib.sha256(repr(parts).encode() + image.tobytes()).hexdigest()[:24]

    @property
    def n_bytes(self) -> int | None:
        """Bytes of the file (or of a PIL image's pixels) without reading it; None if unknown.

        Pictures of different sizes differ, so only those of one size need be read to compare.
        """
        source: Any = self.source
        if is_pil(source):
            return int(source.width * source.height * len(source.getbands()))
        if isinstance(source, Path):
            return source.stat().st_size
        return len(source) if isinstance(source, bytes) else getattr(source, "n_bytes", None)

    def read(self) -> bytes:
        """Read the bytes of the file; not for what came as a PIL image."""
        source: Any = self.source
        try:
            if isinstance(source, Path):
                data = source.read_bytes()
            elif isinstance(source, str):
                data = fetch(source).read_bytes()
            else:
                data = source if isinstance(source, bytes) else source()
        except InputError:
            raise
        # A function that the user gave may raise anything.
        except Exception as error:
            raise self._refused(
                f"cannot be read ({error}); check that it is still there"
            ) from error
        if not isinstance(data, bytes):
            raise self._refused(f"gave a {type(data).__name__}; its function must give bytes")
        return data

    @contextmanager
    def _opened(self) -> Iterator[Image.Image]:
        """Open up to the header, check the size, and turn every failure into one kind of error."""
        from PIL import Image, UnidentifiedImageError

        source: Any = self.source
        with strict_decoding():
            try:
                if is_pil(source):
                    self._check(source)
                    yield source
                    return
                with self._stream() as file, Image.open(file) as image:
                    self._check(image)
                    yield image
            except InputError:
                raise
            except UnidentifiedImageError as error:
                raise self._refused("is not an image of a known kind; replace it") from error
            except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                raise self._refused(f"is too large: {error} Use a smaller copy of it") from error
            # What damaged files raise in PIL's decoders runs from OSError to TypeError.
            except Exception as error:
                reason = str(error) or type(error).__name__
                raise self._refused(f"cannot be decoded ({reason}); replace it") from error

    def _stream(self) -> io.BufferedReader | io.BytesIO:
        file = self.source.open("rb") if isinstance(self.source, Path) else io.BytesIO(self.read())
        if not file.read(1):
            file.close()
            raise self._refused("is empty (0 bytes); replace it")
        file.seek(0)
        return file

    def _check(self, image: Image.Image) -> None:
        width, height = image.size
        if width * height > self.max_pixels:
            raise self._refused(
                f"has {width} x {height} pixels, more than max_pixels={self.max_pixels}; use a "
                "smaller copy of it"
            )
        if width < 1 or height < 1:
            raise self._refused(f"has {width} x {height} pixels and is empty; replace it")
        if image.format == "EPS":
            # PIL would start Ghostscript, another program, on a file of unknown origin.
            raise self._refused("is an EPS drawing; convert it to PNG")

    def _refused(self, problem: str) -> InputError:
        name = f"image {self.name}" if self.name != self.where else "the image"
        return InputError(
            f"{self.where}: {name} {problem}, or leave such questions out with "
            "culture_lens.readable(questions)."
        )


@check_arguments(where=text, root=optional(file_path), allow_urls=flag, max_pixels=whole(1))
def as_image(
    value: Any,
    *,
    where: str,
    root: str | Path | None = None,
    allow_urls: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> LazyImage:
    """Make a ``LazyImage`` of anything that names or holds one picture, without reading it.

    Relative paths may lead out of ``root`` with ``..``, and absolute ones are taken as they are:
    both are the user's own.

    Args:
        value: A path, the bytes of a file, a PIL image (held as it is), a mapping with ``bytes``
            or ``path`` as Hugging Face datasets have it, a function without arguments that gives
            bytes, a ``LazyImage``, or the http(s) address of a file.
        where: What the picture belongs to, for messages.
        root: The folder that relative paths start from; the working folder without it.
        allow_urls: Allow addresses. Each is fetched once, when its picture is first used, into a
            folder that is deleted when the program ends.
        max_pixels: The largest width times height that is opened.

    Raises:
        InputError: Anything else, a path that leads to no file, or an address that is not allowed.

    Example:
        >>> as_image(b"...", where="question 'q7' of cvqa").name
        "question 'q7' of cvqa"
    """
    if isinstance(value, LazyImage):
        return value
    name = where
    if isinstance(value, Mapping) and ("bytes" in value or "path" in value):
        # Datasets write the path beside the bytes too, but then it leads nowhere.
        name = str(value.get("path") or where)
        value = value.get("bytes") or value.get("path")
        if not value:
            raise InputError(f"{where}: the image has neither bytes nor a path; give one of them.")
    source: Source
    if isinstance(value, (bytes, bytearray, memoryview)):
        source = bytes(value)
    elif isinstance(value, str) and SCHEME.match(value):
        name = source = allowed(value, where, allow_urls)
    elif isinstance(value, (str, os.PathLike)):
        source = existing(Path(root or "", value), where)
        name = str(source)
    elif is_pil(value) or callable(value):
        name = str(getattr(value, "name", "") or name)
        source = value
    else:
        raise InputError(
            f"{where}: the image is a {type(value).__name__}: give a path, bytes, a PIL image, a "
            "mapping with 'bytes' or 'path', or a function that gives bytes."
        )
    return LazyImage(where, name, source, max_pixels)


def existing(path: Path, where: str) -> Path:
    """Check that a path leads to a file."""
    # os.path and not Path: a text far too long for a path is no file, and raises nothing.
    if os.path.isfile(path):
        return path
    kind = "does not exist"
    if os.path.exists(path):
        kind = "is a folder" if os.path.isdir(path) else "is a pipe, device or socket"
    raise InputError(
        f"{where}: the image file {str(path)[:300]} {kind}; correct the path, which is relative to "
        f"{str(path.parent)[:300]!r} or absolute."
    )
