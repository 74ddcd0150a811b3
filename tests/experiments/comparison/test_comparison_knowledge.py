"""knowledge compared with other selectors: its ranking, its passes, and what is refused."""

import warnings

import pytest

from culture_lens.attribution import knowledge as known
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.attribution.knowledge import knowledge_scores
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.comparison.compare import compare_selectors, per_layer
from culture_lens.questions.splits import split_questions
from culture_lens.selectors.ranking import Sources, first, rank
from tests.helpers.comparison import compared_quietly, two_passages
from tests.helpers.lm import lens
from tests.helpers.neurons import CULTURES
from tests.helpers.questions import asked_twice, toy_questions

SHARE, NUMBER = 0.05, 7


def passages():
    """One of each culture."""
    every = {question.culture: question for question in two_passages()}
    return [every[culture] for culture in CULTURES]


@pytest.mark.slow
def test_its_cells_are_what_ablation_of_its_first_neurons_gives(monkeypatch):
    monkeypatch.setattr(known, "LAYERWISE_UP_TO", 0)  # all layers at once: a third of the time
    model, questions = lens("llama"), asked_twice(toy_questions())
    compared = compared_quietly(
        model, questions, ["knowledge", "mad"], shares=(SHARE,), random_seeds=1,
        countryrc=passages(), scoring="letter", batch_size=64,
    )  # fmt: skip
    assert compared.selectors == ("knowledge", "mad")
    identify, held_out = split_questions(questions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        scores = knowledge_scores(
            model, identify, countryrc=passages(), scoring="letter", batch_size=64, progress=False
        )
    ranked = rank("knowledge", Sources(knowledge=scores))
    base = evaluate(model, held_out, progress=False, scoring="letter").by()
    own = []
    for culture in CULTURES:
        neurons = first(ranked, culture, NUMBER)
        assert len(neurons) == NUMBER
        asked = evaluate(model, held_out, neurons, progress=False, scoring="letter")
        own.append(asked.by()[culture].value - base[culture].value)
    found = compared.estimate("knowledge", SHARE, "self").value
    assert found == pytest.approx(sum(own) / len(own))


def test_a_country_that_the_questions_lack_is_refused_before_anything_runs(idle):
    with pytest.raises(InputError, match="Peru"):
        compare_selectors(
            idle, asked_twice(toy_questions()), ["knowledge"], shares=(SHARE,),
            countries=["Peru"], progress=False,
        )  # fmt: skip


@pytest.mark.slow
def test_gradients_may_read_options_by_likelihood():
    """The counts per layer are those of CULNIG's scores by likelihood, and not by letter."""
    model, questions = lens("llama"), asked_twice(toy_questions())
    identify, _ = split_questions(questions)
    counts = {}
    for scoring in ("letter", "option_likelihood"):
        options = {"countryrc": passages(), "batch_size": 64, "progress": False}
        scores = culnig_scores(model, identify, sites="gate", scoring=scoring, **options)
        ranked = rank("gradient", Sources(scores=scores))
        counts[scoring] = [
            per_layer(first(ranked, culture, NUMBER), model.layers("gate")) for culture in CULTURES
        ]
    assert counts["letter"] != counts["option_likelihood"]
    compared = compared_quietly(
        model, questions, ["gradient"], shares=(SHARE,), random_seeds=1, countryrc=passages(),
        attribution_scoring="option_likelihood", batch_size=64,
    )  # fmt: skip
    held = {row["mask"]: row["counts"] for row in compared.metadata["layers"]}
    assert [held[culture] for culture in CULTURES] == counts["option_likelihood"]
