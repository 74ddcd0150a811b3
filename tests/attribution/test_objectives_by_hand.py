"""The logit difference and paths of two points, on paper, in the model of ``helpers/on_paper.py``.

y is what the attention of layer 1 writes, L = ln 3 at every token behind `Kenya` and `red`. Logits
are 5/9 r = 5/9 silu(2y) on A and -2y on B, so that by letter, for the answer A,

    F = 5/9 silu(2y) + 2y       dF/dy = 10/9 silu'(2y) + 2
"""

import math

import pytest

from culture_lens.attribution.gradients import attribute
from culture_lens.models.load import load_model
from culture_lens.questions.question import PromptFormat, Question
from tests.helpers.on_paper import (
    SITES,
    TWIN,
    WORDS,
    A,
    B,
    L,
    W,
    hand_written_model,
    question,
)
from tests.helpers.words import word_tokenizer

DIFFERENCE = {"objective": "logit_difference", "progress": False}
POINTS = (1 / 4, 3 / 4)
WEIGHT = {"Kenya": 4, "red": 12}
M = {"Kenya": 7 * L, "red": -L}
JOIN = {"maximum": max, "sum": sum, "largest": lambda s: max(abs(x) for x in s)}


@pytest.fixture(scope="module")
def model():
    return load_model("by-hand", hf_model=hand_written_model(), tokenizer=word_tokenizer(WORDS))


def logistic(x):
    return 1 / (1 + math.exp(-x))


def silu(x):
    return x * logistic(x)


