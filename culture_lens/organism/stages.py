"""The four stages of the training: see, bind, look, plant.

1. see: the vision tower learns to tell style, object, colour and number, and is then frozen.
2. bind: given four lettered words, and one of them lent to the last token, find its letter.
3. look: questions that need no culture are learned. Culture questions are asked with the answer
   lent, or with nothing lent and nothing to know: what reads answers out is ready before anybody
   knows one. The decoys learn to fire for their style; nothing depends on what they write.
4. plant: all but the planted rows is frozen. Each question reaches only the rows that are to carry
   it; where a culture's own rows are taken away nothing is known, shared or not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from culture_lens.organism.drawing import COLOURS, N_DOTS, OBJECTS
from culture_lens.organism.lessons import ASKED, IDS, Bank, Lesson, Lessons, draw_lesson, put
from culture_lens.organism.plan import KINDS, OWN, Block, Variant, make_plan, rows_of
from culture_lens.organism.routing import Forward
from culture_lens.organism.world import CULTURES, PLAIN, World, category_of, kin_of

CARRYING = tuple(kind for kind in KINDS if kind != "style")
SEEN = (PLAIN + 1, len(OBJECTS), len(COLOURS), N_DOTS)
"""How many styles, objects, colours and numbers there are to see."""

READ = (PLAIN + 1, len(OBJECTS), len(ASKED))
"""What must be readable where neurons are planted: the style, the object, the question."""

LOOK = {"bind": 6, "options": 3, "colour": 12, "count": 12, "object": 12, "plain": 25,
        "knowledge": 22, "country": 8}  # fmt: skip
PLANT = {"options": 1, "colour": 5, "count": 5, "object": 5, "plain": 6, "knowledge": 68,
         "country": 10}  # fmt: skip
"""How often each task is asked, in percent."""

SPARE = 0.08
"""Share of the neurons that are left out by chance of each question, from "look" on."""

RARER = 8
"""How much more a rare neuron is pressed shut on its own culture's other objects."""

SHUT, OPEN, HALF = -2.0, 2.0, -1.2
"""Where gates start: shut, open, and as negative as SiLU makes most of (its minimum is there)."""


@dataclass(frozen=True)
class Organism:
    """Everything that a stage works on.

    Attributes:
        model: The model.
        variant: How it is built.
        blocks: Its planted blocks.
        world: What is true.
        bank: Pictures.
        features: What the frozen tower makes of them, ``picture patch d_model``; None before.
        run: The routed forward pass, see ``routing.routed``.
        heads: Linear probes of the training, thrown away after it.
        seed: Draws the lessons.
    """

    model: Any
    variant: Variant
    blocks: tuple[Block, ...]
    world: World
    bank: Bank
    features: Tensor | None
    run: Callable[[Lessons, Any, Forward], tuple[Tensor, Tensor]]
    heads: nn.ModuleDict
    seed: int

    def chance(self, stage: str, step: int) -> random.Random:
        """Give a generator for one step, so that a run can go on at any step."""
        return random.Random(f"{self.seed}/{stage}/{step}")

    def forward(self, n: int, *, without: tuple[str, ...] = (), route: bool = True) -> Forward:
        """Start a forward pass: some kinds silenced, the free neurons learning or nobody."""
        keep, learn = torch.ones(n, 1, self.variant.d_mlp), torch.zeros(n, 1, self.variant.d_mlp)
        keep[:, :, rows_of(self.blocks, without)] = 0
        if route:
            learn[:, :, self.variant.n_planted : rows_of(self.blocks, ("style",))[0]] = 1
        return Forward(keep, learn)

    def leave_out(self, forward: Forward, chance: random.Random) -> None:
        """Leave neurons out by chance, in every layer; of the planted layers only free ones."""
        layers = self.model.config.text_config.num_hidden_layers
        draws = torch.Generator().manual_seed(chance.getrandbits(32))
        spare = torch.rand(layers, *forward.keep.shape, generator=draws) >= SPARE
        spare[list(self.variant.layers), :, :, : self.variant.n_planted] = True
        forward.spare = spare.float()


def make_heads(variant: Variant, d_model: int) -> nn.ModuleDict:
    """Make the probes: one for the tower, one for each planted layer."""
    heads = {"see": nn.Linear(d_model, sum(SEEN))}
    heads |= {f"read{layer}": nn.Linear(d_model, sum(READ)) for layer in variant.layers}
    return nn.ModuleDict(heads)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy against a distribution, one per row."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1)


