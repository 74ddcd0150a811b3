r"""fit_directions: differences of means at one site and layer.

With x_i the activation of item i (its last token, or the mean over its counted tokens) and m_c the
mean of x_i over the items of culture c, the direction of c is

    cultures       v_c = m_c - mean of m_d over the other cultures d
    localization   v_c = mean of (x_i with the country named - x_i without it) over items of c

The first is the difference of means of activation steering (Rimsky et al. 2024, arXiv 2312.06681;
Marks and Tegmark 2024, arXiv 2310.06824), the second the explicit less the implicit prompt of
Veselovsky et al. 2025 (arXiv 2504.10191). Every item weighs the same, whatever its length.

1. Build the prompts; with ``localization``, of both versions of every question.
2. Run them in batches; both versions of a question in the same step.
3. Add up x_i, or the differences, in float64, per culture and block of question groups.
4. Make the directions from the sums of all blocks, and the cosines from those of halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.checks import check_arguments, text, whole
from culture_lens.errors import InputError, unknown, warn
from culture_lens.models.checks import MODEL, NotFinite, check_logits, state_of, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.neurons.directions import Direction, Directions
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Batch, Prompt, roles_of
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.country_named import with_country_named, without_country_named
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of, check_questions
from culture_lens.questions.unseen import looked_at
from culture_lens.statistics.estimates import FEWEST_GROUPS
from culture_lens.statistics.split_halves import blocks_of, split_half_cosines
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    from typing import Literal

    Contrast = Literal["cultures", "localization"]
else:
    Contrast = str  # a wrong name reaches the check that lists the right ones

STREAM = "resid"
CONTRASTS = ("cultures", "localization")
LAST = "last"
Vectors = Float[Tensor, "item width"]


@check_arguments(model=MODEL, questions=QUESTIONS, layer=whole(0), site=text, contrast=text)
def fit_directions(
    model: LensModel,
    questions: Sequence[Question],
    *,
    layer: int,
    site: str = STREAM,
    contrast: Contrast = "cultures",
    position: str | Sequence[int] = LAST,
    **running: Unpack[RunningOptions],
) -> Directions:
    """Fit one direction per culture, as a difference of means at a site and layer.

    Args:
        model: The model.
        questions: What is read.
        layer: The layer, counted from 0.
        site: ``"resid"``, the residual stream after the layer (``"encoder.resid"`` or
            ``"decoder.resid"`` in an encoder-decoder), or a site of neurons.
        contrast: ``"cultures"``: a culture's mean less the mean of the other cultures';
            ``"localization"``: questions with the country named less the same without it.
        position: ``"last"``, the last token of the prompt; or tokens that are averaged:
            ``"content"``, ``"text"``, ``"image"``, or roles. Of a decoder that stands after an
            encoder only the last token is read.
        **running: Batch size, progress, prompts that are too long; see ``Running``. It runs in
            this process, and nothing is kept in a run folder.

    Returns:
        The directions in units of the activation, each with the cosine of two halves.

    Raises:
        InputError: No such site, layer, contrast or role, a single culture among ``cultures``, a
            run folder, workers, or activations that are NaN or infinite.

    Warns:
        CultureLensWarning: Fewer than four question groups, from which halves have no interval.

    Example:
        ``directions = fit_directions(model, questions, layer=12); directions["Japan"].norm``
    """
    how = Running.of(running)
    if contrast not in CONTRASTS:
        raise unknown("contrast", contrast, CONTRASTS)
    how.check_here("fit_directions", "directions.save(path)")
    check_questions(questions, min_cultures=2 if contrast == "cultures" else 1)
    check_sites(site, model.sites)
    name = model.hook_name(site, layer)
    if position == LAST:
        tokens = partial(last_token, model, site=site)
    else:
        tokens = partial(model.counted, sites=[site], roles=roles_of(position))
    read = partial(item_vectors, model, name, tokens)
    if contrast == "localization":
        sums = paired_sums(model, questions, read, model.widths[site], how)
    else:
        prompts = prompts_of(model, questions, how)
        sums = Sums([p.question for p in prompts], model.widths[site])
        run(model, prompts, lambda batch: twice(read(batch)), sums, how)
    facts = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        "benchmark": benchmarks_of(questions),
        "contrast": contrast,
        "position": position if isinstance(position, str) else list(map(int, position)),
        "items": int(sums.counts.sum()),
        **looked_at(questions),
        "versions": versions(),
    }
    return sums.directions(site, layer, contrast, facts)


class Sums:
    """Sums of the items' vectors, per culture and block of question groups, in float64."""

    def __init__(self, questions: Sequence[Question], width: int) -> None:
        """Begin with nothing counted."""
        self.cultures = sorted({question.culture for question in questions})
        self.blocks = blocks_of([question.group for question in questions])
        size = (len(self.cultures), max(self.blocks.values()) + 1)
        self.counts = np.zeros(size)
        self.sums = np.zeros((*size, width))
        self.levels = np.zeros((len(self.cultures), width))

    def update(self, questions: Sequence[Question], vectors: Vectors, levels: Vectors) -> None:
        """Add items: what is contrasted, and the activations themselves."""
        places = [self.cultures.index(question.culture) for question in questions]
        blocks = [self.blocks[question.group] for question in questions]
        np.add.at(self.sums, (places, blocks), vectors.numpy())
        np.add.at(self.levels, places, levels.numpy())
        np.add.at(self.counts, (places, blocks), 1)

    def directions(
        self, site: str, layer: int, contrast: Contrast, metadata: dict[str, Any]
    ) -> Directions:
        """Make the directions, and the agreement of their halves."""
        difference = beyond_the_others if contrast == "cultures" else np.asarray
        items = self.counts.sum(1)[:, None]
        vectors = difference(self.sums.sum(1) / items)
        centre = (self.levels / items).mean(0)
        if self.counts.shape[1] < FEWEST_GROUPS:
            warn(
                f"{self.counts.shape[1]} question groups: how well halves of them agree has no "
                f"interval, it takes at least {FEWEST_GROUPS}."
            )
        agreement = split_half_cosines(self.sums, self.counts, difference)
        held = {}
        for culture, vector in zip(self.cultures, vectors, strict=True):
            mean = float(vector @ centre / np.linalg.norm(vector)) if vector.any() else 0.0
            held[culture] = Direction(culture, site, layer, torch.from_numpy(vector), mean)
        return Directions(held, dict(zip(self.cultures, agreement, strict=True)), metadata)


