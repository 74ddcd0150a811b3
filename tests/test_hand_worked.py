"""A model whose weights are written by hand, so that everything it does is known on paper.

Words are tokens. The residual stream has 16 dimensions:

    0      1 on every token
    1 2 3  one-hot of the country words Japan, Brazil, Kenya
    4 5 6  "this country has been read", written by the attention of layer 0
    7..10  the letters A, B, C, D, read out as logits

Attention. All queries and keys are 0, so every token looks at all tokens up to itself alike. In
layer 0, values copy the country dimensions and the output writes them to 4..6. RMSNorm multiplies a
vector by 1 / sqrt(mean of squares); a country word is (1, 1) on two of 16 dimensions, so its norm
factor is sqrt(8). At position t (from 0), with country c at position p <= t,

    seen_c(t) = sqrt(8) / (t + 1)        and exactly 0 before p and for other countries.

The attention of layer 1 writes nothing.

MLP. A neuron is silu(gate) * up. Norm factors are positive, so they do not change the sign of a
gate, and all up weights read dimension 0, which is 1: up > 0. The neurons, with s = seen(t):

    planted Japan   layer 0, 2    gate = s_Japan - 1/64            writes 1 to B
    planted Brazil  layer 1, 0    gate = s_Brazil - 1/64           writes 1 to C
    planted Kenya   layer 1, 3    gate = s_Kenya - 1/64            writes 1 to D
    decoy           layer 0, 1    gate = 1                         writes 1/64 to A
    shared          layer 1, 2    gate = s_Japan + s_Brazil - 1/64 writes nothing
    the others      gate = 0, which is not positive

sqrt(8) / (t + 1) > 1/64 as long as t < 181, longer than any prompt here: a planted neuron is
positive exactly on the tokens from its country word on. So, on a culture's items

    P = (counted tokens from the country word on) / (counted tokens)      of its planted neuron,
    P = 1 of the decoy for all cultures, 0 of the other planted neurons.

ConAct's margin is P - 0 for the planted ones, 0 for the decoy, and P(Japan) - P(Brazil) or the
other way round for the shared one, which is smaller. LAP, on the other hand, chooses the decoy.

The answer to every question on Japan is B, on Brazil C, on Kenya D. Prompts have at most 19 tokens,
so at the last one s >= sqrt(8) / 19 = 0.149. Layer 0 there sees (1, s): norm factor
r = 4 / sqrt(1 + s^2) = 3.96 for the smallest s, gate r (s - 1/64) = 0.53, silu 0.33, up r: Japan's
neuron writes at least 1.3. Layer 1 sees the letters of layer 0 besides, r = 3.82: the other planted
neurons write at least 1.2. The decoy writes at most 4 silu(4) / 64 = 0.246 to A. Unmodified,
the right letter has at least 1.2 / 0.246 = 4.8 times the logit of A, and the two letters of the
countries not asked about are below 0, since there gate = -r/64 < 0. Ablate a planted neuron and
its letter is 0 on its culture's items: A, above 0, wins, which is wrong. On the items of other
cultures a letter that was below 0 becomes 0, and the right one still wins.
"""

import math
from fractions import Fraction

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.interventions.hooks import ablated
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import PromptFormat, Question
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from culture_lens.selectors.conact import conact
from tests.helpers.words import word_tokenizer

CULTURES = ("Brazil", "Japan", "Kenya")
COUNTRY = {"Japan": 0, "Brazil": 1, "Kenya": 2}
ANSWER = {"Japan": 1, "Brazil": 2, "Kenya": 3}  # B, C, D
PLANTED = {"Japan": (0, 2), "Brazil": (1, 0), "Kenya": (1, 3)}
DECOY, SHARED = (0, 1), (1, 2)
D_MLP = 6
LAYOUT = PromptFormat(layout="{question}\n{options}\n{instruction}", instruction="Pick one")
OPTIONS = ("red", "blue", "green", "white")

# Words of the question, with {} for the country, and its place among them.
IDENTIFY = {
    "Japan": [("coin of {} ?", 2), ("{} eats which soup ?", 0)],
    "Brazil": [("coin of {} ?", 2), ("which soup is eaten in {}", 5)],
    "Kenya": [("coin of {} ?", 2), ("which soup do people in {} like ?", 5)],
}
EVALUATE = [("who sings in {} today ?", 3), ("{} likes tea", 0), ("what is danced in {}", 4)]


