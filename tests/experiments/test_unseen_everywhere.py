"""One rule for every way of finding and of evaluating: what was given to find is not asked."""

from dataclasses import replace

import pytest

from culture_lens.activations.summary import ActivationSummary
from culture_lens.attribution.culnig import CulnigScores, culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.attribution.instances import instance_share
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.short_answers import ShortQuestion
from culture_lens.evaluation.short_answers.questions import HumanAnswer
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_fidelity import fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.comparison import compare_selectors
from culture_lens.experiments.evaluate_suite import evaluate_suite
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.experiments.transfer_matrix import transfer_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.finetune import compare_strategies
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NeuronScores
from culture_lens.questions.splits import split_questions
from culture_lens.questions.unseen import looked_at, unseen
from culture_lens.selectors import infer, matched_random, select
from culture_lens.selectors.conact import conact
from culture_lens.selectors.fusion import fuse
from tests.helpers.culnig import countryrc_questions
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET, mostly_slow, quiet
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions

pytestmark = quiet

HELD_OUT = {"city"}
SHARE = {"share": 0.1}
LETTER = {"scoring": "letter_options", **QUIET}


def right_on(model, *topics):
    """The toy questions with such answers that the model is right on some topics only."""
    questions = toy_questions()
    said = evaluate(model, questions, **LETTER).frame["prediction"]
    return [
        replace(q, answer=int(p) if q.category in topics else (int(p) + 1) % 4)
        for q, p in zip(questions, said, strict=True)
    ]


def half(questions):
    """The questions that identify: all topics but one."""
    return [question for question in questions if question.group not in HELD_OUT]


def long_drinks(questions):
    return [replace(q, text="people " * 600) if q.category == "drink" else q for q in questions]


def some(model, **options):
    """Summarise right answers only: nothing of drink is counted."""
    identify = half(right_on(model, "food", "sport", "city"))
    return summarise(model, identify, only_correct=True, **{**LETTER, **options})


def culnig(model, **options):
    passages = countryrc_questions()
    return culnig_scores(model, half(toy_questions()), countryrc=passages, **options, **QUIET)


def saved(result, folder):
    return type(result).load(result.save(folder / "saved.safetensors"))


WAYS = {
    "right answers": lambda m, _: select(some(m), **SHARE),
    "by its own function": lambda m, _: conact(some(m)).top(**SHARE),
    "at most two": lambda m, _: summarise(m, half(toy_questions()), per_culture=2, **QUIET),
    "too long": lambda m, _: summarise(
        m, long_drinks(half(toy_questions())), too_long="skip", **QUIET
    ),
    "in a run folder": lambda m, folder: some(m, run=folder),
    "from a file": lambda m, folder: saved(some(m), folder),
    "a set from a file": lambda m, folder: saved(select(some(m), **SHARE), folder),
    "top of a set": lambda m, _: select(some(m), **SHARE).top(2),
    "random": lambda m, _: matched_random(select(some(m), "lap", **SHARE)),
    "discoveries": lambda m, _: infer(some(m, replicates=20)).select(0.9),
    "fused": lambda m, _: fuse({"a": some(m), "b": some(m, style="cloze")}, "joint").top(**SHARE),
    "attributed": lambda m, _: attribute(
        m, long_drinks(half(toy_questions())), sites="gate", too_long="skip", **QUIET
    ).top(**SHARE),
    "culnig": lambda m, _: select(culnig(m, per_culture=2), "culnig_specific", share=0.06),
    "culnig's files": lambda m, folder: scores_in(culnig(m, run=folder) and folder),
    "find": lambda m, _: find_culture_neurons(
        m,
        [replace(q, split="" if q.group in HELD_OUT else "identify") for q in toy_questions()],
        identify_share=0.1,
        summary_options={"per_culture": 2},
        **SHARE,
        **QUIET,
    ),
}


def scores_in(folder):
    names = ("task", "control", "countryrc")
    files = {name: folder / "scores" / f"{name}.safetensors" for name in names}
    return CulnigScores(**{name: NeuronScores.load(file) for name, file in files.items()})


@pytest.mark.parametrize("way", mostly_slow(WAYS, fast=["by its own function", "from a file"]))
def test_whatever_finds_records_all_that_it_was_given(way, tmp_path):
    found = WAYS[way](lens("llama"), tmp_path)
    assert isinstance(found, (NeuronSet, ActivationSummary, CulnigScores))
    left = unseen(found, toy_questions())
    assert {q.group for q in left} == HELD_OUT and len(left) == 4
    if way.startswith("culnig"):
        passages = [replace(q, benchmark="countryrc") for q in countryrc_questions()]
        assert not [q for q in passages if q in unseen(found, [*passages, *left])]


def test_right_answers_were_evaluated_with_wrong_ones():
    """The fault: the topic that is answered wrong is neither counted nor unseen."""
    summary = some(lens("llama"))
    assert int(summary.items.sum()) == 8 and summary.metadata["items"] == 8
    matrix = ablation_matrix(
        lens("llama"), select(summary, **SHARE), right_on(lens("llama"), "city"), random_seeds=0,
        **LETTER,
    )  # fmt: skip
    assert set(matrix.frame["group"]) == HELD_OUT
    assert matrix.overall("base").value == 1.0 and matrix.metadata["left_out"] == 12


