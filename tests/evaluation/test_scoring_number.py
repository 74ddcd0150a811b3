"""Reading the number that a model writes next: by hand, and against the plain model."""

from dataclasses import replace

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import SCORINGS, exactly
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import NO_OPTION
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import PromptFormat, Question
from tests.helpers.lm import lens, raw

POINTS = tuple(str(point) for point in range(1, 11))


def test_options_that_go_on_from_others_by_hand():
    """P(1 next) = .6; 10 has .35 of it, of which 100 has .05; 2 stands alone."""
    options = [(1,), (1, 0), (1, 0, 0), (2,)]
    written = torch.tensor([0.6, 0.35, 0.05, 0.3], dtype=torch.float64).log()
    assert exactly(written, options).exp().tolist() == pytest.approx([0.25, 0.3, 0.05, 0.3])
    nothing = exactly(torch.tensor([0.35, 0.35]).log(), options[:2])
    assert nothing.isfinite().all() and nothing.argmax() == 1


def asked(options=POINTS, answer=0):
    form = PromptFormat(cloze="{question}\nA number:")
    return Question("q", "Peru", "How free?", tuple(options), answer, prompt=form)


def plain_log_probs(hf, ids, continuation):
    logits = hf(input_ids=torch.tensor([[*ids, *continuation]])).logits[0].double()
    logs = logits.log_softmax(-1)
    return sum(logs[len(ids) - 1 + at, token].item() for at, token in enumerate(continuation))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_probabilities_are_those_of_the_plain_model(architecture):
    model, hf = lens(architecture, torch.float64), raw(architecture, torch.float64)
    (prompt,) = build_prompts([asked(answer=9)], model.processor, style="cloze")
    assert max(map(len, prompt.continuations)) > 1  # 10 is split, so 1 begins two numbers
    (answer,) = SCORINGS["number"].answers(model, collate([prompt], model.pad_id))
    with torch.no_grad():
        p = [plain_log_probs(hf, prompt.ids, ids) for ids in prompt.continuations]
        best = int(hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1].argmax())
    p = torch.tensor(p, dtype=torch.float64).exp()
    p[0] -= p[9]
    assert torch.tensor(answer.scores).exp().tolist() == pytest.approx(p.tolist(), rel=1e-5)
    assert answer.p_gold == pytest.approx(p[9].item(), rel=1e-5)
    begun = [at for at, ids in enumerate(prompt.continuations) if ids[0] == best]
    assert answer.prediction == (max(begun, key=p.__getitem__) if begun else NO_OPTION)


def test_only_what_begins_an_option_is_an_answer():
    """The model's favourite next token as an option, and without it."""
    model = lens("llama", torch.float64)
    (prompt,) = build_prompts([asked()], model.processor, style="cloze")
    favourite = int(model.logits(collate([prompt], model.pad_id))[0].argmax())
    beside = [token for token in range(20, 30) if token != favourite]
    for at in (0, 3):
        ids = [(token,) for token in beside[:4]]
        other = replace(prompt, continuations=tuple(ids))
        other = replace(other, question=asked(("a", "b", "c", "d")))
        (answer,) = SCORINGS["number"].answers(model, collate([other], model.pad_id))
        assert answer.prediction == NO_OPTION
        ids[at] = (favourite,)
        other = replace(other, continuations=tuple(ids))
        (answer,) = SCORINGS["number"].answers(model, collate([other], model.pad_id))
        assert answer.prediction == at


@pytest.mark.parametrize("name", ["logits", "continuation_log_probs"])
def test_nan_is_no_answer(monkeypatch, name):
    """In the logits after the prompt, or only after an option's first token."""
    model, whole = lens("llama", torch.float64), getattr(LensModel, name)

    def spoilt(self, batch):
        found = whole(self, batch)
        if name == "logits":
            return found * float("nan")
        return [[logs * float("nan") for logs in row] for row in found]

    (prompt,) = build_prompts([asked()], model.processor, style="cloze")
    monkeypatch.setattr(LensModel, name, spoilt)
    with pytest.raises(InputError, match="(?i)nan"):
        SCORINGS["number"].answers(model, collate([prompt], model.pad_id))
