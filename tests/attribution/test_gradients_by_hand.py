"""n * dP(gold)/dn on paper, in a model of two layers whose weights are written by hand.

Words are tokens. L = ln 3. The residual stream has 6 dimensions that matter:

    0   1 on every token
    1   w:  L on `Kenya`, -L on `red`, 0 on all other words
    2   e:  ln 4 on `Kenya`, ln 12 on `red`, 0 on all other words
    3   m,  written by the MLP of layer 0
    4   y,  written by the attention of layer 1
    5   r,  written by the MLP of layer 1

Norms. RMSNorm(x) = weight * x / sqrt(mean(x^2) + eps) with eps = 2^100 and weight = 2^50. In
float64 mean(x^2) < 2^10 vanishes beside 2^100, so the norm gives x itself; the part of its
derivative that goes through mean(x^2) is below x_i x_j 2^-100, beside 1. Norms do nothing. (They
are run in float64 here: Hugging Face's run in float32, which would leave 7 digits.)

Layer 0. The attention writes nothing. The MLP has two neurons, both with up = 1:

    neuron 0   gate = w     writes 8 silu(gate) to m
    neuron 1   gate = L     writes 4/3 silu(gate) to m

silu(x) = x s(x), silu'(x) = s(x) + x s(x) (1 - s(x)), s the logistic function, s(L) = 3/4:

    silu(L) = 3L/4      silu'(L) = 3/4 + 3L/16      silu(-L) = -L/4     silu'(-L) = 1/4 - 3L/16

Neuron 1 gives every token 4/3 * 3L/4 = L. With neuron 0, m = 7L on Kenya (6L + L), -L on red
(-2L + L), L elsewhere.

Layer 1, attention, one head of four dimensions. q = 2 and k = e in dimension 1, v = m in
dimension 0, everything else 0. RoPE turns dimensions 1 and 3 by the angle pos * theta^(-1/2), with
theta = 10^30 less than 10^-12 in these prompts: not at all. The logits q k / sqrt(4) are e, so that
words weigh 4 (Kenya), 12 (red) and 1 (all others). The output writes y = sum_j a_j m_j, a_j the
weights over their sum T.

    with n words besides Kenya and red:  T = 16 + n,  y = (4*7 - 12 + n) L / T = L   whatever n is
    without Kenya, as in control twins (A. red B. blue Answer:):  T = 12 + 4,  y = (-12 + 4) L / 16
                                                                                = -L/2

Layer 1, MLP. Neuron 0: gate g = 2y, up = 1, writes silu(g) to r. Neuron 1: gate = up = 0.
    y = L      s(2L) = 9/10    silu(2L) = 9L/5      silu'(2L) = 9/10 + 2L * 9/100 = 9/10 + 9L/50
    y = -L/2   s(-L) = 1/4     silu(-L) = -L/4      silu'(-L) = 1/4 - 3L/16

Logits: 5/9 r on A, -2y on B, 0 on the ten other words.
    y = L      A: L, B: -2L         Z = 3 + 1/9 + 10 = 118/9      P(A) = 27/118     P(B) = 1/118
    y = -L/2   A: -5L/36, B: L      Z = 3^(-5/36) + 3 + 10        P(A) = 3^(-5/36)/Z, P(B) = 3/Z

How P follows y. dA/dy = 5/9 * 2 silu'(g) =: a, dB/dy = -2; dP_A = P_A ((1 - P_A) dA - P_B dB).
    y = L      a = 1 + L/5
               D = dP(A)/dy = 27/118 (91/118 (1 + L/5) + 2/118)   = (27/118^2) (93 + 91L/5)
               D = dP(B)/dy = 1/118 (-2 * 117/118 - 27/118 (1 + L/5)) = -(1/118^2) (261 + 27L/5)
    y = -L/2   a = 5/18 - 5L/24
               D = P_A ((1 - P_A) a + 2 P_B) for A,   D = -P_B (2 (1 - P_B) + P_A a) for B

Scores s_t = n_t * dP/dn_t, at token t of weight a_t (tokens that do not reach the last one: 0):

    layer 0, gate 0   w_t * 8 silu'(w_t) * a_t D
    layer 0, gate 1   L * 4/3 silu'(L) * a_t D = L (1 + L/4) a_t D
    layer 0, up 0     1 * 8 silu(w_t) * a_t D
    layer 0, up 1     L * a_t D
    layer 1, v 0      m_t * a_t D
    layer 1, k 1      e_t * a_t (m_t - y) D             dy/dk_t = q/2 * a_t (m_t - y), q/2 = 1
    layer 1, q 1      2 * sum_j e_j/2 * a_j (m_j - y) D at the last token, 0 at the others
    layer 1, gate 0   2y * dP/dg at the last token, 0 at the others;
                      dP/dg = P_A (1 - P_A) a/2 for A, -P_B P_A a/2 for B
    layer 1, up 0     1 * silu(2y) * 5/9 * dP/dA at the last token, dP/dA = P_A (1 - P_A), -P_B P_A

For y = L: m_t - y is 6L on Kenya and -2L on red, so q's score is (ln 4 * 4 * 6L - ln 12 * 12 * 2L)
D / T = 24 L (ln 4 - ln 12) D / T = -24 L^2 D / T.
"""

