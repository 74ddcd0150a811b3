"""confirm: strike out candidates that carry nothing, by ablating them in groups.

The candidates of a culture, the best first, are cut into groups of like size. Each group is
ablated, and the culture's questions, which did not find it, are asked again. With s_o the score of
option o (a label's logit, or a mean log-probability), the margin of an item and the effect of a
group are

    M = s_gold - mean over the other options of s_o          effect = M(ablated) - M(unmodified)

Neurons that carry nothing about which option is right move any option as they move the right one.
The mean of the effect over items is then 0 whatever they do, even in a model that knows nothing:
that is why the options' scores are averaged, and not weighed by their probabilities.

**Test.** Under the null hypothesis any option could be called the right one. So the effect of every
item is computed with each of its options as the right one, the others in the order of their words.
These are averaged over a culture's items that have the same right answer, because a neuron that
favours a word favours it in all of them: the right answer is the unit, and one relabelling is drawn
for each (``statistics.permutation.weighted_p``). p is one-sided: the margin falls. Over the groups
of all cultures together, Benjamini and Hochberg's procedure holds the expected share of false
groups among those that are kept at ``fdr``. Where no culture's candidates carry anything, the
chance that any group is kept is at most ``fdr``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import Unpack

from culture_lens.checks import check_arguments, optional, real, text, whole
from culture_lens.errors import InputError
from culture_lens.evaluation.candidate_groups import Group, cut, union
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.evaluation.scoring import Scoring
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.questions.unseen import apart, joined, looked_at, unseen
from culture_lens.selectors.false_discovery import check_fdr
from culture_lens.statistics.estimates import UNBOUNDED, mean_estimate
from culture_lens.statistics.permutation import weighted_p

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName

GROUPS = 20
"""Groups of candidates of each culture, where nothing else is said."""
LEAST_ANSWERS = 5
"""With fewer different right answers no group could ever be kept at a rate of 5%."""


@check_arguments(
    model=MODEL,
    found=FOUND_SET,
    questions=QUESTIONS,
    groups=whole(1),
    fdr=real,
    scoring=optional(text),
)
def confirm(
    model: LensModel,
    found: NeuronSet,
    questions: Sequence[Question],
    *,
    groups: int = GROUPS,
    fdr: float = 0.05,
    scoring: ScoringName | None = None,
    **running: Unpack[RunningOptions],
) -> NeuronSet:
    """Keep the candidates whose ablation, in groups, lowers the margin of the right option.

    Args:
        model: The model.
        found: The candidates, such as ``select(scores, "knowledge", share=0.05)``.
        questions: Questions of the same cultures. Those that were given to find the candidates are
            left out, with their groups; see ``unseen``.
        groups: Groups of candidates of each culture.
        fdr: The expected share of false groups among those that are kept.
        scoring: How answers are scored; the model's own scoring by default.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Returns:
        The neurons of the groups that are kept, maybe none. Their metadata hold the rate and, under
        ``confirmed``, each group's culture, first rank, size, effect with its interval, p and
        adjusted p (q). The questions asked here count as looked at.

    Raises:
        InputError: A culture with fewer candidates than groups, no question left, a rate outside
            (0, 1), or too few different right answers of a culture.

    Example:
        ``confirm(model, candidates, identify, groups=20, fdr=0.05)``
    """
    how = Running.of(running)
    check_fdr(fdr)
    found.check_model(model)
    if questions and not apart(questions, found.metadata, namesakes=True):
        raise InputError(
            "every question was used to find these candidates: give others, which did not find "
            "them, or find candidates on a part of the questions."
        )
    asked = unseen(found, questions, False)
    named = align_cultures(found, asked)
    every = [group for culture in named for group in cut(culture, named[culture], groups)]
    with_questions = {question.culture for question in asked}
    if lacking := sorted({group.culture for group in every} - with_questions):
        raise InputError(
            f"no question is left to confirm the candidates of {', '.join(lacking)}: give "
            "questions of all cultures that did not find them."
        )
    # All of them first: whatever is refused is refused before anything runs.
    parts = [part_of(model, asked, name, every, scoring, how) for name in named]
    effects = [effect for part in parts for effect in effects_of(model, part, how)]
    table = judged(every, effects, fdr)
    kept = {
        name: union([g for g, row in zip(every, table, strict=True) if row["kept"]], name, named)
        for name in named
    }
    facts = {"fdr": fdr, "groups_of_candidates": groups, "confirmed": table}
    metadata = {**found.metadata, **joined(found.metadata, looked_at(questions)), **facts}
    return replace(named, neurons=kept, metadata=metadata)


@dataclass(frozen=True, eq=False)
class Part:
    """What is asked of one culture.

    Attributes:
        culture: The culture.
        groups: Its groups of candidates.
        prompts: Its questions.
        scoring: How answers are read.
    """

    culture: str
    groups: Sequence[Group]
    prompts: Sequence[Prompt]
    scoring: Scoring


def part_of(
    model: LensModel,
    questions: Sequence[Question],
    culture: str,
    every: Sequence[Group],
    scoring: ScoringName | None,
    running: Running,
) -> Part | None:
    """Prepare the questions of a culture; None where it has no candidates.

    Raises:
        InputError: Fewer than five different right answers.
    """
    own = [question for question in questions if question.culture == culture]
    mine = [group for group in every if group.culture == culture]
    if not mine:
        return None
    prompts, chosen = prepare(model, own, scoring, running)
    answers = {right_answer(prompt) for prompt in prompts}
    if len(answers) < LEAST_ANSWERS:
        raise InputError(
            f"the {len(prompts)} questions of {culture} have {len(answers)} different right "
            f"answers, and a test over answers needs {LEAST_ANSWERS}: give more questions."
        )
    return Part(culture, mine, prompts, chosen)


def right_answer(prompt: Prompt) -> str:
    """Give the right option's words."""
    return prompt.question.options[prompt.question.answer]