def questions():
    rows = []
    for culture in CULTURES:
        for split, texts in (("identify", IDENTIFY[culture]), ("evaluate", EVALUATE)):
            for number, (text, place) in enumerate(texts):
                words = text.format(culture)
                assert words.split()[place] == culture
                rows.append(
                    Question(
                        id=f"{split}-{number}/{culture}",
                        culture=culture,
                        text=words,
                        options=OPTIONS,
                        answer=ANSWER[culture],
                        group=f"{split}-{number}",
                        split=split,
                        prompt=LAYOUT,
                    )
                )
    return rows


def words():
    texts = [q.text for q in questions()] + ["A. B. C. D. A B C D Answer: Pick one", *OPTIONS]
    return ["[UNK]", *sorted({word for text in texts for word in text.split()})]


def hand_written_model(tokenizer):
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=D_MLP,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=128,
        rms_norm_eps=1e-12,
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
    )
    hf = LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        hf.model.embed_tokens.weight[:, 0] = 1
        for country, c in COUNTRY.items():
            hf.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids(country), 1 + c] = 1
        first, second = (layer.mlp for layer in hf.model.layers)
        attention = hf.model.layers[0].self_attn
        for c in range(3):
            attention.v_proj.weight[c, 1 + c] = 1
            attention.o_proj.weight[4 + c, c] = 1
        for mlp in (first, second):
            mlp.up_proj.weight[:, 0] = 1
        for country, (layer, index) in PLANTED.items():
            mlp = hf.model.layers[layer].mlp
            mlp.gate_proj.weight[index, 4 + COUNTRY[country]] = 1
            mlp.gate_proj.weight[index, 0] = -1 / 64
            mlp.down_proj.weight[7 + ANSWER[country], index] = 1
        first.gate_proj.weight[DECOY[1], 0] = 1
        first.down_proj.weight[7, DECOY[1]] = 1 / 64
        second.gate_proj.weight[SHARED[1], [4, 5]] = 1
        second.gate_proj.weight[SHARED[1], 0] = -1 / 64
        for letter, label in enumerate("ABCD"):
            hf.lm_head.weight[tokenizer.convert_tokens_to_ids(label), 7 + letter] = 1
    return hf


@pytest.fixture(scope="module")
def model():
    tokenizer = word_tokenizer(words())
    return load_model("by-hand", hf_model=hand_written_model(tokenizer), tokenizer=tokenizer)


@pytest.fixture(scope="module")
def found(model):
    return find_culture_neurons(model, questions(), method="conact", k=1, progress=False)


def identify():
    return split_questions(questions())[0]


# Counted: the words of the question and the four option words (not "A." nor "Answer:").
#            tokens      from the country word on
# Japan      4+4, 5+4    2+4, 5+4
# Brazil     4+4, 6+4    2+4, 1+4
# Kenya      4+4, 8+4    2+4, 3+4
ON_PAPER = {"Japan": (15, 17), "Brazil": (11, 18), "Kenya": (13, 20)}


def test_words_are_tokens_and_what_counts_is_as_on_paper(model):
    prompts = build_prompts(identify(), model.tokenizer)
    coin = next(p for p in prompts if p.question.id == "identify-0/Kenya")
    words = "coin of Kenya ? A. red B. blue C. green D. white Pick one Answer:"
    assert model.tokenizer.convert_ids_to_tokens(list(coin.ids)) == words.split()
    assert coin.roles == (3, 3, 3, 3, 1, 4, 1, 4, 1, 4, 1, 4, 1, 1, 1)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_probabilities_are_exactly_those_on_paper(model, batch_size):
    summary = summarise(model, identify(), batch_size=batch_size, progress=False)
    assert summary.cultures == CULTURES
    expected = torch.zeros(3, 2, D_MLP, dtype=torch.int64)
    for position, culture in enumerate(CULTURES):
        count, total = ON_PAPER[culture]
        assert int(summary.tokens[position]) == total
        expected[position][PLANTED[culture]] = count
        expected[position][DECOY] = total
        if culture in ("Japan", "Brazil"):
            expected[position][SHARED] = count
    assert torch.equal(summary.counts["act"], expected)
    for position, culture in enumerate(CULTURES):
        count, total = ON_PAPER[culture]
        assert summary.probability("act")[position][PLANTED[culture]].item() == count / total


