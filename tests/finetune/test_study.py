"""A study of strategies: by hand, in one file, and on a tiny model."""

import pandas as pd
import pytest

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.finetune import (
    STRATEGIES,
    Forgetting,
    ForgettingStudy,
    choose_modules,
    compare_strategies,
    finetune,
    forgetting,
    organism_study,
    rank_modules,
)
from culture_lens.finetune.comparison import Study
from culture_lens.finetune.plan import StudyPlan
from culture_lens.finetune.strategies import Known
from culture_lens.finetune.study import joined
from culture_lens.models.pieces import piece_of
from culture_lens.statistics.tables import as_estimates
from culture_lens.storage.runs import Run
from tests.helpers.finetune import found_on, of
from tests.helpers.forgetting import study_by_hand
from tests.helpers.marks import quiet
from tests.helpers.questions import toy_questions

pytestmark = quiet


def test_a_study_by_hand():
    study = study_by_hand()
    assert study.strategies == ("top", "all") and study.seeds == (0, 1, 2)
    assert study.per_seed("top", "task") == {0: 1.0, 1: 0.5, 2: 0.0}
    assert study.per_seed("all") == {0: -0.5, 1: -1.0, 2: -1.0}
    learned = study.estimate("top", "task")
    # t with 2 degrees of freedom: 4.3027 * 0.5 / sqrt(3)
    assert learned.value == 0.5 and learned.high - 0.5 == pytest.approx(1.2421, abs=1e-3)
    assert study.estimate("top").value == 0.0
    difference = study.against("top", "all")
    assert difference.value == pytest.approx((0.5 + 1 + 1) / 3)
    assert study.against("top", "all", "task").high == 0.0  # the same, seed by seed
    table = as_estimates(study.summary())
    assert table.loc["all", "culture"].value == pytest.approx(-2.5 / 3)
    assert study.one("all", 0).estimate().value == -0.5
    with pytest.raises(InputError, match="no training 'top' with seed 9"):
        study.one("top", 9)
    with pytest.raises(InputError, match="strategy 'best'"):
        study.estimate("best")


def test_a_study_is_kept_in_one_file(tmp_path):
    study = study_by_hand()
    again = ForgettingStudy.from_parquet(study.to_parquet(tmp_path / "study.parquet"))
    pd.testing.assert_frame_equal(again.frame, study.frame)
    assert again.metadata == study.metadata
    one = study.one("top", 1)
    back = Forgetting.from_parquet(one.to_parquet(tmp_path / "one.parquet"))
    assert back.estimate("task") == one.estimate("task")


def test_strategies_choose_what_they_say():
    model = of("llama")
    ranking = rank_modules(found_on(model), model)
    known = Known(ranking, found_on(model).union(), 0.1, 4)
    options = {name: strategy(known, 2) for name, strategy in STRATEGIES.items()}
    for which in ("top", "bottom", "random"):
        assert options[which]["modules"] == choose_modules(ranking, which, seed=2)
    assert options["all"] == {} and options["lora"] == {"lora_rank": 4}
    assert options["protected"] == {"protect": known.neurons}
    assert options["only"] == {"only": known.neurons}
    assert options["kept"] == {"keep": known.neurons}


def test_trainings_of_earlier_versions_are_found_and_blocks_are_kept_apart(tmp_path):
    """Earlier versions keyed a training by the list of its ranking's projections."""
    model, asked = of("llama"), toy_questions()
    found, plan = found_on(model), StudyPlan(run=tmp_path)
    places = {}
    for unit, projections in (("projection", ("gate", "up", "down")), ("block", ())):
        ranking = rank_modules(found, model, unit=unit, part="mlp", projections=projections)
        known = Known(ranking, found.union(), 0.1, 8)
        study = Study(model, known, asked[:6], asked[6:9], asked[9:], "letter", plan)
        places[unit] = study.place("top", 1, {"max_steps": 2})
    stem = "model.layers.{}.mlp.{}_proj"
    order = [(1, "gate"), (0, "gate"), (0, "up"), (0, "down"), (1, "up"), (1, "down")]
    order += [(2, "gate"), (2, "up"), (2, "down")]
    earlier = piece_of(
        model, Run.open(tmp_path), "forgetting", ".parquet", "top", 1,
        [(stem.format(*one), 0) for one in order],
        sorted(found.union().members()),
        (0.1, 8),
        [(q.id, q.text, q.options, q.answer) for q in asked],
        ("letter", "error"),
        {"max_steps": 2},
    )  # fmt: skip
    assert places["projection"] == earlier != places["block"]