# ------------------------------------------------------------------ evaluating


def short_questions():
    """Of the same groups as the choices of the benchmark toy."""
    return [
        ShortQuestion(f"{q.id}/short", q.culture, q.text, "English",
                      (HumanAnswer((q.options[q.answer],), 2),), q.group, benchmark="toy")
        for q in toy_questions()
    ]  # fmt: skip


def value_questions():
    return [
        replace(q, metadata={"votes": [1, 2, 3, 4], "persona": "", "wording": 0})
        for q in toy_questions()
    ]


def found():
    return found_set(**looked_at(half(toy_questions())))


def suite_of(questions, **options):
    from culture_lens.experiments.evaluate_suite import worded

    return [q for _, part in worded(found(), questions, False, options.get("seen", False))
            for q in part]  # fmt: skip


def scored(model):
    return attribute(model, half(toy_questions()), sites="gate", **QUIET)


EVALUATIONS = {
    "matrix": lambda m, **o: (
        ablation_matrix(m, found(), toy_questions(), random_seeds=0, **o, **LETTER).frame
    ),
    "predicted": lambda m, **o: (
        predicted_ablation_matrix(m, found(), toy_questions(), **o, **QUIET).frame
    ),
    "suite": lambda m, **o: (
        evaluate_suite(m, found(), {"toys": toy_questions()}, random_seeds=0, **o, **LETTER).frame
    ),
    "instances": lambda m, **o: instance_share(m, toy_questions(), found(), **o, **QUIET).items,
    "fidelity": lambda m, **o: (
        fidelity(m, toy_questions(), scored(m), neurons=1, shares=(), **o, **QUIET).frame
    ),
}


@pytest.mark.parametrize("name", mostly_slow(EVALUATIONS, fast=["matrix", "suite"]))
def test_whatever_evaluates_asks_the_others_only(name):
    assert set(EVALUATIONS[name](lens("llama"))["group"]) == HELD_OUT
    assert len(set(EVALUATIONS[name](lens("llama"), seen=True)["group"])) == 4


@pytest.mark.parametrize("questions", [short_questions, value_questions])
def test_a_suite_leaves_out_short_answers_and_values_too(questions):
    assert {q.group for q in suite_of(questions())} == HELD_OUT
    assert len(suite_of(questions(), seen=True)) == 16


@pytest.mark.slow
def test_two_languages_of_one_benchmark_share_their_halves(tmp_path):
    """Whatever they are called: what identifies in one is not asked in the other."""
    toys = toy_questions()
    native = [replace(q, id=f"{q.id}/native") for q in toys]
    options = {"find_options": SHARE, "random_seeds": 0, "run": tmp_path, **LETTER}
    result = transfer_matrix(lens("llama"), {"english": toys, "tongue": native}, **options)
    asked = {
        (source, target): {group.split("/")[-1] for group in part["group"]}
        for (source, target), part in result.frame.groupby(["source", "target"])
    }
    assert len(asked) == 4 and len(set(map(frozenset, asked.values()))) == 1
    (held_out, *_) = asked.values()
    for name in ("english", "tongue"):
        kept = NeuronSet.load(tmp_path / "neurons" / f"conact-{name}.safetensors")
        assert {q.group for q in unseen(kept, toys)} == held_out and len(held_out) == 2


def test_passages_that_identify_are_not_compared_on():
    questions = [replace(q, split="identify" if q.category in ("food", "sport") else "evaluate")
                 for q in toy_questions()]  # fmt: skip
    passages = [q for q in questions if q.category == "drink"]
    result = compare_selectors(
        lens("llama"), questions, ["lap"], shares=(0.1,), countryrc=passages, **QUIET
    )
    assert set(result.frame["group"]) == HELD_OUT


@pytest.mark.slow
def test_fine_tuning_asks_what_neither_found_nor_trained():
    model, questions = lens("llama"), toy_questions()
    task = [replace(q, benchmark="task") for q in questions if q.group == "food"]
    test = [replace(q, benchmark="task", id=f"{q.id}/test") for q in questions]
    kept = [q for q in questions if q.id == "drink/Japan"]
    study = compare_strategies(
        model,
        found_set(**looked_at([q for q in questions if q.group == "sport"])),
        task,
        questions,
        task_test=test,
        strategies=["kept"],
        seeds=[0],
        each={"kept": {"keep_on": kept}},
        max_steps=1,
        scoring="letter",
        **QUIET,
    )
    asked = study.frame.groupby("asked")["group"].unique()
    assert set(asked["culture"]) == {"food", "city"}
    assert set(asked["task"]) == {"sport", "drink", "city"}
    assert study.metadata["items"] == {"task": 12, "culture": 8}


def test_halves_of_find_and_of_the_evaluation_are_the_same():
    model, questions = lens("llama"), right_on(lens("llama"), "food", "sport")
    neurons = find_culture_neurons(
        model, questions, identify_share=0.5, summary_options={"per_culture": 2}, **SHARE, **QUIET
    )
    _, held_out = split_questions(questions, 0.5)
    assert unseen(neurons, questions) == held_out
