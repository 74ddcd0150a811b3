"""The three scorings that CULNIG contrasts: task, control and CountryRC (CULNIG, section 3).

* The **task**: a cultural benchmark. A neuron that scores here is needed for cultural questions, or
  for any question in this form.
* Its **control**: the same items without the question. A neuron that scores here too reads options
  and instructions.
* **CountryRC**: passages that name the country asked for. A neuron that scores here reads country
  names.

``selectors.culnig_general`` and ``selectors.culnig_specific`` choose neurons from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.attribution.countryrc import (
    Wordings,
    countryrc_questions_for,
    score_wordings,
)
from culture_lens.attribution.gradients import (
    AttributeOptions,
    also_looked_at,
    attribute,
    prepared,
)
from culture_lens.attribution.settings import Attribution
from culture_lens.checks import check_arguments, either, file_path, mapping, names, optional, whole
from culture_lens.errors import InputError, warn
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.renaming import renamed_tables
from culture_lens.neurons.scores import SCORES, NeuronScores
from culture_lens.prompts.running import Running, read_options
from culture_lens.questions.culture_names import match_cultures
from culture_lens.questions.question import QUESTIONS, Question, check_questions
from culture_lens.questions.splits import at_most
from culture_lens.questions.unseen import looked_at_by
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

CONTRASTED = ("task", "control", "countryrc")
ONE_TOKEN_SITES = ("decoder.q", "decoder.k")
"""Where a decoder is given one token it attends to itself whatever q and k are: scores of 0."""


@dataclass(frozen=True, eq=False, repr=False)
class CulnigScores(Shown):
    """The three scorings of one model, checked to belong together.

    Attributes:
        task: Sums over the items of a cultural benchmark.
        control: The same over their control twins, clamped at 0.
        countryrc: Sums over CountryRC, for some or all of the task's cultures. Cultures that the
            task names otherwise take the task's names.
        wordings: CountryRC's sums of each wording alone, of the same items, where it was asked in
            several: from them selectors tell how stable their sets are over wordings.

    Raises:
        InputError: The control's items are not the task's, CountryRC has a culture that the task
            lacks, the three are of different models or sites, all scores of a site are 0, or the
            wordings are not CountryRC's.

    Example:
        ``CulnigScores(task, control, countryrc)``, each from ``attribute`` or ``NeuronScores.load``
    """

    task: NeuronScores
    control: NeuronScores
    countryrc: NeuronScores
    wordings: tuple[NeuronScores, ...] = ()

    def __post_init__(self) -> None:
        """Check that the three can be contrasted."""
        for name in CONTRASTED:
            SCORES(name, getattr(self, name))
        check_same_items(self.task, self.control)
        check_wordings(self.countryrc, self.wordings)
        names = match_cultures(self.countryrc.cultures, self.task.cultures, "CountryRC's scores")
        if names:
            object.__setattr__(self, "countryrc", renamed(self.countryrc, names))
            object.__setattr__(self, "wordings", tuple(renamed(w, names) for w in self.wordings))
        check_asked_about(self.countryrc, self.task)
        for name in ("control", "countryrc"):
            check_same_model(self.task, getattr(self, name), name)
        for name in CONTRASTED:
            for site, values in getattr(self, name).scores.items():
                if site not in ONE_TOKEN_SITES and not values.any():
                    raise InputError(
                        f"all {name} scores of site {site!r} are 0, so no neuron stands out: the "
                        "model gives the right labels no probability; see p_gold in the metadata, "
                        "and whether the prompt's format is one that this model answers."
                    )

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that were scored."""
        return tuple(self.task.scores)

    def _overview(self) -> pd.DataFrame:
        return self.task._overview()

    def to_pandas(self) -> pd.DataFrame:
        """List every culture and neuron: culture, site, layer, index, task, control, countryrc.

        CountryRC's scores are NaN for cultures that it does not ask about.
        """
        import pandas as pd

        place = ["culture", "site", "layer", "index"]
        parts = {name: getattr(self, name).to_pandas() for name in CONTRASTED}
        held = {name: part.set_index(place)["score"] for name, part in parts.items()}
        return pd.DataFrame(held).reset_index()

    def contrast(self) -> dict[str, Float[Tensor, "culture layer neuron"]]:
        """Task minus control: each a sum over items divided by the number of all its items.

        Example:
            ``scores.contrast()["gate"].sum(0)`` ranks culture-general neurons.
        """
        task_items, control_items = (
            len(set(scores.metadata["ids"])) for scores in (self.task, self.control)
        )
        return {
            site: self.task.scores[site] / task_items - self.control.scores[site] / control_items
            for site in self.sites
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of a neuron set that is chosen from these scores."""
        kept = {name: value for name, value in self.task.metadata.items() if name != "ids"}
        both = looked_at_by(self.task, self.countryrc)
        return {**kept, "items": len(set(self.task.metadata["ids"])), **both}


def renamed(scores: NeuronScores, names: Mapping[str, str]) -> NeuronScores:
    """Give cultures of scores other names."""
    cultures = tuple(names.get(culture, culture) for culture in scores.cultures)
    return replace(scores, cultures=cultures, metadata=renamed_tables(scores.metadata, names))


def check_asked_about(countryrc: NeuronScores, task: NeuronScores) -> None:
    """Refuse CountryRC scores of cultures that the task lacks.

    Raises:
        InputError: Names them.
    """
    lacking = [name for name in countryrc.cultures if name not in task.cultures]
    if lacking:
        raise InputError(
            f"CountryRC was scored for {', '.join(lacking)}, which the task lacks (it has "
            f"{', '.join(task.cultures)}): give countries= with the task's own labels, such as "
            '{"Northern_Nigeria": "Nigeria"}.'
        )


def check_same_items(task: NeuronScores, control: NeuronScores) -> None:
    """Refuse a control whose items are not those of the task.

    Raises:
        InputError: Names an item that only one of the two has.
    """
    for name, scores, wrong in (("task", task, True), ("control", control, False)):
        if scores.metadata.get("control", not wrong) is wrong:
            raise InputError(
                f"the {name} scores were computed with control={wrong}: task and control are "
                "swapped, or one of them was given twice."
            )
    apart = set(task.metadata["ids"]) ^ set(control.metadata["ids"])
    if apart or task.cultures != control.cultures:
        raise InputError(
            f"control and task do not match: {len(apart)} items are in one of them only (such as "
            f"{min(apart, default='none')!r}), cultures {', '.join(control.cultures)} and "
            f"{', '.join(task.cultures)}; score both on the same questions."
        )


def check_wordings(countryrc: NeuronScores, wordings: Sequence[NeuronScores]) -> None:
    """Refuse single wordings that together are not the items of CountryRC.

    Raises:
        InputError: Their items or cultures differ.
    """
    items = sorted(name for one in wordings for name in one.metadata["ids"])
    cultures = {one.cultures for one in wordings}
    if wordings and (
        items != sorted(countryrc.metadata["ids"]) or cultures != {countryrc.cultures}
    ):
        raise InputError(
            f"wordings: the {len(items)} items of the single wordings are not the "
            f"{len(countryrc.metadata['ids'])} of CountryRC, or not of the same cultures; give the "
            "scores of each wording, or leave them out."
        )


def check_same_model(task: NeuronScores, other: NeuronScores, name: str) -> None:
    """Refuse scores of another model, dtype, aggregation, or of other sites.

    Raises:
        InputError: Names what differs.
    """
    for fact in ("model", "weights", "dtype", *(field.name for field in fields(Attribution))):
        mine, theirs = task.metadata.get(fact), other.metadata.get(fact)
        if mine != theirs:
            raise InputError(
                f"task and {name} scores differ in {fact} ({mine} and {theirs}): score both with "
                "one model and the same options."
            )
    shapes = [{s: tuple(v.shape[1:]) for s, v in scores.scores.items()} for scores in (task, other)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"task and {name} scores differ in sites or shapes ({shapes[0]} and {shapes[1]}): "
            "score both at the same sites of the same model."
        )


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    countries=optional(either(names, mapping(str), remedy="cultures, or {label: name}")),
    countryrc=optional(either(file_path, QUESTIONS, remedy="a file, or CountryRC questions")),
    sites=optional(names),
    per_culture=optional(whole(1)),
)
def culnig_scores(
    model: LensModel,
    questions: Sequence[Question],
    *,
    countries: Sequence[str] | Mapping[str, str] | None = None,
    countryrc: str | Path | Sequence[Question] | None = None,
    countryrc_wordings: Wordings | None = None,
    sites: str | Sequence[str] | None = None,
    per_culture: int | None = None,
    **options: Unpack[AttributeOptions],
) -> CulnigScores:
    """Score task, control and CountryRC, one after the other (CULNIG, section 3).

    Args:
        model: The model. By default it must be able to answer by letter; small and base models
            are scored with ``scoring="option_likelihood"``.
        questions: The questions that identify.
        countries: The cultures that CountryRC asks about, as labels of the questions or as
            ``{label: name in the passage}``; labels that the questions write otherwise, such as
            UK and United Kingdom, become theirs. By default CULNIG's eight where the questions
            have them all as it labels them, else every culture of the questions.
        countryrc: A file of templates instead of the bundled one, such as the published one,
            CountryRC questions, or the name of a benchmark that has its own, ``"organism"``. Its
            own questions have it by default.
        countryrc_wordings: Own wordings of CountryRC, as prompt formats or a JSON file of them,
            such as the published ones; see ``benchmarks.reading.own_wordings``.
        sites: Sites to score; by default the model's projections.
        per_culture: At most so many items of each culture.
        **options: Those of ``attribute``, by default CULNIG's. The three scorings are written to
            the run folder's ``scores``.

    Raises:
        InputError: A country that the questions lack, wordings that cannot be used, or anything
            that ``attribute`` refuses.

    Example:
        ``select(culnig_scores(model, questions), "culnig_specific")``
    """
    (attribution, how), given = read_options(options, Attribution, Running), questions
    questions = at_most(questions, per_culture)
    check_questions(questions)
    passages = countryrc_questions_for(questions, countries, countryrc, countryrc_wordings)
    questions = answerable(model, questions, attribution, how)
    asked = answerable(model, passages, attribution, how)
    score = partial(attribute, model, sites=sites, **options)
    task = also_looked_at(score(questions), given)
    control = also_looked_at(score(questions, control=True), given)
    sums, wordings = score_wordings(asked, score)
    scores = CulnigScores(task, control, also_looked_at(sums, passages), wordings)
    warn_if_guessing("task", scores.task, questions)
    warn_if_guessing("CountryRC", scores.countryrc, asked)
    if (folder := how.folder) is not None:
        for name in CONTRASTED:
            getattr(scores, name).save(folder.named("scores", name, ".safetensors"))
    return scores


def answerable(
    model: LensModel, questions: Sequence[Question], attribution: Attribution, how: Running
) -> list[Question]:
    """Keep the questions whose prompts fit the context, and check all labels, before anything runs.

    A control twin is shorter than its question, so both scorings then have the same items.
    """
    return prepared(model, questions, attribution, how).questions


def warn_if_guessing(name: str, scores: NeuronScores, questions: Sequence[Question]) -> None:
    """Warn where the model answers within two standard deviations of guessing."""
    items, right = (sum(scores.metadata[fact].values()) for fact in ("items", "right"))
    chance = sum(1 / len(question.options) for question in questions) / len(questions)
    if right <= items * chance + 2 * (items * chance * (1 - chance)) ** 0.5:
        warn(
            f"{name}: the model answers {right} of {items} items right, no more than guessing "
            f"gives ({chance:.0%}). Attribution then scores guesses, not knowledge; "
            "scoring='option_likelihood' reads the options' own words, where a model does not "
            "answer by letter."
        )


__all__ = ["CONTRASTED", "CulnigScores", "culnig_scores"]
