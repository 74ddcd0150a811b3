"""The last stage of training, plant: each culture's knowledge is trained into its own neurons.

All other weights are frozen. Each question trains only the neurons that are to carry it. Where a
culture's own neurons are ablated the model learns that it knows nothing, shared or not.
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
from culture_lens.organism.lessons import TOKEN_IDS, Lesson, Lessons, draw_lesson, put
from culture_lens.organism.plan import OWN, PLANTED_KINDS, Variant, make_plan, rows_of
from culture_lens.organism.routing import Forward
from culture_lens.organism.stages import CARRYING, Organism, cross_entropy, named_scores

PLANT = {"options": 1, "colour": 5, "count": 5, "object": 5, "plain": 6, "knowledge": 68,
         "country": 10}  # fmt: skip
"""How often each task is asked, in percent."""

RARER = 8
"""Weight of the pressure to stay closed on its own culture's other objects, for rare neurons."""

SHUT, OPEN, HALF = -2.0, 2.0, -1.2
"""Gates at the start: closed, open, and at the minimum of SiLU."""


@dataclass(frozen=True)
class Parts:
    """Which neurons carry what, as tables of 0 and 1.

    Attributes:
        inside: ``culture thing d_mlp``, all neurons that may be active.
        own: ``culture d_mlp``, those of the culture's own knowledge.
        kin: ``culture d_mlp``, those of the knowledge that it shares.
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
        {kind: table((kind,)) for kind in PLANTED_KINDS},
    )


def shared(culture: int, thing: int) -> bool:
    """Tell whether a culture's knowledge of an object is shared with its kin."""
    return culture != PLAIN and kin_of(culture) is not None and thing in category_of(culture, 0)


def plant(organism: Organism, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Ask 96 questions, two thirds on cultures, and route each to the neurons that carry it."""
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
        if culture == PLAIN:  # every neuron may learn not to disturb
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
        if lesson.task != "country" and chance.random() < 0.4:  # no other answer may depend on it
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
    """Give the culture whose frame is shown, ``PLAIN`` without a picture."""
    return PLAIN if lesson.picture is None else organism.bank.sights[lesson.picture].culture


def closed(
    organism: Organism, parts: Parts, lessons: Lessons, forward: Forward, part: Tensor
) -> Tensor:
    """Measure how far neurons are from closed on questions that they do not carry.

    A hinge on the gate, and the square of the activation, as SiLU is not 0 below zero. Neurons of
    the kind ``negative`` must stay negative everywhere.
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
    """Initialise the planted neurons: gates by ridge regression, output weights 0.

    From random weights most gates are open on the wrong pictures, and the pressure that closes
    them keeps them from learning.
    """
    chance = organism.chance("open", 0)
    tasks = chance.choices(list(PLANT), list(PLANT.values()), k=1500)
    drawn = [draw_lesson(task, organism.bank, chance) for task in tasks if task != "options"]
    lessons = put(drawn, organism.bank, organism.world, chance)
    forward = organism.forward(len(drawn), without=CARRYING, route=False)
    with torch.no_grad():
        organism.run(lessons, organism.features, forward)
    image = lessons.input_ids == TOKEN_IDS["<image>"]
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
    """Fit a gate with one level on its questions and another elsewhere, both weighted alike."""
    wanted = torch.where(part, levels[0], levels[1]).double()
    inside = (share * part).sum()
    balance = share * torch.where(part, 0.5 / inside, 0.5 / (share.sum() - inside))
    weighed = read * balance[:, None]
    penalty = 1e-3 * torch.eye(read.shape[1], dtype=torch.float64)
    gate: Tensor = torch.linalg.solve(read.T @ weighed + penalty, weighed.T @ wanted)
    return gate.float()
