"""HONES against plain loops over a raw model, and what it refuses."""

import pytest
import torch

import culture_lens as cl
from culture_lens.attribution.hones import hones_scores, others_mean
from culture_lens.errors import InputError
from culture_lens.neurons.scores import NEVER
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.build import build_prompts
from culture_lens.selectors.hones import hones
from culture_lens.selectors.ranking import Sources, rank
from tests.helpers import lm, t5
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.reference import decoder_layers
from tests.helpers.reference_heads import entering

HEADS, LAYERS = 4, 3


def test_the_mean_of_the_others_on_paper():
    z = torch.tensor([[[[1.0, 5.0], [2.0, 0.0], [6.0, 1.0]]]])
    assert others_mean(z, 2)[0, 0].tolist() == [[1.0, 5.0], [2.0, 0.0], [1.5, 2.5]]


def written_out(hf, prompts, top):
    """w, c and I of one culture, by loops."""
    layers = decoder_layers(hf)
    held: dict[int, torch.Tensor] = {}

    def keep(at, a):
        held[at] = a[0, -1].double()
        return a

    def run(prompt, gone=None):
        def replace(at, z):
            if gone is None or at != gone[0]:
                return z
            apart = z[0].view(z.shape[1], HEADS, -1).clone()
            others = [h for h in range(HEADS) if h != gone[1]]
            apart[:, gone[1]] = sum(apart[:, h] for h in others) / len(others)
            return apart.reshape(z.shape)

        with (
            torch.no_grad(),
            entering([layer.self_attn.o_proj for layer in layers], replace),
            entering([layer.mlp.down_proj for layer in layers], keep),
        ):
            logits = hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1].double()
        answer = prompt.labels[prompt.question.answer]
        u = hf.lm_head.weight[answer].double()
        u = u / u.norm()
        c = torch.stack(
            [
                held[at] * (layer.mlp.down_proj.weight.double().T @ u)
                for at, layer in enumerate(layers)
            ]
        )
        return float(logits.softmax(0)[answer]), c.detach()

    def means(gone=None):
        rows = [run(prompt, gone) for prompt in prompts]
        return sum(p for p, _ in rows) / len(rows), sum(c for _, c in rows) / len(rows)

    utility, base = means()
    every = {(la, h): means((la, h)) for la in range(LAYERS) for h in range(HEADS)}
    weights = {head: max(0.0, utility - other) for head, (other, _) in every.items()}
    best = [h for h in sorted(weights, key=lambda h: -weights[h])[:top] if weights[h] > 0]
    total = sum(weights[head] for head in best)
    score = sum(weights[h] * (base - every[h][1]).clamp(min=0) for h in best) / total
    return {head: weights[head] for head in best}, score


@pytest.mark.slow
def test_against_plain_loops():
    model, hf = lm.lens("llama"), lm.raw("llama")
    asked = toy_questions(topics=2, cultures=("Japan", "Mexico"))
    found = hones_scores(model, asked, top_heads=4, scoring="letter", batch_size=3, **QUIET)
    prompts = labelled(build_prompts(asked, model.processor), model.processor)
    for row, culture in enumerate(found.cultures):
        own = [prompt for prompt in prompts if prompt.question.culture == culture]
        weights, expected = written_out(hf, own, 4)
        held = {(la, h): w for la, h, w in found.metadata["heads"][culture]}
        assert list(held) == list(weights)
        assert list(held.values()) == pytest.approx(list(weights.values()), rel=1e-3)
        assert relative(found.scores["act"][row], expected) < 1e-3
    compared = hones(found, contrast=True).scores["act"]
    table = found.scores["act"]
    others = (table.sum(0) - table) / (len(table) - 1)
    positive = (table > 0) & (table > others)
    assert torch.equal(compared > NEVER, positive)
    assert torch.allclose(compared[positive], (table - others)[positive])


@pytest.mark.slow
def test_it_is_a_selector_like_the_others():
    model, asked = lm.lens("llama"), toy_questions(topics=2, cultures=("Japan", "Mexico"))
    options = {"per_culture": 1, "heads": [(0, 1), (2, 3)]}
    found = cl.find_culture_neurons(
        model, asked, method="hones", k=3, summary_options=options, **QUIET
    )
    assert found.metadata["selector"] == "hones"
    assert all(len(found[culture]) <= 3 for culture in found)
    scores = hones_scores(model, asked, scoring="option_likelihood", **options, **QUIET)
    own = rank("hones", Sources(heads=scores)).scores["act"]
    assert torch.equal(own > NEVER, scores.scores["act"] > 0)
    with pytest.raises(InputError, match="hones_scores"):
        rank("hones", Sources())


def test_what_is_refused():
    asked = toy_questions(topics=1)
    with pytest.raises(InputError, match="'act' or 'post'"):
        hones_scores(lm.lens("llama"), asked, sites="gate", **QUIET)
    with pytest.raises(InputError, match="one stack"):
        hones_scores(t5.lens("t5"), asked, **QUIET)
    with pytest.raises(InputError, match="top_heads"):
        hones_scores(lm.lens("llama"), asked, top_heads=0, **QUIET)