import math
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from culture_lens.attribution.gradients import attribute
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import build_prompts, collate
from culture_lens.questions.question import PromptFormat, Question, control_twin
from tests.helpers.reference_culnig import norms_in_own_dtype

L = math.log(3)
WORDS = "[UNK] A B A. B. Answer: coin of Kenya today red blue".split()
E = {"Kenya": math.log(4), "red": math.log(12)}
W = {"Kenya": L, "red": -L}
SITES = ("gate", "up", "q", "k", "v")
LAYOUT = PromptFormat(layout="{question}\n{options}")
A, B = 0, 1  # the gold answers


def word_tokenizer():
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[UNK]")


def hand_written_model():
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        intermediate_size=2,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=4,
        max_position_embeddings=64,
        rms_norm_eps=2.0**100,
        rope_parameters={"rope_type": "default", "rope_theta": 1e30},
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
    )
    hf = LlamaForCausalLM(config).double().eval()
    first, second = hf.model.layers
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            parameter.fill_(2.0**50 if "norm" in name else 0.0)
        hf.model.embed_tokens.weight[:, 0] = 1
        for word in W:
            hf.model.embed_tokens.weight[WORDS.index(word), 1] = W[word]
            hf.model.embed_tokens.weight[WORDS.index(word), 2] = E[word]
        first.mlp.up_proj.weight[:, 0] = 1
        first.mlp.gate_proj.weight[0, 1] = 1
        first.mlp.gate_proj.weight[1, 0] = L
        first.mlp.down_proj.weight[3, 0] = 8
        first.mlp.down_proj.weight[3, 1] = 4 / 3
        second.self_attn.q_proj.weight[1, 0] = 2
        second.self_attn.k_proj.weight[1, 2] = 1
        second.self_attn.v_proj.weight[0, 3] = 1
        second.self_attn.o_proj.weight[4, 0] = 1
        second.mlp.gate_proj.weight[0, 4] = 2
        second.mlp.up_proj.weight[0, 0] = 1
        second.mlp.down_proj.weight[5, 0] = 1
        hf.lm_head.weight[WORDS.index("A"), 5] = 5 / 9
        hf.lm_head.weight[WORDS.index("B"), 4] = -2
    return norms_in_own_dtype(hf)


@pytest.fixture(scope="module")
def model():
    return load_model("by-hand", hf_model=hand_written_model(), tokenizer=word_tokenizer())


def question(text, gold, culture="here", number=0):
    return Question(
        id=f"{text}/{gold}/{culture}/{number}",
        culture=culture,
        text=text,
        options=("red", "blue"),
        answer=gold,
        prompt=LAYOUT,
    )


# ------------------------------------------------------------------ the numbers on paper

P_A, P_B = 27 / 118, 1 / 118
D_A = 27 / 118**2 * (93 + 91 * L / 5)
D_B = -1 / 118**2 * (261 + 27 * L / 5)
P = {A: P_A, B: P_B}
D = {A: D_A, B: D_B}

Z_TWIN = 3 ** (-5 / 36) + 13
TWIN_A, TWIN_B = 3 ** (-5 / 36) / Z_TWIN, 3 / Z_TWIN
SLOPE_TWIN = 5 / 18 - 5 * L / 24
P_TWIN = {A: TWIN_A, B: TWIN_B}
D_TWIN = {
    A: TWIN_A * ((1 - TWIN_A) * SLOPE_TWIN + 2 * TWIN_B),
    B: -TWIN_B * (2 * (1 - TWIN_B) + TWIN_A * SLOPE_TWIN),
}


