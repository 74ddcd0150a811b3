"""Fidelity compares like with like: effects that are small agree, others need not."""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.gradients import attribute
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.ablation_fidelity import fidelity, matrix_fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.fidelity_units import (
    CELL,
    NEURON,
    SET,
    list_units,
    overall_scores,
    sample_neurons,
)
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.predicted_matrix import (
    PredictedMatrix,
    predicted_ablation_matrix,
    predicted_effects,
)
from culture_lens.interventions.hooks import ablated
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.neurons.scores import NeuronScores, pooled_top
from culture_lens.prompts.batches import build_prompts
from culture_lens.prompts.running import Running
from culture_lens.statistics.estimates import correlation, ranks
from tests.conftest import lens, toy_questions
from tests.helpers.reference_culnig import norms_in_own_dtype
from tests.helpers.tiny import D_MLP, N_LAYERS, tiny_model, tiny_tokenizer

FEW = {"neurons": 6, "shares": (0.01, 0.05), "progress": False}


@functools.cache
def faint(scale):
    """A float64 model whose layers hardly write into the residual stream.

    It is linear in what enters linearly, as up and v do. The activation function bends what gate
    does, and softmax what q and k do, however little comes of it.
    """
    hf = norms_in_own_dtype(tiny_model("llama").double())
    with torch.no_grad():
        for layer in hf.model.layers:
            layer.mlp.down_proj.weight *= scale
            layer.self_attn.o_proj.weight *= scale
    return load_model(f"faint-{scale}", hf_model=hf, tokenizer=tiny_tokenizer("llama"))


@functools.cache
def scores_of(model):
    sites = ("up", "v") if model.name.startswith("faint") else ("gate", "v")
    return attribute(model, toy_questions(), sites=sites, progress=False)


@functools.cache
def compared(model):
    return fidelity(model, toy_questions(), scores_of(model), **FEW)


def made(unit_effects, groups=6, items=3, kind=NEURON, seed=0, scores=None):
    """Records with given mean effects, predicted and measured, and noise of each item."""
    source = np.random.default_rng(seed)
    rows = []
    for number, (predicted, measured) in enumerate(unit_effects):
        for group in range(groups):
            for item in range(items):
                noise = source.normal(0, 0.3, 2)
                rows.append(
                    {
                        "unit": f"u{number}",
                        "kind": kind,
                        "size": number + 1,
                        "score": float("nan") if scores is None else scores[number],
                        "id": f"{group}/{item}",
                        "culture": f"c{item}",
                        "group": f"g{group}",
                        "p_gold": 0.5,
                        "predicted": predicted + noise[0],
                        "measured": measured + noise[1],
                    }
                )
    return Fidelity(pd.DataFrame(rows), {"model": "made"})


EFFECTS = [(0.0, 0.1), (1.0, 0.7), (2.0, 2.5), (-1.0, 0.0), (0.5, 0.4)]


# ------------------------------------------------------------------ predicted and measured


def test_small_effects_are_predicted():
    """The whole chain: scores, sampling, one backward pass, and an ablated pass for every unit."""
    found = fidelity(faint(1e-4), toy_questions(), scores_of(faint(1e-4)), **FEW)
    for kind in (NEURON, SET):
        assert abs(found.slope(kind).value - 1) < 0.005
        assert found.correlation(kind).value > 0.9999


def test_the_fainter_the_closer():
    """The error is of second order: a tenth of the edit has a tenth of the relative error."""
    questions, errors = toy_questions(), []
    for scale in (1e-2, 1e-3):
        model = faint(scale)
        found = fidelity(
            model, questions, scores_of(model), neurons=1, shares=(0.05, 0.2, 0.5), progress=False
        )
        table = found.units(SET)
        one, other = (np.array([e.value for e in table[c]]) for c in ("predicted", "measured"))
        errors.append(np.abs(one - other).max() / np.abs(other).max())
    assert errors[1] < 0.3 * errors[0]


def test_a_gate_bends_however_faint_it_is():
    """Ablating the raw gate turns act(g) to act(0); the prediction follows its tangent."""
    model = faint(1e-2)
    scores = attribute(model, toy_questions(), sites="gate", progress=False)
    found = fidelity(model, toy_questions(), scores, neurons=3, shares=(0.05, 0.3), progress=False)
    table = found.units(SET)
    one, other = (np.array([e.value for e in table[c]]) for c in ("predicted", "measured"))
    assert np.abs(one - other).max() > 0.05 * np.abs(other).max()


def test_ordinary_models_are_not_linear():
    found = compared(lens("llama"))
    frame = found.frame
    assert not np.allclose(frame["predicted"], frame["measured"], rtol=0.1)
    assert found.correlation(SET).value < 0.999


