"""Pictures are prepared ahead: the same pixels in the same order, errors where they belong."""

import threading
import time

import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.models.pictures_ahead import PER_THREAD, PicturesAhead
from culture_lens.prompts.speed import Speed
from culture_lens.questions.images import as_image
from tests.helpers.marks import QUIET
from tests.helpers.vlm import fresh, pictured_questions

IMAGES = [as_image(bytes([number]), where=f"picture {number}") for number in range(12)]


class Prepared:
    """A reader that remembers which pictures it prepared, in their order, and in which thread."""

    def __init__(self, broken=(), seconds=0.0):
        self.calls, self.broken, self.seconds = [], broken, seconds

    def pixels(self, image):
        self.calls.append((image.where, threading.current_thread().name))
        time.sleep(self.seconds)
        if image.where in self.broken:
            raise InputError(f"{image.where} is broken")
        return {"pixel_values": image.where}

    @property
    def order(self):
        return [where for where, _ in self.calls]


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_is_prepared_once_and_in_a_thread(threads):
    prepare = Prepared(seconds=0.001)
    ahead = PicturesAhead(prepare)
    with ahead.of([*IMAGES, *IMAGES[:3]], threads):
        for taken, image in enumerate(IMAGES, start=1):
            assert ahead.take(image) == {"pixel_values": image.where}
            assert len(prepare.calls) <= taken + PER_THREAD * threads  # so many wait, and no more
    assert sorted(prepare.order) == sorted(image.where for image in IMAGES)
    assert all(name.startswith("pictures") for _, name in prepare.calls)
    assert readers() == []


def test_one_thread_prepares_them_in_order_and_before_they_are_asked_for():
    prepare = Prepared()
    ahead = PicturesAhead(prepare)
    with ahead.of(IMAGES, 1):
        deadline = time.monotonic() + 10
        while len(prepare.calls) < PER_THREAD and time.monotonic() < deadline:
            time.sleep(0.001)
        assert prepare.order == [image.where for image in IMAGES[:PER_THREAD]]
        for image in IMAGES:
            ahead.take(image)
    assert prepare.order == [image.where for image in IMAGES]


def test_without_threads_after_the_block_and_when_known_they_are_made_on_the_spot():
    prepare = Prepared()
    ahead = PicturesAhead(prepare)
    with ahead.of(IMAGES, 0):
        ahead.take(IMAGES[0])
    ahead.take(IMAGES[1])
    known = {image.key for image in IMAGES}
    with ahead.of(IMAGES, 2, known):
        assert readers() == []
        ahead.take(IMAGES[2])
    with ahead.of(IMAGES[:1], 2), ahead.of(IMAGES[5:], 2):  # the outer one goes on
        ahead.take(IMAGES[5])
    assert {name for _, name in prepare.calls[:3]} == {threading.current_thread().name}
    assert ("picture 5", threading.current_thread().name) in prepare.calls


def test_an_error_comes_where_its_picture_is_taken():
    prepare = Prepared(broken={"picture 2"})
    ahead = PicturesAhead(prepare)
    with ahead.of(IMAGES, 2):
        for image in IMAGES[:2]:
            ahead.take(image)
        with pytest.raises(InputError, match="picture 2 is broken"):
            ahead.take(IMAGES[2])
        assert ahead.take(IMAGES[3]) == {"pixel_values": "picture 3"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, InputError])
def test_whatever_ends_the_block_leaves_no_thread_and_no_picture(stop):
    prepare = Prepared(seconds=0.01)
    ahead = PicturesAhead(prepare)
    with pytest.raises(stop), ahead.of(IMAGES, 2):
        ahead.take(IMAGES[0])
        raise stop("enough")
    assert readers() == [] and len(prepare.calls) < len(IMAGES)
    begun = len(prepare.calls)
    with ahead.of(IMAGES[:1], 1):
        ahead.take(IMAGES[0])
    assert len(prepare.calls) == begun + 1


@pytest.mark.slow
def test_passes_give_the_same_bits_and_prepare_in_threads():
    """Recording, gradients, trees (LLaVA) and batches, each with a model of its own."""
    questions = pictured_questions()
    batches = {"trees": False, "fold": False}
    found = {}
    for threads in (0, 3):
        seen = set()
        model = fresh("llava")
        pixels = model.processor.pixels

        def noted(image, seen=seen, pixels=pixels):
            seen.add(threading.current_thread().name.split("_")[0])
            return pixels(image)

        object.__setattr__(model.processor, "pixels", noted)  # a frozen reader
        ways = []
        for options in ({}, batches):
            speed = Speed(picture_threads=threads, **options)
            model.vision.forget()
            frame = evaluate(model, questions, speed=speed, batch_size=3, **QUIET).frame
            ways.append(frame["scores"].tolist())
        model.vision.forget()
        ways.append(summarise(model, questions, speed=speed, batch_size=3, **QUIET).sums["act"])
        model.vision.forget()
        ways.append(attribute(model, questions, speed=speed, sites="v", **QUIET).scores["v"])
        found[threads] = ways
        assert seen == ({"pictures"} if threads else {threading.current_thread().name})
    assert found[0][:2] == found[3][:2]
    assert all(torch.equal(a, b) for a, b in zip(found[0][2:], found[3][2:], strict=True))
    assert readers() == []
