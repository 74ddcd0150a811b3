"""Forgetting by hand, a small study, its chart and the command line."""

import importlib
import re

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.cli.finetune import finetune as finetune_command
from culture_lens.cli.finetune import modules as modules_command
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import Evaluation
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
from culture_lens.finetune.organism_study import new_facts, planted
from culture_lens.finetune.study import Known, joined
from culture_lens.organism.truth import load_truth
from culture_lens.plots.forgetting import forgetting_chart
from culture_lens.storage.runs import Run
from tests.conftest import toy_questions
from tests.helpers.finetune import found_on, of

pytestmark = pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning")


def evaluation(correct, p=None, cultures="AABB", groups="1234", model="m", scoring="letter"):
    n = len(correct)
    frame = pd.DataFrame(
        {
            "id": [f"q{i}" for i in range(n)],
            "culture": list(cultures),
            "group": list(groups),
            "category": "",
            "gold": 0,
            "prediction": [0 if right else 1 for right in correct],
            "correct": [bool(right) for right in correct],
            "p_gold": p or [0.5] * n,
            "scores": [[0.0, 0.0]] * n,
        }
    )
    return Evaluation(frame, {"model": model, "scoring": scoring})


def test_changes_by_hand():
    before = evaluation([1, 1, 0, 1], [0.9, 0.8, 0.1, 0.7])
    after = evaluation([0, 1, 1, 0], [0.4, 0.8, 0.6, 0.2])
    # The order of the records does not matter: they are matched by id.
    after = Evaluation(after.frame.iloc[::-1].reset_index(drop=True), after.metadata)
    changes = forgetting(before, after)
    assert changes.estimate().value == -0.25
    assert changes.estimate(metric="before").value == 0.75
    assert changes.estimate(metric="after").value == 0.5
    assert changes.estimate(culture="A").value == -0.5
    assert changes.estimate(culture="B").value == 0.0
    assert changes.estimate(metric="p_change").value == pytest.approx(-0.5 / 4)
    table = changes.summary()
    assert table["culture"].tolist() == ["all", "A", "B"]
    assert table["items"].tolist() == [4, 2, 2]
    assert [estimate.value for estimate in table["change"]] == [-0.25, -0.5, 0.0]


def test_intervals_are_paired_and_clustered():
    """Items alike before and after widen nothing, and copies of a group narrow nothing."""
    n = 40
    right = [i % 2 for i in range(n)]
    groups, cultures = [str(i) for i in range(n)], "A" * n
    same = forgetting(
        evaluation(right, cultures=cultures, groups=groups),
        evaluation(right, cultures=cultures, groups=groups),
    ).estimate()
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    lost = [r and i % 4 != 1 for i, r in enumerate(right)]
    single = forgetting(
        evaluation(right, cultures=cultures, groups=groups),
        evaluation(lost, cultures=cultures, groups=groups),
    ).estimate()
    assert single.value == -0.25 and single.low < -0.25 < single.high < 0
    copies = forgetting(
        evaluation(right * 5, cultures="A" * 5 * n, groups=groups * 5),
        evaluation(lost * 5, cultures="A" * 5 * n, groups=groups * 5),
    ).estimate()
    assert (copies.low, copies.high) == pytest.approx((single.low, single.high))


def test_different_questions_are_refused():
    before = evaluation([1, 1, 0, 1])
    with pytest.raises(InputError, match="not of the same questions"):
        forgetting(before, evaluation([1, 1, 0], cultures="AAB", groups="123"))
    other = evaluation([1, 1, 0, 1])
    other.frame.loc[0, "gold"] = 1
    with pytest.raises(InputError, match="not of the same questions"):
        forgetting(before, other)
    with pytest.raises(InputError, match="scored by letter before and option_likelihood after"):
        forgetting(before, evaluation([1, 1, 0, 1], scoring="option_likelihood"))
    with pytest.raises(InputError, match="same evaluations"):
        forgetting({"task": before}, {"culture": before})
    changes = forgetting({"task": before}, {"task": before})
    with pytest.raises(InputError, match="set of questions 'culture'"):
        changes.estimate()
    with pytest.raises(InputError, match="culture 'Z'"):
        changes.estimate("task", "Z")
    with pytest.raises(InputError, match="metric"):
        changes.estimate("task", metric="loss")


def study_by_hand():
    """Two strategies, three seeds: ``good`` learns 1, 1/2 and 0 of two items and forgets none."""
    rows = []
    for seed, gained in enumerate(((1, 1), (1, 0), (0, 0))):
        for strategy, lost in (("top", (0, 0)), ("all", (1, 1) if seed else (1, 0))):
            for item in (0, 1):
                task = {"asked": "task", "before": False, "after": bool(gained[item])}
                culture = {"asked": "culture", "before": True, "after": not lost[item]}
                for row in (task, culture):
                    name = f"{row['asked']}{item}"
                    rows.append(
                        {"strategy": strategy, "seed": seed, "trained_share": 0.1, **row}
                        | {"id": name, "group": name, "culture": "A"}
                        | {"p_before": 0.5, "p_after": 0.5}
                    )
    return ForgettingStudy(pd.DataFrame(rows), {"model": "m", "items": {"task": 2, "culture": 2}})


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
    table = study.summary()
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


