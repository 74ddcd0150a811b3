"""Gradient attribution: the contribution of each neuron to the right answer.

``item_scores`` scores single items; here they are summed per culture in float64 (CULNIG, arXiv
2510.08284, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.attribution.baselines import start_means
from culture_lens.attribution.item_scores import ItemScores, item_scores
from culture_lens.attribution.points import check_path
from culture_lens.attribution.scoring import check_tokens
from culture_lens.attribution.settings import Attribution, AttributionOptions
from culture_lens.checks import check_arguments, flag, names, optional
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import piece_of
from culture_lens.models.sites import check_sites
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.batches import batches
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions, read_options
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.questions.question import (
    QUESTIONS,
    Question,
    benchmarks_of,
    check_questions,
    control_twin,
)
from culture_lens.questions.unseen import joined, looked_at
from culture_lens.storage.finished import check_key, keyed, shards
from culture_lens.storage.runs import Run, versions

GRADIENT_BATCH_SIZE = 8
"""Items per pass: a backward keeps activations, so less fits than in a forward."""
FACTS = ("items", "p_gold", "right", "gap", "change")
"""What is summed per culture beside the scores."""


class AttributionSums:
    """An accumulator of item scores per culture, in float64: ``update``, ``merge``, ``scores``.

    Example:
        ``sums = AttributionSums(); sums.update(rows, batch.prompts); sums.scores({})``
    """

    def __init__(self) -> None:
        """Start with nothing summed."""
        self._totals: dict[str, dict[str, Tensor]] = {}
        self._facts: dict[str, dict[str, float | int]] = {name: {} for name in FACTS}
        self.ids: list[str] = []
        self._asked: list[Question] = []
        self._merged: list[Mapping[str, Any]] = []

    def update(self, rows: ItemScores, prompts: Sequence[Prompt]) -> None:
        """Add a batch."""
        cultures = [prompt.question.culture for prompt in prompts]
        names = sorted(set(cultures))
        device = rows.p_gold.device
        index = torch.tensor([names.index(culture) for culture in cultures], device=device)
        for site, scores in rows.scores.items():
            for position, name in enumerate(names):
                self._add(site, name, scores[index == position].sum(0, dtype=torch.float64))
        p_gold, right = rows.p_gold.tolist(), rows.right.tolist()
        for culture, p, hit in zip(cultures, p_gold, right, strict=True):
            self._count(culture, {"items": 1, "p_gold": p, "right": int(hit)})
        if rows.gap is not None and rows.change is not None:
            pairs = zip(rows.gap.abs().tolist(), rows.change.abs().tolist(), strict=True)
            for culture, (gap, change) in zip(cultures, pairs, strict=True):
                self._count(culture, {"gap": gap, "change": change})
        self.ids += [prompt.question.id for prompt in prompts]
        self._asked += [prompt.question for prompt in prompts]

    def _add(self, site: str, culture: str, values: Tensor) -> None:
        held = self._totals.setdefault(site, {})
        if culture in held:
            held[culture] += values.to(held[culture].device)
        else:
            held[culture] = values.clone()

    def _count(self, culture: str, facts: Mapping[str, float | int]) -> None:
        for name, value in facts.items():
            self._facts[name][culture] = self._facts[name].get(culture, 0) + value

    @property
    def _counted(self) -> Mapping[str, Mapping[str, float | int]]:
        """The facts that are there; gaps only of a path."""
        return {name: values for name, values in self._facts.items() if values}

    def merge(self, other: NeuronScores) -> int:
        """Add earlier or saved sums; return the number of items in the total.

        Raises:
            InputError: An item is in both.
        """
        twice = set(self.ids) & set(other.metadata["ids"])
        if twice:
            raise InputError(f"question {min(twice)!r} was scored in both sums to be merged.")
        for position, culture in enumerate(other.cultures):
            for site, values in other.scores.items():
                self._add(site, culture, values[position])
            held = {name: other.metadata[name] for name in FACTS if name in other.metadata}
            self._count(culture, {name: values[culture] for name, values in held.items()})
        self.ids += other.metadata["ids"]
        self._merged.append(other.metadata)
        return len(self.ids)

    def scores(self, metadata: Mapping[str, Any]) -> NeuronScores:
        """Give the sums so far as scores, cultures in alphabetical order.

        Raises:
            InputError: Nothing was summed.
        """
        cultures = tuple(sorted(self._facts["items"]))
        if not cultures:
            raise InputError("no items were scored, so there is nothing to sum.")
        sums = {
            site: torch.stack([held[culture].cpu() for culture in cultures])
            for site, held in self._totals.items()
        }
        facts = {"ids": sorted(self.ids), **joined(looked_at(self._asked), *self._merged)}
        return NeuronScores(cultures, sums, metadata={**metadata, **self._counted, **facts})


class AttributeOptions(AttributionOptions, RunningOptions, total=False):
    """The fields of ``Attribution`` and ``Running`` as keyword arguments."""


@check_arguments(model=MODEL, questions=QUESTIONS, sites=optional(names), control=flag)
def attribute(
    model: LensModel,
    questions: Sequence[Question],
    *,
    sites: str | Sequence[str] | None = None,
    control: bool = False,
    **options: Unpack[AttributeOptions],
) -> NeuronScores:
    """Score every neuron by gradient attribution, summed per culture (CULNIG, section 3).

    Args:
        model: The model.
        questions: The questions.
        sites: One site or several, scored in the same pass; by default the model's projections,
            gate, q, k and v (CULNIG), of an encoder-decoder in both stacks.
        control: Ask the control twins instead, without the question, and clamp scores at 0.
        **options: ``objective``, ``scoring``, ``path``, ``points``, ``baseline``, ``aggregation``
            and ``positions`` of ``Attribution``, by default those of CULNIG; batch size, progress,
            run folder and prompts that are too long of ``Running``.

    Returns:
        Sums over items, float64, ``culture layer neuron`` at each site. The metadata hold the
        ``ids`` of the questions that were scored, what was ``looked_at``, and, per culture, the
        number of ``items``, the sum of ``p_gold``, and the number of items answered ``right``; of
        a path also the sums of the absolute ``change`` of the objective along it, and of the
        ``gap`` by which integrated gradients miss it.

    Raises:
        InputError: An unknown site or option, a label that is not a single token, a site that
            the path cannot score, or logits that are NaN or infinite.

    Example:
        ``attribute(model, questions, objective="logit_difference", scoring="option_likelihood")``
    """
    attribution, how = read_options(options, Attribution, Running)
    chosen = check_sites(model.projections if sites is None else sites, model.sites)
    check_questions(questions, min_cultures=1)
    check_path(model, chosen, attribution.way)
    asked = [control_twin(question) for question in questions] if control else questions
    prompts = prepared(model, asked, attribution, how)
    settings = {
        "model": model.name,
        "weights": model.fingerprint,
        **model.units_facts(chosen),
        "dtype": str(model.dtype),
        "sites": list(chosen),
        **asdict(attribution),
        "control": control,
    }
    baseline = start_means(model, prompts, chosen, attribution, how)

    def step(batch: Batch) -> ItemScores:
        start = baseline.rows(batch) if baseline else None
        return item_scores(model, batch, chosen, attribution, control=control, baseline=start)

    label = "scoring control twins" if control else "scoring neurons"
    sums = sum_in_shards(model, prompts, step, settings, how, GRADIENT_BATCH_SIZE, label)
    benchmark = benchmarks_of(questions)
    facts = {"revision": model.revision, "benchmark": benchmark, "versions": versions()}
    return also_looked_at(sums.scores({**settings, **facts}), questions)


def sum_in_shards(
    model: LensModel,
    prompts: Sequence[Prompt],
    step: Callable[[Batch], ItemScores],
    settings: Mapping[str, Any],
    how: Running,
    batch_size: int,
    label: str,
) -> AttributionSums:
    """Sum what a step gives of each batch, and keep finished shards in the run folder.

    Args:
        model: The model.
        prompts: The prompts.
        step: From a batch to one row per item.
        settings: What the sums depend on besides the prompts: their key in the run folder.
        how: Batch size, progress, run folder.
        batch_size: Items per batch where nothing else is said.
        label: Label of the progress bar.
    """
    sums = AttributionSums()

    def resume(place: Path) -> int:
        snapshot = NeuronScores.load(place)
        check_key(place, snapshot.metadata)
        return sums.merge(snapshot)

    def save(place: Path, _: int) -> None:
        sums.scores(keyed(place, settings)).save(place)

    place = scores_place(model, prompts, settings, how.folder)
    for shard in shards(place, len(prompts), resume=resume, save=save):
        for batch, rows in run_batches(
            batches(prompts[shard], how.rows(batch_size), model.pad_id),
            step,
            pad_id=model.pad_id,
            progress=how.progress,
            label=label,
        ):
            sums.update(rows, batch.prompts)
    return sums


def prepared(
    model: LensModel, questions: Sequence[Question], attribution: Attribution, how: Running
) -> list[Prompt]:
    """Make the prompts of questions in the style that their scoring reads, labels included.

    Raises:
        InputError: A prompt that is too long, a label that is not a single token, an option without
            tokens, or no tokens at the positions that count.
    """
    prompts = build_prompts(
        questions,
        model.processor,
        style=attribution.style,
        context=model.context,
        too_long=how.too_long,
        progress=how.progress,
    )
    if attribution.style == "choices":
        return labelled(prompts, model.processor)
    check_tokens(prompts)
    attribution.check_positions(prompts)
    return prompts


def also_looked_at(scores: NeuronScores, questions: Sequence[Question]) -> NeuronScores:
    """Record questions that were given and not scored, such as those that were too long."""
    return replace(
        scores, metadata={**scores.metadata, **joined(scores.metadata, looked_at(questions))}
    )


def scores_place(
    model: LensModel, prompts: Sequence[Prompt], settings: Mapping[str, Any], run: Run | None
) -> Path | None:
    """Give the place of the scores of some prompts; None without a run folder."""
    if run is None:
        return None
    asked = [
        (
            *(p.question.id, p.question.culture, p.question.answer, p.all_ids, p.labels),
            *(p.continuations, picture_key(p)),
        )
        for p in prompts
    ]
    return piece_of(model, run, "attribution", ".safetensors", settings, asked)
