"""One of every class that users can hold, with names that would break a page if they were HTML."""

import functools

import numpy as np
import pandas as pd
import torch

import culture_lens as cl
from culture_lens.cards.card import NeuronCards
from culture_lens.cards.records import Chosen, Lens, Rank, SetEffect, Signs, TokenLogit
from culture_lens.cards.shown_item import Grid
from culture_lens.evaluation.short_answers.questions import HumanAnswer, ShortQuestion
from culture_lens.experiments.planning.measure import Rate
from culture_lens.finetune.training import FineTuned
from culture_lens.prompts.build import build_prompts
from culture_lens.selectors.false_discovery import Inference
from culture_lens.selectors.variance import VARIANCE_PARTS
from culture_lens.storage.work import begin_work
from tests.helpers import cards
from tests.helpers.comparison import compared_by_hand
from tests.helpers.culnig import as_culnig, drawn
from tests.helpers.dose import dose_by_hand, steering_by_hand
from tests.helpers.forgetting import study_by_hand
from tests.helpers.generation import effect_by_hand
from tests.helpers.known import known
from tests.helpers.lm import lens
from tests.helpers.localization import KNOWN, gap_by_hand
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions
from tests.helpers.results import make_matrix, make_predicted
from tests.helpers.sae import random_sae
from tests.helpers.simulated import statistics_of
from tests.helpers.units import units_by_hand

NASTY = '<b>Japan</b> & "more"'
CULTURES = ["Ethiopia", NASTY, "Peru"]
META = {"model": "<script>alert(1)</script>", "benchmark": "a<b", "selector": "conact"}
ESTIMATE = cl.Estimate(0.5, 0.4, 0.6)


@functools.cache
def matrix():
    """An ablation matrix of three cultures."""
    return make_matrix(CULTURES, **META)


def unmodified():
    """Its answers of the unmodified model."""
    frame = matrix().frame
    return frame[frame["condition"] == "unmodified"].reset_index(drop=True)


def question():
    """A question with a long text."""
    return cl.Question("1", NASTY, "Which coin? " * 200, ("<i>yen</i>", "won"), 0)


def scores():
    """Scores of two cultures."""
    values = torch.arange(24.0).view(2, 3, 4).double()
    return cl.NeuronScores(("Ethiopia", NASTY), {"act": values}, metadata=META)


def statistics():
    """Statistics of a few questions, with permutations and bootstrap samples."""
    asked = toy_questions()
    counts = np.arange(len(asked) * 8).reshape(len(asked), 8) % 5
    return statistics_of(asked, counts, permutations=2, bootstraps=2)


def inference():
    """p and q of every neuron."""
    p = {"act": torch.full((2, 3, 4), 0.5).double()}
    return Inference(("Ethiopia", NASTY), p, p, scores(), {"act": np.ones((20, 24))}, META)


def suite():
    """A benchmark under three conditions."""
    rows = [
        (condition, name, 0, "a<b", 0, f"{n}", NASTY, f"{n}", float(n % 2))
        for condition, name in (("unmodified", ""), ("found", NASTY), ("random", NASTY))
        for n in range(6)
    ]
    names = "condition name seed benchmark wording id culture group value".split()
    return cl.Suite(pd.DataFrame(rows, columns=names), META)


def transfer():
    """Two benchmarks on each other."""
    pairs = [(one, other) for one in ("text", "a<b") for other in ("text", "a<b")]
    frame = pd.concat([matrix().frame.assign(source=s, target=t) for s, t in pairs])
    held = {one: {other: META for other in ("text", "a<b")} for one in ("text", "a<b")}
    facts = {"benchmarks": ["text", "a<b"], "cultures": CULTURES, "pairs": held, "overlap": []}
    return cl.TransferMatrix(frame, {**META, **facts})


def scorecard():
    """Two selectors on two organisms."""
    from culture_lens.organism.scorecard import AGAINST_TRUTH, CHANGED, TAKEN

    facts = [(model, name) for model in ("a<b", "other") for name in ("conact", NASTY)]
    rows = [{"model": m, "selector": s, "culture": NASTY, "sought": 2} for m, s in facts]
    numbers = dict.fromkeys((*AGAINST_TRUTH, *TAKEN, *CHANGED), 0.5)
    return cl.Scorecard(pd.DataFrame([{**row, **numbers} for row in rows]), META)


