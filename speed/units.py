"""Time and memory of each kind of unit, beside the same forward without hooks.

    python speed/units.py [--features 4608] [--layers 1] [--rounds 5] [--memory]

SmolLM2-135M, 16 bundled questions in one batch. ``record`` counts and sums the units of a site in
all its layers, ``ablate`` sets 20 of them to 0 in one layer (one of them where there are fewer),
``attribute`` adds up the activation times gradient of all of them. The autoencoder and the eight
directions are random, in the middle layer: time does not depend on them. CPU times are taken in
turn in one process; a ratio is the median of the rounds', and how far ``bare again`` is from 1 is
noise. ``--memory`` gives instead what each pass takes at its peak beyond what the loaded model
holds, in MiB.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial

import torch
from measure import peak_during, ratio, take_turns

import culture_lens as cl
from culture_lens.activations.record import item_statistics
from culture_lens.interventions.hooks import ablated
from culture_lens.models.sae import SAE
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES

SITES = ("act", "resid", "mlp_out", "sae", "sae_error", "head", "direction")
BARE = "bare"


def random_sae(d_model: int, features: int, layer: int) -> SAE:
    """An autoencoder of the residual stream with random weights."""
    draw = torch.Generator().manual_seed(layer)
    encoder = torch.randn(d_model, features, generator=draw) / d_model**0.5
    return SAE(
        encoder, torch.zeros(features), encoder.T.contiguous(), torch.zeros(d_model),
        hook=f"blocks.{layer}.hook_resid_post",
    )  # fmt: skip


def random_directions(d_model: int, layer: int) -> cl.Directions:
    """Eight directions of the residual stream."""
    draw = torch.Generator().manual_seed(layer)
    rows = torch.randn(8, d_model, generator=draw)
    return cl.Directions(
        {str(n): cl.Direction(str(n), "resid", layer, v) for n, v in enumerate(rows)}
    )


def passes(asked: argparse.Namespace):
    """Load the model and give every pass by name."""
    plain = cl.load_model("smollm2-135m")
    d_model, first = plain.widths["resid"], plain.n_layers // 2
    layers = range(first, first + asked.layers)
    model = cl.with_features(plain, [random_sae(d_model, asked.features, n) for n in layers])
    model = cl.with_directions(cl.with_heads(model), random_directions(d_model, first))
    questions = cl.load_benchmark("everyday")[:16]
    prompts = build_prompts(questions, model.processor, context=model.context, progress=False)
    batch = collate(prompts, model.pad_id)

    def record(site: str) -> None:
        item_statistics(model, batch, [site], CONTENT_ROLES, True)

    def ablate(site: str) -> None:
        few = min(20, model.widths[site]) if site != "direction" else 1
        with ablated(model, cl.Neurons.of({site: [(first, index) for index in range(few)]})):
            model.logits(batch)

    def attribute(site: str) -> None:
        cl.attribute(model, questions, sites=site, batch_size=16, progress=False)

    found = {BARE: lambda: plain.logits(batch)}
    for work in (record, ablate, attribute):
        found |= {f"{work.__name__} {site}": partial(work, site) for site in SITES}
    return found | {"bare again": found[BARE]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=4608)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    runs = passes(asked)
    if asked.memory:
        runs[BARE]()
        for name, run in runs.items():
            print(f"{name}: {peak_during(run):.0f} MiB", flush=True)
        return
    times = take_turns(runs, asked.rounds, clock=time.process_time)
    found = {name: round(ratio(times, name, BARE), 3) for name in runs if name != BARE}
    print(json.dumps({"options": vars(asked), "over a bare forward": found}, indent=1))


if __name__ == "__main__":
    main()