def on_paper(words, gold):
    """{neuron: [s_t of every token]} for a prompt with Kenya in it, y = L."""
    total = 16 + len(words) - 2
    d = D[gold] / total
    last = len(words) - 1

    def each(kenya, red, other):
        return [{"Kenya": kenya, "red": red}.get(word, other) * d for word in words]

    def at_the_end(value):
        return [value if position == last else 0.0 for position in range(len(words))]

    of_a = P_A * (1 - P_A) if gold == A else -P_B * P_A  # dP/dA
    return {
        ("gate", 0, 0): each(8 * L * (3 + 3 * L / 4), -8 * L * (3 - 9 * L / 4), 0),  # silu' * 4, 12
        ("gate", 0, 1): each(*(L * (1 + L / 4) * weight for weight in (4, 12, 1))),
        ("up", 0, 0): each(6 * L * 4, -2 * L * 12, 0),
        ("up", 0, 1): each(L * 4, L * 12, L),
        ("v", 1, 0): each(7 * L * 4, -L * 12, L),
        ("k", 1, 1): each(math.log(4) * 4 * 6 * L, -math.log(12) * 12 * 2 * L, 0),
        ("q", 1, 1): at_the_end(-24 * L**2 * d),
        ("gate", 1, 0): at_the_end(2 * L * of_a * (1 + L / 5) / 2),
        ("up", 1, 0): at_the_end(9 * L / 5 * 5 / 9 * of_a),
    }  # fmt: skip


TWIN = "A. red B. blue Answer:".split()


def on_paper_twin(gold):
    """The same for the control twin, y = -L/2."""
    d = D_TWIN[gold] / 16

    def each(red, other):
        return [(red if word == "red" else other) * d for word in TWIN]

    def at_the_end(value):
        return [0.0] * 4 + [value]

    of_a = TWIN_A * (1 - TWIN_A) if gold == A else -TWIN_B * TWIN_A
    return {
        ("gate", 0, 0): each(-L * 8 * (1 / 4 - 3 * L / 16) * 12, 0),
        ("gate", 0, 1): each(L * (1 + L / 4) * 12, L * (1 + L / 4)),
        ("up", 0, 0): each(-2 * L * 12, 0),
        ("up", 0, 1): each(L * 12, L),
        ("v", 1, 0): each(-L * 12, L),
        ("k", 1, 1): each(math.log(12) * 12 * -L / 2, 0),
        ("q", 1, 1): at_the_end(math.log(12) * 12 * -L / 2 * d),
        ("gate", 1, 0): at_the_end(-L * of_a * SLOPE_TWIN / 2),
        ("up", 1, 0): at_the_end(-L / 4 * 5 / 9 * of_a),
    }


def assert_is(scores, culture, expected):
    """The neurons named have these scores, to 1e-9; all others have exactly 0."""
    row = scores.cultures.index(culture)
    rest = {
        (site, *place) for site in SITES for place in scores.scores[site][row].nonzero().tolist()
    }
    for (site, layer, index), value in expected.items():
        found = scores.scores[site][row, layer, index].item()
        assert found == pytest.approx(value, rel=1e-9, abs=1e-14), (site, layer, index)
    assert rest <= set(expected), "a neuron that does nothing has a score"


def scored(model, questions, **options):
    return attribute(model, questions, sites=SITES, progress=False, **options)


# ------------------------------------------------------------------ tests


def test_words_are_tokens_and_probabilities_are_as_on_paper(model):
    texts = ("coin Kenya", "coin of Kenya today", "Kenya")
    prompts = build_prompts([question(text, A) for text in texts], model.tokenizer)
    words = "coin of Kenya today A. red B. blue Answer:".split()
    assert model.tokenizer.convert_ids_to_tokens(list(prompts[1].ids)) == words
    twin = build_prompts([control_twin(question("Kenya", A))], model.tokenizer)
    assert model.tokenizer.convert_ids_to_tokens(list(twin[0].ids)) == TWIN
    found = model.logits(collate([*prompts, *twin], model.pad_id)).softmax(-1)[:, [1, 2]]
    expected = torch.tensor([[P_A, P_B]] * 3 + [[TWIN_A, TWIN_B]], dtype=torch.float64)
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)


