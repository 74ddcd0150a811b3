"""One culture's neurons over several prompt languages or wordings.

``fuse`` joins rankings of several passes into one; ``variance`` says how much of P is due to the
culture, to the language, and to the two together.
"""

from culture_lens.fusion.fuse import fuse
from culture_lens.fusion.variance import VarianceShares, variance_shares

__all__ = ["VarianceShares", "fuse", "variance_shares"]