def beyond_the_others(means: Float[np.ndarray, "*draw culture width"]) -> np.ndarray:
    """Give every culture's mean less the mean of the other cultures' means.

    Example:
        >>> beyond_the_others(np.array([[3.0], [1.0], [0.0]])).tolist()
        [[2.5], [-0.5], [-2.0]]
    """
    others = means.shape[-2] - 1
    found: np.ndarray = means - (means.sum(-2, keepdims=True) - means) / others
    return found


def twice(vectors: Vectors) -> tuple[Vectors, Vectors]:
    """Give the activations as what is contrasted, and as themselves."""
    return vectors, vectors


def last_token(model: LensModel, batch: Batch, *, site: str) -> Tensor:
    """Mask of the last token of each prompt; padding is on the left."""
    mask = torch.zeros_like(model.token_mask(batch, site), dtype=torch.bool)
    mask[:, -1] = True
    return mask


@torch.inference_mode()
def item_vectors(
    model: LensModel, name: str, tokens: Callable[[Batch], Tensor], batch: Batch
) -> Vectors:
    """Run a batch and average the activation at a hook point over each item's tokens, in float64.

    Raises:
        InputError: An item has none of the tokens, or its activations are NaN or infinite.
    """
    mask = tokens(batch).double()
    empty = (mask.sum(1) == 0).nonzero()
    if len(empty):
        question = batch.prompts[int(empty[0])].question
        raise InputError(
            f"question {question.id!r} has no token of these roles, so it has no mean: give other "
            "roles as position=, or leave the question out."
        )
    found: list[Tensor] = []

    def keep(activation: Tensor, hook: Any) -> None:
        weights = mask.to(activation.device)
        found.append(torch.einsum("ip,ipw->iw", weights, activation.flatten(2).double()).cpu())

    with model.hooks([(name, keep)]):
        check_logits(model.logits(batch), batch)
    vectors = found[-1] / mask.sum(1, keepdim=True)
    bad = ~torch.isfinite(vectors).all(1)
    if bad.any():
        question = batch.prompts[int(bad.nonzero()[0])].question
        raise NotFinite(
            f"activations at {name!r} are NaN or infinite on question {question.id!r}: load the "
            "model in bfloat16 or float32."
        )
    return vectors


def prompts_of(model: LensModel, questions: Sequence[Question], how: Running) -> Sequence[Prompt]:
    """Build the prompts, none of them longer than the context."""
    prompts = build_prompts(
        questions,
        model.processor,
        context=model.context,
        too_long=how.too_long,
        progress=how.progress,
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    return prompts


def paired_sums(
    model: LensModel,
    questions: Sequence[Question],
    read: Callable[[Batch], Vectors],
    width: int,
    how: Running,
) -> Sums:
    """Add up the differences between the two versions of every question."""
    named = prompts_of(model, with_country_named(questions), how)
    plain = {p.question.id: p for p in prompts_of(model, without_country_named(questions), how)}
    named = [prompt for prompt in named if prompt.question.id in plain]
    if not named:
        raise InputError("no question is left of which both versions fit the model's context.")

    def step(batch: Batch) -> tuple[Vectors, Vectors]:
        other = collate([plain[prompt.question.id] for prompt in batch.prompts], model.pad_id)
        explicit, implicit = read(batch), read(other)
        return explicit - implicit, (explicit + implicit) / 2

    sums = Sums([prompt.question for prompt in named], width)
    run(model, named, step, sums, how)
    return sums


def run(
    model: LensModel,
    prompts: Sequence[Prompt],
    step: Callable[[Batch], tuple[Vectors, Vectors]],
    sums: Sums,
    how: Running,
) -> None:
    """Run prompts in batches and add up what a step gives of each."""
    work = batches(prompts, how.rows(), model.pad_id)
    with under(state_of(model)):
        for batch, (vectors, levels) in run_batches(
            work, step, pad_id=model.pad_id, progress=how.progress, label="fitting directions"
        ):
            sums.update([prompt.question for prompt in batch.prompts], vectors, levels)


__all__ = ["fit_directions"]
