"""p-values whose distribution under the null hypothesis is known."""

import numpy as np
import pytest

from culture_lens.statistics.permutation import (
    contrasts,
    relabelling_p,
    sum_distribution,
)


def exactly_uniform(counts, source):
    """p with its own atom spread out: uniform under the null if the distribution is right."""
    values = contrasts(counts)
    sums, chances = sum_distribution(values)
    observed = abs(int(values[:, 0].sum()))
    beyond, at = chances[np.abs(sums) > observed].sum(), chances[np.abs(sums) == observed].sum()
    assert relabelling_p(counts) == pytest.approx(min(1, beyond + at))
    return beyond + source.random() * at
