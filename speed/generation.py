"""Score and fluency of SmolLM2's short answers, the more its neurons are steered.

    python speed/generation.py ../shared/data/blend --folder runs/generation

ConAct neurons of ``everyday``, all cultures' together; every 25th question of four regions in
English, one wording, at most 24 tokens. Beside them the answer of people with most votes, as if the
model had written it: its perplexity is that under the unmodified model after the same prompt.

The questions are asked in parts, and each finished part is kept in the folder, so that the same
command goes on where it was stopped. Prints a table with intervals clustered by question, as in
docs/guide/generation.md.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import culture_lens as cl
from culture_lens.evaluation.fluency import surprisals
from culture_lens.evaluation.short_answers.answers import (
    ShortAnswers,
    score_answers,
    writing_prompts,
)
from culture_lens.experiments.generation_effect import with_fluency
from culture_lens.prompts.running import Running

REGIONS = ("UK", "US", "China", "Mexico")
DOSES = (0.5, 1.0, 2.0, 4.0)
TOKENS, PART = 24, 15
PEOPLE = "people's own"


def main() -> None:
    """Steer, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="BLEnD's folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/generation"))
    parser.add_argument("--every", type=int, default=25, help="ask one question of so many")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    asked.folder.mkdir(parents=True, exist_ok=True)
    model = cl.load_model("smollm2-135m")
    neurons = found_neurons(model, asked.folder / "conact.safetensors").union()
    interventions = {
        "ablated": cl.ablation_hooks(model, neurons),
        "steered": {dose: cl.steering_hooks(model, neurons, dose) for dose in DOSES},
    }
    every = cl.load_short_answers(asked.path, regions=REGIONS, asked="english", wordings=(0,))
    questions = every[:: asked.every]
    parts = []
    for at in range(0, len(questions), PART):
        place = asked.folder / f"every-{asked.every}-from-{at}.parquet"
        if not place.exists():
            written(model, interventions, questions[at : at + PART]).to_parquet(place)
        parts.append(cl.GenerationEffect.from_parquet(place))
        print(f"{min(at + PART, len(questions))} of {len(questions)} questions", flush=True)
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    effect = cl.GenerationEffect(frame, parts[0].metadata)
    groups = frame["group"].nunique()
    print(f"{len(questions)} questions in {groups} groups, {len(neurons)} neurons\n")
    show(effect)


def found_neurons(model: cl.LensModel, place: Path) -> cl.NeuronSet:
    """Find the neurons once."""
    if not place.exists():
        questions = cl.load_benchmark("everyday")
        cl.find_culture_neurons(model, questions, progress=False).save(place)
    return cl.NeuronSet.load(place)


def written(
    model: cl.LensModel, interventions: dict, questions: Sequence[cl.ShortQuestion]
) -> cl.GenerationEffect:
    """Let the model answer some questions under every intervention, and put people's beside it."""
    effect = cl.generation_effect(
        model, interventions, questions, max_new_tokens=TOKENS, progress=False
    )
    running = Running(progress=False)
    prompts = writing_prompts(model, questions, TOKENS, running)
    most = {q.id: max(q.answers, key=lambda one: one.votes).texts[:1] for q in questions}
    texts = {name: "".join(held) for name, held in most.items()}
    tokens = {
        name: model.tokenizer(text, add_special_tokens=False)["input_ids"]
        for name, text in texts.items()
    }
    nats = surprisals(model, prompts, tokens, running=running)
    people = with_fluency(score_answers(questions, texts), PEOPLE, math.nan, tokens, nats)
    return cl.GenerationEffect(
        pd.concat([effect.frame, people], ignore_index=True), effect.metadata
    )


def said(estimate: cl.Estimate, times: float, digits: int, sign: str = "") -> str:
    """Write an estimate with its interval."""
    told = [times * end for end in (estimate.value, estimate.low, estimate.high)]
    value, low, high = (f"{end:{sign}.{digits}f}".replace("-", "−") for end in told)
    return f"{value} ({low} to {high})"


def named(condition: str, dose: float) -> str:
    """Write a condition with its dose, where it has one."""
    return condition if math.isnan(dose) else f"{condition} {dose:g}"


def show(effect: cl.GenerationEffect) -> None:
    """Print the table, and what the model wrote to one question."""
    first = effect.frame["id"].iloc[0]
    print("| answers | perplexity | times unmodified | score, points | repetition, points "
          "| empty, points | changed, % | verdict |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    print(f"| unmodified | {effect.perplexity():.1f} | 1 | | | | | |")
    rows = effect.table().set_index(["condition", "dose"])
    for name, dose in effect.conditions():
        held = effect.measures(name, dose)
        cells = [named(name, dose)]
        cells += [f"{effect.perplexity(name, dose):.1f}", said(held["perplexity"], 1, 2)]
        cells += [said(held[one], 100, 1, "+") for one in ("score", "repetition", "empty")]
        cells += [said(held["changed"], 100, 0), str(rows.loc[(name, dose), "verdict"])]
        print("| " + " | ".join(cells) + " |")
    base = effect.frame[effect.frame["condition"] == "unmodified"]
    score = ShortAnswers(base, {}).accuracy("contained", weighted=True)
    print(f"\nscore of the unmodified model: {said(score, 100, 1)}\n\nanswers to one question:")
    for row in effect.frame[effect.frame["id"] == first].itertuples():
        print(f"{named(row.condition, row.dose)}: {row.answer}")


if __name__ == "__main__":
    main()