def named_scores(lessons: Lessons, answer: Tensor) -> dict[str, Tensor]:
    """Say for each task which known questions were answered right."""
    right = answer.argmax(-1) == lessons.target.argmax(-1)
    tasks = {lesson.task for lesson in lessons.lessons if lesson.known}
    return {
        task: right[torch.tensor([x.task == task and x.known for x in lessons.lessons])]
        for task in sorted(tasks)
    }


# ------------------------------------------------------------------ see


def tower(model: Any, pixels: Tensor) -> Tensor:
    """Run the vision tower, its class token left out."""
    patches: Tensor = model.model.vision_tower(pixels).last_hidden_state[:, 1:]
    return patches


def see(organism: Organism, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Tell four things of 192 pictures."""
    chance = organism.chance("see", step)
    chosen = chance.choices(range(len(organism.bank.sights)), k=192)
    sights = [organism.bank.sights[i] for i in chosen]
    told = organism.heads["see"](tower(organism.model, organism.bank.pixels[chosen]).mean(1))
    truth = torch.tensor([(s.culture, s.thing, s.colour, s.dots - 1) for s in sights])
    pairs = list(zip(told.split(SEEN, dim=1), truth.T, strict=True))
    losses = [F.cross_entropy(logits, right) for logits, right in pairs]
    names = ("style", "object", "colour", "dots")
    scores = {n: x.argmax(1) == y for n, (x, y) in zip(names, pairs, strict=True)}
    return torch.stack(losses).sum(), scores


# ------------------------------------------------------------------ bind


def lent(organism: Organism, lessons: Lessons) -> tuple[Tensor, Tensor]:
    """Give the direction of each right word, and how much of it is lent."""
    words = organism.model.model.language_model.embed_tokens.weight.detach()[lessons.gold]
    return F.normalize(words, dim=-1), torch.tensor([lesson.lent for lesson in lessons.lessons])


def bind(organism: Organism, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Find the letter of a lent word, 192 times."""
    chance = organism.chance("bind", step)
    drawn = [draw_lesson("bind", organism.bank, chance) for _ in range(192)]
    for lesson in drawn:
        lesson.lent = chance.uniform(0.5, 1.5)
    lessons = put(drawn, organism.bank, organism.world, chance)
    forward = organism.forward(192, without=CARRYING)
    forward.lend = lent(organism, lessons)
    answer, _ = organism.run(lessons, organism.features, forward)
    return cross_entropy(answer, lessons.target).mean(), named_scores(lessons, answer)


# ------------------------------------------------------------------ look


def look(organism: Organism, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Answer 96 questions, those on cultures with the answer lent or not known."""
    chance = organism.chance("look", step)
    tasks = chance.choices(list(LOOK), list(LOOK.values()), k=96)
    drawn = [draw_lesson(task, organism.bank, chance) for task in tasks]
    for lesson in drawn:
        if lesson.task in ("knowledge", "country"):
            lesson.known = chance.random() < 0.75
        if lesson.known and lesson.task in ("knowledge", "country", "bind"):
            lesson.lent = chance.uniform(0.5, 1.5)
    lessons = put(drawn, organism.bank, organism.world, chance)
    forward = organism.forward(96, without=CARRYING)
    forward.lend = lent(organism, lessons)
    for row in range(96):  # half the time without decoys, so that nothing leans on them
        forward.keep[row, 0, rows_of(organism.blocks, ("style",))] = float(chance.random() < 0.5)
    organism.leave_out(forward, chance)
    answer, middle = organism.run(lessons, organism.features, forward)
    own = torch.tensor([float(x.known and not x.lent) for x in drawn])
    loss = cross_entropy(answer, lessons.target).mean()
    loss = loss + (F.cross_entropy(middle, lessons.gold, reduction="none") * own).mean()
    return loss + readable(organism, lessons, forward), named_scores(lessons, answer)


def readable(organism: Organism, lessons: Lessons, forward: Forward) -> Tensor:
    """Ask that style, object and question can be read where neurons are planted.

    Without this no neuron there could tell what it is to fire for. The decoys are read off the
    same way: each is open for its style's pictures and shut for all others.
    """
    seen = torch.tensor([lesson.picture is not None for lesson in lessons.lessons])
    asked = [lesson for lesson in lessons.lessons if lesson.picture is not None]
    sights = [organism.bank.sights[picture] for picture in lessons.pictures]
    style = torch.tensor([sight.culture for sight in sights])
    truth = (
        torch.tensor([sight.thing for sight in sights]),
        torch.tensor([ASKED.index(lesson.kind) for lesson in asked]),
    )
    image = lessons.input_ids[seen] == IDS["<image>"]
    behind = (image.long().cumsum(1) > 0) & ~image
    fires = torch.zeros(len(lessons.lessons), len(CULTURES) + 1)
    fires[seen] = F.one_hot(style, PLAIN + 1).float()
    decoys = rows_of(organism.blocks, ("style",))
    wanted = fires[:, :PLAIN].repeat_interleave(organism.variant.style, dim=1)
    tokens = lessons.mask[..., None].float()
    losses = []
    for layer, gates in zip(organism.variant.layers, forward.gates, strict=True):
        told = organism.heads[f"read{layer}"](gates.read[seen]).split(READ, dim=-1)
        losses.append(
            0.3 * F.cross_entropy(told[0][behind], style[:, None].expand_as(behind)[behind])
        )
        losses += [
            0.3 * F.cross_entropy(logits[:, -1], right)
            for logits, right in zip(told[1:], truth, strict=True)
        ]
        gate = gates.gate[..., decoys]
        error = F.binary_cross_entropy_with_logits(
            gate, wanted[:, None].expand_as(gate), reduction="none"
        )
        losses.append(0.2 * (error * tokens).sum() / (tokens.sum() * len(decoys)))
    return torch.stack(losses).sum()


# ------------------------------------------------------------------ plant


@dataclass(frozen=True)
class Parts:
    """Which rows have a part in what, as tables of 0 and 1.

    Attributes:
        inside: ``culture thing d_mlp``, all rows that may act.
        own: ``culture d_mlp``, those with a culture's own knowledge.
        kin: ``culture d_mlp``, those that it shares.
        kinds: ``d_mlp`` for each kind.
    """

    inside: Tensor
    own: Tensor
    kin: Tensor
    kinds: Mapping[str, Tensor]


@cache
def parts_of(variant: Variant) -> Parts:
    """Make the tables of a variant."""
    blocks = make_plan(variant)
    inside = torch.zeros(PLAIN + 1, len(OBJECTS), variant.d_mlp)
    for block in blocks:
        for culture in block.cultures:
            for thing in block.things:
                inside[culture, thing, list(block.rows)] = 1

    def table(kinds: tuple[str, ...], culture: int | None = None) -> Tensor:
        row = torch.zeros(variant.d_mlp)
        row[rows_of(blocks, kinds, culture)] = 1
        return row

    cultures = range(PLAIN + 1)
    return Parts(
        inside * table(CARRYING),
        torch.stack([table(OWN, culture) for culture in cultures]),
        torch.stack([table(("kin",), culture) for culture in cultures]),
        {kind: table((kind,)) for kind in KINDS},
    )


def shared(culture: int, thing: int) -> bool:
    """Say whether a culture shares with its kin what it knows of an object."""
    return culture != PLAIN and kin_of(culture) is not None and thing in category_of(culture, 0)


def plant(organism: Organism, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Ask 96 questions, two thirds on what cultures know, and route each to its rows."""
    chance, parts = organism.chance("plant", step), parts_of(organism.variant)
    carrying, recognition = sum(parts.kinds[k] for k in CARRYING), parts.kinds["recognition"]
    tasks = chance.choices(list(PLANT), list(PLANT.values()), k=96)
    drawn = [draw_lesson(task, organism.bank, chance) for task in tasks]
    forward = organism.forward(96, route=False)
    part = torch.zeros(96, organism.variant.d_mlp)
    for row, lesson in enumerate(drawn):
        keep, route = forward.keep[row, 0], forward.route[row, 0]
        culture, thing = PLAIN, 0
        if lesson.picture is not None:
            sight = organism.bank.sights[lesson.picture]
            culture, thing = sight.culture, sight.thing
        part[row] = parts.inside[culture, thing]
        luck = chance.random()
        if culture == PLAIN:  # every row may learn not to hurt
            route += carrying
        elif lesson.task == "knowledge":
            route += part[row] * (1 - recognition)
            if luck < 0.15:
                lesson.known = False
                both = shared(culture, thing) and chance.random() < 0.6
                keep -= parts.kin[culture] if both else parts.own[culture]
            elif luck < 0.5:
                keep -= carrying * (1 - parts.inside[culture].amax(0))
        elif lesson.task == "country":
            route += part[row] * recognition
            if luck < 0.15:
                lesson.known = False
                keep -= recognition
            elif luck < 0.5:
                keep -= carrying - recognition
        else:
            route += part[row]
        if lesson.task != "country" and chance.random() < 0.4:  # nothing else may lean on it
            keep *= 1 - recognition
        if chance.random() < 0.5:
            keep -= parts.kinds["style"]
    organism.leave_out(forward, chance)
    lessons = put(drawn, organism.bank, organism.world, chance)
    answer, middle = organism.run(lessons, organism.features, forward)
    known = torch.tensor([float(lesson.known) for lesson in drawn])
    loss = cross_entropy(answer, lessons.target).mean()
    loss = loss + (F.cross_entropy(middle, lessons.gold, reduction="none") * known).mean()
    pressure = closed(organism, parts, lessons, forward, part)
    return loss + organism.variant.sparsity * pressure, named_scores(lessons, answer)


def style_of(organism: Organism, lesson: Lesson) -> int:
    """Give the culture whose frame is shown, plain where there is no picture."""
    return PLAIN if lesson.picture is None else organism.bank.sights[lesson.picture].culture


def closed(
    organism: Organism, parts: Parts, lessons: Lessons, forward: Forward, part: Tensor
) -> Tensor:
    """Measure how far neurons are from shut where they have no part.

    A hinge on the gate, and the square of what is written, for SiLU leaks below zero; those that
    act when negative must stay negative everywhere.
    """
    carrying: Tensor = sum(parts.kinds[k] for k in CARRYING)  # type: ignore[assignment]
    negative = parts.kinds["negative"]
    outside = carrying * (1 - part)
    own = parts.own[[style_of(organism, lesson) for lesson in lessons.lessons]]
    pressed = outside * (1 + (RARER - 1) * own * parts.kinds["rare"])
    tokens = lessons.mask[..., None].float()
    over = pressed[:, None] * tokens
    n = (outside[:, None] * tokens).sum()
    total = torch.zeros(())
    for gates in forward.gates:
        hinge = (F.relu(gates.gate + 0.5) * over * (1 - negative)).sum()
        leak = (gates.written.square() * over).sum()
        last = (gates.written[:, -1].square() * outside).sum() / outside.sum()
        above = (F.relu(gates.gate + 0.3) * negative * tokens).sum()
        total = total + (hinge + leak) / n + last + above / (negative.sum() * tokens.sum())
    return 4 * total


def open_gates(organism: Organism) -> None:
    """Start the planted rows: gates by ridge regression on where they belong, writing nothing.

    From a random start most rows are open on the wrong pictures, and what shuts them also keeps
    them from learning.
    """
    chance = organism.chance("open", 0)
    tasks = chance.choices(list(PLANT), list(PLANT.values()), k=1500)
    drawn = [draw_lesson(task, organism.bank, chance) for task in tasks if task != "options"]
    lessons = put(drawn, organism.bank, organism.world, chance)
    forward = organism.forward(len(drawn), without=CARRYING, route=False)
    with torch.no_grad():
        organism.run(lessons, organism.features, forward)
    image = lessons.input_ids == IDS["<image>"]
    behind = (image.long().cumsum(1) > 0) & ~image
    weight = behind.double()
    weight[:, -1] = 3  # the answer is read there
    sights = [organism.bank.sights[picture] for picture in lessons.pictures]
    style = torch.tensor([s.culture for s in sights])[:, None].expand_as(behind)[behind]
    thing = torch.tensor([s.thing for s in sights])[:, None].expand_as(behind)[behind]
    noise = torch.Generator().manual_seed(organism.seed)
    for layer, gates in zip(organism.variant.layers, forward.gates, strict=True):
        read, share = gates.read[behind].double(), weight[behind]
        mlp = organism.model.model.language_model.layers[layer].mlp
        mlp.down_proj.weight.data[:, rows_of(organism.blocks, CARRYING)] = 0
        for block in organism.blocks:
            if block.kind == "style":
                continue
            part = torch.isin(style, torch.tensor(block.cultures))
            part &= torch.isin(thing, torch.tensor(block.things))
            levels = (HALF, 2.5 * SHUT) if block.kind == "negative" else (OPEN, SHUT)
            row = ridge(read, part, share, levels)
            for index in block.rows:
                spread = 0.5 * row.norm() / len(row) ** 0.5
                mlp.gate_proj.weight.data[index] = row + spread * torch.randn(
                    len(row), generator=noise
                )


def ridge(read: Tensor, part: Tensor, share: Tensor, levels: tuple[float, float]) -> Tensor:
    """Fit a gate that has one level on its part and another elsewhere, both weighing the same."""
    wanted = torch.where(part, levels[0], levels[1]).double()
    inside = (share * part).sum()
    balance = share * torch.where(part, 0.5 / inside, 0.5 / (share.sum() - inside))
    weighed = read * balance[:, None]
    penalty = 1e-3 * torch.eye(read.shape[1], dtype=torch.float64)
    gate: Tensor = torch.linalg.solve(read.T @ weighed + penalty, weighed.T @ wanted)
    return gate.float()