def test_records_are_those_of_prediction_and_evaluation():
    model, questions = lens("llama"), toy_questions()
    tables = overall_scores(scores_of(model))
    units = list_units(tables, FEW["neurons"], FEW["shares"], {}, 0)
    frame = compared(model).frame
    assert list(dict.fromkeys(frame["unit"])) == [unit.name for unit in units]
    base = evaluate(model, questions, scoring="letter", progress=False).frame
    base = base.set_index("id")["p_gold"]
    for unit in (units[0], units[-2]):
        part = frame[frame["unit"] == unit.name]
        after_ablation = evaluate(
            model, questions, unit.neurons, scoring="letter", progress=False
        ).frame.set_index("id")["p_gold"]
        expected = [after_ablation[i] - base[i] for i in part["id"]]
        np.testing.assert_allclose(part["measured"], expected, rtol=0, atol=1e-12)
        assert set(part["size"]) == {len(unit.neurons)} and set(part["kind"]) == {unit.kind}
        assert len(part) == 16 and len(set(part["id"])) == 16


def test_given_sets_join_the_others_and_empty_ones_do_not():
    model = lens("llama")
    sets = {"mine": Neurons.of({"q": [(0, 1)]}), "empty": Neurons.of({})}
    found = fidelity(model, toy_questions(), scores_of(model), sets=sets, **FEW)
    assert list(found.units(SET).index) == [
        "top 1%",
        "random 1%",
        "top 5%",
        "random 5%",
        "mine",
    ]
    assert found.units(SET).loc["mine", "size"] == 1
    before = compared(model).frame
    mine = found.frame[found.frame["unit"] != "mine"].reset_index(drop=True)
    np.testing.assert_allclose(mine["predicted"], before["predicted"], rtol=1e-5, atol=1e-10)
    pd.testing.assert_series_equal(mine["measured"], before["measured"])


def test_shares_that_choose_no_neuron_are_left_out():
    model = lens("llama")
    found = fidelity(
        model, toy_questions(), scores_of(model), neurons=3, shares=(1e-6, 0.05), progress=False
    )
    assert list(found.units(SET).index) == ["top 5%", "random 5%"]


def test_top_and_random_sets_are_what_they_say():
    tables = overall_scores(scores_of(lens("llama")))
    units = {unit.name: unit for unit in list_units(tables, 3, (0.05,), {}, 0)}
    best = pooled_top(tables, 0.05)
    assert units["top 5%"].neurons == best
    drawn = units["random 5%"].neurons
    assert len(drawn) == len(best) and drawn != best
    again = {unit.name: unit for unit in list_units(tables, 3, (0.05,), {}, 0)}
    assert again["random 5%"].neurons == drawn
    other = {unit.name: unit for unit in list_units(tables, 3, (0.05,), {}, 1)}
    assert other["random 5%"].neurons != drawn and other["top 5%"].neurons == best


