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
    from culture_lens.benchmarks import (
        benchmark_names,
        in_every_wording,
        load_benchmark,
        questions_from_table,
    )
    from culture_lens.comparison import Comparison, compare_selectors
    from culture_lens.confidence import Estimate
    from culture_lens.culnig import CulnigScores, culnig_scores
    from culture_lens.errors import CultureLensWarning, InputError
    from culture_lens.evaluation import Evaluation, evaluate
    from culture_lens.find import find_culture_neurons, split_questions, summarise
    from culture_lens.finetune import (
        FineTuned,
        Forgetting,
        ForgettingStudy,
        ModuleChoice,
        ModuleRanking,
        choose_modules,
        compare_strategies,
        forgetting,
        organism_study,
        rank_modules,
    )
    from culture_lens.fusion import VarianceShares, fuse, variance_shares
    from culture_lens.images import LazyImage, as_image, readable
    from culture_lens.items import Prompt, PromptFormat, Question, Role
    from culture_lens.lens import LensModel
    from culture_lens.matrix import AblationMatrix, ablation_matrix
    from culture_lens.models import load_model
    from culture_lens.naming import align_cultures, same_culture
    from culture_lens.neurons import Neurons, NeuronSet
    from culture_lens.organism.scorecard import Scorecard, score_selectors
    from culture_lens.organism.truth import Truth, load_truth
    from culture_lens.outgoing import outgoing_norms
    from culture_lens.prediction import PredictedMatrix, predicted_ablation_matrix
    from culture_lens.prompts import control_twin, with_format
    from culture_lens.record import record_activations
    from culture_lens.relations import (
        Relations,
        agreement_with_table,
        halves,
        instance_share,
        overlap_with_chance,
        related_cultures,
        set_stability,
        shared_with_chance,
    )
    from culture_lens.report import build_report
    from culture_lens.runs import Run
    from culture_lens.scores import NeuronScores
    from culture_lens.selectors import Inference, infer, matched_random, select, selection_frequency
    from culture_lens.short_answers import ShortAnswers, evaluate_short_answers, load_short_answers
    from culture_lens.significance import (
        PermutationResult,
        against_random,
        cell_tests,
        diagonal_test,
        minimum_detectable_effect,
    )
    from culture_lens.statistics import ActivationStatistics, ActivationSummary
    from culture_lens.strata import balance_table, relabelled, strata_of
    from culture_lens.suite import Suite, evaluate_suite
    from culture_lens.transfer import TransferMatrix, transfer_matrix
    from culture_lens.values import ValueAlignment, evaluate_values, load_values

