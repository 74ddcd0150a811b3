"""Dose and steering curves by hand."""

import pandas as pd

from culture_lens.experiments.dose import DoseCurve
from culture_lens.experiments.steering import SteeringCurve


def dose_by_hand(answers, cultures=("A", "B")):
    """A curve from {(condition, share, mask, seed): {culture: right answers of 4 groups}}."""
    rows = [
        {"condition": condition, "share": share, "neurons": round(100 * share), "mask": mask,
         "seed": seed, "id": f"{culture}{group}", "culture": culture, "group": f"{culture}{group}",
         "prediction": 0 if right else 1, "correct": bool(right), "p_gold": 0.9 * right}
        for (condition, share, mask, seed), table in answers.items()
        for culture in cultures
        for group, right in enumerate(table[culture])
    ]  # fmt: skip
    return DoseCurve(pd.DataFrame(rows), {"others": True})


def steering_by_hand(answers, cultures=("A", "B"), scaled=True):
    """The same by strength, of neurons or of directions."""
    curve = dose_by_hand(answers, cultures)
    frame = curve.frame.rename(columns={"share": "strength"})
    return SteeringCurve(frame if scaled else frame.drop(columns="neurons"), curve.metadata)
