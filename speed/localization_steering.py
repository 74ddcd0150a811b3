"""Whether a localization direction stands in for the country's name, on SmolLM2.

    python speed/localization_steering.py mc_questions.csv

Directions are fitted on BLEnD's questions with the country named less the same without it (half of
the question groups). On the other half every culture's questions are asked without the name, with
the culture's direction added at one layer, with another culture's, and with a random one of the
same length; printed is the change of accuracy and of P(right answer) against the questions without
the name, paired, with intervals clustered by question group. The gap itself stands above.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import pandas as pd

import culture_lens as cl
from culture_lens.experiments.direction_matrix import random_like
from culture_lens.statistics.estimates import CHANGES, UNBOUNDED, mean_estimate

ASKING = {"scoring": "option_likelihood", "progress": False}


def said(estimate: cl.Estimate) -> str:
    """Write an estimate in points."""
    value, low, high = (100 * end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def changes(after: pd.DataFrame, before: pd.DataFrame) -> str:
    """Write the paired changes of accuracy and of P(right answer)."""
    after = after.set_index("id").loc[before["id"]]
    groups = before["group"].tolist()
    told = []
    for column, bounds in (("correct", CHANGES), ("p_gold", UNBOUNDED)):
        values = after[column].to_numpy(dtype=float) - before[column].to_numpy(dtype=float)
        told.append(said(mean_estimate(values.tolist(), groups, bounds=bounds)))
    return f"accuracy {told[0]}, P(right) {told[1]}"


def under(
    model: cl.LensModel, directions: dict[str, cl.Direction], scale: float, asked: Sequence
) -> pd.DataFrame:
    """Ask each culture's questions with its direction added."""
    frames = []
    for culture, one in directions.items():
        own = [question for question in asked if question.culture == culture]
        with cl.direction_added(model, one, scale):
            frames.append(cl.evaluate(model, own, **ASKING).frame)
    return pd.concat(frames, ignore_index=True)


def main() -> None:
    """Fit, add and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="BLEnD's multiple-choice questions")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--layers", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0])
    given = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    model = cl.load_model("smollm2-135m")
    questions = cl.load_benchmark("blend", path=given.path, limit=given.limit)
    identify, held_out = cl.halves(questions)
    asked = cl.without_country_named(held_out)
    plain = cl.evaluate(model, asked, **ASKING).frame
    named = cl.evaluate(model, cl.with_country_named(held_out), **ASKING).frame
    print(f"{len(asked)} questions, with the name: {changes(named, plain)}", flush=True)
    for layer in given.layers:
        found = cl.fit_directions(
            model, identify, layer=layer, contrast="localization", progress=False
        )
        cosines = [one.value for one in found.agreement.values()]
        print(f"layer {layer}, cosine of halves {min(cosines):.2f} to {max(cosines):.2f}")
        names, random = list(found), random_like(found, 0)
        others = dict(zip(names, (found[c] for c in [*names[1:], names[0]]), strict=True))
        for scale in given.scales:
            for label, some in (
                ("own", {c: found[c] for c in names}),
                ("other", others),
                ("random", {c: random[c] for c in names}),
            ):
                told = changes(under(model, some, scale, asked), plain)
                print(f"layer {layer}, {label} direction {scale:g} times: {told}", flush=True)


if __name__ == "__main__":
    main()
