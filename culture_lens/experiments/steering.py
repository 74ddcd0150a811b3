"""SteeringCurve: what steering ever more strongly does to own and to other questions.

With A[m,e](s) the accuracy on the questions of culture e, steered towards culture m at strength s,
and base[e] that of the unmodified model:

    self(c, s) = A[c,c](s) - base[c]

and so the other metrics of an ablation matrix (see ``matrix``), at every strength: alpha where
neurons or heads are scaled by 1 + alpha, and how many times it is added where it is a direction.
"""

from __future__ import annotations

from culture_lens.checks import check_arguments, real
from culture_lens.experiments.effect_curve import EffectCurve
from culture_lens.experiments.matrix import AblationMatrix


class SteeringCurve(EffectCurve):
    """Records under steering of several strengths, and their metrics for each culture.

    Attributes:
        frame: The columns of an ``AblationMatrix``, with ``strength`` (0 for the unmodified model)
            beside them, and ``neurons`` (how many are scaled) where neurons are.
        metadata: Model, what is steered, benchmark, scoring; whether ``others`` were asked too.

    Example:
        ``steering_curve(model, directions, questions).table("self")``
    """

    what = "a steering curve"
    by = "strength"
    needs = ("strength", *AblationMatrix.needs)

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths, lowest first."""
        return self.doses

    @check_arguments(strength=real)
    def matrix(self, strength: float) -> AblationMatrix:
        """Give the matrix at one strength.

        Raises:
            InputError: No such strength.

        Example:
            ``curve.matrix(2.0).table("change")``
        """
        return self.at(strength)


__all__ = ["SteeringCurve"]
