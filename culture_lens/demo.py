"""The demonstration: a real model, real questions, neurons, proof by ablation, one page."""

from __future__ import annotations

from pathlib import Path

from culture_lens.benchmarks import load_benchmark
from culture_lens.find import split_questions, summarise
from culture_lens.matrix import AblationMatrix, ablation_matrix
from culture_lens.models import load_model
from culture_lens.report import build_report
from culture_lens.runs import Run
from culture_lens.selectors import select

RANDOM_SEEDS = {"conact": 1, "lape": 0}
"""Selectors shown, and sets of random neurons beside each: few, so that minutes are enough."""


def run_demo(
    path: str | Path = "runs/demo", *, batch_size: int = 64, progress: bool = True
) -> tuple[Path, dict[str, AblationMatrix]]:
    """Find and prove culture neurons in SmolLM2-135M on the bundled questions.

    Half of the question groups identify, the other half evaluate. Everything done is kept in the
    run folder, so a second call, or one after an interruption, goes on from there.

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
    run.log("demo", {"model": model.name, "benchmark": "everyday", "random_seeds": RANDOM_SEEDS})
    summary = summarise(model, identify, batch_size=batch_size, progress=progress, run=run)
    summary.save(run.named("statistics", "summary", ".safetensors"))
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
    return build_report(run), matrices
