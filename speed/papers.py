"""What the papers' models take on their whole benchmarks, planned: a table of docs/guide/plan.md.

    python speed/papers.py

CULNIG's six models on BLEnD: 16 regions, 500 questions, at most five rows of each, half of them to
identify (both halves have three topics); CULNIG's three scorings, and the ablation matrix with ten
sets of random neurons. A prompt in the paper's form has 73 tokens of four bytes on the 320 rows at
hand (20 of them a chat template), an option 2.3.

ConAct's three models on CVQA: 10,000 questions of 25 groups, two on a picture of 640 x 480 pixels,
prompts of 80 tokens beside the picture (numbers of questions on a picture, pixels and tokens are
assumed); ConAct, and the ablation matrix with five sets of random neurons.
"""

from __future__ import annotations

import culture_lens as cl
from culture_lens.experiments.planning.known import papers
from culture_lens.models.architectures import PRESETS

BENCHMARKS = {
    "culnig": (
        cl.Counts(40_000, 16, tokens=73, option_tokens=3),
        {"method": "culnig-specific", "random_seeds": 10},
    ),
    "conact": (
        cl.Counts(10_000, 25, tokens=80, picture=(640, 480), per_picture=2),
        {"method": "conact", "random_seeds": 5},
    ),
}


def main() -> None:
    """Print the table."""
    print(
        "| model | parameters | find: 10^15 operations | ablate: 10^15 operations | "
        "hours on one H100 | low to high | peak GB | run folder GB |\n" + "|---" * 8 + "|"
    )
    for preset in sorted(PRESETS, key=lambda one: (one.paper, list(papers()).index(one.model))):
        counts, options = BENCHMARKS[preset.paper]
        made = cl.plan(preset.model, counts, device="h100", dtype=preset.dtype, **options)
        held = made.frame
        ablating = held["stage"] == "ablate"
        find, ablate = (held[rows]["operations"].sum() / 1e15 for rows in (~ablating, ablating))
        low, high = (held[f"seconds_{end}"].sum() / 3600 for end in ("low", "high"))
        print(
            f"| `{preset.model}` | {made.metadata['parameters'] / 1e9:.1f} billion | {find:,.0f} | "
            f"{ablate:,.0f} | {made.hours:,.1f} | {low:,.1f} to {high:,.1f} | "
            f"{made.peak / 1e9:.0f} | {held['disk'].sum() / 1e9:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
