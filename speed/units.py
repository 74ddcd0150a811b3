"""Time of each kind of unit, beside the same forwards without hooks.

    python speed/units.py [--features 4608] [--layers 1] [--rounds 7]

SmolLM2-135M, 16 bundled questions in one batch. ``record`` counts and sums the units of a site,
``ablate`` sets 20 of them to 0 in one layer. The autoencoder has random weights: time does not
depend on them. CPU times are taken in turn in one process; a ratio is the median of the rounds'.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from measure import ratio, take_turns

import culture_lens as cl
from culture_lens.activations.record import item_statistics
from culture_lens.interventions.hooks import ablated
from culture_lens.models.sae import SAE
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES


def random_sae(d_model: int, features: int, layer: int) -> SAE:
    """An autoencoder of the residual stream with random weights."""
    draw = torch.Generator().manual_seed(layer)
    encoder = torch.randn(d_model, features, generator=draw) / d_model**0.5
    return SAE(
        encoder, torch.zeros(features), encoder.T.contiguous(), torch.zeros(d_model),
        hook=f"blocks.{layer}.hook_resid_post",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=4608)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    plain = cl.load_model("smollm2-135m")
    d_model, first = plain.widths["resid"], plain.n_layers // 2
    layers = range(first, first + asked.layers)
    model = cl.with_features(plain, [random_sae(d_model, asked.features, n) for n in layers])
    questions = cl.load_benchmark("everyday")[:16]
    prompts = build_prompts(questions, model.processor, context=model.context, progress=False)
    batch = collate(prompts, model.pad_id)

    def record(site: str):
        return lambda: item_statistics(model, batch, [site], CONTENT_ROLES, True)

    def ablate(site: str):
        neurons = cl.Neurons.of({site: [(first, index) for index in range(20)]})

        def run() -> None:
            with ablated(model, neurons):
                model.logits(batch)

        return run

    sites = ("act", "resid", "mlp_out", "sae")
    runs = {"bare": lambda: plain.logits(batch)}
    runs |= {f"record {site}": record(site) for site in sites}
    runs |= {f"ablate {site}": ablate(site) for site in sites}
    runs["ablate sae_error"] = lambda: ablate_error(model, batch, first)
    times = take_turns(runs, asked.rounds, clock=time.process_time)
    found = {name: round(ratio(times, name, "bare"), 3) for name in runs if name != "bare"}
    print(json.dumps({"options": vars(asked), "over a bare forward": found}, indent=1))


def ablate_error(model, batch, layer: int) -> None:
    """Run the model with the reconstruction in the place of the activation."""
    with ablated(model, cl.Neurons.of({"sae_error": [(layer, 0)]})):
        model.logits(batch)


if __name__ == "__main__":
    main()
