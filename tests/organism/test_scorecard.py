"""Selectors held against the truth of the bundled organism."""

import math
from functools import cache

import pandas as pd
import pytest
from typer.testing import CliRunner

from culture_lens import plots
from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import make_world
from culture_lens.cli import app
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.summarise import summarise
from culture_lens.models.load import load_model
from culture_lens.organism.examination import Examined, after_ablation
from culture_lens.organism.scorecard import (
    AGAINST_TRUTH,
    CHANGED,
    TAKEN,
    Scorecard,
    score_selectors,
)
from culture_lens.organism.scores_against_truth import at_activations
from culture_lens.organism.truth import load_truth
from culture_lens.prompts.running import Running
from culture_lens.selectors import select


@pytest.fixture(scope="module")
def card():
    names = ["conact", "gradient_contrast", "random", "conact-stratified", "conact_fdr"]
    # Of one picture, some cultures lack a number of dots.
    with pytest.warns(CultureLensWarning, match=r"81 of 288 items .* lack a culture"):
        return score_selectors(["organism"], names, pictures=1, cultures=TWO, progress=False)


TWO = ("Avaria", "Gulmara")
"""One with a kin culture, one without."""


@cache
def organism():
    return load_model("organism")


@cache
def recorded(**options):
    asked = organism_questions(make_world(0), split="identify", pictures=1, seed=1)
    options = {"sites": "act", "batch_size": 256, "progress": False, **options}
    return summarise(organism(), asked, **options)


def row_of(card, selector, culture):
    frame = card.frame
    return frame[(frame["selector"] == selector) & (frame["culture"] == culture)].iloc[0]


@pytest.mark.slow
def test_the_truth_itself_is_found_whole_and_takes_its_culture_away(card):
    names = ("conact", "gradient_contrast", "random", "conact_stratified", "conact_fdr")
    assert card.selectors == ("planted", "effective", *names)
    assert card.estimate("planted", "precision").value == 1
    assert card.estimate("planted", "average_precision").value == 1
    assert card.estimate("planted", "decoys").value == 0
    assert card.estimate("planted", "own").value < -0.6
    assert abs(card.estimate("planted", "others").value) < 0.05
    alone = card.estimate("effective", "effective_recall").value
    assert alone == 1 and card.estimate("effective", "own").value < -0.05


@pytest.mark.slow
def test_counting_takes_the_decoys_and_gradients_leave_them(card):
    assert card.estimate("conact", "decoys").value > 0.9
    assert card.estimate("gradient_contrast", "decoys").value < 0.5


@pytest.mark.slow
def test_both_find_more_than_chance_does(card):
    chance = (46 + 58) / 2 / (5 * 384)
    assert card.estimate("random", "precision").value == pytest.approx(chance, abs=0.03)
    for name in ("conact", "gradient_contrast"):
        assert card.estimate(name, "precision").value > 5 * chance
        assert card.estimate(name, "own").value < card.estimate("random", "own").value - 0.1


@pytest.mark.slow
def test_all_that_is_discovered_is_taken(card):
    found, truth = select(recorded(replicates=20), "conact", fdr=0.05), load_truth()
    for culture in TWO:
        row, chosen = row_of(card, "conact_fdr", culture), found[culture].members()
        sought = truth.neurons(("knowledge", "negative", "rare", "kin"), culture).members()
        assert row["taken"] == len(chosen) != row["sought"] == len(sought)
        assert row["precision"] == len(chosen & sought) / len(chosen)
        assert row["recall"] == len(chosen & sought) / len(sought)
        decoys = truth.neurons("style", culture).members()
        assert row["decoys"] == len(chosen & decoys) / len(decoys) == 1


@pytest.mark.slow
def test_within_strata_as_many_are_taken_as_were_planted(card):
    with pytest.warns(CultureLensWarning, match="are not counted"):
        summary = recorded(strata="dots")
    plain = recorded()
    for culture in TWO:
        row = row_of(card, "conact_stratified", culture)
        sought = load_truth().neurons(("knowledge", "negative", "rare", "kin"), culture)
        chosen, unweighed = (
            select(s, "conact", k=len(sought))[culture].members() for s in (summary, plain)
        )
        assert row["taken"] == len(sought) and chosen != unweighed
        assert row["precision"] == len(chosen & sought.members()) / len(sought)
        assert row["decoys"] > 0.9  # no stratum tells style from culture


