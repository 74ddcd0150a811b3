"""The design effect of question groups: how many times the variance of a mean is greater.

With X_g and N_g the sum and number of the items of group g of G, m the mean of all N items and s^2
their variance, psi_g = (X_g - N_g m) / N is the influence of the group on the mean.

1. Clustered: d_1 = sum_g psi_g^2 / (s^2 / N), the variance of the mean over that of independent
   items (Liang and Zeger 1986), and at least 1.
2. Where groups differ in size, d_1 goes with the mean: an accuracy is too high where the large
   groups are right, and just then they add little to d_1. The variance within groups,
   s_w^2 = (N s^2 - sum_g (N psi_g)^2 / N_g) / (N - G), hardly depends on which groups these are.
   With the correlation r = 1 - s_w^2 / s^2 of items of a group, held in [0, 1],
   d_2 = 1 + r (sum_g N_g^2 / N - 1) (Kish 1965). For groups of one size d_2 = d_1.
3. The greater of both, because d_1 alone allows for correlations that differ between groups.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def design_effect(
    influences: Float[np.ndarray, " group"], sizes: Float[np.ndarray, " group"], variance: float
) -> float:
    """Give the variance of a mean over that of as many independent items.

    Args:
        influences: How much each group adds to the mean, psi_g; to a difference of means groups
            without items of the first mean may add, too.
        sizes: The number of items of each group, in the first mean.
        variance: The variance of the items about their mean, greater than 0.

    Example:
        >>> sums, sizes = np.array([0.0, 2.0, 0.0]), np.array([3.0, 2.0, 1.0])
        >>> round(design_effect((sums - sizes / 3) / 6, sizes, 2 / 9), 3)  # 14/6, not 13/6
        2.333
    """
    held = sizes > 0
    n, groups = float(sizes.sum()), int(held.sum())
    clustered = max(1.0, float((influences**2).sum()) * n / variance)
    if n <= groups:
        return clustered
    between = float(((n * influences[held]) ** 2 / sizes[held]).sum())
    within = (n * variance - between) / (n - groups)
    alike = min(max(1 - within / variance, 0.0), 1.0)
    return max(clustered, 1 + alike * (float((sizes**2).sum()) / n - 1))