def test_the_paper_agrees_with_itself():
    """Nudge y by hand: the slopes of P; and weights of all words sum to 1."""

    def p(y, gold):
        g = 2 * y
        a, b = 5 / 9 * g / (1 + math.exp(-g)), -2 * y
        return math.exp((a, b)[gold]) / (math.exp(a) + math.exp(b) + 10)

    h = 1e-5
    for gold in (A, B):
        for y, slope in ((L, D[gold]), (-L / 2, D_TWIN[gold])):
            assert (p(y + h, gold) - p(y - h, gold)) / (2 * h) == pytest.approx(slope, rel=1e-8)
    words = "coin Kenya A. red B. blue Answer:".split()
    for gold in (A, B):
        assert sum(on_paper(words, gold)["v", 1, 0]) == pytest.approx(L * D[gold])
        queries = on_paper(words, gold)["q", 1, 1]
        assert sum(on_paper(words, gold)["k", 1, 1]) == pytest.approx(sum(queries))


AGGREGATE = {"maximum": max, "sum": sum, "last": lambda scores: scores[-1]}


@pytest.mark.parametrize("aggregation", AGGREGATE)
@pytest.mark.parametrize("gold", [A, B])
@pytest.mark.parametrize("text", ["coin Kenya", "Kenya", "coin of Kenya today"])
def test_every_score_is_the_one_on_paper(model, text, gold, aggregation):
    words = [*text.split(), *TWIN]
    expected = {
        neuron: P[gold] * AGGREGATE[aggregation](scores)
        for neuron, scores in on_paper(words, gold).items()
    }
    assert_is(scored(model, [question(text, gold)], aggregation=aggregation), "here", expected)


@pytest.mark.parametrize("aggregation", AGGREGATE)
@pytest.mark.parametrize("gold", [A, B])
def test_every_score_of_a_control_twin_is_the_one_on_paper(model, gold, aggregation):
    expected = {
        neuron: max(0.0, P_TWIN[gold] * AGGREGATE[aggregation](scores))
        for neuron, scores in on_paper_twin(gold).items()
    }
    found = scored(model, [question("coin Kenya", gold)], aggregation=aggregation, control=True)
    assert_is(found, "here", expected)


def test_numbers_worked_out_to_the_end(model):
    """P = 27/118 = 0.2288, D = 0.2191 for A and -0.0192 for B; T = 21 words' weight, L = 1.0986."""
    found = scored(model, [question("coin Kenya", A), question("coin Kenya", B, "there")]).scores
    assert D_A == pytest.approx(0.2191079, abs=1e-7) and D_B == pytest.approx(-0.0191707, abs=1e-7)
    # A: the maximum of v is at Kenya, 28/21 L D; of q at any word but the last, where it is -8/7
    # L^2 D; of the second gate at red, the heaviest word.
    assert found["v"][0, 1, 0].item() == pytest.approx(27 / 118 * 28 / 21 * L * D_A, rel=1e-12)
    assert found["v"][0, 1, 0].item() == pytest.approx(0.0734384, abs=1e-7)
    assert found["q"][0, 1, 1].item() == 0
    assert found["gate"][0, 0, 1].item() == pytest.approx(0.0401179, abs=1e-7)
    # B: P falls with y. v is highest at red, 12/21 L; q at the last word; and the second gate is
    # negative at every word, so its maximum is, too: nothing is clamped here.
    assert found["v"][1, 1, 0].item() == pytest.approx(1 / 118 * 12 / 21 * L * -D_B, rel=1e-12)
    assert found["q"][1, 1, 1].item() == pytest.approx(1 / 118 * 8 / 7 * L**2 * -D_B, rel=1e-12)
    assert found["gate"][1, 0, 1].item() == pytest.approx(
        1 / 118 * L * (1 + L / 4) * D_B / 21, rel=1e-12
    )
    assert found["gate"][1, 0, 1].item() < 0


def test_maximum_sum_and_last_tell_the_tokens_apart(model):
    """v on `coin Kenya`, over L D P / 21: Kenya 28, red -12, five other words 1 each."""
    unit = L * D_A / 21 * P_A
    for aggregation, value in (("maximum", 28), ("sum", 28 - 12 + 5), ("last", 1)):
        found = scored(model, [question("coin Kenya", A)], aggregation=aggregation)
        assert found.scores["v"][0, 1, 0].item() / unit == pytest.approx(value, rel=1e-9)


