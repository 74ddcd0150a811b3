"""Selectors compared: every cell asked again, intervals by hand, the organism's known answer."""

import itertools
import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.attribution.culnig import culnig_scores
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.comparison import compare as comparison
from culture_lens.experiments.comparison.compare import COMPARED_SELECTORS, compare_selectors
from culture_lens.experiments.comparison.result import Comparison
from culture_lens.find import summarise
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.organism.truth import load_truth
from culture_lens.plots.comparison import comparison_chart, layer_profile_chart
from culture_lens.questions.question import PromptFormat
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import SELECTORS
from culture_lens.selectors.ranking import Sources, first, get_ranking
from culture_lens.statistics.estimates import DRAWS, group_weights
from tests.conftest import lens, toy_questions
from tests.helpers.tiny import D_MLP, N_LAYERS
from tests.helpers.tiny_t5 import LAYERS as T5_LAYERS
from tests.models import test_encoder_decoder as test_encoder_decoders

SHARES = (0.03, 0.15)
NUMBERS = [int(share * N_LAYERS * D_MLP) for share in SHARES]
CULTURES = ("Ethiopia", "France", "Japan", "Mexico")


def countryrc_questions():
    """A few CountryRC questions on the toy cultures."""
    every = load_benchmark("countryrc", countries=CULTURES, pool=CULTURES, split="identify")
    return [question for question in every if question.group in ("rc-01", "rc-02")]


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        return compare_selectors(*arguments, progress=False, **options)


@pytest.fixture(scope="module")
def compared():
    """All six selectors on a tiny model that knows nothing."""
    return quietly(
        lens("llama"),
        toy_questions(),
        shares=SHARES,
        random_seeds=2,
        countryrc=countryrc_questions(),
    )


@pytest.fixture(scope="module")
def sources():
    """What they rank from, made apart; gate, q, k and v are scored here, the gate alone there."""
    model, (identify, _) = lens("llama"), split_questions(toy_questions())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        scores = culnig_scores(model, identify, countryrc=countryrc_questions(), progress=False)
    return Sources(summarise(model, identify, progress=False), scores)


def neurons_of(sources, selector, culture, number, seed=0):
    if selector == "random":
        return first(SELECTORS["random"](sources.summary, seed=seed), culture, number)
    return first(get_ranking(selector)(sources), culture, number)


# ------------------------------------------------------------------ asked again, one by one


@pytest.mark.parametrize("selector", COMPARED_SELECTORS)
def test_every_cell_is_what_ablating_by_hand_gives(compared, sources, selector):
    model, (_, held_out) = lens("llama"), split_questions(toy_questions())
    base = evaluate(model, held_out, progress=False).by()
    changes = {}
    for culture in CULTURES:
        frames = [
            evaluate(
                model,
                held_out,
                neurons_of(sources, selector, culture, NUMBERS[1], seed),
                progress=False,
            )
            for seed in range(2 if selector == "random" else 1)
        ]
        for asked in CULTURES:
            values = [frame.by()[asked].value for frame in frames]
            changes[culture, asked] = np.mean(values) - base[asked].value
    own = np.mean([changes[c, c] for c in CULTURES])
    cross = np.mean([changes[c, e] for c in CULTURES for e in CULTURES if c != e])
    assert compared.estimate(selector, 0.15, "self").value == pytest.approx(own)
    assert compared.estimate(selector, 0.15, "cross").value == pytest.approx(cross)
    assert compared.estimate(selector, 0.15, "gap").value == pytest.approx(own - cross)


def test_as_many_are_taken_of_all_unless_a_ranking_ends(compared, sources):
    assert compared.selectors == COMPARED_SELECTORS and compared.shares == SHARES
    for selector, (share, number) in itertools.product(
        COMPARED_SELECTORS, zip(SHARES, NUMBERS, strict=True)
    ):
        taken = [len(neurons_of(sources, selector, c, number)) for c in CULTURES]
        assert compared.number(share) == number
        assert compared.taken(selector, share) == np.mean(taken)
        if selector in ("lap", "mad", "random"):
            assert taken == [number] * 4


def test_profiles_are_the_layer_shares_of_the_sets(compared, sources):
    for share, number in zip(SHARES, NUMBERS, strict=True):
        profiles = compared.layer_profiles(share)
        assert profiles.shape == (6, N_LAYERS)
        for selector in ("mad", "culnig_specific"):
            sets = {c: neurons_of(sources, selector, c, number) for c in CULTURES}
            site = "act" if selector == "mad" else "gate"
            shares = NeuronSet(sets, {site: (N_LAYERS, D_MLP)}).layer_share()
            np.testing.assert_allclose(profiles.loc[selector], shares.mean())
        np.testing.assert_allclose(profiles.sum(1), 1)
    pd.testing.assert_frame_equal(compared.layer_profiles(), compared.layer_profiles(0.15))