def test_the_chart_shows_every_training_and_the_means():
    study = study_by_hand()
    figure = forgetting_chart(study)
    points = {t.legendgroup: t for t in figure.data if not t.name}
    means = {t.legendgroup: t for t in figure.data if t.name}
    assert list(points["all"].x) == [1.0, 0.5, 0.0] and list(points["all"].y) == [-0.5, -1.0, -1.0]
    assert means["top"].x[0] == 0.5 and means["top"].y[0] == 0.0
    assert means["top"].error_x.array[0] == pytest.approx(1.2421, abs=1e-3)
    low, high = figure.layout.xaxis.range
    assert low < 0.5 - 1.2421 and high > 0.5 + 1.2421
    assert "3 seeds" in figure.layout.title.subtitle.text
    assert len({t.marker.symbol for t in means.values()}) == 2
    looks = {(t.marker.color, t.marker.symbol) for t in points.values()}
    assert len(looks) == 2 and "seed 1" in points["top"].hovertext[1]


def test_every_strategy_has_its_own_look():
    from culture_lens.plots.forgetting import LOOKS, MEANING

    assert LOOKS.keys() == MEANING.keys() == STRATEGIES.keys()
    assert len({colour for colour, _ in LOOKS.values()}) == len(LOOKS)
    assert len({symbol for _, symbol in LOOKS.values()}) == len(LOOKS)


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


def test_a_study_of_a_tiny_model(tmp_path):
    """Each training is found again in the run folder, and tells what a single one tells."""
    model = of("llama")
    found, asked = found_on(model), toy_questions()
    task, test, culture = asked[:6], asked[6:9], asked[9:]
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


def test_on_the_organism():
    """Two short trainings: what they may change is what they say, and the culture is measured."""
    study = organism_study(
        strategies=("top", "all"), seeds=(1,), train_pictures=2, test_pictures=1,
        epochs=2.0, progress=False,
    )  # fmt: skip
    model = cl.load_model("organism")
    ranking = rank_modules(planted(load_truth(), model), model)
    top = choose_modules(ranking, "top")
    assert {(m.projection.name, m.projection.layer) for m in top.modules} == {
        ("gate", 1),
        ("gate", 2),
    }
    assert study.summary().loc["top", "trained_share"] == top.share
    assert study.one("all", 1).estimate(metric="before").value > 0.9
    assert study.one("all", 1).estimate("task", metric="before").value < 0.45
    asked = study.one("all", 1).frame.query("asked == 'culture'")
    assert sorted(asked["culture"].unique()) == sorted(CULTURES)


runner = CliRunner()


def app():
    commands = typer.Typer()
    commands.command()(modules_command)
    commands.command()(finetune_command)
    return commands


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A run folder with neurons, as ``find`` leaves it, and a model that needs no download."""
    model = of("llama")
    run = Run.open(tmp_path / "run")
    found_on(model).save(run.named("neurons", "culnig-general", ".safetensors"))
    run.log("find", {"model": "tiny-llama"})
    # The package's attribute of this name is the command, not the module.
    module = importlib.import_module("culture_lens.cli.finetune")
    monkeypatch.setattr(module, "open_model", lambda options: model)
    return tmp_path


def test_modules_command(run_folder):
    done = runner.invoke(app(), ["modules", "--run", str(run_folder / "run"), "--part", "mlp"])
    assert done.exit_code == 0, done.output
    assert "gate" in done.output and "k_proj" not in done.output
    top = next(line for line in done.output.splitlines() if line.startswith("top:"))
    assert re.search(r"top: \d\.\d\d% of \d+ parameters: gate 1", top)
    none = runner.invoke(app(), ["modules", "--run", str(run_folder)])
    assert isinstance(none.exception, InputError)


def test_finetune_command(run_folder):
    table = run_folder / "task.csv"
    table.write_text("question,a,b,options,answer\n" + 'Sky?,,,"[""blue"", ""red""]",blue\n' * 4)
    folder = run_folder / "tuned"
    words = ["finetune", str(folder), "--run", str(run_folder / "run"), "--table", str(table)]
    words += ["--scoring", "letter", "--max-steps", "2", "--strategy", "bottom"]
    done = runner.invoke(app(), words)
    assert done.exit_code == 0, done.output
    assert "bottom:" in done.output and "2 steps" in done.output
    assert cl.load_model(folder).fingerprint != of("llama").fingerprint
    assert Run.open(run_folder / "run").steps()[-1]["options"]["strategy"] == "bottom"
    alone = ["finetune", str(run_folder / "b"), "--run", str(run_folder / "none"), *words[4:-1]]
    done = runner.invoke(app(), [*alone, "all"])
    assert done.exit_code == 0, done.output
    assert "(100.00%)" in done.output and not (run_folder / "none").exists()
    for more, told in (
        (["--strategy", "best"], "best"),
        (["--benchmark", "mrpc"], "give the task"),
        (["--method", "conact"], "no such file"),
    ):
        failed = runner.invoke(app(), words + more)
        assert isinstance(failed.exception, InputError) and told in str(failed.exception)
