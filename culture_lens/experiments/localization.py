"""localization_gap: accuracy with the country named minus accuracy without it.

After Veselovsky et al. 2025 (arXiv 2504.10191): a model may know what is usual in a country when it
is told which country is meant, and answer for another one when it is not. Every question is asked
twice, in versions that differ in the country's name alone (``questions.country_named``), so the gap
is paired by question; intervals are clustered by question group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, optional, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.evaluation.evaluate import answer_prompts, prepare
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.country_named import (
    LEAD,
    STAND_IN,
    lead_text,
    names_country,
    with_country_named,
    without_country_named,
)
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.statistics.estimates import CHANGES, SHARES, UNBOUNDED, Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    from typing import Literal

    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName

    Measure = Literal["accuracy", "p_gold"]
else:
    Measure = str  # a wrong name reaches the check that lists the right ones

NAMED, UNNAMED = "named", "unnamed"
MEASURES = {"accuracy": "correct", "p_gold": "p_gold"}
"""What is compared, and its column."""
ALL = "all"
"""The row of all questions together."""
KEPT = ["id", "culture", "group", "category"]


class LocalizationGap(ResultRecord):
    """One record per question, asked with and without the country named.

    Attributes:
        frame: Columns id, culture, group, category, ``in_text`` (whether the question names its
            country by itself), and with ``named_`` and ``unnamed_`` before them prediction,
            correct and p_gold.
        metadata: Model, benchmark, scoring, the lead and the stand-in.

    Example:
        ``localization_gap(model, questions).gap()["Japan"]``
    """

    what = "a localization gap"
    needs = ("id", "culture", "group", "named_correct", "unnamed_correct")

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that were asked about."""
        return tuple(sorted(self.frame["culture"].unique()))

    def _parts(self) -> dict[str, pd.DataFrame]:
        parts = {c: self.frame[self.frame["culture"] == c] for c in self.cultures}
        return {**parts, ALL: self.frame}

    @check_arguments(measure=text)
    def gap(self, measure: Measure = "accuracy") -> dict[str, Estimate]:
        """Give named minus unnamed, per culture and for ``"all"`` questions, paired by question.

        Args:
            measure: ``"accuracy"``, or ``"p_gold"``, the probability of the right answer.

        Raises:
            InputError: No such measure.
        """
        column = column_of(measure)
        bounds = CHANGES if measure == "accuracy" else UNBOUNDED
        found = {}
        for name, part in self._parts().items():
            changes = part[f"{NAMED}_{column}"].astype(float) - part[f"{UNNAMED}_{column}"]
            groups = part["group"].tolist()
            found[name] = mean_estimate(changes.tolist(), groups, bounds=bounds, name=name)
        return found

    @check_arguments(measure=text)
    def table(self, measure: Measure = "accuracy") -> pd.DataFrame:
        """Give items, named, unnamed and gap of every culture and of all, with intervals.

        Args:
            measure: ``"accuracy"`` or ``"p_gold"``.

        Raises:
            InputError: No such measure.
        """
        import pandas as pd

        column = column_of(measure)
        bounds = SHARES if measure == "accuracy" else UNBOUNDED
        rows, gaps = {}, self.gap(measure)
        for name, part in self._parts().items():
            groups = part["group"].tolist()
            rows[name] = {
                version: mean_estimate(
                    part[f"{version}_{column}"].astype(float).tolist(),
                    groups,
                    bounds=bounds,
                    name=name,
                )
                for version in (NAMED, UNNAMED)
            } | {"gap": gaps[name]}
        found = numeric(pd.DataFrame.from_dict(rows, orient="index"))
        found.insert(0, "items", [len(part) for part in self._parts().values()])
        return found

    def _main_table(self) -> pd.DataFrame:
        return self.table()


def column_of(measure: str) -> str:
    """Give the column of a measure.

    Raises:
        InputError: No such measure.
    """
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    return MEASURES[measure]


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    scoring=optional(text),
    lead=lead_text,
    stand_in=text,
)
def localization_gap(
    model: LensModel,
    questions: Sequence[Question],
    *,
    scoring: ScoringName | None = None,
    lead: str = LEAD,
    stand_in: str = STAND_IN,
    **running: Unpack[RunningOptions],
) -> LocalizationGap:
    """Ask every question with and without its country named, and compare the answers.

    Args:
        model: The model, as it is or within ``ablated`` or ``direction_added``.
        questions: What to ask. One that names its country is also asked with the stand-in in the
            place of the name, one that does not is also asked after the lead.
        scoring: How answers are read; the model's own scoring by default.
        lead: What names the country; ``{country}`` becomes the culture's name.
        stand_in: What stands where the name was.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: No questions, duplicate ids, a lead without ``{country}``, a stand-in that
            names a country, or an unknown option.

    Warns:
        CultureLensWarning: Questions of which one version is too long and left out.

    Example:
        ``localization_gap(model, questions).table()``
    """
    how = Running.of(running)
    versions = {
        NAMED: with_country_named(questions, lead),
        UNNAMED: without_country_named(questions, stand_in),
    }
    # Both before either is asked: what is refused in the second is said before the model runs.
    ready = {version: prepare(model, asked, scoring, how) for version, asked in versions.items()}
    frames = {
        version: answer_prompts(model, prompts, chosen, label=version, running=how)
        for version, (prompts, chosen) in ready.items()
    }
    in_text = {question.id: names_country(question) for question in questions}
    frame = paired(frames[NAMED], frames[UNNAMED])
    frame.insert(len(KEPT), "in_text", [in_text[name] for name in frame["id"]])
    if len(frame) < len(questions):
        warn(
            f"{len(questions) - len(frame)} of {len(questions)} questions are left out: one of "
            "their two versions is too long."
        )
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "benchmark": benchmarks_of(questions),
        "scoring": ready[NAMED][1].name,
        "lead": lead,
        "stand_in": stand_in,
        "items": len(frame),
        "named_in_text": int(frame["in_text"].sum()),
    }
    return LocalizationGap(frame, metadata)


def paired(named: pd.DataFrame, unnamed: pd.DataFrame) -> pd.DataFrame:
    """Join the answers to both versions of each question.

    Raises:
        InputError: No question was asked in both.
    """
    columns = ["prediction", "correct", "p_gold"]
    joined = named[KEPT + columns].merge(
        unnamed[["id", *columns]], on="id", suffixes=("_named", "_unnamed"), validate="one_to_one"
    )
    if joined.empty:
        raise InputError("no question is left of which both versions fit the model's context.")
    names = {
        f"{column}_{version}": f"{version}_{column}"
        for version in (NAMED, UNNAMED)
        for column in columns
    }
    return joined.rename(columns=names)


__all__ = ["LocalizationGap", "localization_gap"]