def test_rankings_that_end_are_told():
    with pytest.warns(CultureLensWarning, match=r"not every ranking has as many.*lape \("):
        compare_selectors(
            lens("llama"), toy_questions(), ["lape", "lap"], shares=(0.15,), progress=False
        )


def test_a_selector_does_not_depend_on_those_beside_it(compared):
    alone = quietly(lens("llama"), toy_questions(), ["conact"], shares=(0.15,))
    for metric in ("self", "cross", "gap", "flips"):
        mine = alone.estimate("conact", 0.15, metric)
        assert mine == compared.estimate("conact", 0.15, metric)


def test_fewer_cultures_are_ablated_and_all_are_asked(compared):
    two = quietly(
        lens("llama"), toy_questions(), ["mad"], shares=(0.15,), cultures=("Japan", "France")
    )
    whole, part = compared.matrix("mad", 0.15), two.matrix("mad", 0.15)
    assert part.masks == ("France", "Japan") and part.cultures == CULTURES
    pd.testing.assert_frame_equal(part.table(), whole.table().loc[["France", "Japan"]])


def test_an_encoder_decoder_is_compared_within_one_stack():
    model = test_encoder_decoders.lens("flan")
    names = ["conact", "culnig_all_projections", "random"]
    found = quietly(
        model,
        toy_questions(),
        names,
        shares=(0.1,),
        random_seeds=1,
        countryrc=countryrc_questions(),
    )
    assert found.number(0.1) == int(0.1 * T5_LAYERS["flan"][0] * 48)
    assert found.layer_profiles().shape == (3, T5_LAYERS["flan"][0])
    np.testing.assert_allclose(found.layer_profiles().sum(1), 1)


def test_countryrc_asks_about_all_that_are_compared(monkeypatch):
    """Not about CULNIG's eight alone: the others would keep their readers of names."""
    given = {}

    def stop(*_, **options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "culnig_scores", stop)
    with pytest.raises(KeyboardInterrupt):
        quietly(lens("llama"), toy_questions(), shares=SHARES)
    assert given["countries"] == CULTURES and given["sites"] == ["gate"]


def test_a_finished_run_is_found_again(tmp_path, monkeypatch, compared):
    model, names = lens("llama"), ["mad", "culnig_specific", "random"]
    options = {"selectors": names, "shares": (0.15,), "random_seeds": 2}
    options |= {"countryrc": countryrc_questions(), "run": tmp_path}
    kept = quietly(model, toy_questions(), **options)
    frame = compared.frame
    same = (frame["condition"] == "unmodified") | (
        frame["selector"].isin(names) & (frame["share"] == 0.15)
    )
    pd.testing.assert_frame_equal(kept.frame, frame[same].reset_index(drop=True))

    def refuse(*_, **__):
        raise AssertionError("the model was run")

    monkeypatch.setattr(LensModel, "_forward", refuse)
    again = quietly(model, toy_questions(), **options)
    pd.testing.assert_frame_equal(again.frame, kept.frame)
    # Other shares need other masks, but neither recording nor scoring anew.
    monkeypatch.undo()
    asked = []
    real = LensModel.differentiable_logits
    monkeypatch.setattr(LensModel, "differentiable_logits", lambda *a: asked.append(1) or real(*a))
    quietly(model, toy_questions(), **{**options, "shares": (0.3,)})
    assert not asked


# ------------------------------------------------------------------ by hand


def by_hand():
    """Two cultures, two groups of two items, two selectors: which answers are right."""
    items = [(c, g, i) for c in "ab" for g in ("g1", "g2") for i in range(2)]
    right = {
        # items of a: g1 g1 g2 g2, then of b
        ("unmodified", "", ""): "1111 1110",
        ("found", "sharp", "a"): "0001 1110",
        ("found", "sharp", "b"): "1111 0010",
        ("found", "blunt", "a"): "0011 0010",
        ("found", "blunt", "b"): "0101 1100",
    }
    rows = []
    for (condition, selector, mask), bits in right.items():
        for (culture, group, number), bit in zip(items, bits.replace(" ", ""), strict=True):
            rows.append(
                {
                    "condition": condition, "selector": selector, "share": 0.1 if mask else 0.0,
                    "mask": mask, "seed": 0, "id": f"{culture}{group}{number}",
                    "culture": culture, "group": group, "category": "", "prediction": int(bit),
                    "correct": bit == "1", "p_gold": 0.5,
                }
            )  # fmt: skip
    layers = [
        {"selector": s, "share": 0.1, "mask": m, "seed": 0, "counts": counts}
        for s, m, counts in (
            ("sharp", "a", [3, 1]), ("sharp", "b", [0, 2]), ("blunt", "a", [0, 0]),
            ("blunt", "b", [1, 3]),
        )
    ]  # fmt: skip
    return Comparison(pd.DataFrame(rows), {"numbers": [4], "layers": layers, "model": "m"})


