"""Lazy images: every kind of file in one form, every damage by name, nothing decoded unasked."""

import hashlib
import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions import downloads, images
from culture_lens.questions.decoding import to_rgb
from culture_lens.questions.images import LazyImage, as_image
from culture_lens.questions.question import Question
from culture_lens.questions.readable import readable
from tests.helpers.places import ROOT

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
QUARTERS = (RED, GREEN, BLUE, (255, 255, 0))


def corners(width=40, height=20):
    """Red, green / blue, yellow: no turn or mirroring leaves it as it is."""
    image = Image.new("RGB", (width, height))
    for place, colour in enumerate(QUARTERS):
        box = (place % 2 * width // 2, place // 2 * height // 2)
        image.paste(colour, (*box, box[0] + width // 2, box[1] + height // 2))
    return image


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(size=64, kind="JPEG", **options):
    """A picture of noise, whose file is long enough to be cut."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), kind, **options)


def pixels(image):
    return [tuple(map(int, pixel)) for row in np.asarray(image) for pixel in row]


def lazy(value, where="question 'q7' of cvqa", **options):
    return as_image(value, where=where, **options)


def near(image, place, colour, within=6):
    return all(abs(a - b) <= within for a, b in zip(image.getpixel(place), colour, strict=True))


# Where a picture comes from.


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


def test_other_schemes_are_refused_even_where_addresses_are_allowed():
    for address in ("ftp://example.org/a.jpg", "file:///etc/passwd"):
        with pytest.raises(InputError, match="neither http nor https"):
            lazy(address, allow_urls=True)


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


# One form for every kind of file.


def tag(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return saved(corners(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else options))


# The corners as they are seen, row by row, by the definition of the EXIF orientations.
SEEN = {1: "rgby", 2: "gryb", 3: "ybgr", 4: "byrg", 5: "rbgy", 6: "bryg", 7: "ygbr", 8: "gyrb"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", SEEN)
def test_pictures_are_turned_as_exif_says(kind, orientation):
    image = lazy(tag(kind, orientation))
    opened = image.open()
    assert image.size == opened.size == ((20, 40) if orientation > 4 else (40, 20))
    width, height = opened.size
    places = [(x, y) for y in (3, height - 4) for x in (3, width - 4)]
    names = dict(zip("rgby", QUARTERS, strict=True))
    for place, name in zip(places, SEEN[orientation], strict=True):
        assert near(opened, place, names[name]), (kind, orientation, place)
    # Upright once and for all: whoever looks for the tag again does not turn it a second time.
    assert opened.getexif().get(0x0112, 1) == 1


def test_exif_behind_the_pixels_of_a_png_counts():
    data = tag("PNG", 6)
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append(data[place : place + length + 12])
        place += length + 12
    exif = [chunk for chunk in chunks if chunk[4:8] == b"eXIf"]
    rest = [chunk for chunk in chunks if chunk[4:8] != b"eXIf"]
    assert exif
    late = data[:8] + b"".join([*rest[:-1], *exif, rest[-1]])
    assert lazy(late).size == lazy(late).open().size == (20, 40)


def test_cmyk_jpeg():
    # No cyan and black, all magenta and yellow: red. All cyan alone: its opposite.
    for ink, colour in (((0, 255, 255, 0), RED), ((255, 0, 0, 0), (0, 255, 255))):
        data = saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
        with Image.open(io.BytesIO(data)) as raw:
            assert raw.mode == "CMYK"
        assert near(lazy(data).open(), (8, 8), colour)


def test_palettes_with_and_without_transparency():
    image = Image.new("P", (4, 2), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (2, 0, 4, 2))
    for kind in ("PNG", "GIF"):
        opened = lazy(saved(image, kind)).open()
        assert (opened.getpixel((0, 0)), opened.getpixel((3, 0))) == (RED, BLUE)
        opened = lazy(saved(image, kind, transparency=1)).open()
        assert (opened.getpixel((0, 0)), opened.getpixel((3, 0))) == (RED, WHITE)


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (200, 0, 100, alpha))
    opened = lazy(saved(image)).open()
    half = tuple(round((c * 128 + 255 * 127) / 255) for c in (200, 0, 100))
    assert opened.getpixel((0, 0)) == WHITE
    assert near(opened, (1, 0), half, within=1)
    assert opened.getpixel((2, 0)) == (200, 0, 100)
    grey = Image.new("LA", (2, 1), (40, 255))
    grey.putpixel((1, 0), (40, 0))
    assert pixels(lazy(saved(grey)).open()) == [(40,) * 3, WHITE]


def test_one_colour_of_rgb_or_grey_may_be_transparent():
    rgb = Image.new("RGB", (2, 1), RED)
    rgb.putpixel((1, 0), BLUE)
    assert pixels(lazy(saved(rgb, transparency=BLUE)).open()) == [RED, WHITE]
    grey = Image.new("L", (2, 1), 10)
    grey.putpixel((1, 0), 20)
    assert pixels(lazy(saved(grey, transparency=20)).open()) == [(10,) * 3, WHITE]


def test_grey_and_black_and_white():
    assert lazy(saved(Image.new("L", (2, 2), 77))).open().getpixel((1, 1)) == (77,) * 3
    bits = Image.new("1", (2, 1), 0)
    bits.putpixel((1, 0), 1)
    assert pixels(lazy(saved(bits)).open()) == [(0,) * 3, WHITE]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_steps(kind):
    values = np.array([[0, 256, 257, 32768, 40000, 65535]], dtype=np.uint16)
    opened = lazy(saved(Image.fromarray(values), kind)).open()
    assert [pixel[0] for pixel in pixels(opened)] == [0, 1, 1, 128, 156, 255]
    assert opened.mode == "RGB"


def test_sixteen_bits_in_other_modes():
    wide = Image.new("I", (2, 1), 65535)
    assert to_rgb(wide).getpixel((0, 0)) == WHITE
    big = Image.new("I;16B", (1, 1), 257 * 9)
    assert to_rgb(big).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize("image", [Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), 70000)])
def test_samples_without_a_known_white_are_refused(image):
    with pytest.raises(InputError, match="'q7' of cvqa.*no white is known.*save it with 8 or 16"):
        lazy(image).open()
    with pytest.raises(InputError, match="no white is known"):
        lazy(saved(image, "TIFF")).open()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_used(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    image = lazy(data)
    assert image.frames == 3
    assert image.open().getpixel((4, 4)) == RED
    assert lazy(saved(frames[0], kind)).frames == 1


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_extreme_shapes(size):
    image = lazy(saved(Image.new("RGB", size, GREEN)))
    assert image.size == image.open().size == size
    assert image.open().getpixel((0, 0)) == GREEN


# Damage.


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def claimed(width, height):
    """A PNG of a few bytes whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


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


# Addresses.


@pytest.fixture
def web():
    """A server on this machine; ``asked`` lists the paths that were fetched."""
    picture = saved(corners())

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/a.png")
                self.end_headers()
                return
            self.send_response(404 if self.path == "/gone" else 200)
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.asked = []
    server.at = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_is_fetched_once_and_only_when_looked_at(web, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one, same = (lazy(f"{web.at}/a.png", allow_urls=True) for _ in range(2))
    assert not web.asked
    assert pixels(one.open()) == pixels(corners())
    assert one.size == (40, 20) and same.key == lazy(saved(corners())).key
    assert web.asked == ["/a.png"]


def test_what_cannot_be_fetched_is_named(web, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(InputError, match="/gone: HTTP Error 404.*local copy"):
        lazy(f"{web.at}/gone", allow_urls=True).open()
    with pytest.raises(InputError, match="cannot fetch.*ftp"):
        lazy(f"{web.at}/away", allow_urls=True).open()
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD", 100)
    with pytest.raises(InputError, match="/large is larger than 100 bytes"):
        lazy(f"{web.at}/large", allow_urls=True).open()


# Which questions can be asked.


def question(number, image=None):
    return Question(f"q{number}", "Japan", "?", ("a", "b"), 0, image=image)


def test_readable_leaves_out_what_cannot_be_read_and_says_so():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    moving = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    given = [
        question(1, lazy(saved(corners()))),
        question(2, lazy(photo()[:-900], where="question 'q2' of cvqa")),
        question(3),
        question(4, lazy(moving)),
        question(5, lazy(b"")),
    ]
    with pytest.warns(CultureLensWarning) as caught:
        kept = readable(given, progress=False)
    assert kept == [given[0], given[2], given[3]]
    first, second = (str(w.message) for w in caught)
    assert first.startswith("left out 2 of 4 questions with images")
    assert "the first: question 'q2' of cvqa: the image cannot be decoded" in first
    assert second == "1 of 4 images have more than one frame; the first is used."


def test_readable_is_silent_where_all_is_well(recwarn, capsys):
    given = [question(1), question(2, lazy(saved(corners())))]
    assert readable(given, progress=False) == given
    assert not recwarn and not capsys.readouterr().err
    readable(given)
    assert "reading images" in capsys.readouterr().err


def test_readable_decodes_each_image_once(monkeypatch):
    opened, plain = [], LazyImage.open
    monkeypatch.setattr(LazyImage, "open", lambda self: (opened.append(self), plain(self))[1])
    given = [question(n, lazy(saved(corners()))) for n in range(5)]
    readable(given, progress=False)
    assert opened == [q.image for q in given]


def test_importing_images_is_light():
    code = (
        "import sys, culture_lens.questions.images;"
        "print([m for m in ('PIL', 'numpy', 'torch', 'urllib.request') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