def test_batch_size_does_not_matter():
    model = faint(0.1)
    one, other = (
        fidelity(model, toy_questions(), scores_of(model), batch_size=size, **FEW).frame
        for size in (1, 16)
    )
    np.testing.assert_allclose(one["predicted"], other["predicted"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(one["measured"], other["measured"], rtol=0, atol=1e-9)


def test_nothing_is_left_on_the_model():
    model = lens("llama")
    before = evaluate(model, toy_questions(), scoring="letter", progress=False).frame
    fidelity(model, toy_questions(), scores_of(model), neurons=3, shares=(), progress=False)
    after = evaluate(model, toy_questions(), scoring="letter", progress=False).frame
    pd.testing.assert_frame_equal(before, after)


# ------------------------------------------------------------------ metrics


def test_unit_means_are_those_by_hand():
    found = made(EFFECTS)
    table = found.units(NEURON)
    for unit, part in found.frame.groupby("unit"):
        for column in ("predicted", "measured"):
            assert table.loc[unit, column].value == pytest.approx(part[column].mean(), rel=1e-12)
            estimate = table.loc[unit, column]
            assert estimate.low < estimate.value < estimate.high
    assert table["size"].tolist() == [1, 2, 3, 4, 5]


def test_unit_intervals_are_those_of_a_plain_bootstrap():
    found = made(EFFECTS[:1])
    source = np.random.default_rng(5)
    by_group = [part["measured"].to_numpy() for _, part in found.frame.groupby("group")]
    draws = [
        np.concatenate([by_group[i] for i in source.integers(6, size=6)]).mean()
        for _ in range(4000)
    ]
    estimate = found.units(NEURON).loc["u0", "measured"]
    low, high = np.percentile(draws, [2.5, 97.5])
    assert estimate.low == pytest.approx(low, abs=0.03)
    assert estimate.high == pytest.approx(high, abs=0.03)


def test_correlation_and_slope_are_those_of_numpy_and_pandas():
    found = made(EFFECTS)
    means = found.frame.groupby("unit")[["predicted", "measured"]].mean()
    x, y = means["predicted"], means["measured"]
    assert found.correlation(NEURON).value == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-12)
    rank = found.correlation(NEURON, "spearman").value
    assert rank == pytest.approx(x.rank().corr(y.rank()), rel=1e-12)
    slope = np.linalg.lstsq(x.to_numpy()[:, None], y.to_numpy(), rcond=None)[0][0]
    assert found.slope(NEURON).value == pytest.approx(slope, rel=1e-12)
    for estimate in (found.correlation(NEURON), found.slope(NEURON)):
        assert estimate.low <= estimate.value <= estimate.high


def test_perfect_predictions_have_slope_and_correlation_one():
    found = made(EFFECTS)
    perfect = Fidelity(found.frame.assign(predicted=found.frame["measured"]))
    for estimate in (
        perfect.correlation(NEURON),
        perfect.correlation(NEURON, "spearman"),
        perfect.slope(NEURON),
    ):
        values = (estimate.value, estimate.low, estimate.high)
        assert values == pytest.approx((1.0, 1.0, 1.0))


def test_scores_are_correlated_with_what_ablating_costs():
    losses = [(0.0, -3.0), (0.0, -2.0), (0.0, -1.0), (0.0, 2.0)]
    found = made(losses, scores=[4.0, 3.0, 2.0, 1.0])
    assert found.score_correlation().value == pytest.approx(1.0)
    turned = made(losses, scores=[1.0, 2.0, 3.0, 4.0])
    assert turned.score_correlation().value == pytest.approx(-1.0)


def test_repeated_items_of_a_group_do_not_narrow_intervals():
    found = made(EFFECTS)
    twice = found.frame.assign(id=found.frame["id"] + "again")
    doubled = Fidelity(pd.concat([found.frame, twice], ignore_index=True))
    for one, other in (
        (found.correlation(NEURON), doubled.correlation(NEURON)),
        (found.slope(NEURON), doubled.slope(NEURON)),
        (found.units(NEURON).loc["u1", "measured"], doubled.units(NEURON).loc["u1", "measured"]),
    ):
        assert (other.value, other.low, other.high) == pytest.approx(
            (one.value, one.low, one.high), rel=1e-9
        )
    apart = twice.assign(group=twice["group"] + "again")
    narrower = Fidelity(pd.concat([found.frame, apart], ignore_index=True))
    one, other = (f.units(NEURON).loc["u1", "measured"] for f in (found, narrower))
    assert other.high - other.low < 0.9 * (one.high - one.low)


def test_ranks_and_correlation_row_by_row():
    source = np.random.default_rng(0)
    x, y = source.integers(0, 5, (2, 4, 9)).astype(float)
    for row, (ranked, value) in enumerate(zip(ranks(x), correlation(x, y), strict=True)):
        np.testing.assert_array_equal(ranked, pd.Series(x[row]).rank())
        assert value == pytest.approx(np.corrcoef(x[row], y[row])[0, 1])
    assert np.isnan(correlation(np.ones((1, 3)), x[:1, :3])).all()


def test_too_few_units_and_unknown_names_are_refused():
    found = made(EFFECTS[:2])
    for read in (found.correlation, found.slope):
        with pytest.raises(InputError, match="only 2 units"):
            read(NEURON)
        with pytest.raises(InputError, match="kind of unit 'sets'"):
            read("sets")
    with pytest.raises(InputError, match="correlation 'kendall'"):
        found.correlation(NEURON, "kendall")
    with pytest.raises(InputError):
        made(EFFECTS, kind=SET).score_correlation()
    with pytest.raises(InputError):
        found.units("sets")


def test_records_survive_a_file(tmp_path):
    found = made(EFFECTS)
    again = Fidelity.from_parquet(found.to_parquet(tmp_path / "fidelity.parquet"))
    pd.testing.assert_frame_equal(found.frame, again.frame)
    assert again.correlation(NEURON) == found.correlation(NEURON)
    (tmp_path / "fidelity.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged"):
        Fidelity.from_parquet(tmp_path / "fidelity.parquet")
    with pytest.raises(InputError, match="no such file"):
        Fidelity.from_parquet(tmp_path / "other.parquet")


# ------------------------------------------------------------------ the sample


def tables_of(seed=0):
    source = torch.Generator().manual_seed(seed)
    return {
        "gate": torch.randn(3, 40, generator=source, dtype=torch.float64),
        "q": torch.randn(3, 20, generator=source, dtype=torch.float64),
    }


@pytest.mark.parametrize("number", [1, 2, 5, 30, 180, 1000])
def test_the_sample_has_the_right_number_and_the_best_neuron(number):
    tables = tables_of()
    sample = sample_neurons(tables, number, seed=0)
    assert len(sample) == min(number, 180)
    for (site, layer, index), score in sample.items():
        assert tables[site][layer, index].item() == score
    assert max(sample.values()) == max(values.max().item() for values in tables.values())


def test_the_sample_depends_on_the_seed_and_on_nothing_else():
    tables = tables_of()
    torch.manual_seed(7)
    first = sample_neurons(tables, 20, seed=0)
    torch.manual_seed(8)
    assert list(sample_neurons(tables, 20, seed=0)) == list(first)
    other = sample_neurons(tables, 20, seed=1)
    shared = set(first) & set(other)
    assert other != first and len(shared) >= 5  # the ranked half stays


def test_half_of_the_sample_is_spread_over_ranks():
    tables = {"gate": torch.arange(1000.0, 0.0, -1.0, dtype=torch.float64).reshape(10, 100)}
    sample = sample_neurons(tables, 20, seed=0)
    ranked = [layer * 100 + index + 1 for _, layer, index in sample][:10]
    assert ranked == np.geomspace(1, 1000, 10).astype(int).tolist()


def test_scores_over_cultures_are_sums_and_contrasts():
    scores = scores_of(lens("llama"))
    overall = overall_scores(scores)
    for site, values in scores.scores.items():
        torch.testing.assert_close(overall[site], values.sum(0))
    control = attribute(
        lens("llama"), toy_questions(), sites=("gate", "v"), control=True, progress=False
    )
    names = NeuronScores(scores.cultures, scores.scores, metadata=scores.metadata)
    culnig = CulnigScores(scores, control, names)
    for site, values in overall_scores(culnig).items():
        expected = (scores.scores[site].sum(0) - control.scores[site].sum(0)) / 16
        torch.testing.assert_close(values, expected)


# ------------------------------------------------------------------ run folders and errors


def test_a_second_call_ablates_nothing(tmp_path, monkeypatch):
    model = lens("llama")
    first = fidelity(model, toy_questions(), scores_of(model), run=tmp_path, **FEW)

    def never(self, batch, cache=None):
        raise AssertionError("a measured pass was run again")

    monkeypatch.setattr(LensModel, "logits", never)
    again = fidelity(model, toy_questions(), scores_of(model), run=tmp_path, **FEW)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    with pytest.raises(AssertionError, match="run again"):
        fidelity(model, toy_questions(), scores_of(model), run=tmp_path, **{**FEW, "neurons": 7})


def test_scores_of_another_model_are_refused():
    values = {"gate": torch.rand(1, N_LAYERS, D_MLP + 1, dtype=torch.float64)}
    with pytest.raises(InputError, match="use the model they were made on"):
        fidelity(lens("llama"), toy_questions(), NeuronScores(("Japan",), values))
    with pytest.raises(InputError, match="'up'"):
        up = {"up": torch.rand(1, N_LAYERS, D_MLP, dtype=torch.float64)}
        fidelity(lens("gpt2"), toy_questions(), NeuronScores(("Japan",), up))


def test_no_questions_are_refused():
    with pytest.raises(InputError):
        fidelity(lens("llama"), [], scores_of(lens("llama")), progress=False)


# ------------------------------------------------------------------ matrices


@functools.cache
def two_matrices():
    model = faint(1e-2)
    neurons = {
        "Japan": Neurons.of({"up": [(0, 1), (1, 4), (2, 30)]}),
        "Mexico": Neurons.of({"up": [(0, 9), (2, 11)], "v": [(1, 3)]}),
    }
    shapes = {site: (N_LAYERS, model.widths[site]) for site in ("up", "v")}
    found = NeuronSet(neurons, shapes, {"model": model.name, "groups": ["food"]})
    predicted = predicted_ablation_matrix(model, found, toy_questions(), progress=False)
    measured = ablation_matrix(
        model, found, toy_questions(), scoring="letter", random_seeds=1, progress=False
    )
    return predicted, measured


def test_cells_of_a_matrix_are_compared():
    predicted, measured = two_matrices()
    found = matrix_fidelity(predicted, measured)
    table = found.units(CELL)
    assert found.kinds == (CELL,) and len(table) == 8
    change = measured.table("p_change")
    for mask in ("Japan", "Mexico"):
        for culture in predicted.cultures:
            row = table.loc[f"{mask} on {culture}"]
            cell = measured.cell(mask, culture, "p_change")
            assert row["predicted"].value == pytest.approx(predicted.table().loc[mask, culture])
            assert row["measured"].value == pytest.approx(change.loc[mask, culture], abs=1e-12)
            bounds = (row["measured"].low, row["measured"].high)
            assert bounds == pytest.approx((cell.low, cell.high), abs=1e-9)
            assert row["size"] == 3
    assert abs(found.slope(CELL).value - 1) < 0.02 and found.correlation(CELL).value > 0.99


@pytest.mark.parametrize(
    "known", [{"scoring": "letter_options"}, {"value": "mean"}, {"value": "double"}, {"value": 0.5}]
)
def test_matrices_of_another_kind_are_refused(known):
    predicted, measured = two_matrices()
    other = AblationMatrix(measured.frame, {**measured.metadata, **known})
    with pytest.raises(InputError, match="neurons set to zero"):
        matrix_fidelity(predicted, other)


def test_matrices_of_another_model_or_other_neurons_are_refused():
    predicted, measured = two_matrices()
    for fact in ({"model": "another"}, {"neurons": {"Japan": 1}}):
        other = AblationMatrix(measured.frame, {**measured.metadata, **fact})
        with pytest.raises(InputError, match=f"differ in {next(iter(fact))}"):
            matrix_fidelity(predicted, other)


def test_matrices_of_other_items_are_refused():
    predicted, measured = two_matrices()
    first = predicted.frame["id"].iloc[0]
    frame = predicted.frame.assign(id=predicted.frame["id"].replace(first, "x"))
    with pytest.raises(InputError, match="have a measured one"):
        matrix_fidelity(PredictedMatrix(frame, predicted.metadata), measured)


def test_measured_passes_are_those_of_ablated():
    """The measured change of a matrix cell is what ``ablated`` does, item by item."""
    predicted, measured = two_matrices()
    model = faint(1e-2)
    questions = [replace(q) for q in toy_questions() if q.group != "food"]
    neurons = Neurons.of({"up": [(0, 1), (1, 4), (2, 30)]})
    before = evaluate(model, questions, scoring="letter", progress=False).frame
    with ablated(model, neurons):
        after = evaluate(model, questions, scoring="letter", progress=False).frame
    expected = dict(zip(before["id"], after["p_gold"] - before["p_gold"], strict=True))
    found = matrix_fidelity(predicted, measured).frame
    part = found[found["unit"].str.startswith("Japan on")]
    assert len(part) == 12
    for _, row in part.iterrows():
        assert row["measured"] == pytest.approx(expected[row["id"]], abs=1e-12)


def test_p_gold_of_the_records_is_the_unmodified_one():
    model = lens("llama")
    found = compared(model).frame.drop_duplicates("id").set_index("id")["p_gold"]
    prompts = build_prompts(toy_questions(), model.tokenizer)
    sets, quiet = [Neurons.of({"gate": [(0, 0)]})], Running(progress=False)
    p, _ = predicted_effects(model, prompts, sets, running=quiet)
    for prompt, value in zip(prompts, p.tolist(), strict=True):
        assert found[prompt.question.id] == pytest.approx(value, rel=1e-5)


def test_no_single_neurons_on_request():
    assert sample_neurons({"gate": torch.rand(2, 5)}, 0, 0) == {}


def test_units_of_one_name_are_refused():
    tables = {"gate": torch.rand(2, 50)}
    with pytest.raises(InputError, match="two units would be called 'top 5%'"):
        list_units(tables, 0, (0.05, 0.05), {}, 0)


def test_metadata_are_kept_in_the_file(tmp_path):
    predicted, measured = two_matrices()
    held = matrix_fidelity(predicted, measured)
    again = Fidelity.from_parquet(held.to_parquet(tmp_path / "held.parquet"))
    assert again.metadata == dict(held.metadata)
    assert again.correlation(CELL) == held.correlation(CELL)
    other = PredictedMatrix.from_parquet(predicted.to_parquet(tmp_path / "predicted.parquet"))
    assert other.metadata == dict(predicted.metadata)
    assert other.table().equals(predicted.table())


def test_half_precision_is_warned_of():
    model = lens("llama", torch.bfloat16)
    scores = attribute(model, toy_questions(2), progress=False)
    with pytest.warns(CultureLensWarning, match="drowns in rounding"):
        fidelity(model, toy_questions(2), scores, **FEW)