def test_metrics_by_hand():
    hand = by_hand()
    # sharp: a loses 3 of 4, b 2 of 4, and neither anything of the other's.
    assert hand.estimate("sharp", 0.1, "self").value == pytest.approx((-3 / 4 - 2 / 4) / 2)
    assert hand.estimate("sharp", 0.1, "cross").value == 0
    # blunt: a loses 2 of 4 and b 1 of 4; of the other's 2 of 4 each.
    assert hand.estimate("blunt", 0.1, "self").value == pytest.approx((-2 / 4 - 1 / 4) / 2)
    assert hand.estimate("blunt", 0.1, "cross").value == pytest.approx(-1 / 2)
    gap = hand.difference("sharp", "blunt", 0.1)
    assert gap.value == pytest.approx(-5 / 8 - (-3 / 8 + 1 / 2))
    profiles = hand.layer_profiles()
    assert profiles.loc["sharp"].tolist() == [(3 / 4 + 0) / 2, (1 / 4 + 1) / 2]
    assert profiles.loc["blunt"].tolist() == [1 / 4, 3 / 4]  # a has none, so no profile
    assert hand.taken("sharp", 0.1) == 3 and hand.taken("blunt", 0.1) == 2
    table = hand.table()
    assert list(table["selector"]) == ["sharp", "blunt"] and "beyond_random" not in table
    assert list(table["asked"]) == [4, 4]


def test_intervals_are_those_of_a_paired_bootstrap_of_groups(compared):
    """Groups drawn once for all selectors; the reference keeps no table of the package."""
    frame = compared.frame
    groups = sorted(frame["group"].unique())
    weights = group_weights(len(groups), DRAWS)

    def drawn(selector, metric):
        def accuracy(part):
            at = [groups.index(g) for g in part["group"]]
            return (weights[:, at] @ part["correct"].to_numpy(float)) / weights[:, at].sum(1)

        base = frame[frame["condition"] == "unmodified"]
        mine = frame[(frame["selector"] == selector) & (frame["share"] == 0.15)]
        cells = {
            (c, e): accuracy(mine[(mine["mask"] == c) & (mine["culture"] == e)])
            - accuracy(base[base["culture"] == e])
            for c in CULTURES
            for e in CULTURES
        }
        own = np.mean([cells[c, c] for c in CULTURES], 0)
        cross = np.mean([[cells[c, e] for e in CULTURES if e != c] for c in CULTURES], (0, 1))
        return {"self": own, "cross": cross, "gap": own - cross}[metric]

    for metric in ("self", "cross", "gap"):
        found = compared.estimate("mad", 0.15, metric)
        expected = np.percentile(drawn("mad", metric), [2.5, 97.5])
        assert [found.low, found.high] == pytest.approx(expected)
        paired = compared.difference("lap", "random", 0.15, metric)
        expected = np.percentile(drawn("lap", metric) - drawn("random", metric), [2.5, 97.5])
        assert [paired.low, paired.high] == pytest.approx(expected)
    nothing = compared.difference("mad", "mad", 0.15)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_the_table_has_a_row_per_selector_and_share(compared):
    table = compared.table()
    assert len(table) == 12
    row = table[(table["selector"] == "lap") & (table["share"] == 0.15)].iloc[0]
    assert row["gap"] == compared.estimate("lap", 0.15)
    assert row["beyond_random"] == compared.difference("lap", "random", 0.15, "self")
    assert table.loc[table["selector"] == "random", "beyond_random"].isna().all()


def test_it_is_written_and_read(compared, tmp_path):
    again = Comparison.from_parquet(compared.to_parquet(tmp_path / "comparison.parquet"))
    pd.testing.assert_frame_equal(again.frame, compared.frame)
    pd.testing.assert_frame_equal(again.table(), compared.table())
    pd.testing.assert_frame_equal(again.layer_profiles(0.03), compared.layer_profiles(0.03))
    assert json.loads(json.dumps(again.metadata)) == again.metadata
    other = compared.matrix("mad", 0.15).to_parquet(tmp_path / "matrix.parquet")
    with pytest.raises(InputError, match="is not a comparison of selectors"):
        Comparison.from_parquet(other)
    with pytest.raises(InputError, match="no such file"):
        Comparison.from_parquet(tmp_path / "none.parquet")


