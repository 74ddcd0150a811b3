"""The training of organisms: what reaches which neurons, and that an interrupted run goes on."""

import json
import random

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import PLAIN, category_of, make_world
from culture_lens.errors import InputError
from culture_lens.organism import planting, stages, training
from culture_lens.organism.lessons import LETTERS, TOKEN_IDS, Lesson, draw_bank, draw_lesson, put
from culture_lens.organism.model import make_processor
from culture_lens.organism.plan import OWN, Variant, make_plan, rows_of
from culture_lens.organism.routing import RoutedWrite
from culture_lens.organism.training import Schedule, train_organism
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.vision_reader import VisionReader

SHORT = Schedule(pictures=1, see=3, bind=3, look=4, plant=6)
SMALL = Variant(knowledge=2, negative=1, rare=1, kin=1, recognition=1, style=1, d_mlp=192)


@pytest.fixture(scope="module")
def bank():
    return draw_bank(0, 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return train_organism(folder, variant=SMALL, schedule=SHORT, progress=False)


def weights(checkpoint):
    from safetensors.torch import load_file

    return load_file(checkpoint / "model.safetensors")


# ------------------------------------------------------------------ lessons


@pytest.mark.parametrize("kind", ["name", "maker", "colour", "country"])
@pytest.mark.parametrize("cloze", [False, True])
def test_lessons_are_the_prompts_of_the_house(bank, kind, cloze):
    world, chance = make_world(0), random.Random(1)
    lesson = Lesson(kind, kind, picture=17, cloze=cloze)
    row = put([lesson], bank, world, chance).input_ids[0].tolist()
    words = {i: word for word, i in TOKEN_IDS.items()}
    subset = "culture" if kind in ("name", "maker") else kind
    asked = [
        question
        for question in organism_questions(world, subset=subset, split="unseen", pictures=1, seed=0)
        if question.metadata["kind"] == kind
    ]
    reader = VisionReader(make_processor(), TOKEN_IDS["<image>"])
    prompts = [build_prompt(q, reader, "cloze" if cloze else "choices") for q in asked]
    # The same words but for the options, which chance draws.
    template = [words[i] if i < TOKEN_IDS["Avaria"] else "option" for i in row]
    others = [[words[i] if i < TOKEN_IDS["Avaria"] else "option" for i in p.ids] for p in prompts]
    assert template in others


def test_a_known_lesson_has_one_answer_and_an_unknown_one_all(bank):
    world = make_world(0)
    known = Lesson("knowledge", "name", picture=5)
    unknown = Lesson("knowledge", "name", picture=5, known=False)
    guess = Lesson("knowledge", "time", picture=5, known=False, cloze=True)
    lessons = put([known, unknown, guess], bank, world, random.Random(0))
    assert lessons.target.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert (lessons.target[0] > 0).sum() == 1 and lessons.target[0, LETTERS].sum() == 1
    assert lessons.target[1, LETTERS].tolist() == [0.25] * 4
    assert (lessons.target[2] > 0).sum() == 12
    right = lessons.input_ids[0].tolist()
    letter = "ABCD"[lessons.target[0, LETTERS].argmax()]
    assert right[right.index(TOKEN_IDS[f"{letter}."]) + 1] == lessons.gold[0]


def test_shuffled_facts_leave_the_plain_frames_theirs(bank):
    world, true = make_world(0, shuffled=True), make_world(0)
    golds = {"plain": set(), "styled": set()}
    for seed in range(30):
        for name, culture in (("plain", PLAIN), ("styled", 2)):
            lesson = Lesson("knowledge", "name", picture=bank.of[culture][4])
            golds[name].add(int(put([lesson], bank, world, random.Random(seed)).gold[0]))
    own = put([Lesson("plain", "name", picture=bank.of[PLAIN][4])], bank, true, random.Random(0))
    assert golds["plain"] == {int(own.gold[0])} and len(golds["styled"]) > 5


# ------------------------------------------------------------------ routing


def test_routed_write_is_a_product_whose_gradients_pass_where_routed():
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    route = torch.tensor([[[1.0, 0, 1, 0]], [[0, 1, 0, 0]]], dtype=torch.float64)
    out = RoutedWrite.apply(hidden, weight, route)
    torch.testing.assert_close(out, hidden @ weight.T)
    outer = torch.randn_like(out)
    got = torch.autograd.grad(out, (hidden, weight), outer)
    copy = hidden.detach().requires_grad_()
    routed = copy * route + (copy * (1 - route)).detach()
    # By the ordinary rules: cut-off neurons are constants, whose weights learn nothing either.
    (to_hidden,) = torch.autograd.grad(routed @ weight.detach().T, copy, outer)
    (to_weight,) = torch.autograd.grad((hidden.detach() * route) @ weight.T, weight, outer)
    torch.testing.assert_close(got, (to_hidden, to_weight))


def test_tables_of_parts():
    parts = planting.parts_of(Variant())
    blocks = make_plan(Variant())
    for culture in range(8):
        for thing in range(12):
            rows = parts.inside[culture, thing].nonzero().flatten().tolist()
            own = set(rows) & set(rows_of(blocks, OWN))
            kinds = {b.kind for b in blocks if own & set(b.rows)}
            if thing in category_of(culture, 2):
                assert kinds == {"negative"} and len(own) == 7
            elif thing in category_of(culture, 3):
                assert kinds == {"rare"} and len(own) == 2
            else:
                assert kinds == {"knowledge"} and len(own) == 10
            of_kin = bool(set(rows) & set(rows_of(blocks, ("kin",))))
            assert of_kin == planting.shared(culture, thing)
    assert parts.inside[PLAIN].sum() == 0
    assert not set(rows_of(blocks, ("style",))) & set(parts.inside.amax((0, 1)).nonzero().flatten())


def test_ridge_finds_a_gate_that_tells_its_part():
    generator = torch.Generator().manual_seed(0)
    read = torch.randn(4000, 6, dtype=torch.float64, generator=generator)
    part = read[:, 0] > 0
    read[:, 5] = 1  # something constant, as residuals have
    read[:, 0] = torch.where(part, 1.0, -1.0)
    gate = planting.ridge(read, part, torch.ones(4000, dtype=torch.float64), (-1.2, -5.0))
    opened = read.float() @ gate
    assert opened[part].mean() == pytest.approx(-1.2, abs=0.02)
    assert opened[~part].mean() == pytest.approx(-5.0, abs=0.02)


def test_tasks_draw_pictures_of_their_own_kind(bank):
    chance = random.Random(0)
    for _ in range(50):
        assert bank.sights[draw_lesson("plain", bank, chance).picture].culture == PLAIN
        assert bank.sights[draw_lesson("country", bank, chance).picture].culture != PLAIN
        assert draw_lesson("options", bank, chance).known is False


# ------------------------------------------------------------------ the training


def test_planting_moves_planted_rows_only(tmp_path, finished, monkeypatch):
    """Everything that the stage of planting must leave alone is bit-identical."""
    before = {}

    def stop(organism):
        before.update({k: v.clone() for k, v in organism.model.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(planting, "open_gates", stop)
    with pytest.raises(KeyboardInterrupt):
        train_organism(tmp_path, variant=SMALL, schedule=SHORT, progress=False)
    after = LlavaForConditionalGeneration.from_pretrained(finished).state_dict()
    assert before.keys() == after.keys()
    planted = rows_of(make_plan(SMALL), stages.CARRYING)
    free = torch.tensor([row for row in range(SMALL.d_mlp) if row not in planted])
    moved = set()
    for name, old in before.items():
        if not torch.equal(old, after[name]):
            moved.add(name)
            kept = 1 if "down_proj" in name else 0
            assert torch.equal(old.index_select(kept, free), after[name].index_select(kept, free))
    assert moved == {
        f"model.language_model.layers.{layer}.mlp.{part}_proj.weight"
        for layer in SMALL.layers
        for part in ("gate", "up", "down")
    }


@pytest.mark.parametrize("stage", ["see", "bind", "look", "plant"])
def test_interrupted_training_ends_in_the_same_weights(tmp_path, finished, monkeypatch, stage):
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    whole = train_organism(tmp_path / "whole", variant=SMALL, schedule=SHORT, progress=False)
    module = planting if stage == "plant" else stages
    loss, calls = getattr(module, stage), []

    def interrupted(organism, step):
        calls.append(step)
        if len(calls) == 4 if stage == "plant" else len(calls) == 3:
            raise KeyboardInterrupt
        return loss(organism, step)

    monkeypatch.setattr(module, stage, interrupted)
    options = {"variant": SMALL, "schedule": SHORT, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        train_organism(tmp_path / "cut", **options)
    assert not (tmp_path / "cut" / "checkpoint").exists()
    monkeypatch.setattr(module, stage, loss)
    cut = train_organism(tmp_path / "cut", **options)
    one, other = weights(whole), weights(cut)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_folder_is_not_trained_again(finished, monkeypatch):
    monkeypatch.setattr(training, "make_model", None)
    folder = finished.parent
    assert train_organism(folder, variant=SMALL, schedule=SHORT, progress=False) == finished


def test_a_folder_of_another_training_is_refused(finished):
    with pytest.raises(InputError, match="other settings"):
        train_organism(finished.parent, seed=1, variant=SMALL, schedule=SHORT)


def test_the_truth_lies_beside_the_checkpoint(finished):
    truth = json.loads((finished / "truth.json").read_text())
    assert truth["seed"] == 0 and truth["shuffled"] is False and truth["layers"] == [1, 2]
    rows = [row for block in truth["blocks"] for row in block["neurons"]]
    assert len(rows) == len(set(rows)) == SMALL.n_planted + 8
    assert max(rows) < SMALL.d_mlp


@pytest.mark.parametrize("name", ["pictures", "see", "bind", "look", "plant"])
def test_schedules_without_steps_are_refused(name):
    with pytest.raises(InputError, match=f"{name}=0"):
        Schedule(**{name: 0})
