"""The selector ``knowledge`` on heads: on paper, and against plain loops over a raw model."""

import pytest
import torch

from culture_lens.attribution.activity import SQUARES
from culture_lens.attribution.knowledge import KnowledgeScores, knowledge_scores
from culture_lens.models.heads import with_heads
from culture_lens.neurons.scores import NEVER
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import Question
from culture_lens.selectors.knowledge import knowledge
from tests.helpers import lm
from tests.helpers.closeness import relative
from tests.helpers.knowledge import neuron_scores
from tests.helpers.marks import quiet
from tests.helpers.questions import toy_questions
from tests.helpers.reference import decoder_layers
from tests.helpers.reference_heads import entering, norms_written, output_of

HEADS, CULTURES = 4, ("Japan", "Mexico")


def test_a_head_on_paper():
    """Two heads of one layer, one item a culture: sums are means.

    Head 0: G = 4 for A and 1 for B, which is the other culture; R = 2; on items of A it writes
    norms of which 1 - mean^2 / square = 1 - 1 / 4. So (4 - 2 / 2) (1 - 1 / 4) (3 / 4) (4 / 4).
    Head 1 works for both alike: 1 - 2 / 2 = 0, so it is refused.
    """
    items = {"A": 1, "B": 1}
    half = [[[1.0, 1.0]], [[1.0, 1.0]]]
    scores = KnowledgeScores(
        neuron_scores({"head": [[[4.0, 2.0]], [[1.0, 2.0]]]}, items),
        neuron_scores({"head": [[[2.0, 0.0]], [[0.0, 0.0]]]}, items),
        neuron_scores({"head": half, SQUARES + "head": [[[4.0, 4.0]], [[4.0, 4.0]]]}, items),
    )
    rated = knowledge(scores).scores["head"]
    assert rated[0, 0, 0].item() == pytest.approx(3 * 0.75 * 0.75)
    assert (rated[:, 0, 1] == NEVER).all() and rated[1, 0, 0] == NEVER


def passages():
    options = (*CULTURES, "Iran")
    texts = {name: f"It came from {name}. Where from?" for name in CULTURES}
    return [Question(f"c/{name}", name, text, options, n)
            for n, (name, text) in enumerate(texts.items())]  # fmt: skip


def written_out(hf, prompts):
    """Mean contribution, and mean activity and square, of every head over prompts, by loops."""
    outputs = [output_of(layer.self_attn) for layer in decoder_layers(hf)]
    rows = []
    for prompt in prompts:
        held = {}

        def keep(at, z, held=held):
            held[at] = z.detach().requires_grad_() if at not in held else held[at]
            return held[at]

        # Each layer is given a leaf, so its gradient is that through all layers above.
        for layer in range(len(outputs)):

            def replace(at, z, layer=layer):
                return keep(at, z) if at == layer else z

            with entering(outputs, replace):
                logits = hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1]
            scores = logits[list(prompt.labels)]
            gold = prompt.question.answer
            others = [n for n in range(len(scores)) if n != gold]
            (scores[gold] - scores[others].exp().sum().log()).backward()
        product, norms = [], []
        for layer, output in enumerate(outputs):
            z = held[layer]
            by_token = (z * z.grad)[0].view(z.shape[1], HEADS, -1).sum(-1)
            product.append(by_token.amax(0))
            norms.append(norms_written(output, z, HEADS).amax(0))
        rows.append((torch.stack(product), torch.stack(norms)))
    contribution = sum(one for one, _ in rows) / len(rows)
    activity = sum(norm for _, norm in rows) / len(rows)
    squares = sum(norm**2 for _, norm in rows) / len(rows)
    return contribution.detach(), activity, squares


@quiet
@pytest.mark.slow
def test_against_plain_loops():
    model, hf = with_heads(lm.exact("llama")), lm.exact_raw("llama")
    asked = toy_questions(2, CULTURES)
    scores = knowledge_scores(
        model, asked, countryrc=passages(), sites="head", scoring="letter", path="none",
        aggregation="maximum", progress=False, batch_size=3,
    )  # fmt: skip
    expected = {}
    for name, some in (("task", asked), ("country", passages())):
        prompts = labelled(build_prompts(some, model.processor), model.processor)
        for culture in CULTURES:
            own = [prompt for prompt in prompts if prompt.question.culture == culture]
            expected[name, culture] = written_out(hf, own)
    tables = {"contributions": [], "country": [], "varying": []}
    for culture in CULTURES:
        contribution, activity, squares = expected["task", culture]
        tables["contributions"].append(contribution)
        tables["varying"].append(1 - activity**2 / squares)
        tables["country"].append(expected["country", culture][0])
    own, country, varying = (torch.stack(table) for table in tables.values())
    assert relative(scores.contributions("head"), own) <= 1e-9
    assert relative(scores.of_the_country("head"), country) <= 1e-9
    assert (scores.varying("head") - varying).abs().max() <= 1e-9
    found = knowledge(scores).scores["head"]
    for row, layer, head in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        g, other = own[row, layer, head], own[1 - row, layer, head]
        factors = [
            g - country[row, layer, head] / 2,
            1 - max(other, 0) / g if g > 0 else -1,
            varying[row, layer, head],
            g / max(g, other),
        ]
        value = found[row, layer, head]
        if abs(factors[2]) < 1e-12:  # most active at a token that all prompts begin with: rounding
            assert value < 1e-12
        elif min(factors) <= 0:
            assert value == NEVER
        else:
            assert value.item() == pytest.approx(float(torch.tensor(factors).prod()), rel=1e-6)
    assert (found > NEVER).any() and (found == NEVER).any()
