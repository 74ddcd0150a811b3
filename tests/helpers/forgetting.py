"""A study of forgetting, made by hand."""

import pandas as pd

from culture_lens.finetune import ForgettingStudy


def study_by_hand():
    """Two strategies, three seeds: ``good`` learns 1, 1/2 and 0 of two items and forgets none."""
    rows = []
    for seed, gained in enumerate(((1, 1), (1, 0), (0, 0))):
        for strategy, lost in (("top", (0, 0)), ("all", (1, 1) if seed else (1, 0))):
            for item in (0, 1):
                task = {"asked": "task", "before": False, "after": bool(gained[item])}
                culture = {"asked": "culture", "before": True, "after": not lost[item]}
                for row in (task, culture):
                    name = f"{row['asked']}{item}"
                    rows.append(
                        {"strategy": strategy, "seed": seed, "trained_share": 0.1, **row}
                        | {"id": name, "group": name, "culture": "A"}
                        | {"p_before": 0.5, "p_after": 0.5}
                    )
    return ForgettingStudy(pd.DataFrame(rows), {"model": "m", "items": {"task": 2, "culture": 2}})