def test_margins_are_exactly_those_on_paper(model):
    scores = conact(summarise(model, identify(), progress=False)).scores["act"]
    finite = {
        (CULTURES[c], layer, index): scores[c, layer, index].item()
        for c, layer, index in torch.isfinite(scores).nonzero().tolist()
    }
    expected = {(c, *PLANTED[c]): count / total for c, (count, total) in ON_PAPER.items()}
    expected[("Japan", *SHARED)] = 15 / 17 - 11 / 18
    assert finite == expected
    assert Fraction(15, 17) - Fraction(11, 18) < min(Fraction(*p) for p in ON_PAPER.values())


def test_conact_finds_the_planted_neurons_and_nothing_else(found):
    assert {c: found[c].members() for c in found} == {c: {("act", *PLANTED[c])} for c in CULTURES}


@pytest.mark.parametrize("method", ["mad", "mad_probability"])
def test_mad_finds_them_too(model, method):
    chosen = select(summarise(model, identify(), progress=False), method, k=1)
    assert {c: chosen[c].members() for c in chosen} == {c: {("act", *PLANTED[c])} for c in CULTURES}


def test_lap_chooses_the_decoy(model):
    chosen = select(summarise(model, identify(), progress=False), "lap", k=1)
    assert {c: chosen[c].members() for c in chosen} == {c: {("act", *DECOY)} for c in CULTURES}


def test_letters_are_written_as_on_paper(model):
    prompts = build_prompts(questions(), model.tokenizer)
    logits = model.logits(collate(prompts, model.pad_id))
    letters = logits[:, [model.tokenizer.convert_tokens_to_ids(x) for x in "ABCD"]]
    for row, prompt in zip(letters, prompts, strict=True):
        right = prompt.question.answer
        others = [i for i in (1, 2, 3) if i != right]
        assert (row[others] < 0).all()
        assert row[right] > 4.8 * row[0] > 0


@pytest.mark.parametrize("scoring", ["letter_options", "letter"])
def test_ablating_one_destroys_exactly_its_culture(model, found, scoring):
    matrix = ablation_matrix(
        model, found, questions(), random_seeds=0, scoring=scoring, batch_size=4, progress=False
    )
    assert sorted(matrix.frame["group"].unique()) == ["evaluate-0", "evaluate-1", "evaluate-2"]
    assert matrix.table("accuracy", "unmodified").loc["unmodified"].tolist() == [1.0, 1.0, 1.0]
    for table, diagonal, elsewhere in (("accuracy", 0, 1), ("change", -1, 0), ("flips", 1, 0)):
        values = matrix.table(table)
        for mask in CULTURES:
            for culture in CULTURES:
                expected = diagonal if mask == culture else elsewhere
                assert values.loc[mask, culture] == expected, (table, mask, culture)
    wrong = matrix.frame[(matrix.frame["condition"] == "found") & ~matrix.frame["correct"]]
    assert (wrong["mask"] == wrong["culture"]).all() and len(wrong) == 9
    assert (wrong["prediction"] == 0).all()  # the decoy's letter
    values = {name: matrix.overall(name) for name in ("self", "cross", "gap", "flips")}
    for name, value in (("self", -1), ("cross", 0), ("gap", -1), ("flips", 1)):
        estimate = values[name]
        assert estimate.value == value
        assert math.isnan(estimate.low) and math.isnan(estimate.high)  # of three question groups


def test_ablating_the_decoy_or_the_shared_neuron_costs_nothing(model):
    from culture_lens.neurons.neurons import Neurons

    for places in ([DECOY], [SHARED]):
        neurons = Neurons.of({"act": places})
        assert (
            evaluate(model, questions(), neurons, scoring="letter_options", progress=False)
            .accuracy()
            .value
            == 1
        )


def test_the_mean_of_a_planted_neuron_gives_its_answer_to_everybody(model, found):
    """Set to a large value, Kenya's neuron writes D on every item."""
    with ablated(model, found["Kenya"], 50.0):
        frame = evaluate(model, questions(), scoring="letter_options", progress=False).frame
    assert (frame["prediction"] == ANSWER["Kenya"]).all()
