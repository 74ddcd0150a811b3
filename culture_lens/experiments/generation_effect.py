"""generation_effect: let a model write under interventions, and judge score and fluency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, each, finite, flag, text, whole
from culture_lens.errors import InputError
from culture_lens.evaluation.fluency import repetition, surprisals
from culture_lens.evaluation.generation import text_of, written_tokens
from culture_lens.evaluation.short_answers.answers import score_answers, writing_prompts
from culture_lens.evaluation.short_answers.matching import words_of
from culture_lens.evaluation.short_answers.questions import ShortQuestion
from culture_lens.experiments.generation import UNMODIFIED, GenerationEffect, label_of
from culture_lens.interventions.change_norm import HOOKS
from culture_lens.models.checks import MODEL, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.transformer_lens import HookList
from culture_lens.prompts.running import Running, RunningOptions

if TYPE_CHECKING:
    import pandas as pd

    Interventions = Mapping[str, HookList | Mapping[float, HookList]]
else:
    Interventions = Any  # a wrong kind reaches the check that says the right ones

Condition = tuple[str, float, HookList]
"""Name, dose and hooks."""


def conditions_of(name: str, value: Any) -> list[Condition]:
    """Check for interventions by name, each as hooks or as hooks by dose.

    Raises:
        InputError: None, a name that is taken, or hooks that are none.
    """
    if not isinstance(value, Mapping) or not value:
        raise InputError(
            f"{name} must be {{name: hooks}} or {{name: {{dose: hooks}}}}, with at least one: such "
            'as {"ablated": ablation_hooks(model, found["Japan"])}.'
        )
    found: list[Condition] = []
    for label, held in value.items():
        if text(name, label) == UNMODIFIED:
            raise InputError(f"{name}: {UNMODIFIED!r} is the model as it is; take another name.")
        doses = held if isinstance(held, Mapping) else {math.nan: held}
        for dose, hooks in doses.items():
            if isinstance(held, Mapping):
                finite(f"dose of {label!r}", dose)
            found.append((label, float(dose), HOOKS(f"{name}[{label!r}]", hooks)))
    if not found:
        raise InputError(f"{name} has no dose: give hooks for at least one.")
    return found


@check_arguments(
    model=MODEL,
    questions=each(ShortQuestion, "questions of load_short_answers"),
    stem=flag,
    max_new_tokens=whole(1),
)
def generation_effect(
    model: LensModel,
    interventions: Interventions,
    questions: Sequence[ShortQuestion],
    *,
    stem: bool = False,
    max_new_tokens: int = 32,
    **running: Unpack[RunningOptions],
) -> GenerationEffect:
    """Let a model write short answers with and without interventions, and compare the answers.

    Every answer is scored against those that people gave, and its perplexity is taken under the
    unmodified model, so that a score is never read without the fluency of what was written.

    Args:
        model: The model, without hooks.
        interventions: Hooks by name, or by name and dose:
            ``{"ablated": ablation_hooks(model, neurons), "steered": {2.0: steering_hooks(...)}}``.
        questions: What to ask; see ``load_short_answers``.
        stem: Match stems, where the language has a stemmer (needs snowballstemmer).
        max_new_tokens: The most tokens per answer.
        **running: Batch size, progress, prompts that are too long; see ``Running``. It runs in
            this process, and nothing is kept in a run folder.

    Raises:
        InputError: No intervention or question, duplicate ids, hooks around the call, a run
            folder, or workers.

    Example:
        ``generation_effect(model, {"ablated": hooks}, questions).table()``
    """
    how = Running.of(running)
    conditions = conditions_of("interventions", interventions)
    how.check_here("generation_effect", "effect.to_parquet(path)")
    if model.is_hooked:
        raise InputError(
            "hooks are attached to the model, and perplexity is that of the unmodified model: "
            "give them as an intervention instead."
        )
    prompts = writing_prompts(model, questions, max_new_tokens, how)
    asked = [prompt.question.id for prompt in prompts]
    kept = [question for question in questions if question.id in set(asked)]
    frames = []
    for name, dose, hooks in [(UNMODIFIED, math.nan, []), *conditions]:
        label = label_of(name, dose)
        with under(label):
            written = written_tokens(
                model, prompts, hooks, max_new_tokens=max_new_tokens, label=label, running=how
            )
        surprisal = surprisals(model, prompts, written, label=f"perplexity, {label}", running=how)
        scored = score_answers(kept, {n: text_of(model, written[n]) for n in asked}, stem=stem)
        frames.append(with_fluency(scored, name, dose, written, surprisal))
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "benchmark": "blend_short_answers",
        "stem": stem,
        "max_new_tokens": max_new_tokens,
        "items": len(prompts),
    }
    return GenerationEffect(joined(frames), metadata)


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the records of all conditions into one table."""
    import pandas as pd

    return pd.concat(frames, ignore_index=True)


def with_fluency(
    scored: pd.DataFrame,
    name: str,
    dose: float,
    written: Mapping[str, Sequence[int]],
    surprisal: Mapping[str, float],
) -> pd.DataFrame:
    """Add the condition and the measures of fluency to scored answers."""
    frame = scored.assign(
        tokens=[len(written[one]) for one in scored["id"]],
        surprisal=[surprisal[one] for one in scored["id"]],
        repetition=[repetition(written[one]) for one in scored["id"]],
        empty=[
            int(not words_of(answer, language))
            for answer, language in zip(scored["answer"], scored["language"], strict=True)
        ],
    )
    frame.insert(0, "condition", name)
    frame.insert(1, "dose", dose)
    return frame


__all__ = ["generation_effect"]
