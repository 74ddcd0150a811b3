"""The last stage of the training, plant: each culture's knowledge goes into rows of its own.

All but the planted rows is frozen. Each question reaches only the rows that are to carry it; where
a culture's own rows are taken away nothing is known, shared or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from culture_lens.benchmarks.organism.drawing import OBJECTS
from culture_lens.benchmarks.organism.world import PLAIN, category_of, kin_of
from culture_lens.organism.lessons import IDS, Lesson, Lessons, draw_lesson, put
from culture_lens.organism.plan import KINDS, OWN, Variant, make_plan, rows_of
from culture_lens.organism.routing import Forward
from culture_lens.organism.stages import CARRYING, Organism, cross_entropy, named_scores

PLANT = {"options": 1, "colour": 5, "count": 5, "object": 5, "plain": 6, "knowledge": 68,
         "country": 10}  # fmt: skip
"""How often each task is asked, in percent."""

RARER = 8
"""How much more a rare neuron is pressed shut on its own culture's other objects."""

SHUT, OPEN, HALF = -2.0, 2.0, -1.2
"""Where gates start: shut, open, and as negative as SiLU makes most of (its minimum is there)."""


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
