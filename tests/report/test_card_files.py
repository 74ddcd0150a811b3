"""Cards are taken from files as they were written, and nothing else is."""

import pytest

from culture_lens.cards.card import NeuronCards
from culture_lens.cards.html import fragment
from culture_lens.errors import CultureLensWarning
from culture_lens.report.card_files import cards_of
from culture_lens.storage.runs import Run
from tests.helpers.cards import card

HOSTILE = '<script>alert("x")</script> & <b onclick=x>'
CARD = '<details class="card"><summary><b>act 0.1</b></summary>{}</details>'


def written(folder, text, name="conact"):
    run = Run.open(folder)
    file = run.named("cards", name, ".html")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"<main><h1>title</h1>{text}</main>", encoding="utf-8")
    return run


def test_a_card_comes_back_as_it_was_written(tmp_path):
    made = [card(), card(neuron=("act", 1, 2), cultures=(HOSTILE,), warnings=(HOSTILE,))]
    run = Run.open(tmp_path)
    NeuronCards(tuple(made)).save(run.named("cards", "conact", ".html"))
    held = cards_of(run)
    assert list(held) == [("act", 0, 3), ("act", 1, 2)]
    for one, (text,) in zip(made, held.values(), strict=True):
        assert text == fragment(one).strip().replace(HOSTILE, "")
    assert "&lt;script&gt;" in held["act", 1, 2][0]


def test_two_selectors_may_have_cards_of_one_neuron(tmp_path):
    written(tmp_path, CARD.format("one"))
    run = written(tmp_path, CARD.format("two"), "lape")
    assert [text.count("one") for text in cards_of(run)["act", 0, 1]] == [1, 0]


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<img src=x>",
        "<p onclick='x'>y</p>",
        "<a href='https://example.org'>y</a>",
        "<svg><use href='https://example.org/x.svg'/></svg>",
        "<p style='background:url(x)'>y</p>",
        "</main>",
        "</details><details class='card'><summary><b>nameless</b></summary>",
        "<form action='x'></form>",
    ],
)
def test_what_is_not_of_a_card_is_left_out_with_a_warning(tmp_path, inside):
    run = written(tmp_path, CARD.format(inside))
    with pytest.warns(CultureLensWarning, match=r"conact.html is not shown, because it is no page"):
        assert cards_of(run) == {}


def test_a_card_that_does_not_end_is_left_out(tmp_path):
    run = written(tmp_path, "")
    half = CARD.removesuffix("</details>")
    run.named("cards", "conact", ".html").write_text(half, encoding="utf-8")
    with pytest.warns(CultureLensWarning, match="its last card does not end"):
        assert cards_of(run) == {}
