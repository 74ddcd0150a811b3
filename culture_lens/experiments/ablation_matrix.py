"""ablation_matrix: ablate every culture's neurons in turn and ask every culture's questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import check_arguments, flag, optional, text
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.experiments.masks import RandomMasks, found_and_random, joined, labelled
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.stopping import answer_until, half_width
from culture_lens.interventions.hooks import Value, ablation_value
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName
    from culture_lens.experiments.conditions import RandomMatch


@check_arguments(
    model=MODEL,
    found=FOUND_SET,
    questions=QUESTIONS,
    scoring=optional(text),
    value=ablation_value,
    seen=flag,
    until=optional(half_width),
)
def ablation_matrix(
    model: LensModel,
    found: NeuronSet,
    questions: Sequence[Question],
    *,
    random_seeds: int = 5,
    random_match: RandomMatch = "layer",
    random_summary: ActivationSummary | None = None,
    scoring: ScoringName | None = None,
    value: Value = "zero",
    seen: bool = False,
    until: float | None = None,
    **running: Unpack[RunningOptions],
) -> AblationMatrix:
    """Ablate each culture's neurons in turn and ask every culture's questions.

    The experiment of ConAct's paper (arXiv 2510.24942, section 4); see ``matrix`` for what is read
    off it.

    Args:
        model: The model that the neurons were found on.
        found: The neurons. Cultures that the questions name otherwise take the questions' names.
        questions: What to ask. Questions that were given to find the neurons are left out, with
            their groups; see ``unseen``.
        random_seeds: Sets of random neurons beside each culture's; CULNIG takes 10.
        random_match: ``"layer"``, ``"pool"`` or ``"activity"``; see ``RandomMasks``.
        random_summary: For ``"activity"``, a summary of the sites at which the neurons are.
        scoring: How answers are read; the model's own scoring by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        seen: Ask the questions that found the neurons too, with a warning.
        until: Stop a cell once half the width of its interval is at most this, such as 0.02; see
            ``experiments.stopping``. By default every question is asked.
        **running: Batch size, progress, run folder, prompts that are too long, how time is saved;
            see ``Running`` and ``Speed``.

    Raises:
        InputError: The neurons are of another model, every question identified them, or an unknown
            option.

    Example:
        ``matrix = ablation_matrix(model, found, questions); matrix.summary()``
    """
    how = Running.of(running)
    found.check_model(model)
    asked = unseen(found, questions, seen)
    content = found.content
    found = align_cultures(found, asked)
    prompts, chosen = prepare(model, asked, scoring, how)
    masks = found_and_random(model, found, RandomMasks(random_seeds, random_match, random_summary))
    named = labelled(masks)

    def answer(some: Sequence[Prompt], places: Sequence[int]) -> list[pd.DataFrame]:
        return answer_masks(
            model,
            some,
            chosen,
            [named[place] for place in places],
            value=value,
            label=f"{found.method or 'found'} masks",
            running=how,
        )

    if until is None:
        records = answer(prompts, range(len(masks)))
    else:
        records = answer_until(prompts, len(masks), until, answer)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "weights": model.fingerprint,
        NEURON_SET: content,
        "benchmark": benchmarks_of(asked),
        "selector": found.method,
        "share": found.metadata.get("share"),
        "k": found.metadata.get("k"),
        "neurons": {culture: len(found[culture]) for culture in found},
        "scoring": chosen.name,
        "value": value if isinstance(value, (str, float, int)) else "tensors",
        "random_seeds": random_seeds,
        "random_match": random_match,
        "seen": seen,
        "until": until,
        "dtype": str(model.dtype).removeprefix("torch."),
        "items": len(prompts),
        "left_out": len(questions) - len(prompts),
        "versions": versions(),
    }
    return AblationMatrix(joined(masks, records), metadata)
