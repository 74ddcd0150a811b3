"""Cards in a real browser, opened from disk, without a network, light and dark."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from culture_lens.cards.card import NeuronCards
from culture_lens.cards.records import Chosen, Lens, Rank, SetEffect, TokenLogit
from culture_lens.cards.shown_item import Grid, Token
from culture_lens.report.colours import contrast
from tests.helpers.cards import card, est, shown

pytestmark = pytest.mark.slow
NASTY = "<img src=x onerror=alert(1)>"
LONG = "Spain, Basque Country (Euskara speaking)"
SHADES = [level / 9 for level in range(-9, 10)]
ROLES = ("template", "question", "option", "image", "answer prefix")


def picture():
    out = io.BytesIO()
    Image.new("RGB", (224, 160), (200, 120, 40)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two cards: every role in every shade, a picture with two grids, each table filled."""
    every = tuple(Token(f" {role}", role, value) for role in ROLES for value in SHADES)
    values = np.linspace(-1, 1, 12).reshape(3, 4)
    grids = (Grid("whole picture", values), Grid("tiles", values.T, (0.5, 0.0, 1.0, 1.0)))
    tokens = TokenLogit(NASTY, 3.5, 1, LONG), TokenLogit(" " + "long" * 30, -2.0, 9)
    full = card(
        cultures=(LONG,), chosen=(Chosen("conact", LONG, 0.5, 3, 20),),
        items=(
            shown(tokens=every, culture=LONG), shown(id=NASTY, grids=grids, picture=picture()),
            shown(which="lowest", id="alone", picture=picture()),
        ),
        sets=(SetEffect("conact", LONG, 48, 12, est(-0.2, -0.3, -0.1), est(-0.2, -0.3, -0.1)),),
        ranks=(Rank("conact", LONG, 0.5, 1, 200, 200),),
        lens=Lens(tokens, tokens[::-1], tokens[:1], 49152, 1.5, 1.2, 80.0),
        warnings=(f"Fires for {NASTY}: it may mark their style.",), left_out=("Nothing else.",),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("cards") / "cards.html"
    return NeuronCards((full, replace(card(), neuron=("act", 0, 4)))).save(path)


@pytest.fixture(scope="module")
def tab(browser, file):
    opened = browser.page(file)
    opened.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    yield opened
    opened.close()


def test_everything_is_drawn_and_nothing_is_asked_for(tab, file):
    sizes = tab.run(
        """Promise.all([...document.querySelectorAll("svg image")].map(async (held) => {
            const copy = Object.assign(new Image(), { src: held.getAttribute("href") });
            await copy.decode();
            const used = held.closest("svg").getBoundingClientRect();
            return [copy.naturalWidth, copy.naturalHeight, used.width];
        }))"""
    )
    # A picture and its two grids, and the picture that has none.
    assert [(wide, high) for wide, high, _ in sizes] == [(224, 160), (4, 3), (3, 4), (224, 160)]
    assert all(used > 100 for _, _, used in sizes)
    assert tab.run("document.querySelectorAll('.tokens span').length") == len(ROLES) * 19 + 3 * 2
    assert tab.errors() == []
    assert tab.requests() == [file.resolve().as_uri()]


def test_names_and_tokens_are_text(tab):
    assert tab.run("document.querySelectorAll('img, script, a, form, iframe').length") == 0
    assert NASTY in tab.run("document.querySelector('.warnings').textContent")
    assert NASTY.replace(" ", "␣") in tab.run("document.body.textContent")


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_scrolls_sideways(tab, width):
    tab.resize(width)
    assert tab.run("document.documentElement.scrollWidth") <= width


def test_text_can_be_read_by_day_and_by_night(tab):
    """On every ground: tokens of each role and shade, tables, warnings, what is said in grey."""
    grounds = []
    for dark in (False, True):
        tab.darken(dark)
        seen = tab.run(
            """[...document.querySelectorAll(
                ".tokens span, td, th, caption, li, dt, dd, .about, h1, h4, h5, summary b, small"
            )].map((held) => {
                const layers = [];
                for (let at = held; at; at = at.parentElement)
                    layers.push(getComputedStyle(at).backgroundColor);
                return [getComputedStyle(held).color, layers];
            })"""
        )
        told = {(ink, over(layers)) for ink, layers in seen}
        grounds.append({ground for _, ground in told})
        for ink, ground in told:
            assert contrast(over([ink]), ground) >= 4.5, (dark, ink, ground)
    assert not set.intersection(*grounds)


def over(layers):
    """Lay colours with transparency over each other, the last at the bottom; as hex."""
    below = np.array([255.0, 255.0, 255.0])
    for layer in reversed(layers):
        red, green, blue, *rest = map(float, re.findall(r"[\d.]+", layer))
        share = rest[0] if rest else 1.0
        below = share * np.array([red, green, blue]) + (1 - share) * below
    return "#" + "".join(f"{round(part):02x}" for part in below)
