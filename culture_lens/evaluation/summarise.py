"""summarise: run questions through a model once, and summarise activations per culture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.activations.record import Recording, RecordingOptions, record_in_shards
from culture_lens.activations.resampling import design_of
from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import SEED, check_arguments, flag, names, optional, text, whole
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.evaluation import answered_right
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Style
from culture_lens.prompts.running import Running, RunningOptions, read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of, check_questions
from culture_lens.questions.splits import at_most, check_enough
from culture_lens.questions.unseen import looked_at
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    from culture_lens.evaluation.scoring import ScoringName


class SummariseOptions(RecordingOptions, RunningOptions, total=False):
    """The fields of ``Recording`` and ``Running`` as keyword arguments."""


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    style=text,
    only_correct=flag,
    scoring=optional(text),
    per_culture=optional(whole(1)),
    replicates=whole(0),
    strata=optional(names),
    seed=SEED,
)
def summarise(
    model: LensModel,
    questions: Sequence[Question],
    *,
    style: Style = "choices",
    only_correct: bool = False,
    scoring: ScoringName | None = None,
    per_culture: int | None = None,
    replicates: int = 0,
    strata: str | Sequence[str] | None = None,
    seed: int = 0,
    **options: Unpack[SummariseOptions],
) -> ActivationSummary:
    """Run questions through the model once and summarise activations per culture.

    Args:
        model: The model.
        questions: The questions that identify; see ``split_questions``.
        style: ``"choices"`` shows the options in the prompt, ``"cloze"`` does not.
        only_correct: Count only items that the unmodified model answers right, as ConAct's paper
            does.
        scoring: How the model's answers are scored for ``only_correct``.
        per_culture: Largest number of items of each culture.
        replicates: Number of permutations of the culture labels, and of bootstrap samples, counted
            in the same pass. ``fdr`` and ``selection_frequency`` need them; 20 are enough. Each
            takes 4 bytes per culture and neuron, 12 with magnitudes.
        strata: Columns of the questions within which cultures are compared, such as
            ``"category"``; see ``strata_of``.
        seed: Draws the replicates.
        **options: ``sites``, ``roles`` and ``magnitudes`` of ``Recording``; batch size, progress,
            run folder and prompts that are too long of ``Running``.

    Raises:
        InputError: Fewer than two cultures, a culture with fewer than two items, no stratum that
            every culture has, labels that no permutation can exchange, or an unknown option.

    Example:
        ``select(summarise(model, questions), "lape", share=0.01)``
    """
    recording, running = read_options(options, Recording, Running)
    check_questions(questions)
    sites = recording.chosen(model)
    roles, given = recording.counted, questions
    if only_correct:
        answered = evaluate(model, questions, scoring=scoring, **vars(running))
        questions = answered_right(questions, answered)
    questions = at_most(questions, per_culture)
    check_enough(questions)
    prompts = build_prompts(
        questions,
        model.processor,
        style=style,
        context=model.context,
        too_long=running.too_long,
        progress=running.progress,
    )
    counted = [prompt.question for prompt in prompts]
    check_enough(counted)
    design = design_of(counted, replicates, strata, seed)
    statistics = record_in_shards(model, prompts, recording, design, running)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        **model.units_facts(sites),
        "dtype": str(model.dtype),
        "benchmark": benchmarks_of(given),
        "style": style,
        "roles": list(roles),
        "only_correct": only_correct,
        "strata": [strata] if isinstance(strata, str) else list(strata or ()),
        "replicates": replicates,
        "items": len(prompts),
        **looked_at(given),
        "versions": versions(),
    }
    return statistics.summary(metadata)
