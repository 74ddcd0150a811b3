"""Find, prove and use the neurons of a language model that carry knowledge of a culture.

    import culture_lens as cl

    model = cl.load_model("smollm2-135m")
    questions = cl.load_benchmark("everyday")
    found = cl.find_culture_neurons(model, questions, method="conact")
    matrix = cl.ablation_matrix(model, found, questions)
    cl.plots.ablation_heatmap(matrix).show()

Nothing heavy is imported until it is used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from culture_lens import plots
    from culture_lens.ablation import ablated, enhance, steered, suppress
    from culture_lens.agreement import Fidelity, fidelity, matrix_fidelity
    from culture_lens.architectures import Preset, preset
    from culture_lens.attribution import attribute
    from culture_lens.batches import build_prompts
    from culture_lens.benchmarks import benchmark_names, load_benchmark, questions_from_table
    from culture_lens.confidence import Estimate
    from culture_lens.culnig import CulnigScores, culnig_scores
    from culture_lens.errors import CultureLensWarning, InputError
    from culture_lens.evaluation import Evaluation, evaluate
    from culture_lens.find import find_culture_neurons, split_questions, summarise
    from culture_lens.images import LazyImage, as_image, readable
    from culture_lens.items import Prompt, PromptFormat, Question, Role
    from culture_lens.lens import LensModel
    from culture_lens.matrix import AblationMatrix, ablation_matrix
    from culture_lens.models import load_model
    from culture_lens.neurons import Neurons, NeuronSet
    from culture_lens.prediction import PredictedMatrix, predicted_ablation_matrix
    from culture_lens.prompts import control_twin, with_format
    from culture_lens.record import record_activations
    from culture_lens.report import build_report
    from culture_lens.runs import Run
    from culture_lens.scores import NeuronScores
    from culture_lens.selectors import matched_random, select
    from culture_lens.statistics import ActivationStatistics, ActivationSummary
    from culture_lens.transfer import TransferMatrix, transfer_matrix

_PLACES = {
    "ablated": "ablation",
    "enhance": "ablation",
    "steered": "ablation",
    "suppress": "ablation",
    "Preset": "architectures",
    "preset": "architectures",
    "attribute": "attribution",
    "build_prompts": "batches",
    "benchmark_names": "benchmarks",
    "load_benchmark": "benchmarks",
    "questions_from_table": "benchmarks",
    "Estimate": "confidence",
    "CulnigScores": "culnig",
    "culnig_scores": "culnig",
    "CultureLensWarning": "errors",
    "InputError": "errors",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "Fidelity": "agreement",
    "fidelity": "agreement",
    "matrix_fidelity": "agreement",
    "LazyImage": "images",
    "as_image": "images",
    "readable": "images",
    "find_culture_neurons": "find",
    "split_questions": "find",
    "summarise": "find",
    "Prompt": "items",
    "PromptFormat": "items",
    "Question": "items",
    "Role": "items",
    "AblationMatrix": "matrix",
    "ablation_matrix": "matrix",
    "LensModel": "lens",
    "load_model": "models",
    "Neurons": "neurons",
    "NeuronScores": "scores",
    "NeuronSet": "neurons",
    "PredictedMatrix": "prediction",
    "predicted_ablation_matrix": "prediction",
    "control_twin": "prompts",
    "with_format": "prompts",
    "record_activations": "record",
    "build_report": "report",
    "Run": "runs",
    "matched_random": "selectors",
    "select": "selectors",
    "ActivationStatistics": "statistics",
    "ActivationSummary": "statistics",
    "TransferMatrix": "transfer",
    "transfer_matrix": "transfer",
}

__all__ = [
    "AblationMatrix",
    "ActivationStatistics",
    "ActivationSummary",
    "CulnigScores",
    "CultureLensWarning",
    "Estimate",
    "Evaluation",
    "Fidelity",
    "InputError",
    "LazyImage",
    "LensModel",
    "NeuronScores",
    "NeuronSet",
    "Neurons",
    "PredictedMatrix",
    "Preset",
    "Prompt",
    "PromptFormat",
    "Question",
    "Role",
    "Run",
    "TransferMatrix",
    "ablated",
    "ablation_matrix",
    "as_image",
    "attribute",
    "benchmark_names",
    "build_prompts",
    "build_report",
    "control_twin",
    "culnig_scores",
    "enhance",
    "evaluate",
    "fidelity",
    "find_culture_neurons",
    "load_benchmark",
    "load_model",
    "matched_random",
    "matrix_fidelity",
    "plots",
    "predicted_ablation_matrix",
    "preset",
    "questions_from_table",
    "readable",
    "record_activations",
    "select",
    "split_questions",
    "steered",
    "summarise",
    "suppress",
    "transfer_matrix",
    "with_format",
]

try:
    __version__ = version("culture-lens")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name == "plots":
        return import_module("culture_lens.plots")
    if name in _PLACES:
        value = getattr(import_module(f"culture_lens.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'culture_lens' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, for completion in notebooks."""
    return [*__all__, "__version__"]
