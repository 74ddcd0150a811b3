"""DoseCurve: what ablating ever more of a culture's neurons does, the best ones first.

With A[m,e](n) the accuracy on the questions of culture e with the n best neurons of culture m
ablated, and base[e] that of the unmodified model:

    self(c, n) = A[c,c](n) - base[c]

and so the other metrics of an ablation matrix (see ``matrix``), at every number of neurons. The
sets are nested: a larger dose holds the smaller ones. All doses are asked the same questions.
"""

from __future__ import annotations

from culture_lens.checks import check_arguments, real
from culture_lens.experiments.conditions import FOUND
from culture_lens.experiments.effect_curve import EffectCurve
from culture_lens.experiments.matrix import AblationMatrix


class DoseCurve(EffectCurve):
    """Records under masks of several sizes, and their metrics for each culture and size.

    Attributes:
        frame: The columns of an ``AblationMatrix``, with ``share`` (of all neurons at the sites,
            0 for the unmodified model) and ``neurons`` (how many are ablated) beside them.
        metadata: Model, selector, benchmark, scoring; whether ``others`` were asked too.

    Example:
        ``dose_curve(model, found, questions).table("self")``
    """

    what = "a dose curve"
    by = "share"
    needs = ("share", "neurons", *AblationMatrix.needs)

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of neurons that are ablated, smallest first."""
        return self.doses

    @check_arguments(share=real)
    def matrix(self, share: float) -> AblationMatrix:
        """Give the ablation matrix at one share.

        Raises:
            InputError: No such share.

        Example:
            ``curve.matrix(curve.shares[-1]).table("change")``
        """
        return self.at(share)

    def numbers(self, share: float) -> dict[str, int]:
        """Give the number of neurons of each culture at a share.

        Raises:
            InputError: No such share.
        """
        frame = self.matrix(share).frame
        found = frame[frame["condition"] == FOUND].drop_duplicates("mask")
        return dict(zip(found["mask"], map(int, found["neurons"]), strict=True))


__all__ = ["DoseCurve"]