def fidelity():
    """Three sets, each on four items."""
    rows = [
        {"unit": f"<u>{unit}</u>", "kind": "set", "size": 3, "score": np.nan, "group": f"{group}"}
        | {"predicted": 0.1 * unit + 0.01 * group, "measured": 0.12 * unit - 0.01 * group}
        for unit in range(3)
        for group in range(4)
    ]
    return cl.Fidelity(pd.DataFrame(rows), META)


def values():
    """Value questions that were answered."""
    frame = unmodified().assign(alignment=0.5, distance=0.25)
    return cl.ValueAlignment(frame, META)


def short_answers():
    """Short answers that were matched."""
    return cl.ShortAnswers(
        unmodified().assign(exact=1, contained=1, exact_weight=1.0, contained_weight=1.0), META
    )


def summary():
    """A summary with magnitudes and replicates."""
    return statistics().summary(META)


def instances():
    """Counts of items and neurons."""
    items = unmodified()[["id", "culture", "group"]]
    counted = items.assign(neurons_of=NASTY, positive=3, neurons=5)
    from culture_lens.attribution.instances import InstanceShares

    return InstanceShares(counted, pd.DataFrame({"neurons_of": [NASTY], "own": [1]}))


def run(folder):
    """A run folder with a step and a result."""
    held = cl.Run.open(folder / "run")
    held.log("find", {"model": "<script>x</script>"})
    found_set().save(held.named("neurons", "conact", ".safetensors"))
    return held


def begun(folder):
    """A run folder with work of which nothing is done."""
    held = run(folder)
    begin_work(held, NASTY, "k", shards=2, items=8, inputs={"model": NASTY})
    return held


def ranking():
    """The modules of the tiny Llama."""
    return cl.rank_modules(found_set(), lens("llama"))


def dose_curve(made=dose_by_hand):
    """A curve of one dose of two cultures."""
    right = {"Ethiopia": (1, 1, 1, 1), NASTY: (1, 1, 1, 0)}
    masks = {("found", 0.01, name, 0): {**right, name: (1, 0, 0, 0)} for name in right}
    return made({("unmodified", 0.0, "", 0): right, **masks}, cultures=tuple(right))


def plan():
    """What two stages take."""
    row = {"items": 4, "conditions": 1, "tokens": 9, "operations": 1e15, "seconds": 60.0}
    row |= {"seconds_low": 50.0, "seconds_high": 90.0, "weights": 10, "activations": 5}
    rows = [{"stage": stage, **row, "peak": 20, "shards": 1, "disk": 3} for stage in ("a<b", "c")]
    machine = {"device": "h100", "workers": 2, "gpus": 2, "gpus_per_worker": 1, "memory": 10**9}
    rests = {"rate": 1e14, "rate_from": NASTY, "tokens_from": NASTY, "price": 2.0}
    return cl.Plan.of(rows, {**META, "items": 4, "dtype": "float32", **machine, **rests})


def direction():
    """A direction of three elements."""
    return cl.Direction(NASTY, "resid", 1, torch.tensor([1.0, 2.0, 2.0]))


