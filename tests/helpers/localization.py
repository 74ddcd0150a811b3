"""A localization gap by hand: with the country named a culture is known, without it is not."""

import pandas as pd

from culture_lens.experiments.localization import LocalizationGap

KNOWN = {"Japan": ((1, 1, 1, 1, 0), (0, 0, 0, 1, 0)), "US": ((1, 1, 1, 0, 0), (1, 1, 1, 0, 0))}
"""Culture -> right answers to five questions, with the country named and without it."""


def gap_by_hand(known=None, **metadata):
    """A question group for each place, the same for each culture."""
    rows = [
        {
            "id": f"{culture}{n}",
            "culture": culture,
            "group": f"{n}",
            "category": "food",
            "in_text": n % 2 == 0,
            "named_correct": bool(named[n]),
            "unnamed_correct": bool(unnamed[n]),
            "named_p_gold": 0.25 + 0.5 * named[n] + 0.01 * n,
            "unnamed_p_gold": 0.25 + 0.25 * unnamed[n],
        }
        for culture, (named, unnamed) in (known or KNOWN).items()
        for n in range(len(named))
    ]
    facts = {"model": "tiny", "benchmark": "made", "items": len(rows)}
    return LocalizationGap(pd.DataFrame(rows), {**facts, **metadata})
