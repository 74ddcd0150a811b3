"""Do features of a small autoencoder recover what is planted in the organism? Against its neurons.

    python speed/sae_organism.py [--features 384] [--k 16] [--steps 2000] [--number 20]

A top-k autoencoder is trained on what the MLPs of each planted layer add to the residual stream, on
all tokens of the questions that identify, with as many features as there are neurons by default.
Then, by ConAct and by knowledge, with the same number of units for each culture and site:

* reconstruction: FVU, active and dead features, and the model's loss, on questions that evaluate;
* effect: change of accuracy on the own culture's questions and on the others' where the units are
  ablated, beside random units of the same layers;
* truth: how much of what a culture's planted neurons write on the tokens of questions that evaluate
  is explained linearly by the chosen units' activations (fitted on those that identify), and what
  the same number of random units of the layer explains.

Prints JSON, each part as soon as it is known.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

import culture_lens as cl
from culture_lens.models.sae import SAE
from culture_lens.neurons.weight_norms import outgoing_weights
from culture_lens.prompts.batches import batches
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES


def trained(x: torch.Tensor, features: int, k: int, steps: int, seed: int, hook: str) -> SAE:
    """Train a top-k autoencoder with Adam: mean squared error, decoder rows of norm 1.

    Vectors are centred and scaled, or Adam's steps would be small beside them; the biases that are
    returned undo it. Features begin as tokens, read with weights of 1/k: k of them that resemble
    one another would otherwise add up to k times the vector. Features that nothing activated for
    200 steps start again at tokens that are explained worst.
    """
    draw = torch.Generator().manual_seed(seed)
    mean, scale = x.mean(0), (x - x.mean(0)).square().sum(1).mean().sqrt()
    x = (x - mean) / scale
    first = x[torch.randint(len(x), (features,), generator=draw)]
    decoder = torch.nn.functional.normalize(first + 1e-3 / x.shape[1] ** 0.5, dim=1)
    weights = [decoder.T / k, torch.zeros(features), decoder.clone(), torch.zeros(x.shape[1])]
    for one in weights:
        one.requires_grad_(True)
    optimiser = torch.optim.Adam(weights, lr=1e-3)
    idle = torch.zeros(features)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1.0, 4 * (1 - step / steps))
        batch = x[torch.randint(len(x), (1024,), generator=draw)]
        sae = SAE(*weights, hook=hook, kind="topk", k=k, centred=True)
        f = sae.encode(batch)
        error = (batch - sae.decode(f)).square().sum(1)
        optimiser.zero_grad()
        error.mean().backward()
        optimiser.step()
        with torch.no_grad():
            weights[2].div_(weights[2].norm(dim=1, keepdim=True))
            idle = torch.where((f > 0).any(0), 0, idle + 1)
            dead = (idle >= 200).nonzero()[:, 0]
            if step % 200 == 199 and step < 0.8 * steps and dead.numel():
                worst = error.topk(min(len(dead), len(batch))).indices
                fresh = torch.nn.functional.normalize((batch - sae.decode(f))[worst], dim=1)
                dead = dead[: len(fresh)]
                weights[2][dead], weights[0][:, dead], weights[1][dead] = fresh, fresh.T / k, 0.0
                idle[dead] = 0
    encoder, read, decoder, written = (one.detach() for one in weights)
    held = [encoder, read * scale, decoder, written * scale + mean]
    return SAE(*held, hook=hook, kind="topk", k=k, centred=True)


@torch.inference_mode()
def recorded(model, questions, names, all_but=None):
    """Give the activations of some hooks on tokens of questions: name -> token d.

    Tokens of question and options; where ids are given, all but those: an edit acts at all tokens,
    so an autoencoder has to know them.
    """
    prompts = build_prompts(questions, model.processor, context=model.context, progress=False)
    found = {name: [] for name in names}
    for batch in batches(prompts, 64, model.pad_id):
        mask = batch.role_mask(CONTENT_ROLES).bool()
        if all_but is not None:
            left = torch.tensor(all_but, dtype=torch.long)
            mask = batch.attention_mask.bool() & ~torch.isin(batch.input_ids, left)

        def keep(activation, hook, *, name):
            found[name].append(activation.flatten(2)[mask.to(activation.device)].clone())

        hooks = [(n, lambda a, hook, n=n: keep(a, hook, name=n)) for n in names]
        with model.hooks(hooks):
            model.logits(batch)
    return {name: torch.cat(rows) for name, rows in found.items()}


def explained(read, wanted, read_new, wanted_new, ridge=1e-3):
    """Share of the variance of vectors that activations explain linearly, on other tokens."""
    mean, target = read.mean(0), wanted.mean(0)
    centred = (read - mean).double()
    size = centred.square().mean().clamp(min=1e-12)
    gram = centred.T @ centred + ridge * size * len(read) * torch.eye(read.shape[1]).double()
    slope = torch.linalg.solve(gram, centred.T @ (wanted - target).double())
    left = (wanted_new - target).double() - (read_new - mean).double() @ slope
    total = (wanted_new - wanted_new.mean(0)).double()
    return 1 - float(left.square().sum() / total.square().sum())


def truth_table(model, truth, found, site, tokens, seed):
    """What each culture's units explain of what its planted neurons write, and random units."""
    rows, draw = [], torch.Generator().manual_seed(seed)
    width = model.widths[site]
    for culture, units in found.neurons.items():
        planted = truth.neurons(culture=culture)
        for layer in truth.layers:
            own = planted.places["act"]
            index = own[own[:, 0] == layer, 1]
            weights = outgoing_weights(model, "act", layer)[index].float()
            post, here = model.hook_name("post", layer), model.hook_name(site, layer)
            wanted = [half[post][:, index] @ weights for half in tokens]
            places = units.places[site]
            chosen = places[places[:, 0] == layer, 1]
            if not len(chosen):
                continue
            other = torch.randperm(width, generator=draw)[: len(chosen)]
            row = {"culture": culture, "layer": layer, "units": len(chosen)}
            for name, some in (("explained", chosen), ("random", other)):
                read = [half[here][:, some] for half in tokens]
                row[name] = explained(read[0], wanted[0], read[1], wanted[1])
            rows.append(row)
    return rows