def test_a_study_ranks_the_unit_that_it_is_told(monkeypatch):
    model, asked, seen = of("llama"), toy_questions(), []
    monkeypatch.setattr(Study, "ask", lambda study, lens: seen.append(study.known.ranking.unit))
    monkeypatch.setattr(Study, "records", lambda *given: pd.DataFrame({"strategy": ["top"]}))
    options = {"task_test": asked[6:9], "strategies": ["top"], "seeds": [0], "progress": False}
    for wanted, unit in (({}, "block"), ({"unit": "projection"}, "projection")):
        study = compare_strategies(
            model, found_on(model), asked[:6], asked[9:], **options, **wanted
        )
        assert study.metadata["unit"] == unit == seen[-1]
    with pytest.raises(InputError, match="unit='layer'"):
        compare_strategies(model, found_on(model), asked[:6], asked[9:], **options, unit="layer")
    gates = rank_modules(found_on(model), model, unit="projection")
    with pytest.raises(InputError, match="of the unit 'projection'"):
        compare_strategies(
            model, found_on(model), asked[:6], asked[9:], ranking=gates, unit="block", **options
        )


@pytest.mark.slow
def test_a_study_of_a_tiny_model(tmp_path):
    """Each training is found again in the run folder, and tells what a single one tells."""
    model = of("llama")
    found, asked = found_on(model), toy_questions()
    task, test, culture = asked[:4], asked[4:8], asked[8:]  # whole question groups
    options = {
        "task_test": test,
        "strategies": ("top", "all"),
        "seeds": (0, 1),
        "scoring": "letter",
        "learning_rate": 1e-2,
        "max_steps": 2,
        "progress": False,
        "run": tmp_path,
    }
    study = compare_strategies(model, found, task, culture, **options)
    assert len(study.frame) == 2 * 2 * (len(test) + len(culture))
    shares = study.summary()["trained_share"]
    assert 0 < shares["top"] <= 0.1 and shares["all"] == 1.0
    single = finetune(
        model, task, seed=1, scoring="letter", learning_rate=1e-2, max_steps=2, progress=False
    )
    base, after = (
        cl.evaluate(m, culture, scoring="letter", progress=False) for m in (model, single.model)
    )
    changes = forgetting(base, after)
    kept = study.one("all", 1).frame
    kept = kept[kept["asked"] == "culture"]
    assert kept["p_after"].tolist() == pytest.approx(changes.frame["p_after"].tolist())
    files = sorted((tmp_path / "pieces").iterdir())
    assert len(files) == 4
    times = [file.stat().st_mtime_ns for file in files]
    again = compare_strategies(model, found, task, culture, **options)
    assert [file.stat().st_mtime_ns for file in files] == times
    pd.testing.assert_frame_equal(again.frame, study.frame)
    own = {"seeds": (0,), "each": {"top": {"max_steps": 1}}}
    other = compare_strategies(model, found, task, culture, **options | own)
    assert len(list((tmp_path / "pieces").iterdir())) == 5  # of all as before
    assert (
        other.per_seed("all", metric="p_change")[0] == study.per_seed("all", metric="p_change")[0]
    )
    assert other.per_seed("top", metric="p_change") != {
        0: study.per_seed("top", metric="p_change")[0]
    }


def test_bad_studies():
    model = of("llama")
    found, asked = found_on(model), toy_questions()
    with pytest.raises(InputError, match="strategy 'best'"):
        compare_strategies(model, found, asked, asked, task_test=asked[:1], strategies=["best"])
    with pytest.raises(InputError, match="strategy 'lara'"):
        compare_strategies(model, found, asked, asked, task_test=asked[:1], each={"lara": {}})
    with pytest.raises(InputError, match="at least one"):
        compare_strategies(model, found, asked[:8], asked, task_test=asked[8:], seeds=[])
    with pytest.raises(InputError, match="2 questions are in task and in task_test"):
        compare_strategies(model, found, asked[:8], asked, task_test=asked[6:9])
    with pytest.raises(InputError, match="no studies"):
        joined([])
    with pytest.raises(InputError, match="knows the facts of seed 0"):
        organism_study(seeds=(0, 1))