@pytest.mark.slow
def test_ablating_nothing_changes_nothing():
    quiet = Running(progress=False)
    examined = Examined("organism", organism(), load_truth(), make_world(0), 1, 1, TWO, quiet)
    (changes,) = after_ablation(examined, [("nothing", at_activations([]))], TWO[:1])
    assert changes == dict.fromkeys(CHANGED, 0.0)


@pytest.mark.slow
def test_of_one_organism_there_is_no_interval(card):
    assert math.isnan(card.estimate("conact", "precision").low)
    names = (*AGAINST_TRUTH, *TAKEN, *CHANGED)
    assert list(card.summary()) == [n + end for n in names for end in ("", "_low", "_high")]


@pytest.mark.slow
def test_a_scorecard_is_written_and_drawn(card, tmp_path):
    again = Scorecard.from_parquet(card.to_parquet(tmp_path / "card.parquet"))
    pd.testing.assert_frame_equal(again.frame, card.frame)
    figure = plots.scorecard_chart(again, columns=("precision", "own"), range=(-1, 0.2))
    free = plots.scorecard_chart(again, columns=("precision", "own"))
    assert figure.layout.xaxis.range == free.layout.xaxis.range  # shares keep theirs
    assert figure.layout.xaxis2.range == (-1.0, 0.2) != free.layout.xaxis2.range
    first, second = figure.data
    names = list(figure.layout.yaxis.ticktext)
    effective, found = (card.estimate(s, "taken").value for s in ("effective", "conact_fdr"))
    assert names[:2] == ["<b>planted</b>", f"<b>effective</b> ({effective:.0f})"]
    assert names[-1] == "random" and f"conact_fdr ({found:.0f})" in names
    assert {"conact", "gradient_contrast", "conact_stratified"} < set(names)
    assert "as were planted, or (n) ·" in figure.layout.title.subtitle.text
    assert first.x[0] == 1 and second.x[0] == card.estimate("planted", "own").value


@pytest.mark.slow
def test_several_organisms_have_an_interval_by_student(card):
    other = card.frame.assign(model="other", precision=card.frame["precision"] + 0.1)
    both = Scorecard(pd.concat([card.frame, other]))
    one, two = card.estimate("conact", "precision"), both.estimate("conact", "precision")
    assert two.value == pytest.approx(one.value + 0.05)
    # Of two values the t quantile at 97.5% is 12.706, the standard error half their distance.
    assert two.high - two.value == pytest.approx(12.7062 * 0.05, rel=1e-4)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="unknown ranking"):
        score_selectors(["organism"], ["best"])
    with pytest.raises(InputError, match="unknown culture 'Japan'"):
        score_selectors(["organism"], cultures=["Japan"])
    with pytest.raises(InputError, match="each once"):
        score_selectors(["organism", "organism"])
    with pytest.raises(InputError, match=r"no truth\.json"):
        score_selectors([tmp_path])


@pytest.mark.slow
def test_what_a_scorecard_does_not_hold_is_refused(card):
    with pytest.raises(InputError, match="unknown selector 'best'"):
        card.estimate("best", "precision")
    with pytest.raises(InputError, match="unknown column 'luck'"):
        card.estimate("conact", "luck")
    with pytest.raises(InputError, match="no panel 'luck'"):
        plots.scorecard_chart(card, columns=("luck",))


@pytest.mark.slow
def test_the_command_writes_table_and_figure(monkeypatch, tmp_path, card):
    from culture_lens.organism import scorecard

    asked = {}

    def score(models, selectors, **options):
        asked.update(models=models, selectors=selectors, **options)
        return card

    monkeypatch.setattr(scorecard, "score_selectors", score)
    command = ["organism", "score", "organism", "--selector", "mad", "--run", str(tmp_path)]
    run = CliRunner().invoke(app, [*command, "--pictures", "1"])
    assert run.exit_code == 0, run.output
    assert asked["models"] == ["organism"] and asked["selectors"] == ["mad"]
    assert asked["pictures"] == 1 and "gradient_contrast" in run.output
    assert (tmp_path / "scorecard" / "scorecard.html").exists()
    assert Scorecard.from_parquet(tmp_path / "scorecard" / "scorecard.parquet").selectors
