"""Questions whose pictures cannot be read are left out, with a warning."""

import pytest
from PIL import Image

from culture_lens.errors import CultureLensWarning
from culture_lens.questions.images import LazyImage
from culture_lens.questions.question import Question
from culture_lens.questions.readable import readable
from culture_lens.storage import progress
from tests.helpers.images import GREEN, RED, corners, lazy, photo, saved


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


def test_readable_says_nothing_where_all_is_well(recwarn, capsys, monkeypatch):
    given = [question(1), question(2, lazy(saved(corners())))]
    assert readable(given, progress=False) == given
    assert not recwarn and not capsys.readouterr().err
    monkeypatch.setattr(progress, "watched", lambda: True)  # as on a terminal
    readable(given)
    assert "reading images" in capsys.readouterr().err


def test_readable_decodes_each_image_once(monkeypatch):
    opened, plain = [], LazyImage.open
    monkeypatch.setattr(LazyImage, "open", lambda self: (opened.append(self), plain(self))[1])
    given = [question(n, lazy(saved(corners()))) for n in range(5)]
    readable(given, progress=False)
    assert opened == [q.image for q in given]
