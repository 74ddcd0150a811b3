"""What the selector ``knowledge`` reads: contributions, CountryRC's, and how activity varies.

* **task**: integrated gradients of the log-odds of the right option, the maximum over tokens.
* **country**: the same on CountryRC, which asks for a country that its passage names.
* **activity**: the largest absolute activation over the tokens of an item's prompt, and its
  square, summed over items: how much of a neuron's activity differs between items of one culture.
* **halves**: the task's scores of two halves of its question groups. A ranking that both halves
  agree on does not depend on which questions were asked; ``selectors.knowledge`` says how far they
  do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.attribution.activity import SQUARES, activity_sums
from culture_lens.attribution.countryrc import Wordings, countryrc_questions_for
from culture_lens.attribution.culnig import (
    answerable,
    check_asked_about,
    check_same_model,
    renamed,
    warn_if_guessing,
)
from culture_lens.attribution.gradients import (
    AttributeOptions,
    also_looked_at,
    attribute,
)
from culture_lens.attribution.settings import Attribution
from culture_lens.attribution.sums import AttributionSums
from culture_lens.checks import check_arguments, either, file_path, mapping, names, optional, whole
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.long_tables import long_table
from culture_lens.neurons.scores import SCORES, NeuronScores
from culture_lens.prompts.running import Running, read_options
from culture_lens.questions.culture_names import match_cultures
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of, check_questions
from culture_lens.questions.splits import at_most, dealt
from culture_lens.questions.unseen import looked_at_by
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

LAYERWISE_UP_TO = 8
"""Layers up to which a path is the default, layer by layer: that takes as many times longer, and in
a deep model a path that weakens all layers at once leaves little of what it does."""


@dataclass(frozen=True, eq=False, repr=False)
class KnowledgeScores(Shown):
    """The scores that the selector ``knowledge`` chooses from, checked to belong together.

    Attributes:
        task: Sums of contributions over each culture's items.
        country: The same over CountryRC, of some or all of these cultures.
        activity: Sums of the items' largest absolute activation, and of its squares.
        halves: The task's sums over either half of the question groups; empty where a half lacks a
            culture.

    Raises:
        InputError: Scores of different models or sites, a culture that the task lacks, activity of
            other cultures, or halves of other cultures or sites.
    """

    task: NeuronScores
    country: NeuronScores
    activity: NeuronScores
    halves: tuple[NeuronScores, ...] = ()

    def __post_init__(self) -> None:
        """Check that they belong together."""
        for name in ("task", "country", "activity"):
            SCORES(name, getattr(self, name))
        aliases = match_cultures(self.country.cultures, self.task.cultures, "CountryRC's scores")
        if aliases:
            object.__setattr__(self, "country", renamed(self.country, aliases))
        check_asked_about(self.country, self.task)
        check_same_model(self.task, self.country, "CountryRC")
        if self.activity.cultures != self.task.cultures:
            raise InputError(
                f"activity was recorded for {', '.join(self.activity.cultures)}, and the task has "
                f"{', '.join(self.task.cultures)}: record it on the same questions."
            )
        check_activity(self.task, self.activity)
        check_halves(self.task, self.halves)

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures of the task."""
        return self.task.cultures

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that were scored."""
        return tuple(self.task.scores)

    def _overview(self) -> pd.DataFrame:
        return self.task._overview()

    def to_pandas(self) -> pd.DataFrame:
        """List every culture and neuron: culture, site, layer, index, and means over items.

        These are ``contribution``, ``of_the_country`` and ``varying``, as the methods give them.
        """
        kinds = {
            "contribution": self.contributions,
            "of_the_country": self.of_the_country,
            "varying": self.varying,
        }
        columns = {name: {s: of(s) for s in self.sites} for name, of in kinds.items()}
        return long_table(self.cultures, columns)

    def contributions(self, site: str) -> Float[Tensor, "culture layer neuron"]:
        """Give the mean contribution over each culture's items."""
        return per_item(self.task, site)

    def of_the_country(self, site: str) -> Float[Tensor, "culture layer neuron"]:
        """Give the mean contribution over each culture's CountryRC items; 0 without any."""
        found = torch.zeros_like(self.task.scores[site])
        means = per_item(self.country, site)
        for row, culture in enumerate(self.country.cultures):
            found[self.cultures.index(culture)] = means[row]
        return found

    def varying(self, site: str) -> Float[Tensor, "culture layer neuron"]:
        """Give the share of a neuron's activity that differs between items: 1 - mean^2 / square."""
        mean = per_item(self.activity, site)
        square = per_item(self.activity, SQUARES + site)
        return torch.where(square > 0, 1 - mean**2 / square, 0).clamp(0, 1)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of a neuron set that is chosen from these scores."""
        kept = {name: value for name, value in self.task.metadata.items() if name != "ids"}
        both = looked_at_by(self.task, self.country)
        return {**kept, "items": len(set(self.task.metadata["ids"])), **both}


def check_activity(task: NeuronScores, activity: NeuronScores) -> None:
    """Refuse activity that lacks a table of the task's sites, or has it in another shape.

    Raises:
        InputError: Names the table.
    """
    for site, values in task.scores.items():
        for name in (site, SQUARES + site):
            held = activity.scores.get(name)
            if held is None or held.shape != values.shape:
                found = "no table" if held is None else f"one of shape {tuple(held.shape)}"
                raise InputError(
                    f"activity has {found} for {name!r}, and the task's is of shape "
                    f"{tuple(values.shape)}: record it at the same sites of the same model."
                )


def check_halves(task: NeuronScores, halves: Sequence[NeuronScores]) -> None:
    """Refuse halves that are not two, or not of the task's cultures and sites.

    Raises:
        InputError: They are not.
    """
    shapes = {site: values.shape for site, values in task.scores.items()}
    alike = all(
        {site: values.shape for site, values in SCORES("halves", half).scores.items()} == shapes
        and half.cultures == task.cultures
        for half in halves
    )
    if len(halves) not in (0, 2) or not alike:
        raise InputError(
            f"halves: give two, each with all cultures ({', '.join(task.cultures)}) and sites of "
            "the task, or leave them out."
        )


def per_item(scores: NeuronScores, site: str) -> Float[Tensor, "culture layer neuron"]:
    """Divide sums by each culture's number of items."""
    items = torch.tensor([scores.metadata["items"][culture] for culture in scores.cultures])
    return scores.scores[site] / items.double()[:, None, None]


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    countries=optional(either(names, mapping(str), remedy="cultures, or {label: name}")),
    countryrc=optional(either(file_path, QUESTIONS, remedy="a file, or CountryRC questions")),
    sites=optional(names),
    per_culture=optional(whole(1)),
)
def knowledge_scores(
    model: LensModel,
    questions: Sequence[Question],
    *,
    countries: Sequence[str] | Mapping[str, str] | None = None,
    countryrc: str | Path | Sequence[Question] | None = None,
    countryrc_wordings: Wordings | None = None,
    sites: str | Sequence[str] | None = None,
    per_culture: int | None = None,
    **options: Unpack[AttributeOptions],
) -> KnowledgeScores:
    """Score what the selector ``knowledge`` chooses from.

    Args:
        model: The model.
        questions: The questions that identify.
        countries: See ``culnig_scores``, as for the next two.
        countryrc: See there.
        countryrc_wordings: See there.
        sites: Sites to score; by default ConAct's neuron.
        per_culture: At most so many items of each culture.
        **options: Those of ``attribute``. By default the log-odds of the right option are
            explained (``logit_difference``), read as the model reads answers (by letter, or by
            likelihood). Models of at most 8 layers take a path from 0 layer by layer and the
            maximum over tokens; deeper ones no path and the largest absolute value.

    Raises:
        InputError: Fewer than two cultures, or anything that ``culnig_scores`` refuses.

    Example:
        ``select(knowledge_scores(model, questions), "knowledge", share=0.005)``
    """
    defaults = default_options(model)
    chosen: Any = {**defaults, **options}
    attribution, how = read_options(chosen, Attribution, Running)
    given, questions = questions, at_most(questions, per_culture)
    check_questions(questions)
    passages = countryrc_questions_for(questions, countries, countryrc, countryrc_wordings)
    questions = answerable(model, questions, attribution, how)
    asked = answerable(model, passages, attribution, how)

    def score(some: Sequence[Question]) -> NeuronScores:
        return attribute(model, some, sites=sites or model.default_site, **chosen)

    halves = tuple(score(half) for half in halves_of(questions)) or (score(questions),)
    sums = AttributionSums()
    for half in halves:
        sums.merge(half)
    facts = {**halves[0].metadata, "benchmark": benchmarks_of(questions)}
    task = also_looked_at(sums.scores(facts), given)
    country = also_looked_at(score(asked), passages)
    activity = activity_sums(model, questions, tuple(task.scores), attribution, how)
    scores = KnowledgeScores(task, country, activity, halves if len(halves) > 1 else ())
    warn_if_guessing("task", scores.task, questions)
    return scores


def default_options(model: LensModel) -> dict[str, Any]:
    """Give the options of ``attribute`` that ``knowledge_scores`` sets for a model."""
    layerwise = max(model.layers(site) for site in model.sites) <= LAYERWISE_UP_TO
    return {
        "objective": "logit_difference",
        "scoring": "letter" if model.scoring.startswith("letter") else "option_likelihood",
        "path": "integrated_layerwise" if layerwise else "none",
        "aggregation": "maximum" if layerwise else "largest",
    }


def halves_of(questions: Sequence[Question]) -> tuple[list[Question], ...]:
    """Deal question groups alternately to two halves, those of the same cultures one after another.

    Returns:
        The halves; nothing where one of them would lack a culture.
    """
    halves = dealt(questions, {question.group: question.group for question in questions})
    every = {question.culture for question in questions}
    whole = all({question.culture for question in half} == every for half in halves)
    return halves if whole else ()
