"""BLEnD's short answers: a model writes an answer, which is matched against those of people.

Myung et al. 2024, arXiv 2406.09948. Each human answer comes with its votes v. There are two ways
to match and two scores of each; the paper reports the second pair (SEM-B and SEM-W, read in its
published code):

    exact        the written answer is a human answer, after normalisation
    contained    every word of a human answer is among the written ones (in Chinese, Japanese and
                 Korean: its characters stand in the written answer, one after the other)

    binary       1 where any human answer matches, else 0
    weighted     max of v over the human answers that match, divided by the largest v of the
                 question; 0 where none matches

Of a model's output the first line counts. In a local language, translations of the human answers
count as well, as published.

Where this departs from the published evaluation: the normalisation (see ``matching``); the
published one matches the whole output; and it also accepts a human answer that occurs anywhere in
the output's letters, which finds "tea" in "steak" and an empty answer in everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.generation import write_answers
from culture_lens.evaluation.short_answers.matching import matched_votes, words_of
from culture_lens.evaluation.short_answers.questions import ShortQuestion
from culture_lens.interventions.hooks import Value
from culture_lens.models.encoder_decoder import EncoderDecoder
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.prompts.batches import build_prompts
from culture_lens.questions.question import Question, check_questions
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.storage.files import load_table, save_table
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd

MATCHINGS = ("exact", "contained")
NEVER_SHOWN = ("-", "+")
"""A Question has options; those of a written answer stand in no prompt."""


@dataclass(frozen=True, eq=False)
class ShortAnswers:
    """One record per question that was put.

    Attributes:
        frame: Columns id, culture, group, category, language, wording, written (all of the
            output), answer (its first line), and for both ways to match 0 or 1 (``exact``,
            ``contained``) and the weighted score (``exact_weight``, ``contained_weight``).
        metadata: Model, normalisation and what was done to the model.

    Example:
        ``evaluate_short_answers(model, questions).by("culture")``
    """

    frame: pd.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)

    def _estimate(self, part: pd.DataFrame, matching: str, weighted: bool) -> Estimate:
        if matching not in MATCHINGS:
            raise unknown("matching", matching, MATCHINGS)
        values = part[f"{matching}_weight" if weighted else matching]
        return mean_estimate(values.tolist(), part["group"].tolist())

    def accuracy(self, matching: str = "exact", *, weighted: bool = False) -> Estimate:
        """Mean score over all questions, its interval clustered by question.

        Args:
            matching: ``"exact"`` or ``"contained"``.
            weighted: The score weighted by votes instead of 0 or 1.

        Raises:
            InputError: No such matching.
        """
        return self._estimate(self.frame, matching, weighted)

    def by(
        self, column: str = "culture", matching: str = "exact", *, weighted: bool = False
    ) -> dict[str, Estimate]:
        """Mean score per culture, or per value of another column such as category or wording."""
        if column not in self.frame:
            raise unknown("column", column, map(str, self.frame.columns))
        return {
            str(name): self._estimate(part, matching, weighted)
            for name, part in self.frame.groupby(column, sort=True)
        }

    def to_parquet(self, path: str | Path) -> Path:
        """Write records and metadata into one parquet file."""
        return save_table(path, self.frame, self.metadata)

    @classmethod
    def from_parquet(cls, path: str | Path) -> ShortAnswers:
        """Read records that ``to_parquet`` wrote.

        Raises:
            InputError: The file is missing, damaged, or something else.
        """
        return cls(*load_table(path, "short answers"))


def first_line(text: str) -> str:
    r"""Take the first line that holds anything: what comes after is no longer the answer.

    Example:
        >>> first_line("\n rice.\nQuestion: what else?")
        'rice.'
    """
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def as_question(short: ShortQuestion) -> Question:
    """Make what prompts are built of."""
    return Question(
        id=short.id,
        culture=short.culture,
        text=short.text,
        options=NEVER_SHOWN,
        answer=0,
        category=short.category,
        group=short.group,
        benchmark="blend_short_answers",
        prompt=short.prompt,
    )


def evaluate_short_answers(
    model: LensModel,
    questions: Sequence[ShortQuestion],
    neurons: Neurons | None = None,
    *,
    value: Value = "zero",
    stem: bool = False,
    max_new_tokens: int = 32,
    too_long: str = "error",
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> ShortAnswers:
    """Let a model answer in its own words, with neurons ablated where given, and score it.

    Decoding is greedy. With ``run``, each culture is kept when it is done, so that an interrupted
    call goes on with the next one.

    Args:
        model: The model.
        questions: What to ask; see ``load_short_answers``.
        neurons: Neurons to ablate, such as ``found["Japan"]``.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        stem: Match stems, where the language has a stemmer (needs snowballstemmer).
        max_new_tokens: At most so many tokens per answer.
        too_long: What to do with prompts longer than the context: ``"error"``, ``"skip"`` or
            ``"truncate"``.
        batch_size: Questions per forward; halved where memory runs out.
        progress: Show a progress bar.
        run: A run folder; what is done in it is kept and found again.

    Raises:
        InputError: No questions, duplicate ids, or a package that is missing.

    Example:
        ``print(evaluate_short_answers(model, questions).accuracy())``
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}.")
    if stem:
        for language in {short.language for short in questions} | {"English"}:
            words_of("a", language, stem=True)  # a missing package is named now, not in an hour
    asked = [as_question(short) for short in questions]
    check_questions(asked, min_cultures=1)
    prompts = build_prompts(
        asked,
        model.processor,
        style="cloze",
        context=model.context,
        reserve=0 if isinstance(model, EncoderDecoder) else max_new_tokens,
        too_long=too_long,
        progress=progress,
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    written: dict[str, str] = {}
    for culture in dict.fromkeys(prompt.question.culture for prompt in prompts):
        written |= write_answers(
            model,
            [prompt for prompt in prompts if prompt.question.culture == culture],
            neurons,
            value=value,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            progress=progress,
            label=culture,
            run=Run.open(run) if run is not None else None,
        )
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "stem": stem,
        "max_new_tokens": max_new_tokens,
        "ablated": len(neurons) if neurons is not None else 0,
    }
    kept = [short for short in questions if short.id in written]
    return ShortAnswers(score_answers(kept, written, stem=stem), metadata)


def score_answers(
    questions: Sequence[ShortQuestion], written: Mapping[str, str], *, stem: bool = False
) -> pd.DataFrame:
    """Match what was written, wherever it comes from, and lay it out as records.

    Args:
        questions: The questions.
        written: A model's output for each question's id.
        stem: Match stems.

    Raises:
        InputError: A question was not answered.

    Example:
        ``ShortAnswers(score_answers(questions, outputs)).accuracy("contained", weighted=True)``
    """
    import pandas as pd

    rows = []
    for short in questions:
        if short.id not in written:
            raise InputError(f"no output for question {short.id!r}: give one for each.")
        answer = first_line(written[short.id])
        row: dict[str, Any] = {
            "id": short.id,
            "culture": short.culture,
            "group": short.group,
            "category": short.category,
            "language": short.language,
            "wording": short.wording,
            "written": written[short.id],
            "answer": answer,
        }
        for name in MATCHINGS:
            contained = name == "contained"
            votes = matched_votes(
                answer, short.answers, short.language, contained=contained, stem=stem
            )
            row |= {name: int(votes > 0), f"{name}_weight": votes / short.most_votes}
        rows.append(row)
    return pd.DataFrame(rows)