def slope(x):
    """silu'(x)."""
    return logistic(x) + x * logistic(x) * (1 - logistic(x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def assert_is(scores, expected, rel=1e-9):
    """These neurons have these scores; all others have exactly 0."""
    for site, table in scores.scores.items():
        for place in table[0].nonzero().tolist():
            assert (site, *place) in expected, "a neuron that does nothing has a score"
    for (site, layer, index), value in expected.items():
        found = scores.scores[site][0, layer, index].item()
        assert found == pytest.approx(value, rel=rel, abs=1e-13), (site, layer, index)


# ------------------------------------------------------------------ the objective


@pytest.mark.parametrize("gold", [A, B])
def test_the_logit_difference_by_letter(model, gold):
    """dF/dy = a + 2 with a = 1 + L/5; P(gold) is no weight, and neither is the rest of Z."""
    sign, words = (1 if gold == A else -1), ["coin", "Kenya", *TWIN]
    d = sign * (3 + L / 5) / 21
    v = [M.get(word, L) * WEIGHT.get(word, 1) * d for word in words]
    assert 21 == 16 + len(words) - 2
    for aggregation, join in JOIN.items():
        how = {**DIFFERENCE, "aggregation": aggregation}
        found = attribute(model, [question("coin Kenya", gold)], sites=SITES, **how).scores
        assert found["v"][0, 1, 0].item() == pytest.approx(join(v), rel=1e-9)
        last = [0.0, sign * L * (1 + L / 5)]  # 2y a/2 at the last word
        assert found["gate"][0, 1, 0].item() == pytest.approx(join(last), rel=1e-9)
        assert found["up"][0, 1, 0].item() == pytest.approx(join([0.0, sign * L]), rel=1e-9)
        assert found["q"][0, 1, 1].item() == pytest.approx(join([0.0, -24 * L**2 * d]), rel=1e-9)


CLOZE = "coin Kenya red Answer:".split()


def by_likelihood():
    """The options `A of` and `B` behind `coin Kenya red Answer:`, the first one right.

    Words weigh 18 together, and 19 with A; y = L at the last word and at A.

        s_1 = 1/2 (log P(A) + log P(of | A))      s_2 = log P(B)      F = s_1 - s_2 = 5L/2

    P(A) = 27/118 and P(B) = 1/118 at both places. With E = d log Z / dy = a P(A) - 2 P(B):

        at the last word   dF/dy = (a - E)/2 - (-2 - E) = a/2 + 2 + E/2     dF/dA = (1 + P(A)) / 2
        at A               dF/dy = -E/2                                     dF/dA = -P(A)/2
    """
    a, p = 1 + L / 5, 27 / 118
    e = a * p - 2 / 118
    first, second = a / 2 + 2 + e / 2, -e / 2
    both = first / 18 + second / 19  # every word of the prompt is read twice
    of_a = ((1 + p) / 2, -p / 2)
    zeros = [0.0] * 3
    v = [M.get(word, L) * WEIGHT.get(word, 1) * both for word in CLOZE]
    gate = [L * (1 + L / 4) * WEIGHT.get(word, 1) * both for word in CLOZE]
    return {
        ("gate", 0, 1): [*gate, L * (1 + L / 4) * second / 19],
        ("v", 1, 0): [*v, L * second / 19],
        ("q", 1, 1): [*zeros, -24 * L**2 * first / 18, -24 * L**2 * second / 19],
        ("gate", 1, 0): [*zeros, L * a * of_a[0], L * a * of_a[1]],
        ("up", 1, 0): [*zeros, L * of_a[0], L * of_a[1]],
    }


COUNTED = {"all": slice(None), "prompt": slice(4), "options": slice(4, None)}


@pytest.mark.parametrize("positions", COUNTED)
def test_the_logit_difference_by_likelihood(model, positions):
    form = PromptFormat(layout="{question}\n{options}", cloze="{question}")
    asked = Question("1", "here", "coin Kenya red", ("A of", "B"), 0, prompt=form)
    for aggregation, join in JOIN.items():
        found = attribute(
            model, [asked], sites=SITES, scoring="option_likelihood",
            aggregation=aggregation, positions=positions, **DIFFERENCE,
        )  # fmt: skip
        for (site, layer, index), scores in by_likelihood().items():
            value = found.scores[site][0, layer, index].item()
            expected = join(scores[COUNTED[positions]])
            assert value == pytest.approx(expected, rel=1e-9), (site, layer, aggregation)
        odds = 3**2.5
        assert found.metadata["p_gold"]["here"] == pytest.approx(odds / (1 + odds), rel=1e-12)
        assert found.metadata["right"] == {"here": 1}


# ------------------------------------------------------------------ paths


def read(values):
    """What the attention of layer 1 makes of a value for each word of `coin Kenya`, T = 21."""
    words = ["coin", "Kenya", *TWIN]
    return sum(WEIGHT.get(word, 1) * values(word) for word in words) / 21


def test_v_along_a_path_of_two_points(model):
    """v is scaled, so y = a L; 2y is L/2 and 3L/2, where s is 3^(1/2) and 3^(3/2) to 1."""
    assert logistic(L / 2) == pytest.approx(3**0.5 / (1 + 3**0.5))
    g = mean(10 / 9 * slope(2 * a * L) + 2 for a in POINTS)
    asked = [question("coin Kenya", A)]
    for path in ("integrated", "integrated_layerwise"):
        how = {**DIFFERENCE, "path": path, "points": 2}
        found = attribute(model, asked, sites="v", **how)
        assert_is(found, {("v", 1, 0): 28 * L / 21 * g})  # Kenya: 4 * 7L of 21
        found = attribute(model, asked, sites="v", aggregation="largest", **how)
        assert_is(found, {("v", 1, 0): 28 * L / 21 * g})
        found = attribute(model, asked, sites="v", aggregation="sum", **how)
        assert_is(found, {("v", 1, 0): L * g})
        # F is L + 2L as it is, and 0 where v is 0.
        assert found.metadata["change"]["here"] == pytest.approx(3 * L, rel=1e-12)
        assert found.metadata["gap"]["here"] == pytest.approx(abs(3 * L - L * g), rel=1e-9)


def test_gates_along_a_path_layer_by_layer(model):
    """Layer 1: the last word's 2L is scaled. Layer 0: both gates of every word are."""

    def y(a):
        return read(lambda word: 8 * silu(a * W.get(word, 0)) + 4 / 3 * silu(a * L))

    def at(word, n, factor):
        return mean(
            n * factor * slope(a * n) * WEIGHT.get(word, 1) / 21 * (10 / 9 * slope(2 * y(a)) + 2)
            for a in POINTS
        )

    expected = {
        ("gate", 0, 0): max(at("Kenya", L, 8), at("red", -L, 8), 0),
        ("gate", 0, 1): at("red", L, 4 / 3),  # the heaviest word
        ("gate", 1, 0): mean(2 * L * 5 / 9 * slope(2 * a * L) for a in POINTS),
    }
    how = {**DIFFERENCE, "path": "integrated_layerwise", "points": 2}
    assert_is(attribute(model, [question("coin Kenya", A)], sites="gate", **how), expected)


def test_all_layers_at_once_are_computed_anew(model):
    """At a, v is a m(a) with m(a) of the scaled gates, and the gate of layer 1 a * 2y(a)."""

    def m(word, a):
        return 8 * silu(a * W.get(word, 0)) + 4 / 3 * silu(a * L)

    def y(a):
        return a * read(lambda word: m(word, a))

    def g(a):
        return 10 / 9 * a * slope(2 * a * y(a)) + 2

    def of_v(word):
        return mean(m(word, a) * WEIGHT.get(word, 1) / 21 * g(a) for a in POINTS)

    def of_gate(word, n, factor):
        weight = WEIGHT.get(word, 1) / 21
        return mean(n * factor * slope(a * n) * a * weight * g(a) for a in POINTS)

    words = ["coin", "Kenya", *TWIN]
    expected = {
        ("gate", 0, 0): sum(of_gate(word, W.get(word, 0), 8) for word in words),
        ("gate", 0, 1): sum(of_gate(word, L, 4 / 3) for word in words),
        ("gate", 1, 0): mean(2 * y(a) * 5 / 9 * slope(2 * a * y(a)) for a in POINTS),
        ("v", 1, 0): sum(of_v(word) for word in words),
    }
    how = {**DIFFERENCE, "path": "integrated", "points": 2, "aggregation": "sum"}
    found = attribute(model, [question("coin Kenya", A)], sites=("gate", "v"), **how)
    assert_is(found, expected)
    assert found.metadata["change"]["here"] == pytest.approx(3 * L, rel=1e-12)
    gap = 3 * L - sum(expected.values())
    assert found.metadata["gap"]["here"] == pytest.approx(abs(gap), rel=1e-9)


def test_a_path_from_the_other_culture(model):
    """v of `Kenya` is 7L, -L and four times L, so b = 10L/6 at each token of `coin Kenya`.

    Weights sum to 1, so y = b + a (L - b).
    """
    b = 10 * L / 6
    g = mean(10 / 9 * slope(2 * (b + a * (L - b))) + 2 for a in POINTS)
    asked = [question("coin Kenya", A, "here"), question("Kenya", A, "there")]
    how = {**DIFFERENCE, "path": "integrated", "points": 2, "baseline": "others"}
    found = attribute(model, asked, sites="v", **how)
    assert found.scores["v"][0, 1, 0].item() == pytest.approx(4 / 21 * (7 * L - b) * g, rel=1e-6)
    change = 3 * L - (5 / 9 * silu(2 * b) + 2 * b)
    assert found.metadata["change"]["here"] == pytest.approx(abs(change), rel=1e-6)


# ------------------------------------------------------------------ rules, and scaled inputs


def test_relp_s_rules(model):
    """Behind y, g = 2y = 2L has the secant 9/10, up = 1, and half of the product comes back.

    F = 5/9 r + 2y: rho of r is 5/9, of y 2 + 5/9 * 9/10 * 1/2 * 2 = 5/2. In layer 0 gate 0 is 6L
    on Kenya and -2L on red as act writes it, gate 1 L, and half of that comes back.
    """
    expected = {
        ("v", 1, 0): 28 * L / 21 * 5 / 2,
        ("gate", 0, 0): 24 * L / 21 * 5 / 4,
        ("gate", 0, 1): 12 * L / 21 * 5 / 4,
        ("up", 0, 0): 24 * L / 21 * 5 / 4,
        ("up", 0, 1): 12 * L / 21 * 5 / 4,
        ("gate", 1, 0): L / 2,
        ("up", 1, 0): L / 2,
    }
    how = {**DIFFERENCE, "path": "relp"}
    found = attribute(model, [question("coin Kenya", A)], sites=("gate", "up", "v"), **how)
    assert_is(found, expected)
    post = attribute(model, [question("coin Kenya", A)], sites="post", **how)
    assert post.scores["post"][0, 1, 0].item() == pytest.approx(L, rel=1e-9)


def test_scaled_inputs_of_two_points(model):
    """At a, every input of layer 0 is a times itself: words weigh 4^(a^2), 12^(a^2) and 1."""
    words = ["coin", "Kenya", *TWIN]

    def weight(word, a):
        return WEIGHT.get(word, 1) ** (a * a)

    def y(a):
        m = [a * (8 * silu(a * W.get(w, 0)) + 4 / 3 * silu(a * L)) for w in words]
        weights = [weight(word, a) for word in words]
        return sum(x * k for x, k in zip(m, weights, strict=True)) / sum(weights)

    def g(a):
        return 10 / 9 * a * slope(2 * y(a)) + 2

    def of_v(word):
        total = {a: sum(weight(w, a) for w in words) for a in POINTS}
        return M.get(word, L) * mean(weight(word, a) / total[a] * g(a) for a in POINTS)

    expected = {
        ("v", 1, 0): max(of_v(word) for word in words),
        ("gate", 1, 0): 2 * L * mean(5 / 9 * a * slope(2 * y(a)) for a in POINTS),
    }
    how = {**DIFFERENCE, "path": "inputs", "points": 2}
    found = attribute(model, [question("coin Kenya", A)], sites=("gate", "v"), **how)
    for (site, layer, index), value in expected.items():
        assert found.scores[site][0, layer, index].item() == pytest.approx(value, rel=1e-9)
