"""Cards as HTML: text is text everywhere, nothing is fetched or run, one file; short reprs."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from culture_lens.cards.card import NeuronCards
from culture_lens.cards.html import STYLE, fragment, shade
from culture_lens.cards.neuron_card import neuron_card
from culture_lens.cards.pictures import heat_map
from culture_lens.cards.records import Activity, Chosen, Lens, Rank, SetEffect, TokenLogit
from culture_lens.cards.shown_item import Grid, Token
from culture_lens.errors import InputError
from tests.helpers import t5, vlm
from tests.helpers.cards import NEURON, card, est, shown
from tests.helpers.marks import QUIET, quiet

HOSTILE = '<script>alert("x")</script><img src=//evil onerror=x>\' {{ 7 * 7 }}'
VOID = {"meta", "img", "br", "image", "use"}


class Reader(HTMLParser):
    """Tags in order, attributes, and text; complains of tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def hostile():
    one = Activity(HOSTILE, 3, est(0.5), est(0.1))
    logit = TokenLogit(HOSTILE, 1.0, 1, HOSTILE)
    picture = vlm.pictured_questions()[0].image
    from culture_lens.cards.grids import thumbnail

    item = shown(
        id=HOSTILE, culture=HOSTILE, category=HOSTILE, options=(HOSTILE, "b"),
        tokens=(Token(HOSTILE, "question", 1.0), Token(HOSTILE, HOSTILE, -2.0)),
        grids=(Grid(HOSTILE, np.array([[1.0, -2.0]])),), picture=thumbnail(picture),
    )  # fmt: skip
    return card(
        neuron=(HOSTILE, 0, 1), cultures=(HOSTILE,), chosen=(Chosen(HOSTILE, HOSTILE, 1.0, 1, 2),),
        items=(item,), by_culture=(one,), by_part=(one,), by_category=(one,), by_name=(one,),
        sets=(SetEffect(HOSTILE, HOSTILE, 1, 2, est(0.1), est(0.1)),),
        ranks=(Rank(HOSTILE, HOSTILE, 0.1, 1, 2, 3),),
        lens=Lens((logit,), (logit,), (logit,), 9, 1.0, 1.0, 50.0),
        warnings=(HOSTILE,), left_out=(HOSTILE,), metadata={"model": HOSTILE},
    )  # fmt: skip


def test_text_from_data_is_text_everywhere(tmp_path):
    page = hostile().save(tmp_path / "card.html").read_text(encoding="utf-8")
    read = Reader(page)
    assert not {"script", "img", "iframe", "link", "object"} & set(read.tags)
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    assert read.text.count(HOSTILE) >= 25 and "49" not in read.text.replace("0.49", "")


def test_nothing_is_fetched():
    for made in (hostile(), card()):
        read = Reader(fragment(made))
        for tag, name, value in read.attributes:
            if name in ("href", "src", "xlink:href"):
                assert value.startswith(("#picture-", "data:image/")), (tag, value)
    assert "url(" not in STYLE and "@import" not in STYLE


def test_the_fragment_is_one_details_element_that_the_style_is_of():
    read = Reader(fragment(card()))
    assert read.tags[0] == "details" and ("details", "class", "card") in read.attributes
    assert ("details", "open", None) not in read.attributes
    assert ("details", "open", None) in Reader(fragment(card(), opened=True)).attributes
    rules = re.sub(r"@media[^{]+\{|\}\s*\}", "", STYLE)
    for selector in re.findall(r"^\s*([^{}\n]+)\{", rules, re.MULTILINE):
        assert all(part.strip().startswith("details.card") for part in selector.split(",")), (
            selector
        )


def test_shades_and_heat_maps_have_one_scale():
    assert [shade(value, 2.0) for value in (2.0, -2.0, 1.0, 0.05)] == [" p9", " n9", " p4", ""]
    assert shade(0.0, 0.0) == ""
    import io

    from PIL import Image

    pixels = np.array(Image.open(io.BytesIO(heat_map(np.array([[2.0, -1.0, 0.0]]), 2.0))))
    assert pixels.shape == (1, 3, 4) and pixels[0, :, 3].tolist() == [215, 108, 0]
    assert pixels[0, 0, 0] > pixels[0, 0, 2] and pixels[0, 1, 2] > pixels[0, 1, 0]


def test_reprs_are_short():
    many = card(warnings=tuple(f"warning {n}: " + "x" * 300 for n in range(9)))
    for made in (many, card(), NeuronCards((card(),) * 20)):
        assert len(repr(made).splitlines()) <= 8
        assert max(map(len, repr(made).splitlines())) <= 100
        assert made._repr_html_().startswith("<style>")


def test_cards_are_found_by_their_neuron_and_listed():
    cards = NeuronCards((card(), card(neuron=("act", 2, 5))))
    assert cards["act", 2, 5].neuron == ("act", 2, 5) and cards[0].neuron == NEURON
    with pytest.raises(InputError, match="unknown card"):
        cards["act", 9, 9]
    table = cards.to_pandas()
    assert table["culture"].tolist() == ["Japan", "Peru"] * 2
    assert table["p_change_low"].tolist() == [-0.3, -0.01] * 2
    assert table.select_dtypes("number").shape[1] == 19


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("name", ["llava_next_mistral", "qwen2_5_vl"])
def test_pictures_have_heat_maps(name):
    made = neuron_card(
        vlm.lens(name), ("act", 1, 4), vlm.pictured_questions()[:4], scoring="letter_options",
        shown=1, measured=2, **QUIET,
    )  # fmt: skip
    grids = [len(item.grids) for item in made.items]
    assert set(grids) <= ({2, 0} if "next" in name else {1, 0}) and max(grids)
    read = Reader(fragment(made))
    assert read.tags.count("svg") == sum(1 for item in made.items if item.picture)
    maps = [v for tag, n, v in read.attributes if n == "href" and v.startswith("data:image/png")]
    assert len(maps) == sum(grids)
    assert [row.label for row in made.by_part] == ["picture", "text"]
    assert made.effects[0].predicted is None and any("no gradient" in t for t in made.left_out)
    image = [token for item in made.items for token in item.tokens if token.role == "image"]
    assert not image


@pytest.mark.slow
@quiet
def test_neurons_of_both_stacks_of_an_encoder_decoder():
    from culture_lens.cards.neuron_card import neuron_cards

    model = t5.lens(next(iter(t5.FAMILIES)))
    places = [("encoder.act", 1, 2), ("decoder.act", 0, 3)]
    encoder, decoder = neuron_cards(
        model, places, t5.mixed_questions(), scoring="letter", shown=1, measured=4, **QUIET
    )
    assert encoder.lens is None and any("not unembedded" in text for text in encoder.left_out)
    assert decoder.lens is not None and len(decoder.items[0].tokens) < len(encoder.items[0].tokens)
    for made in (encoder, decoder):
        assert made.effects[0].predicted is not None
        Reader(fragment(made))
