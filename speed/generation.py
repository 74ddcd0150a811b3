"""Score and fluency of SmolLM2's short answers, the more its neurons are steered.

    python speed/generation.py ../shared/data/blend

ConAct neurons of ``everyday``, all cultures' together; every 25th question of four regions in
English, one wording, at most 24 tokens. Last comes the perplexity of people's answers with most
votes, under the same model and after the same prompts.
"""

from __future__ import annotations

import argparse
import math
import warnings

import culture_lens as cl
from culture_lens.evaluation.fluency import surprisals
from culture_lens.evaluation.short_answers.answers import writing_prompts
from culture_lens.prompts.running import Running

REGIONS = ("UK", "US", "China", "Mexico")
DOSES = (0.5, 1.0, 2.0, 4.0)
TOKENS, EVERY = 24, 25


def main() -> None:
    """Steer, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="BLEnD's folder")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    model = cl.load_model("smollm2-135m")
    found = cl.find_culture_neurons(model, cl.load_benchmark("everyday"), progress=False)
    neurons = found.union()
    every = cl.load_short_answers(asked.path, regions=REGIONS, asked="english", wordings=(0,))
    questions = every[::EVERY]
    steered = {dose: cl.steering_hooks(model, neurons, dose) for dose in DOSES}
    interventions = {"ablated": cl.ablation_hooks(model, neurons), "steered": steered}
    effect = cl.generation_effect(
        model, interventions, questions, max_new_tokens=TOKENS, progress=False
    )
    print(f"{len(questions)} questions, {len(neurons)} neurons")
    print(f"unmodified: perplexity {effect.perplexity():.2f}")
    print(*effect.in_words(), sep="\n", flush=True)
    running = Running(progress=False)
    prompts = writing_prompts(model, questions, TOKENS, running)
    most = {q.id: max(q.answers, key=lambda one: one.votes).texts[:1] for q in questions}
    written = {
        name: model.tokenizer("".join(texts), add_special_tokens=False)["input_ids"]
        for name, texts in most.items()
    }
    total = sum(surprisals(model, prompts, written, running=running).values())
    print(f"people: perplexity {math.exp(total / sum(map(len, written.values()))):.1f}")


if __name__ == "__main__":
    main()
