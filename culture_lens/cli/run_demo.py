"""The demonstration: find neurons, ablate them, write one page, on two embedded models.

The culture neurons of the organism are known, so that the neurons found can be checked in seconds.
SmolLM2 is a real model, asked real questions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from culture_lens.attribution.culnig import culnig_scores
from culture_lens.benchmarks import load_benchmark
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.organism.scores_against_truth import planted
from culture_lens.organism.truth import load_truth
from culture_lens.questions.splits import split_questions
from culture_lens.questions.unseen import looked_at_by
from culture_lens.report.page import build_report
from culture_lens.selectors import select
from culture_lens.storage.runs import Run

RANDOM_SEEDS = {"conact": 1, "lape": 0}
"""Selector -> sets of random neurons; few, so that the demonstration takes minutes."""


def run_demo(
    path: str | Path = "runs/demo", *, batch_size: int = 64, progress: bool = True
) -> tuple[Path, dict[str, AblationMatrix]]:
    """Find and ablate culture neurons in SmolLM2-135M on the bundled questions.

    Half of the question groups identify, the other half evaluate. Finished work is kept in the run
    folder, and found again by a second call.

    Args:
        path: The run folder.
        batch_size: Questions per forward.
        progress: Show progress bars.

    Returns:
        The page with the results, and the matrix of each selector.

    Example:
        ``page, matrices = run_demo()``
    """
    run = Run.open(path)
    model = load_model("smollm2-135m")
    questions = load_benchmark("everyday")
    identify, _ = split_questions(questions)
    summary = summarise(model, identify, batch_size=batch_size, progress=progress, run=run)
    summary.save(run.named("statistics", "summary", ".safetensors"))
    run.log("demo", {"model": model.name, "benchmark": "everyday", "random_seeds": RANDOM_SEEDS})
    matrices = {}
    for method, seeds in RANDOM_SEEDS.items():
        found = select(summary, method)
        found.save(run.named("neurons", method, ".safetensors"))
        matrices[method] = ablation_matrix(
            model,
            found,
            questions,
            random_seeds=seeds,
            batch_size=batch_size,
            progress=progress,
            run=run,
        )
        matrices[method].to_parquet(run.named("matrix", method, ".parquet"))
    run.finish("demo", model.device)
    return build_report(run), matrices


def run_organism_demo(
    path: str | Path = "runs/demo-organism", *, batch_size: int = 256, progress: bool = True
) -> tuple[Path, dict[str, AblationMatrix], dict[str, NeuronSet]]:
    """Find culture neurons in the organism, and ablate them and the planted ones.

    Args:
        path: The run folder.
        batch_size: Questions per forward.
        progress: Show progress bars.

    Returns:
        The page with the results, the matrices, and the neuron sets, both by name: ``planted``
        (the truth), ``conact`` and ``culnig_specific``.

    Example:
        ``page, matrices, sets = run_organism_demo()``
    """
    run = Run.open(path)
    model, truth = load_model("organism"), load_truth()
    questions = load_benchmark("organism", pictures=1)
    identify, _ = split_questions(questions)
    known = planted(truth, model)
    layers, width = model.shape("act")
    share = sum(map(len, known.neurons.values())) / len(known) / (layers * width)
    summary = summarise(model, identify, batch_size=batch_size, progress=progress, run=run)
    summary.save(run.named("statistics", "summary", ".safetensors"))
    run.log("demo", {"model": model.name, "benchmark": "organism"})
    scores = culnig_scores(
        model,
        identify,
        countryrc=load_benchmark("organism", subset="country", split="identify", pictures=1),
        sites="gate",
        batch_size=batch_size,
        progress=progress,
        run=run,
    )
    made = {"model": model.name, **looked_at_by(summary)}
    sets = {
        "planted": replace(known, metadata={**known.metadata, **made}),
        "conact": select(summary, "conact", share=share),
        "culnig_specific": select(scores, "culnig_specific", share=share),
    }
    matrices = {}
    for name, found in sets.items():
        found.save(run.named("neurons", name, ".safetensors"))
        matrices[name] = ablation_matrix(
            model,
            found,
            questions,
            random_seeds=0 if name == "planted" else 3,
            scoring="letter",
            batch_size=batch_size,
            progress=progress,
            run=run,
        )
        matrices[name].to_parquet(run.named("matrix", name, ".parquet"))
    run.finish("demo", model.device)
    return build_report(run), matrices, sets
