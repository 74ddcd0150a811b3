"""changed_decisions: what another dtype, or another way to run, changes in an ablation matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from culture_lens.checks import check_arguments
from culture_lens.errors import InputError
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.statistics.estimates import CHANGES, SHARES, mean_estimate

if TYPE_CHECKING:
    import pandas as pd

KEY = ["condition", "mask", "seed", "id"]
ALL = "all"


@check_arguments(matrix=MATRIX, reference=MATRIX)
def changed_decisions(matrix: AblationMatrix, reference: AblationMatrix) -> pd.DataFrame:
    """Give the share of decisions in which two matrices differ, such as of bfloat16 and float32.

    A decision is the option chosen for one item under one mask. The metrics of a matrix move by no
    more than its decisions do: where 1% change, no accuracy of all items moves by more than a
    point.

    Args:
        matrix: A matrix, such as of the model in bfloat16.
        reference: The matrix that it is held against: the same masks and questions.

    Returns:
        A row for each condition and one for ``"all"``: ``decisions``, their number; ``changed``,
        the share that differs; ``accuracy``, the change of accuracy. The last two are Estimates,
        clustered by question group.

    Raises:
        InputError: The matrices hold other masks or other questions.

    Example:
        ``changed_decisions(matrix_in_bfloat16, matrix_in_float32)``
    """
    import pandas as pd

    one, other = (held.frame.set_index(KEY).sort_index() for held in (matrix, reference))
    if not one.index.equals(other.index):
        few = one.index.symmetric_difference(other.index)
        raise InputError(
            f"the matrices hold different decisions ({len(few)} are in one of them alone, such as "
            f"{tuple(few[0]) if len(few) else 'one that is there twice'}): make both with the same "
            "neurons, questions and random seeds."
        )
    differs = (one["prediction"] != other["prediction"]).astype(int)
    gained = one["correct"].astype(int) - other["correct"].astype(int)
    conditions = one.index.get_level_values("condition")
    rows = {}
    for name in (*dict.fromkeys(conditions), ALL):
        inside = conditions == name if name != ALL else conditions == conditions
        groups = one["group"][inside].tolist()
        rows[name] = {
            "decisions": int(inside.sum()),
            "changed": mean_estimate(differs[inside].tolist(), groups, bounds=SHARES, name=name),
            "accuracy": mean_estimate(gained[inside].tolist(), groups, bounds=CHANGES, name=name),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


__all__ = ["changed_decisions"]