Effects = list[np.ndarray]
"""Of each right answer the mean effect with each option as the right one, the right one first."""


def effects_of(model: LensModel, part: Part | None, running: Running) -> list[Effects]:
    """Ablate each group of a culture, and average its effects on each right answer."""
    if part is None:
        return []
    masks: list[tuple[str, Neurons | None]] = [("unmodified", None)]
    masks += [(f"{part.culture} from rank {group.first}", group.neurons) for group in part.groups]
    label = f"confirming {part.culture}"
    base, *frames = answer_masks(
        model, part.prompts, part.scoring, masks, label=label, running=running
    )
    asked = [prompt.question for prompt in part.prompts]
    before, names = margins(base, asked), [right_answer(prompt) for prompt in part.prompts]
    return [by_answer(margins(frame, asked), before, names) for frame in frames]


def margins(frame: pd.DataFrame, questions: Sequence[Question]) -> Effects:
    """Give the margin of every option of each record: the right one first, others by their words.

    Example:
        >>> import pandas as pd
        >>> asked = Question("q", "Japan", "Which tea?", ("b", "a", "c"), 0)
        >>> margins(pd.DataFrame({"scores": [[3.0, 1.0, 0.0]]}), [asked])[0].tolist()
        [2.5, -0.5, -2.0]
    """
    found = []
    for scores, question in zip(frame["scores"], questions, strict=True):
        values, right = np.asarray(scores, dtype=float), question.answer
        order = sorted((n != right, word, n) for n, word in enumerate(question.options))
        others = (values.sum() - values) / (len(values) - 1)
        found.append((values - others)[[n for _, _, n in order]])
    return found


def by_answer(after: Effects, before: Effects, names: Sequence[str]) -> Effects:
    """Average changes of margins over items with the same right answer and number of options."""
    held: dict[tuple[str, int], list[np.ndarray]] = {}
    for name, one, other in zip(names, after, before, strict=True):
        held.setdefault((name, len(one)), []).append(one - other)
    return [np.mean(held[unit], axis=0) for unit in sorted(held)]


def p_of(effects: Effects) -> float:
    """Test whether the mean effect is below what other options as the right ones would give."""
    choices = math.lcm(*(len(effect) for effect in effects))
    # Repeated to one length, each relabelling of an answer stays as likely as the others.
    values = np.stack([np.tile(effect, choices // len(effect)) for effect in effects])
    return weighted_p(values, alternative="less")[0]


def judged(every: Sequence[Group], effects: Sequence[Effects], fdr: float) -> list[dict[str, Any]]:
    """Test every group, and keep those that hold the rate over all cultures together."""
    from scipy.stats import false_discovery_control

    if not every:
        return []
    p = [p_of(effect) for effect in effects]
    rows = []
    for group, effect, one, q in zip(every, effects, p, false_discovery_control(p), strict=True):
        changes = [float(own[0]) for own in effect]
        mean = mean_estimate(changes, list(range(len(changes))), bounds=UNBOUNDED)
        rows.append(
            {
                "culture": group.culture,
                "first": group.first,
                "size": len(group.neurons),
                "answers": len(effect),
                "effect": mean.value,
                "low": mean.low,
                "high": mean.high,
                "p": one,
                "q": float(q),
                "kept": bool(q <= fdr),
            }
        )
    return rows
