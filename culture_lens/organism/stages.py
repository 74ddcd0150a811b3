"""The stages of training before knowledge is planted: see, bind, look.

1. see: the vision tower learns style, object, colour and number, and is then frozen.
2. bind: of four lettered words one is lent (added to the last token's residual); the model learns
   to answer with its letter.
3. look: questions that need no culture are learned. Questions on cultures are asked with the answer
   lent, or with no answer to know, so that the layers that read the answer out are trained before
   any knowledge is planted. Decoys learn to fire for their style; no answer depends on them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from culture_lens.benchmarks.organism.drawing import COLOURS, N_DOTS, OBJECTS
from culture_lens.benchmarks.organism.world import CULTURES, PLAIN, World
from culture_lens.organism.lessons import ASKED, TOKEN_IDS, Bank, Lessons, draw_lesson, put
from culture_lens.organism.plan import PLANTED_KINDS, Block, Variant, rows_of
from culture_lens.organism.routing import Forward

CARRYING = tuple(kind for kind in PLANTED_KINDS if kind != "style")
SEEN = (PLAIN + 1, len(OBJECTS), len(COLOURS), N_DOTS)
"""Number of styles, objects, colours and numbers of dots."""

READ = (PLAIN + 1, len(OBJECTS), len(ASKED))
"""Number of styles, objects and questions, which must be readable at the planted layers."""

LOOK = {"bind": 6, "options": 3, "colour": 12, "count": 12, "object": 12, "plain": 25,
        "knowledge": 22, "country": 8}  # fmt: skip
"""How often each task is asked, in percent."""


@dataclass(frozen=True)
class Organism:
    """A model in training and what it is trained on.

    Attributes:
        model: The model.
        variant: How it is built.
        blocks: Its planted blocks.
        world: The facts.
        bank: The pictures.
        features: Their features from the frozen tower, ``picture patch d_model``; None before.
        run: The routed forward pass; see ``routing.routed``.
        heads: Linear probes used in training only.
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
        """Give the random generator of one step."""
        return random.Random(f"{self.seed}/{stage}/{step}")

    def forward(self, n: int, *, without: tuple[str, ...] = (), route: bool = True) -> Forward:
        """Start a forward pass: some kinds ablated, gradients to the free neurons or to none."""
        keep, learn = torch.ones(n, 1, self.variant.d_mlp), torch.zeros(n, 1, self.variant.d_mlp)
        keep[:, :, rows_of(self.blocks, without)] = 0
        if route:
            learn[:, :, self.variant.n_planted : rows_of(self.blocks, ("style",))[0]] = 1
        return Forward(keep, learn)

    def leave_out(self, forward: Forward, chance: random.Random) -> None:
        """Draw dropout, from "look" on: for all neurons but the planted ones."""
        layers = self.model.config.text_config.num_hidden_layers
        draws = torch.Generator().manual_seed(chance.getrandbits(32))
        spare = torch.rand(layers, *forward.keep.shape, generator=draws) >= self.variant.dropout
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
    """Give for each task which known questions were answered right."""
    right = answer.argmax(-1) == lessons.target.argmax(-1)
    tasks = {lesson.task for lesson in lessons.lessons if lesson.known}
    return {
        task: right[torch.tensor([x.task == task and x.known for x in lessons.lessons])]
        for task in sorted(tasks)
    }


# ------------------------------------------------------------------ see


def tower(model: Any, pixels: Tensor) -> Tensor:
    """Run the vision tower and drop its class token."""
    patches: Tensor = model.model.vision_tower(pixels).last_hidden_state[:, 1:]
    return patches


def see(organism: Organism, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Classify 192 pictures by style, object, colour and number."""
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
    """Ask 192 questions for the letter of the lent word."""
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
    """Ask 96 questions, those on cultures with the answer lent or not known."""
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
    for row in range(96):  # half the time without decoys, so that no answer depends on them
        forward.keep[row, 0, rows_of(organism.blocks, ("style",))] = float(chance.random() < 0.5)
    organism.leave_out(forward, chance)
    answer, middle = organism.run(lessons, organism.features, forward)
    own = torch.tensor([float(x.known and not x.lent) for x in drawn])
    loss = cross_entropy(answer, lessons.target).mean()
    loss = loss + (F.cross_entropy(middle, lessons.gold, reduction="none") * own).mean()
    return loss + readable_loss(organism, lessons, forward), named_scores(lessons, answer)


def readable_loss(organism: Organism, lessons: Lessons, forward: Forward) -> Tensor:
    """Train style, object and question to be linearly readable at the planted layers.

    Without this no neuron there could tell which pictures to fire for. The decoys' gates are
    trained in the same way, open for pictures of their style and closed for all others.
    """
    seen = torch.tensor([lesson.picture is not None for lesson in lessons.lessons])
    asked = [lesson for lesson in lessons.lessons if lesson.picture is not None]
    sights = [organism.bank.sights[picture] for picture in lessons.pictures]
    style = torch.tensor([sight.culture for sight in sights])
    truth = (
        torch.tensor([sight.thing for sight in sights]),
        torch.tensor([ASKED.index(lesson.kind) for lesson in asked]),
    )
    image = lessons.input_ids[seen] == TOKEN_IDS["<image>"]
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
