"""The effect of interventions on written answers: by hand, on a tiny model, and what is refused."""

import math

import numpy as np
import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.short_answers import evaluate_short_answers
from culture_lens.experiments.generation import GenerationEffect, perplexity_factor, verdict_of
from culture_lens.experiments.generation_effect import generation_effect
from culture_lens.neurons.hooks import ablation_hooks, steering_hooks
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.estimates import Estimate, mean_estimate
from tests.helpers import lm
from tests.helpers.generation import effect_by_hand
from tests.helpers.marks import QUIET
from tests.helpers.short_answers import short

SAME = Estimate(0.0, -0.01, 0.01)


def test_a_case_on_paper():
    """Surprisal per token is 1 before; 12.7 nats of 12 tokens at dose 1, 4 per token at dose 4."""
    effect = effect_by_hand()
    assert effect.conditions() == [("steered", 1.0), ("steered", 4.0)]
    one, four = effect.measures("steered", 1.0), effect.measures("steered", 4.0)
    assert one["score"].value == pytest.approx(0.375) and four["score"].value == -0.125
    assert one["perplexity"].value == pytest.approx(math.exp(12.7 / 12 - 1))
    assert four["perplexity"].value == pytest.approx(math.exp(3))
    assert one["changed"].value == 1.0 and one["repetition"].value == 0.0
    assert effect.perplexity() == pytest.approx(math.e)
    plain = effect.measures("steered", 1.0, weighted=False)["score"]
    assert plain.value == 0.5 and plain.low >= -1


def test_the_interval_of_the_factor_is_that_of_the_linearised_ratios():
    effect = effect_by_hand()
    frame = effect.frame.set_index("id")
    own = frame[(frame["condition"] == "steered") & (frame["dose"] == 1.0)]
    base = frame[frame["condition"] == "unmodified"]
    rate = 12.7 / 12
    values = [
        (rate - 1) + (s - rate * t) / 3 - (4 - 1 * 4) / 4
        for s, t in zip(own["surprisal"], own["tokens"], strict=True)
    ]
    expected = mean_estimate(values, own["group"].tolist())
    found = perplexity_factor(own, base)
    assert found.low == pytest.approx(math.exp(expected.low))
    assert found.high == pytest.approx(math.exp(expected.high))
    repeated = np.random.default_rng(0).permutation(40)  # the order of records changes nothing
    assert perplexity_factor(own.iloc[repeated], base.iloc[repeated]).high == pytest.approx(
        found.high
    )


@pytest.mark.parametrize(
    ("perplexity", "empty", "said"),
    [
        (Estimate(1.1, 0.9, 1.4), SAME, "fluent"),
        (Estimate(4.0, 3.2, 5.0), SAME, "broken (perplexity)"),
        (Estimate(4.0, 2.5, 6.0), SAME, "undecided (perplexity)"),
        (Estimate(1.1, 0.9, 1.4), Estimate(0.5, 0.3, 0.7), "broken (empty)"),
        (Estimate(9.0, 8.0, 10.0), Estimate(0.5, 0.3, 0.7), "broken (perplexity, empty)"),
        (Estimate(1.0, math.nan, math.nan), SAME, "fluent"),
        (Estimate(math.nan, math.nan, math.nan), SAME, "undecided (perplexity)"),
    ],
)
def test_a_verdict_is_that_of_the_intervals(perplexity, empty, said):
    held = {"perplexity": perplexity, "repetition": SAME, "empty": empty}
    assert verdict_of(held) == said


def test_sentences_and_table_say_both():
    effect = effect_by_hand()
    table = effect.table()
    assert list(table["verdict"]) == ["fluent", "broken (perplexity)"]
    assert table["perplexity"].tolist() == pytest.approx([math.exp(0.7 / 12), math.exp(3)])
    first, second = effect.in_words(culture="UK")
    assert first.startswith("steered 1: score +37.5 [") and first.endswith("points: fluent.")
    assert "perplexity 20.09 [" in second and second.endswith("broken (perplexity).")
    with pytest.raises(InputError, match="Peru"):
        effect.table(culture="Peru")
    with pytest.raises(InputError, match="steered 2"):
        effect.measures("steered", 2.0)


def test_unpaired_records_are_refused():
    effect = effect_by_hand()
    part = GenerationEffect(effect.frame.drop(index=effect.frame.index[-1]), effect.metadata)
    with pytest.raises(InputError, match="cannot be paired"):
        part.measures("steered", 4.0)


NEURONS = Neurons.of({"act": [(0, 3), (1, 5), (2, 9)]})
ASKED = [short(str(n), text=f"{'Which ' * n}tea?") for n in range(5)]


def test_answers_are_those_of_evaluate_and_nothing_done_changes_nothing(tmp_path):
    model = lm.lens("llama")
    interventions = {
        "ablated": ablation_hooks(model, NEURONS),
        "steered": {dose: steering_hooks(model, NEURONS, dose) for dose in (0.0, 8.0)},
    }
    effect = generation_effect(model, interventions, ASKED, max_new_tokens=6, **QUIET)
    for name, dose, neurons in (("unmodified", math.nan, None), ("ablated", math.nan, NEURONS)):
        alone = evaluate_short_answers(model, ASKED, neurons, max_new_tokens=6, **QUIET).frame
        own = effect.frame[effect.frame["condition"] == name]
        assert own["written"].tolist() == alone["written"].tolist()
        assert own["contained_weight"].tolist() == alone["contained_weight"].tolist()
    still = effect.measures("steered", 0.0)
    assert still["perplexity"].value == 1.0 and still["changed"].value == 0.0
    assert effect.table()["verdict"].tolist()[1] == "unchanged"
    assert effect.frame["tokens"].max() <= 6
    again = GenerationEffect.from_parquet(effect.to_parquet(tmp_path / "e.parquet"))
    assert again.table().equals(effect.table())


def test_what_has_no_meaning_is_refused(idle):
    hooks = ablation_hooks(idle, NEURONS)
    for interventions, told in (
        ({}, "at least one"),
        ([hooks], "name: hooks"),
        ({"unmodified": hooks}, "take another name"),
        ({"a": {}}, "no dose"),
        ({"a": {"one": hooks}}, "dose of 'a'"),
        ({"a": "hooks"}, "interventions"),
    ):
        with pytest.raises(InputError, match=told):
            generation_effect(idle, interventions, ASKED, **QUIET)
    with pytest.raises(InputError, match="leave out run="):
        generation_effect(idle, {"a": hooks}, ASKED, run="runs/none")
    with idle.hooks(hooks), pytest.raises(InputError, match="as an intervention instead"):
        generation_effect(idle, {"a": hooks}, ASKED, **QUIET)