def test_each_item_weighs_by_its_own_confidence(model):
    """A and B of one culture: 27/118 of the one plus 1/118 of the other, and nothing divided."""
    both = [question("coin Kenya", A), question("coin Kenya", B)]
    found = scored(model, both)
    by_word = [max(on_paper([*"coin Kenya".split(), *TWIN], gold)["v", 1, 0]) for gold in (A, B)]
    expected = 27 / 118 * by_word[0] + 1 / 118 * by_word[1]
    assert found.scores["v"][0, 1, 0].item() == pytest.approx(expected, rel=1e-9)
    for wrong in (sum(by_word), 28 / 118 * sum(by_word), 14 / 118 * sum(by_word), expected / 2):
        assert wrong != pytest.approx(expected, rel=0.01)


def test_control_items_are_clamped_one_by_one_and_task_items_never(model):
    """The second gate of layer 0, on twins: positive for A, negative for B."""
    a, b = question("coin Kenya", A), question("coin Kenya", B)
    paper = [
        {neuron: P_TWIN[gold] * max(scores) for neuron, scores in on_paper_twin(gold).items()}
        for gold in (A, B)
    ]
    first = ("gate", 0, 1)
    assert paper[0][first] > 0 > paper[1][first]
    kept = scored(model, [a, b], control=True).scores["gate"][0, 0, 1].item()
    assert kept == pytest.approx(paper[0][first], rel=1e-9)
    assert kept > 1.01 * (paper[0][first] + paper[1][first]), "clamping the sum gives less"
    alone = scored(model, [b], control=True).scores["gate"][0, 0, 1].item()
    assert alone == 0
    # The same prompt asked as a task, without a question in it, is not clamped.
    asked = scored(model, [replace(b, text=" ")]).scores["gate"][0, 0, 1].item()
    assert asked == pytest.approx(paper[1][first], rel=1e-9) and asked < 0


def test_clamping_comes_after_the_tokens_are_joined(model):
    """The sum over tokens of v on a twin, gold A: red -12, others 4, so -8 before the clamp."""
    found = scored(model, [question("Kenya", A)], aggregation="sum", control=True).scores["v"][
        0, 1, 0
    ]
    assert sum(on_paper_twin(A)["v", 1, 0]) == pytest.approx(-8 * L * D_TWIN[A] / 16)
    assert found.item() == 0
    found = scored(model, [question("Kenya", B)], aggregation="sum", control=True).scores["v"][
        0, 1, 0
    ]
    assert found.item() == pytest.approx(TWIN_B * 8 * L * -D_TWIN[B] / 16, rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_padding_and_batches_change_nothing_on_paper(model, batch_size):
    texts = ("Kenya", "coin Kenya", "coin of Kenya", "of of of coin coin Kenya today today today")
    items = [(text, gold) for text in texts for gold in (A, B)]
    found = scored(model, [question(text, gold) for text, gold in items], batch_size=batch_size)
    expected = {}
    for text, gold in items:
        for neuron, scores in on_paper([*text.split(), *TWIN], gold).items():
            expected[neuron] = expected.get(neuron, 0.0) + P[gold] * max(scores)
    assert_is(found, "here", expected)


def test_confidence_and_right_answers_are_told(model):
    """A is the likeliest word with a question, B without; the other words have 9/118 each."""
    both = [
        question("coin Kenya", A, "a"),
        question("coin Kenya", B, "b"),
        question("of Kenya", A, "a"),
    ]
    told = scored(model, both).metadata
    assert told["right"] == {"a": 2, "b": 0} and told["items"] == {"a": 2, "b": 1}
    assert told["p_gold"] == pytest.approx({"a": 54 / 118, "b": 1 / 118}, rel=1e-12)
    told = scored(model, both, control=True).metadata
    assert told["right"] == {"a": 0, "b": 1}
    assert told["p_gold"] == pytest.approx({"a": 2 * TWIN_A, "b": TWIN_B}, rel=1e-12)


def test_cultures_are_summed_by_themselves(model):
    rows = [question("coin Kenya", A, "here", n) for n in range(3)]
    rows += [question("Kenya", B, "there", n) for n in range(2)]
    found = scored(model, rows)
    assert found.cultures == ("here", "there")
    for culture, text, gold, n in (("here", "coin Kenya", A, 3), ("there", "Kenya", B, 2)):
        paper = on_paper([*text.split(), *TWIN], gold)
        assert_is(found, culture, {x: n * P[gold] * max(s) for x, s in paper.items()})
