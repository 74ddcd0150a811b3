"""The public names and where they are; what ``culture_lens`` imports when a name is first used."""

from . import plots as plots
from .activations.caches import summary_from_caches as summary_from_caches
from .activations.directions import fit_directions as fit_directions
from .activations.record import record_activations as record_activations
from .activations.statistics import ActivationStatistics as ActivationStatistics
from .activations.summary import ActivationSummary as ActivationSummary
from .activations.texts import summarise_texts as summarise_texts
from .attribution.culnig import (
    CulnigScores as CulnigScores,
)
from .attribution.culnig import (
    culnig_scores as culnig_scores,
)
from .attribution.gradients import attribute as attribute
from .attribution.hones import hones_scores as hones_scores
from .attribution.instances import instance_share as instance_share
from .attribution.knowledge import (
    KnowledgeScores as KnowledgeScores,
)
from .attribution.knowledge import (
    knowledge_scores as knowledge_scores,
)
from .benchmarks import (
    benchmark_names as benchmark_names,
)
from .benchmarks import (
    in_every_wording as in_every_wording,
)
from .benchmarks import (
    load_benchmark as load_benchmark,
)
from .benchmarks import (
    questions_from_table as questions_from_table,
)
from .cards.card import (
    NeuronCard as NeuronCard,
)
from .cards.card import (
    NeuronCards as NeuronCards,
)
from .cards.logit_lens import (
    LogitLens as LogitLens,
)
from .cards.logit_lens import (
    logit_lens as logit_lens,
)
from .cards.neuron_card import (
    neuron_card as neuron_card,
)
from .cards.neuron_card import (
    neuron_cards as neuron_cards,
)
from .cards.tokens import (
    TokenActivations as TokenActivations,
)
from .cards.tokens import (
    token_activations as token_activations,
)
from .cards.top_items import top_items as top_items
from .errors import (
    CultureLensWarning as CultureLensWarning,
)
from .errors import (
    InputError as InputError,
)
from .evaluation.confirm import confirm as confirm
from .evaluation.evaluate import (
    evaluate as evaluate,
)
from .evaluation.evaluation import Evaluation as Evaluation
from .evaluation.sae_report import SaeReport as SaeReport
from .evaluation.sae_report import sae_report as sae_report
from .evaluation.short_answers import (
    ShortAnswers as ShortAnswers,
)
from .evaluation.short_answers import (
    evaluate_short_answers as evaluate_short_answers,
)
from .evaluation.short_answers import (
    load_short_answers as load_short_answers,
)
from .evaluation.summarise import summarise as summarise
from .evaluation.values import (
    ValueAlignment as ValueAlignment,
)
from .evaluation.values import (
    ValuePrompts as ValuePrompts,
)
from .evaluation.values import (
    evaluate_values as evaluate_values,
)
from .evaluation.values import (
    load_values as load_values,
)
from .experiments.ablation_fidelity import fidelity as fidelity
from .experiments.ablation_fidelity import matrix_fidelity as matrix_fidelity
from .experiments.ablation_matrix import ablation_matrix as ablation_matrix
from .experiments.agreement_with_table import agreement_with_table as agreement_with_table
from .experiments.cell_tests import (
    against_random as against_random,
)
from .experiments.cell_tests import (
    cell_tests as cell_tests,
)
from .experiments.cell_tests import (
    diagonal_test as diagonal_test,
)
from .experiments.changed_decisions import changed_decisions as changed_decisions
from .experiments.compare_units import compare_units as compare_units
from .experiments.comparison import (
    Comparison as Comparison,
)
from .experiments.comparison import (
    compare_selectors as compare_selectors,
)
from .experiments.direction_matrix import direction_matrix as direction_matrix
from .experiments.dose import DoseCurve as DoseCurve
from .experiments.dose_curve import dose_curve as dose_curve
from .experiments.evaluate_suite import evaluate_suite as evaluate_suite
from .experiments.fidelity import (
    Fidelity as Fidelity,
)
from .experiments.generation import GenerationEffect as GenerationEffect
from .experiments.generation_effect import generation_effect as generation_effect
from .experiments.localization import LocalizationGap as LocalizationGap
from .experiments.localization import localization_gap as localization_gap
from .experiments.matrix import (
    AblationMatrix as AblationMatrix,
)
from .experiments.planning.asking import Counts as Counts
from .experiments.planning.measure import (
    Rate as Rate,
)
from .experiments.planning.measure import (
    measure_rate as measure_rate,
)
from .experiments.planning.plan import plan as plan
from .experiments.planning.result import Plan as Plan
from .experiments.power import minimum_detectable_effect as minimum_detectable_effect
from .experiments.predicted_matrix import (
    PredictedMatrix as PredictedMatrix,
)
from .experiments.predicted_matrix import (
    predicted_ablation_matrix as predicted_ablation_matrix,
)
from .experiments.related_cultures import (
    Relations as Relations,
)
from .experiments.related_cultures import (
    related_cultures as related_cultures,
)
from .experiments.steering import SteeringCurve as SteeringCurve
from .experiments.steering_curve import steering_curve as steering_curve
from .experiments.suite import (
    Suite as Suite,
)
from .experiments.transfer import (
    TransferMatrix as TransferMatrix,
)
from .experiments.transfer_matrix import transfer_matrix as transfer_matrix
from .experiments.units_compared import UnitsComparison as UnitsComparison
from .find import find_culture_neurons as find_culture_neurons
from .finetune import (
    FineTuned as FineTuned,
)
from .finetune import (
    Forgetting as Forgetting,
)
from .finetune import (
    ForgettingStudy as ForgettingStudy,
)
from .finetune import (
    ModuleChoice as ModuleChoice,
)
from .finetune import (
    ModuleRanking as ModuleRanking,
)
from .finetune import (
    choose_modules as choose_modules,
)
from .finetune import (
    compare_strategies as compare_strategies,
)
from .finetune import (
    forgetting as forgetting,
)
from .finetune import (
    organism_study as organism_study,
)
from .finetune import (
    rank_modules as rank_modules,
)
from .interventions.change_norm import MatchedScale as MatchedScale
from .interventions.change_norm import change_norm as change_norm
from .interventions.change_norm import matched_scale as matched_scale
from .interventions.directions import direction_added as direction_added
from .interventions.directions import direction_removed as direction_removed
from .interventions.edges import edge_hooks as edge_hooks
from .interventions.edges import edges_cut as edges_cut
from .interventions.hooks import (
    ablated as ablated,
)
from .interventions.hooks import (
    enhance as enhance,
)
from .interventions.hooks import (
    steered as steered,
)
from .interventions.hooks import (
    suppress as suppress,
)
from .models.architectures import (
    Preset as Preset,
)
from .models.architectures import (
    preset as preset,
)
from .models.attach import with_features as with_features
from .models.heads import with_heads as with_heads
from .models.lens_model import LensModel as LensModel
from .models.load import load_model as load_model
from .models.sae import SAE as SAE
from .models.sae_files import load_sae as load_sae
from .models.sae_files import save_sae as save_sae
from .neurons.align import align_cultures as align_cultures
from .neurons.cape import compound as compound
from .neurons.cape import generic as generic
from .neurons.cape import pure as pure
from .neurons.direction_hooks import addition_hooks as addition_hooks
from .neurons.direction_hooks import removal_hooks as removal_hooks
from .neurons.direction_units import direction_set as direction_set
from .neurons.direction_units import with_directions as with_directions
from .neurons.directions import Direction as Direction
from .neurons.directions import Directions as Directions
from .neurons.hooks import (
    ablation_hooks as ablation_hooks,
)
from .neurons.hooks import (
    steering_hooks as steering_hooks,
)
from .neurons.layer_parts import layer_parts as layer_parts
from .neurons.neuron_set import NeuronSet as NeuronSet
from .neurons.neurons import Neurons as Neurons
from .neurons.overlap import (
    overlap_with_chance as overlap_with_chance,
)
from .neurons.overlap import (
    shared_with_chance as shared_with_chance,
)
from .neurons.scores import NeuronScores as NeuronScores
from .neurons.weight_norms import outgoing_norms as outgoing_norms
from .organism.scorecard import (
    Scorecard as Scorecard,
)
from .organism.scorecard import (
    score_selectors as score_selectors,
)
from .organism.truth import (
    Truth as Truth,
)
from .organism.truth import (
    load_truth as load_truth,
)
from .prompts.build import build_prompts as build_prompts
from .prompts.engine import Ray as Ray
from .prompts.prompt import (
    Prompt as Prompt,
)
from .prompts.prompt import (
    Role as Role,
)
from .prompts.speed import Speed as Speed
from .questions.country_named import with_country_named as with_country_named
from .questions.country_named import without_country_named as without_country_named
from .questions.culture_names import same_culture as same_culture
from .questions.images import (
    LazyImage as LazyImage,
)
from .questions.images import (
    as_image as as_image,
)
from .questions.question import (
    PromptFormat as PromptFormat,
)
from .questions.question import (
    Question as Question,
)
from .questions.question import (
    control_twin as control_twin,
)
from .questions.question import (
    with_format as with_format,
)
from .questions.readable import readable as readable
from .questions.splits import (
    halves as halves,
)
from .questions.splits import (
    split_questions as split_questions,
)
from .questions.strata import (
    balance_table as balance_table,
)
from .questions.strata import (
    relabelled as relabelled,
)
from .questions.strata import (
    strata_of as strata_of,
)
from .questions.unseen import (
    looked_at as looked_at,
)
from .questions.unseen import (
    looked_at_by as looked_at_by,
)
from .questions.unseen import (
    unseen as unseen,
)
from .report.page import build_report as build_report
from .selectors import (
    Inference as Inference,
)
from .selectors import (
    infer as infer,
)
from .selectors import (
    matched_random as matched_random,
)
from .selectors import (
    select as select,
)
from .selectors import (
    selection_frequency as selection_frequency,
)
from .selectors.fusion import fuse as fuse
from .selectors.invariance import invariance as invariance
from .selectors.stability import set_stability as set_stability
from .selectors.variance import (
    VarianceShares as VarianceShares,
)
from .selectors.variance import (
    variance_shares as variance_shares,
)
from .statistics.estimates import Estimate as Estimate
from .statistics.permutation import PermutationResult as PermutationResult
from .statistics.random_sets import sets_needed as sets_needed
from .storage.display import format_table as format_table
from .storage.runs import Run as Run
from .storage.status import RunStatus as RunStatus
from .storage.status import WorkStatus as WorkStatus
from .storage.status import run_status as run_status

__version__: str
