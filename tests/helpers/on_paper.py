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

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from culture_lens.questions.question import PromptFormat, Question
from tests.helpers.reference_culnig import norms_in_own_dtype

L = math.log(3)
WORDS = "[UNK] A B A. B. Answer: coin of Kenya today red blue".split()
E = {"Kenya": math.log(4), "red": math.log(12)}
W = {"Kenya": L, "red": -L}
SITES = ("gate", "up", "q", "k", "v")
LAYOUT = PromptFormat(layout="{question}\n{options}")
A, B = 0, 1  # the gold answers


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


def question(text, gold, culture="here", number=0):
    return Question(
        id=f"{text}/{gold}/{culture}/{number}",
        culture=culture,
        text=text,
        options=("red", "blue"),
        answer=gold,
        prompt=LAYOUT,
    )


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
