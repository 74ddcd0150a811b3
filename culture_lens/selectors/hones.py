"""hones: neurons that write towards a culture's right answers through the heads it depends on.

    score = I[c]                        as published, of each culture by itself
    score = I[c] - mean over o of I[o]  with contrast, over the other cultures o

I is that of ``attribution.hones`` (arXiv 2604.17941). HONES compares tasks, whose neurons may be
shared; a culture's neurons are found by comparison, and ``contrast=True`` compares. It is this
package's addition. A neuron that writes nothing through any of the heads is never chosen.
"""

from __future__ import annotations

import torch

from culture_lens.checks import flag
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.selectors.mad import against_others


def check_contrast(*, contrast: bool = False) -> None:
    """Refuse anything but True and False.

    Example:
        >>> check_contrast(contrast=True)
    """
    flag("contrast", contrast)


def hones(scores: NeuronScores, *, contrast: bool = False) -> NeuronScores:
    """Score every neuron for every culture by HONES; see the module.

    Args:
        scores: What ``hones_scores`` gives.
        contrast: Subtract the mean of the other cultures.

    Example:
        ``hones(hones_scores(model, questions), contrast=True).top(share=0.005)``
    """
    check_contrast(contrast=contrast)
    rated = {}
    for site, own in scores.scores.items():
        compared = against_others(own) if contrast else own
        rated[site] = torch.where((own > 0) & (compared > 0), compared, NEVER)
    return NeuronScores(scores.cultures, rated, metadata=scores.metadata)