def measured(model, truth, identify, evaluate, site, tokens, *, method, number, seed):
    """Find, ablate and hold against the truth at one site."""
    found = cl.find_culture_neurons(
        model, identify, method=method, k=number, sites=site, progress=False
    )
    matrix = cl.ablation_matrix(
        model, found, evaluate, random_seeds=2, scoring="letter", batch_size=256, progress=False
    )
    rows = truth_table(model, truth, found, site, tokens, seed)
    inside = None
    if site == "act":
        sought = {c: truth.neurons(("knowledge", "negative", "rare", "kin"), c) for c in found}
        inside = float(np.mean([len(found[c] & sought[c]) / len(found[c]) for c in found]))
    return {
        "units": number,
        "planted among them": inside,
        "own culture": float(matrix.summary()["self"].mean()),
        "other cultures": float(matrix.summary()["cross"].mean()),
        "effects": json.loads(matrix.summary().reset_index().to_json(orient="records")),
        "explained": float(np.mean([row["explained"] for row in rows])),
        "explained by random units": float(np.mean([row["random"] for row in rows])),
        "by culture": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--limit", type=int, default=120)
    parser.add_argument("--methods", nargs="+", default=["conact", "knowledge"])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    model, truth = cl.load_model("organism"), cl.load_truth()
    questions = cl.load_benchmark("organism", pictures=1, limit=asked.limit)
    identify, evaluate = cl.split_questions(questions)
    hooks = {layer: f"blocks.{layer}.hook_mlp_out" for layer in truth.layers}
    began = time.perf_counter()
    data = recorded(model, identify, list(hooks.values()), all_but=())
    saes = [
        trained(data[hook], asked.features, asked.k, asked.steps, asked.seed, hook)
        for hook in hooks.values()
    ]
    taken = time.perf_counter() - began
    model = cl.with_features(model, saes)
    report = cl.sae_report(model, evaluate, progress=False, batch_size=64)
    names = [
        model.hook_name(site, layer)
        for site in ("act", "post", "sae", "mlp_out")
        for layer in truth.layers
    ]
    tokens = [recorded(model, some, names) for some in (identify, evaluate)]
    result = {
        "options": vars(asked),
        "tokens": len(data[hooks[truth.layers[0]]]),
        "training seconds": taken,
        "report": json.loads(report.frame.to_json(orient="records")),
    }
    print(json.dumps(result, indent=1), flush=True)
    for method in asked.methods:
        for site in ("act", "sae", "mlp_out"):
            found = measured(
                model, truth, identify, evaluate, site, tokens,
                method=method, number=asked.number, seed=asked.seed,
            )  # fmt: skip
            print(json.dumps({"method": method, "site": site, **found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