_PLACES = {
    "ablated": "ablation",
    "enhance": "ablation",
    "steered": "ablation",
    "suppress": "ablation",
    "Fidelity": "agreement",
    "fidelity": "agreement",
    "matrix_fidelity": "agreement",
    "Preset": "architectures",
    "preset": "architectures",
    "attribute": "attribution",
    "build_prompts": "batches",
    "benchmark_names": "benchmarks",
    "in_every_wording": "benchmarks",
    "load_benchmark": "benchmarks",
    "questions_from_table": "benchmarks",
    "Comparison": "comparison",
    "compare_selectors": "comparison",
    "Estimate": "confidence",
    "CulnigScores": "culnig",
    "culnig_scores": "culnig",
    "CultureLensWarning": "errors",
    "InputError": "errors",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "find_culture_neurons": "find",
    "split_questions": "find",
    "summarise": "find",
    "FineTuned": "finetune",
    "Forgetting": "finetune",
    "ForgettingStudy": "finetune",
    "ModuleChoice": "finetune",
    "ModuleRanking": "finetune",
    "choose_modules": "finetune",
    "compare_strategies": "finetune",
    "forgetting": "finetune",
    "organism_study": "finetune",
    "rank_modules": "finetune",
    "VarianceShares": "fusion",
    "fuse": "fusion",
    "variance_shares": "fusion",
    "LazyImage": "images",
    "as_image": "images",
    "readable": "images",
    "Prompt": "items",
    "PromptFormat": "items",
    "Question": "items",
    "Role": "items",
    "LensModel": "lens",
    "AblationMatrix": "matrix",
    "ablation_matrix": "matrix",
    "load_model": "models",
    "align_cultures": "naming",
    "same_culture": "naming",
    "NeuronSet": "neurons",
    "Neurons": "neurons",
    "Scorecard": "organism.scorecard",
    "score_selectors": "organism.scorecard",
    "Truth": "organism.truth",
    "load_truth": "organism.truth",
    "outgoing_norms": "outgoing",
    "PredictedMatrix": "prediction",
    "predicted_ablation_matrix": "prediction",
    "control_twin": "prompts",
    "with_format": "prompts",
    "record_activations": "record",
    "Relations": "relations",
    "agreement_with_table": "relations",
    "halves": "relations",
    "instance_share": "relations",
    "overlap_with_chance": "relations",
    "related_cultures": "relations",
    "set_stability": "relations",
    "shared_with_chance": "relations",
    "build_report": "report",
    "Run": "runs",
    "NeuronScores": "scores",
    "Inference": "selectors",
    "infer": "selectors",
    "matched_random": "selectors",
    "select": "selectors",
    "selection_frequency": "selectors",
    "ShortAnswers": "short_answers",
    "evaluate_short_answers": "short_answers",
    "load_short_answers": "short_answers",
    "PermutationResult": "significance",
    "against_random": "significance",
    "cell_tests": "significance",
    "diagonal_test": "significance",
    "minimum_detectable_effect": "significance",
    "ActivationStatistics": "statistics",
    "ActivationSummary": "statistics",
    "balance_table": "strata",
    "relabelled": "strata",
    "strata_of": "strata",
    "Suite": "suite",
    "evaluate_suite": "suite",
    "TransferMatrix": "transfer",
    "transfer_matrix": "transfer",
    "ValueAlignment": "values",
    "evaluate_values": "values",
    "load_values": "values",
}

__all__ = [
    "AblationMatrix",
    "ActivationStatistics",
    "ActivationSummary",
    "Comparison",
    "CulnigScores",
    "CultureLensWarning",
    "Estimate",
    "Evaluation",
    "Fidelity",
    "FineTuned",
    "Forgetting",
    "ForgettingStudy",
    "Inference",
    "InputError",
    "LazyImage",
    "LensModel",
    "ModuleChoice",
    "ModuleRanking",
    "NeuronScores",
    "NeuronSet",
    "Neurons",
    "PermutationResult",
    "PredictedMatrix",
    "Preset",
    "Prompt",
    "PromptFormat",
    "Question",
    "Relations",
    "Role",
    "Run",
    "Scorecard",
    "ShortAnswers",
    "Suite",
    "TransferMatrix",
    "Truth",
    "ValueAlignment",
    "VarianceShares",
    "ablated",
    "ablation_matrix",
    "against_random",
    "agreement_with_table",
    "align_cultures",
    "as_image",
    "attribute",
    "balance_table",
    "benchmark_names",
    "build_prompts",
    "build_report",
    "cell_tests",
    "choose_modules",
    "compare_selectors",
    "compare_strategies",
    "control_twin",
    "culnig_scores",
    "diagonal_test",
    "enhance",
    "evaluate",
    "evaluate_short_answers",
    "evaluate_suite",
    "evaluate_values",
    "fidelity",
    "find_culture_neurons",
    "forgetting",
    "fuse",
    "halves",
    "in_every_wording",
    "infer",
    "instance_share",
    "load_benchmark",
    "load_model",
    "load_short_answers",
    "load_truth",
    "load_values",
    "matched_random",
    "matrix_fidelity",
    "minimum_detectable_effect",
    "organism_study",
    "outgoing_norms",
    "overlap_with_chance",
    "plots",
    "predicted_ablation_matrix",
    "preset",
    "questions_from_table",
    "rank_modules",
    "readable",
    "record_activations",
    "relabelled",
    "related_cultures",
    "same_culture",
    "score_selectors",
    "select",
    "selection_frequency",
    "set_stability",
    "shared_with_chance",
    "split_questions",
    "steered",
    "strata_of",
    "summarise",
    "suppress",
    "transfer_matrix",
    "variance_shares",
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