BUILDERS = {
    "Activity": lambda _: cards.card().by_culture[0],
    "Chosen": lambda _: Chosen("conact", NASTY, 0.5, 3, 20),
    "Direction": lambda _: direction(),
    "Directions": lambda _: cl.Directions({NASTY: direction()}, {NASTY: ESTIMATE}, META),
    "DoseCurve": lambda _: dose_curve(),
    "Effect": lambda _: cards.card().effects[0],
    "GenerationEffect": lambda _: effect_by_hand("<b>steered</b>", NASTY, **META),
    "Grid": lambda _: Grid(NASTY, np.zeros((2, 3))),
    "ItemTokens": lambda _: cards.item(NASTY, [0.5, -1.0]),
    "LocalizationGap": lambda _: gap_by_hand({**KNOWN, NASTY: KNOWN["US"]}, **META),
    "LogitLens": lambda _: cl.logit_lens(lens("llama"), ("act", 0, 3)),
    "NeuronCard": lambda _: cards.card(),
    "NeuronCards": lambda _: NeuronCards((cards.card(),)),
    "Lens": lambda _: Lens((TokenLogit(NASTY, 1.0, 1),), (), (), 100, 1.0, 0.9, 40.0),
    "Rank": lambda _: Rank("ConAct", NASTY, 0.5, 3, 200, 200),
    "SetEffect": lambda _: SetEffect("conact", NASTY, 9, 12, ESTIMATE, None),
    "ShownItem": lambda _: cards.shown(),
    "Signs": lambda _: Signs(-0.5, -1.5, ESTIMATE, None),
    "Token": lambda _: cards.shown().tokens[0],
    "TokenLogit": lambda _: TokenLogit(NASTY, 1.0, 1),
    "TokenActivations": lambda _: cards.recording(cards.item(NASTY, [0.5, -1.0])),
    "AblationMatrix": lambda _: matrix(),
    "ActivationStatistics": lambda _: statistics(),
    "ActivationSummary": lambda _: summary(),
    "Comparison": lambda _: compared_by_hand(),
    "CulnigScores": lambda _: as_culnig(drawn(0), 5),
    "Estimate": lambda _: ESTIMATE,
    "Evaluation": lambda _: cl.Evaluation(unmodified(), META),
    "Fidelity": lambda _: fidelity(),
    "FineTuned": lambda _: FineTuned(lens("llama"), None, {}, {"log": [{"step": 1, "loss": 2.0}]}),
    "Forgetting": lambda _: study_by_hand().one("top", 0),
    "ForgettingStudy": lambda _: study_by_hand(),
    "HumanAnswer": lambda _: HumanAnswer((NASTY,), 3),
    "Inference": lambda _: inference(),
    "InstanceShares": lambda _: instances(),
    "KnowledgeScores": lambda _: known(),
    "LazyImage": lambda _: cl.as_image(b"", where=NASTY),
    "LensModel": lambda _: lens("llama"),
    "MatchedScale": lambda _: cl.MatchedScale(2.0, ESTIMATE, 0.25, 3, (4, 5)),
    "Means": lambda _: matrix().means("change"),
    "ModuleChoice": lambda _: cl.choose_modules(ranking(), parameter_share=0.5),
    "ModuleRanking": lambda _: ranking(),
    "NeuronScores": lambda _: scores(),
    "NeuronSet": lambda _: found_set(benchmark="a<b").renamed({"Japan": NASTY}),
    "Neurons": lambda _: found_set()["Japan"],
    "PermutationResult": lambda _: cl.PermutationResult(ESTIMATE, 0.04, 24, True),
    "Plan": lambda _: plan(),
    "Planted": lambda _: cl.load_truth().blocks[0],
    "PredictedMatrix": lambda _: make_predicted(matrix()),
    "Preset": lambda _: cl.preset("Qwen/Qwen3-14B"),
    "Projection": lambda _: ranking().modules[0].projections[0],
    "PackedPrompts": lambda _: build_prompts([question()], lens("llama").processor),
    "Prompt": lambda _: build_prompts([question()], lens("llama").processor)[0],
    "PromptFormat": lambda _: cl.PromptFormat(system=NASTY * 50),
    "Question": lambda _: question(),
    "Rate": lambda _: Rate(1e11, 0.01),
    "RankedModule": lambda _: ranking().modules[0],
    "Relations": lambda _: cl.related_cultures(matrix()),
    "Replicates": lambda _: summary().replicates,
    "Run": run,
    "RunStatus": lambda folder: cl.run_status(begun(folder), check=True),
    "SAE": lambda _: random_sae(NASTY),
    "SaeReport": lambda _: cl.SaeReport(pd.DataFrame({"layer": [1], "fvu": [0.25]}), META),
    "Scorecard": lambda _: scorecard(),
    "ShortAnswers": lambda _: short_answers(),
    "ShortQuestion": lambda _: ShortQuestion(
        "1", NASTY, "Tea?", "English", (HumanAnswer(("a",), 1),)
    ),
    "Spread": lambda _: matrix().means("change").at(0, 0).spread(),
    "SteeringCurve": lambda _: dose_curve(steering_by_hand),
    "Suite": lambda _: suite(),
    "TransferMatrix": lambda _: transfer(),
    "Truth": lambda _: cl.load_truth(),
    "UnitsComparison": lambda _: units_by_hand(["Ethiopia", NASTY], **META),
    "ValueAlignment": lambda _: values(),
    "ValuePrompts": lambda _: cl.ValuePrompts({NASTY: "As in {culture}."}, ["{question} {low}?"]),
    "WorkStatus": lambda folder: cl.run_status(begun(folder)).work[0],
    "VarianceShares": lambda _: cl.VarianceShares(
        ("Ethiopia", NASTY), ("en", "a<b"), {}, {"act": dict.fromkeys(VARIANCE_PARTS, ESTIMATE)}, 5
    ),
}
"""Class -> how one is made, given a folder of its own."""
PAGES = ("NeuronCard", "NeuronCards")
"""Those that a notebook shows as a page of their own; see tests/cards/test_html.py."""
OPTIONS = ("Counts", "Loading", "Ray", "Recipe", "Speed")
"""Public records of options, whose repr is the call that makes them."""
