"""Forgetting on the bundled organism: new facts, and what may change."""

import pytest

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.finetune import choose_modules, organism_study, rank_modules
from culture_lens.finetune.organism_study import new_facts
from culture_lens.organism.scores_against_truth import planted
from culture_lens.organism.truth import load_truth
from tests.helpers.marks import quiet

pytestmark = quiet


def test_new_facts_are_new_and_neutral():
    task, test = new_facts(3, pictures=2), new_facts(3, pictures=2, split="unseen")
    own = new_facts(0, pictures=2)
    assert {q.culture for q in task + test} == {"plain"}
    assert not {q.image.key for q in task} & {q.image.key for q in test}

    def facts(questions):
        return {(q.metadata["kind"], q.metadata["object"]): q.options[q.answer] for q in questions}

    assert facts(task) == facts(test) and len(facts(task)) == 36
    same = sum(facts(own)[key] == word for key, word in facts(task).items())
    assert same < 9  # 3 expected by chance


@pytest.mark.slow
def test_on_the_organism():
    """Two short trainings: what they may change is what they say, and the culture is measured."""
    study = organism_study(
        strategies=("top", "all"), seeds=(1,), train_pictures=2, test_pictures=1,
        epochs=2.0, progress=False,
    )  # fmt: skip
    model = cl.load_model("organism")
    ranking = rank_modules(planted(load_truth(), model), model)
    top = choose_modules(ranking, "top", parameter_share=0.12)
    assert [(m.name, m.layer) for m in top.modules] == [("mlp", 1)]  # layer 2 has as many
    gates = choose_modules(rank_modules(planted(load_truth(), model), model, unit="projection"))
    assert [(m.name, m.layer) for m in gates.modules] == [("gate", 1), ("gate", 2)]
    assert study.summary().loc["top", "trained_share"] == top.share
    assert study.one("all", 1).estimate(metric="before").value > 0.9
    assert study.one("all", 1).estimate("task", metric="before").value < 0.45
    asked = study.one("all", 1).frame.query("asked == 'culture'")
    assert sorted(asked["culture"].unique()) == sorted(CULTURES)