# ------------------------------------------------------------------ drawn


def test_the_figure_shows_self_against_cross(compared):
    figure = comparison_chart(compared)
    lines = {line.name: line for line in figure.data}
    assert tuple(lines) == COMPARED_SELECTORS
    for selector, line in lines.items():
        own = [compared.estimate(selector, share, "self") for share in SHARES]
        cross = [compared.estimate(selector, share, "cross") for share in SHARES]
        assert list(line.x) == [one.value for one in cross]
        assert list(line.y) == [one.value for one in own]
        assert line.error_y.array[1] == own[1].high - own[1].value
        assert line.error_x.arrayminus[0] == cross[0].value - cross[0].low
        assert line.marker.size[0] < line.marker.size[1]
        low, high = figure.layout.xaxis.range
        assert all(low < one.low and one.high < high for one in cross)
    assert len({line.line.color for line in figure.data}) == 6
    assert f"3% ({NUMBERS[0]}), 15% ({NUMBERS[1]}) neurons" in figure.layout.title.subtitle.text


def test_the_second_figure_shows_profiles_side_by_side(compared):
    figure = layer_profile_chart(compared, share=0.03)
    profiles = compared.layer_profiles(0.03)
    assert len(figure.data) == 6
    for bars, selector in zip(figure.data, COMPARED_SELECTORS, strict=True):
        assert list(bars.x) == profiles.loc[selector].tolist() and list(bars.y) == [0, 1, 2]
        assert bars.orientation == "h"
    titles = [note.text for note in figure.layout.annotations]
    assert titles[0].startswith("lap<br>") and len(titles) == 6
    assert len({bars.xaxis for bars in figure.data}) == 6


def test_nothing_is_not_drawn():
    empty = Comparison(
        by_hand().frame.query("condition == 'unmodified'"), {"numbers": [], "layers": []}
    )
    for draw in (comparison_chart, layer_profile_chart):
        with pytest.raises(InputError, match="comparison is empty"):
            draw(empty)


# ------------------------------------------------------------------ on the bundled organism


@pytest.fixture(scope="module")
def organism():
    """Two cultures' neurons, 2.5% of 1,920, which is about what was planted for each."""
    drawn = {"pictures": 1, "seed": 1}
    return compare_selectors(
        load_model("organism"),
        load_benchmark("organism", **drawn),
        ["conact", "gradient_contrast", "random"],
        shares=(0.025,),
        cultures=("Avaria", "Gulmara"),
        random_seeds=1,
        countryrc=load_benchmark("organism", subset="country", split="identify", **drawn),
        scoring="letter",
        batch_size=256,
        gradient_batch_size=64,
        progress=False,
    )


def test_on_the_organism_both_ways_hit_the_culture_and_chance_does_not(organism):
    for selector in ("conact", "gradient_contrast"):
        assert organism.estimate(selector, 0.025).high < 0
        assert organism.difference(selector, "random", 0.025, "self").high < 0
    assert organism.estimate("conact", 0.025, "cross").low > -0.1
    chance = organism.estimate("random", 0.025, "self")
    assert chance.value > -0.1
    assert organism.metadata["items"] == 288 and organism.metadata["identified_on"] == 288


def test_on_the_organism_profiles_show_where_knowledge_was_planted(organism):
    profiles, planted = organism.layer_profiles(), list(load_truth().layers)
    assert profiles.shape == (3, 5) and planted == [1, 2]
    assert profiles.loc["conact", planted].sum() > 0.6
    assert profiles.loc["gradient_contrast", [3, 4]].sum() < 0.1  # behind it
    assert abs(profiles.loc["random", planted].sum() - 0.4) < 0.15


# ------------------------------------------------------------------ refused before anything runs


