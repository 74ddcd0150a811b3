"""BLEnD's short answers: a model writes an answer, which is matched against those of people.

Myung et al. 2024, arXiv 2406.09948. Each human answer comes with its votes v. There are two
matchings, each with two scores. The paper reports the scores of ``contained`` (SEM-B and SEM-W, as
in its published code):

    exact        the written answer is a human answer, after normalisation
    contained    every word of a human answer is among the written ones (in Chinese, Japanese and
                 Korean: its characters stand in the written answer, one after the other)

    binary       1 where any human answer matches, else 0
    weighted     max of v over the human answers that match, divided by the largest v of the
                 question; 0 where none matches

Only the first line of a model's output counts. For a question in a local language, English
translations of the human answers match too, as in the published evaluation.

This evaluation differs from the published one in three ways: it normalises otherwise (see
``matching``); it takes the first line and not the whole output; and it compares words, where the
published one accepts a human answer anywhere among the output's letters, so that "tea" matches
"steak" and an empty answer matches everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, each, flag, optional, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.generation import write_answers
from culture_lens.evaluation.short_answers.matching import MATCHINGS, matched_votes, words_of
from culture_lens.evaluation.short_answers.questions import ShortQuestion
from culture_lens.interventions.hooks import Value, ablation_value
from culture_lens.models.checks import MODEL
from culture_lens.models.encoder_decoder import EncoderDecoder
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import NEURONS, Neurons
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import Question, check_questions
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.short_answers.matching import Matching

NEVER_SHOWN = ("-", "+")
"""Options that every Question must have; the prompt of a written answer does not show them."""


class ShortAnswers(ResultRecord):
    """One record per question.

    Attributes:
        frame: Columns id, culture, group, category, language, wording, written (the whole
            output), answer (its first line), and for both matchings 0 or 1 (``exact``,
            ``contained``) and the weighted score (``exact_weight``, ``contained_weight``).
        metadata: Model, normalisation and what was done to the model.

    Example:
        ``evaluate_short_answers(model, questions).by("culture")``
    """

    what = "short answers"
    needs = ("id", "culture", "group", "exact", "contained", "exact_weight", "contained_weight")

    def _estimate(self, part: pd.DataFrame, matching: Matching, weighted: bool) -> Estimate:
        if matching not in MATCHINGS:
            raise unknown("matching", matching, MATCHINGS)
        values = part[f"{matching}_weight" if weighted else matching]
        return mean_estimate(values.tolist(), part["group"].tolist())

    @check_arguments(matching=text, weighted=flag)
    def accuracy(self, matching: Matching = "exact", *, weighted: bool = False) -> Estimate:
        """Mean score over all questions, with its interval clustered by question.

        Args:
            matching: ``"exact"`` or ``"contained"``.
            weighted: Take the score weighted by votes instead of 0 or 1.

        Raises:
            InputError: No such matching.
        """
        return self._estimate(self.frame, matching, weighted)

    @check_arguments(column=text, matching=text, weighted=flag)
    def by(
        self, column: str = "culture", matching: Matching = "exact", *, weighted: bool = False
    ) -> dict[str, Estimate]:
        """Mean score per culture, or per value of another column such as category or wording."""
        if column not in self.frame:
            raise unknown("column", column, map(str, self.frame.columns))
        return {
            str(name): self._estimate(part, matching, weighted)
            for name, part in self.frame.groupby(column, sort=True)
        }

    def _main_table(self) -> pd.DataFrame:
        import pandas as pd

        return numeric(pd.DataFrame({name: self.by(matching=name) for name in MATCHINGS}))


def first_line(text: str) -> str:
    r"""Take the first line that is not blank: later lines are no longer the answer.

    Example:
        >>> first_line("\n rice.\nQuestion: what else?")
        'rice.'
    """
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def as_question(short: ShortQuestion) -> Question:
    """Make the Question that prompts are built from."""
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


@check_arguments(
    model=MODEL,
    questions=each(ShortQuestion, "questions of load_short_answers"),
    neurons=optional(NEURONS),
    value=ablation_value,
    stem=flag,
    max_new_tokens=whole(),
)
def evaluate_short_answers(
    model: LensModel,
    questions: Sequence[ShortQuestion],
    neurons: Neurons | None = None,
    *,
    value: Value = "zero",
    stem: bool = False,
    max_new_tokens: int = 32,
    **running: Unpack[RunningOptions],
) -> ShortAnswers:
    """Let a model answer in its own words, with neurons ablated where given, and score its answers.

    Decoding is greedy. With ``run``, the answers of each finished culture are kept, so an
    interrupted call continues with the next culture.

    Args:
        model: The model.
        questions: What to ask; see ``load_short_answers``.
        neurons: Neurons to ablate, such as ``found["Japan"]``.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        stem: Match stems, where the language has a stemmer (needs snowballstemmer).
        max_new_tokens: The most tokens per answer.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: No questions, duplicate ids, a missing package, or an unknown option.

    Example:
        ``print(evaluate_short_answers(model, questions).accuracy())``
    """
    how = Running.of(running)
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, not {max_new_tokens}.")
    if stem:
        for language in {short.language for short in questions} | {"English"}:
            words_of("a", language, stem=True)  # name a missing package before the model runs
    prompts = writing_prompts(model, questions, max_new_tokens, how)
    written: dict[str, str] = {}
    for culture in dict.fromkeys(prompt.question.culture for prompt in prompts):
        written |= write_answers(
            model,
            [prompt for prompt in prompts if prompt.question.culture == culture],
            neurons,
            value=value,
            max_new_tokens=max_new_tokens,
            label=culture,
            running=how,
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


def writing_prompts(
    model: LensModel, questions: Sequence[ShortQuestion], max_new_tokens: int, running: Running
) -> Sequence[Prompt]:
    """Build prompts that leave room for an answer of so many tokens.

    Raises:
        InputError: No questions, duplicate ids, or only questions that are too long.
    """
    asked = [as_question(short) for short in questions]
    check_questions(asked, min_cultures=1)
    prompts = build_prompts(
        asked,
        model.processor,
        style="cloze",
        context=model.context,
        reserve=0 if isinstance(model, EncoderDecoder) else max_new_tokens,
        too_long=running.too_long,
        progress=running.progress,
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    return prompts


def score_answers(
    questions: Sequence[ShortQuestion], written: Mapping[str, str], *, stem: bool = False
) -> pd.DataFrame:
    """Match written answers, of any origin, against the human ones; give one record each.

    Args:
        questions: The questions.
        written: The output for each question's id.
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
            raise InputError(f"no output for question {short.id!r}: give one for each question.")
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
