"""The interval of a mean of items in question groups, item by item in plain Python."""

import math

from scipy import stats


def variance_of_mean(values, groups):
    """The clustered variance of a mean: G / (G - 1) times the squared sums of deviations."""
    mean, names = sum(values) / len(values), sorted(set(groups))
    deviations = [
        sum(v - mean for v, g in zip(values, groups, strict=True) if g == name) for name in names
    ]
    return len(names) / (len(names) - 1) * sum(d * d for d in deviations) / len(values) ** 2


def effect(values, groups, clustered, spread):
    """The design effect: clustered, or that of the correlation within groups."""
    own = [[v for v, g in zip(values, groups, strict=True) if g == name] for name in set(groups)]
    if len(own) == len(values):
        return clustered
    means = [sum(group) / len(group) for group in own]
    mean = sum(values) / len(values)
    left = spread * len(values) - sum(
        len(group) * (m - mean) ** 2 for group, m in zip(own, means, strict=True)
    )
    alike = min(max(1 - left / (len(values) - len(own)) / spread, 0), 1)
    pairs = sum(len(group) * (len(group) - 1) for group in own) / len(values)
    return max(clustered, 1 + alike * pairs)


def parts(values, groups, bounds=None):
    """Centre, standard error and degrees of freedom, after docs/methods/intervals.md."""
    n, mean = len(values), sum(values) / len(values)
    sizes = [list(groups).count(name) for name in set(groups)]
    most = sum(size * size for size in sizes) / n
    spread = sum((v - mean) ** 2 for v in values) / n
    clustered = variance_of_mean(values, groups)
    spread = max(spread, clustered * n / most * (len(sizes) - 1) / len(sizes))
    alone = spread / n * len(sizes) / (len(sizes) - 1)
    design = effect(values, groups, max(1.0, clustered / alone), spread) if spread else most
    freedom = max(n / most - 1, 1.0)
    if bounds is None:
        return mean, math.sqrt(design * alone), freedom
    low, high = bounds
    varying = len(sizes) * spread / ((high - low) / 2) ** 2
    design = max(design, (varying * design + most) / (varying + 1))
    # two right and two wrong answers more, or one lost and one gained; each is 1, and the others
    # are as many fewer as the design effect says
    added = {(0, 1): 2, (-1, 1): 1}[bounds]
    weights = [*[1 / design] * n, *[1] * 2 * added]
    items = [*values, *[low, high] * added]
    total = sum(weights)
    centre = sum(w * x for w, x in zip(weights, items, strict=True)) / total
    square = sum(w * (x - centre) ** 2 for w, x in zip(weights, items, strict=True)) / total
    return centre, math.sqrt(square / total), freedom


def plain_interval(values, groups, bounds=None):
    """The interval of a mean."""
    centre, error, freedom = parts(values, groups, bounds)
    reach = stats.t.ppf(0.975, freedom) * error
    low, high = bounds or (-math.inf, math.inf)
    return max(centre - reach, low), min(centre + reach, high)