@pytest.fixture
def idle(monkeypatch):
    """A model that must not run."""

    def refuse(*_, **__):
        raise AssertionError("the model was run")

    monkeypatch.setattr(LensModel, "_forward", refuse)
    return lens("llama")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selectors": ["best"]}, "unknown ranking 'best'"),
        ({"selectors": []}, "at least one selector"),
        ({"random_seeds": 0}, "random_seeds of 1 or more"),
        ({"shares": ()}, "at least one share"),
        ({"shares": (0.1, 1.5)}, r"share=1.5 is outside \(0, 1\]"),
        ({"shares": (0.001,)}, "choose 0 of 144 neurons"),
        ({"shares": (0.1, 0.1001)}, "choose 14, 14 of 144 neurons"),
        ({"cultures": ("Japan", "Peru")}, "unknown culture of both halves 'Peru'"),
        ({"cultures": ("Japan",)}, "at least two cultures that both halves ask about, got Japan"),
        ({"identify_share": 1.0}, "none are left to evaluate on"),
        ({"countries": ["Peru"]}, "Peru"),
        ({"scoring": "guess"}, "unknown scoring"),
        ({"batch_size": 0}, "batch_size"),
        ({"gradient_batch_size": 0}, "batch_size"),
        ({"summary_options": {"nothing": 1}}, "unknown option 'nothing'"),
        ({"summary_options": {"roles": "answers"}}, "answers"),
        ({"summary_options": {"sites": "gate"}}, "leave out sites"),
        ({"summary_options": {"magnitudes": False}}, "magnitudes=True"),
    ],
    ids=str,
)
def test_mistakes_are_refused_before_the_model_runs(idle, options, message):
    given = {"shares": SHARES, **options}
    with pytest.raises(InputError, match=message):
        compare_selectors(idle, toy_questions(), progress=False, **given)


def test_questions_that_culnig_cannot_use_are_refused_before_the_model_runs(idle):
    """By likelihood they could be answered; attribution needs labels of one token."""
    form = PromptFormat(label_form="space", labels="WXYZ")
    odd = [replace(q, prompt=form) for q in toy_questions()]
    with pytest.raises(InputError, match="is not one token"):
        compare_selectors(lens("qwen2"), odd, shares=SHARES, progress=False)
    with pytest.raises(InputError, match="is not one token"):
        compare_selectors(
            lens("qwen2"), odd, ["lap"], shares=SHARES, scoring="letter", progress=False
        )
    abroad = [replace(q, culture="Peru") for q in toy_questions()]
    with pytest.raises(InputError, match="CountryRC asks about Peru"):
        compare_selectors(idle, toy_questions(), shares=SHARES, countryrc=abroad, progress=False)


def test_questions_of_a_group_that_identified_are_not_asked():
    """A benchmark's own split may cut through a group."""
    questions = [
        replace(q, split="identify" if q.category in ("food", "sport") else "evaluate")
        for q in toy_questions()
    ]
    cut = [replace(q, group="food") if q.id == "city/Japan" else q for q in questions]
    with pytest.warns(CultureLensWarning, match="1 of 8 questions held out share a group"):
        found = compare_selectors(lens("llama"), cut, ["lap"], shares=(0.1,), progress=False)
    assert "city/Japan" not in set(found.frame["id"]) and found.metadata["items"] == 7


def test_cultures_in_one_half_only_are_told():
    questions = [q for q in toy_questions() if q.culture != "France" or q.category != "city"]
    held = [replace(q, split="evaluate" if q.category == "city" else "identify") for q in questions]
    with pytest.warns(CultureLensWarning, match="France: in one half"):
        found = compare_selectors(lens("llama"), held, ["lap"], shares=(0.1,), progress=False)
    assert found.matrix("lap", 0.1).masks == ("Ethiopia", "Japan", "Mexico")


def test_what_is_not_there_is_refused(compared, tmp_path):
    with pytest.raises(InputError, match="unknown selector 'best'"):
        compared.estimate("best", 0.15)
    with pytest.raises(InputError, match=r"no share 0\.2: there are 0\.03, 0\.15"):
        compared.matrix("lap", 0.2)
    with pytest.raises(InputError, match="unknown metric 'luck'"):
        compared.difference("lap", "mad", 0.15, "luck")
    with pytest.raises(InputError, match=r"no share 0\.2"):
        layer_profile_chart(compared, share=0.2)
    frame = compared.matrix("lap", 0.15).frame.drop(columns=["selector"])
    path = type(compared.matrix("lap", 0.15))(frame, {}).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(InputError, match="is not a comparison of selectors"):
        Comparison.from_parquet(path)


def test_neurons_are_ablated_where_they_were_found_and_all_the_same(sources):
    """A gate at 0 is an activation at 0, so that sites do not make a difference."""
    model, (_, held_out) = lens("llama"), split_questions(toy_questions())
    gates = neurons_of(sources, "culnig_specific", "Japan", 20)
    acts = type(gates)({"act": gates.places["gate"]})
    frames = [evaluate(model, held_out, n, progress=False).frame for n in (gates, acts)]
    assert torch.allclose(*(torch.tensor(f["p_gold"].to_numpy()) for f in frames), atol=1e-6)
