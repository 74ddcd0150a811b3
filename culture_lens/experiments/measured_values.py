"""The objective of attribution, computed from answers instead of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from culture_lens.attribution.objectives import NO_SCORE, OptionScores, get_objective
from culture_lens.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def objective_values(answers: pd.DataFrame, objective: str) -> Float[np.ndarray, " item"]:
    """Compute an objective from the option scores of answers.

    Args:
        answers: The frame of an ``Evaluation``, by letter or by option likelihood.
        objective: A name from ``OBJECTIVES``.

    Raises:
        InputError: An unknown objective, or one that has no finite value for an answer, such as
            the logarithm of a probability that is rounded to 0.

    Example:
        ``objective_values(evaluate(model, questions).frame, "logit_difference")``
    """
    explain = get_objective(objective)
    if objective == "probability":
        return np.asarray(answers["p_gold"], dtype=float)  # as it is, without rounding
    rows = [torch.tensor(list(scores), dtype=torch.float64) for scores in answers["scores"]]
    scores = torch.nn.utils.rnn.pad_sequence(rows, True, NO_SCORE)
    gold = torch.tensor(answers["gold"].to_numpy(dtype=int))
    # Whatever the scoring normalises by, P(gold) = exp(score of gold - normaliser).
    log_p = torch.tensor(answers["p_gold"].to_numpy(dtype=float)).log()
    normaliser = scores.gather(1, gold[:, None])[:, 0] - log_p
    prediction = torch.tensor(answers["prediction"].to_numpy(dtype=int))
    values = explain(OptionScores(scores, normaliser, gold, prediction)).numpy()
    if not np.isfinite(values).all():
        first = answers["id"].iloc[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise InputError(
            f"question {first!r}: {objective} of the answer is not finite, because its probability "
            "is rounded to 0 or it has one option only: take another objective."
        )
    return values
