"""Six cultures of two families, and matrices in which a mask costs its own family most."""

import numpy as np

from culture_lens.experiments.means import Means
from culture_lens.experiments.related_cultures import Relations
from culture_lens.statistics.estimates import UNBOUNDED
from tests.helpers.matrices import frame_of

CULTURES = ("A", "B", "C", "D", "E", "F")
FAMILY = dict(zip(CULTURES, "xxxyyy", strict=True))


def families(seed=0, groups=80, drop=0.3, own=0.5, frail=0.0):
    """Six cultures of two families: a mask costs its own family most; masks and cultures differ."""
    source = np.random.default_rng(seed)
    same = np.equal.outer(list(FAMILY.values()), list(FAMILY.values()))
    loss = drop * same + (own - drop) * np.eye(6)
    loss = loss + np.linspace(0, frail, 6)[None] + np.linspace(0, frail, 6)[::-1, None]
    rate = 0.95 - np.concatenate([np.zeros((1, 6)), loss])
    correct = (source.random((7, 6, groups, 1)) < rate[..., None, None]).astype(int)
    runs = [("unmodified", "", 0), *(("found", c, 0) for c in CULTURES)]
    return frame_of(runs, CULTURES, correct)


def relations_of(draws, cultures=CULTURES):
    """Relations of given tables, mask x culture."""
    draws = np.array(draws, dtype=float)
    draws[:, np.eye(len(cultures), dtype=bool)] = np.nan
    nothing = np.zeros_like(draws[0])
    means = Means(draws, np.zeros_like(draws[1:]), nothing, nothing, UNBOUNDED)
    return Relations(tuple(cultures), means, means, draws, groups=10)
