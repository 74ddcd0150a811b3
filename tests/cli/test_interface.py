"""What the command line says of itself: version, help, completion, notes, titles, the log."""

import inspect
import os

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import culture_lens as cl
from culture_lens.activations.record import Recording
from culture_lens.attribution.gradients import GRADIENT_BATCH_SIZE
from culture_lens.attribution.settings import Attribution
from culture_lens.cli import app, show_warning
from culture_lens.cli.defaults import DEFAULTS, OF_COMMAND, REMEMBERED, default_of
from culture_lens.cli.loading import note
from culture_lens.errors import InputError
from culture_lens.experiments.comparison.compare import GradientScoring
from culture_lens.experiments.predicted_effects import Prediction
from culture_lens.finetune.lora import LORA_RANK
from culture_lens.finetune.settings import Saving, Training
from culture_lens.models.checkpoints import load_failure
from culture_lens.plots.saving import title_of, write_html
from culture_lens.prompts.running import BATCH_SIZE, Running
from culture_lens.storage.progress import QUIET
from tests.helpers.cli import leaves
from tests.helpers.cli import run as call
from tests.helpers.processes import imported_by
from tests.helpers.results import make_found


def help_of(*words):
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(capsys, monkeypatch, given):
    """Set before torch is imported, which reads it once."""
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    call(capsys, "--version")
    assert os.environ["OMP_WAIT_POLICY"] == (given or "PASSIVE")
    assert imported_by("import culture_lens.cli", "torch", "numpy") == []


def test_the_version_is_that_of_the_package(capsys):
    assert call(capsys, "--version") == (0, f"culture-lens {cl.__version__}\n", "")


@pytest.mark.slow
def test_the_shell_completes_commands_and_options():
    def completed(words, number):
        env = {"_CULTURE_LENS_COMPLETE": "complete_bash", "COMP_WORDS": words}
        env["COMP_CWORD"] = str(number)
        return CliRunner().invoke(app, [], prog_name="culture-lens", env=env).output.split()

    assert completed("culture-lens ab", 1) == ["ablate"]
    assert completed("culture-lens find --mod", 2) == ["--model"]
    assert "--install-completion" in help_of()


def test_options_stand_in_groups_with_their_defaults():
    text = help_of("find")
    for panel in ("Model", "Questions", "Selectors", "Gradient selectors", "CULNIG", "Running"):
        assert f"\u2500 {panel} \u2500" in text
    model = text.index("\u2500 Model \u2500")
    assert model < text.index("--dtype") < text.index("\u2500 Questions \u2500")
    assert "(smollm2-135m)" in text and "(everyday)" in text and "(conact)" in text
    assert "(5)" in help_of("ablate") and "(10)" in help_of("suite")


PYTHON = {
    ("find", "model"): (cl.load_model, "name_or_path"),
    ("find", "benchmark"): (cl.find_culture_neurons, "questions"),
    ("find", "method"): (cl.find_culture_neurons, "method"),
    ("find", "identify_share"): (cl.find_culture_neurons, "identify_share"),
    ("find", "points"): (Attribution, "points"),
    ("find", "baseline"): (Attribution, "baseline"),
    ("find", "aggregation"): (Attribution, "aggregation"),
    ("find", "positions"): (Attribution, "positions"),
    ("find", "roles"): (Recording, "roles"),
    ("ablate", "random_seeds"): (cl.ablation_matrix, "random_seeds"),
    ("ablate", "value"): (cl.ablation_matrix, "value"),
    ("ablate", "too_long"): (Running, "too_long"),
    ("suite", "correction"): (cl.Suite.tests, "correction"),
    ("compare", "random_seeds"): (cl.compare_selectors, "random_seeds"),
    ("compare", "shares"): (cl.compare_selectors, "shares"),
    ("compare", "selectors"): (cl.compare_selectors, "selectors"),
    ("compare", "gradient_batch_size"): (GradientScoring, "gradient_batch_size"),
    ("compare-units", "random_seeds"): (cl.compare_units, "random_seeds"),
    ("compare-units", "k"): (cl.compare_units, "k"),
    ("compare-units", "equal"): (cl.compare_units, "equal"),
    ("fidelity", "neurons"): (cl.fidelity, "neurons"),
    ("fidelity", "objective"): (Prediction, "objective"),
    ("fidelity", "attribution_scoring"): (Prediction, "scoring"),
    ("fidelity", "attribution_path"): (Prediction, "path"),
    ("fidelity", "points"): (Prediction, "points"),
    ("transfer", "random_seeds"): (cl.transfer_matrix, "random_seeds"),
    ("transfer", "method"): (cl.transfer_matrix, "method"),
    ("modules", "by"): (cl.rank_modules, "by"),
    ("modules", "unit"): (cl.rank_modules, "unit"),
    ("modules", "part"): (cl.rank_modules, "part"),
    ("modules", "seed"): (cl.choose_modules, "seed"),
    ("modules", "parameter_share"): (cl.choose_modules, "parameter_share"),
    ("answers", "max_new_tokens"): (cl.evaluate_short_answers, "max_new_tokens"),
    ("values", "least_answers"): (cl.load_values, "least_answers"),
    ("values", "country"): (cl.load_values, "country"),
    ("find", "workers"): (cl.Ray, "workers"),
    ("find", "gpus_per_worker"): (cl.Ray, "gpus_per_worker"),
    ("finetune", "batch_size"): (Training, "batch_size"),
    ("finetune", "learning_rate"): (Training, "learning_rate"),
    ("finetune", "epochs"): (Training, "epochs"),
    ("finetune", "accumulate"): (Training, "accumulate"),
    ("finetune", "seed"): (Training, "seed"),
    ("finetune", "report_to"): (Saving, "report_to"),
}
"""Command and field -> what has the default, and under which name."""


@pytest.mark.parametrize(("command", "field"), PYTHON)
def test_defaults_in_the_help_are_those_of_python(command, field):
    owner, name = PYTHON[command, field]
    default = inspect.signature(owner).parameters[name].default
    told = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    assert default_of(command, field) == told


def test_defaults_are_of_options_that_there_are():
    known = {name: {one.name for one in held.params} for name, held in leaves(get_command(app))}
    every = set().union(*known.values())
    assert {*DEFAULTS, *REMEMBERED} <= every
    for command, own in OF_COMMAND.items():
        assert set(own) <= known[command], command
    assert default_of("finetune", "lora_rank") == str(LORA_RANK)
    assert (
        default_of("ablate", "batch_size") == f"{BATCH_SIZE}, with gradients {GRADIENT_BATCH_SIZE}"
    )


def test_quiet_leaves_notes_out_and_only_of_its_own_call(capsys):
    assert call(capsys, "--quiet", "benchmarks")[0] == 0
    assert QUIET.get()
    note("nobody hears it")
    show_warning("nor this", cl.CultureLensWarning)
    assert capsys.readouterr().err == ""
    assert call(capsys, "benchmarks")[0] == 0
    assert not QUIET.get()
    note("heard")
    assert capsys.readouterr().err == "note: heard\n"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["find", "--benchmark", "evryday"], "everyday"),
        (["find", "--method", "conactt"], "conact"),
        (["finetune", "tuned", "--strategy", "botom", "--benchmark", "mrpc"], "bottom"),
        (["evaluate", "--run", "none", "--value", "zeroo"], "zero"),
        (["evaluate", "--run", "none", "--scoring", "leter"], "letter"),
        (["compare", "--method", "cunlig-general"], "culnig"),
        (["compare-units", "--unit", "act:conactt"], "conact"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(words, near, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, said = call(capsys, *words)
    assert code == 2 and f"did you mean '{near}" in said


def test_a_misspelt_model_is_answered_with_the_nearest():
    def told(name):
        return load_failure(name, False, OSError("not there"))

    assert told("smolm2-135m").endswith("Did you mean 'smollm2-135m'?")
    assert told("meta-lama/Llama-3.1-8B-Instruct").endswith("'meta-llama/Llama-3.1-8B-Instruct'?")
    for name in ("mistralai/Mistral-7B", "Qwen/Qwen3-14B"):  # another one, or right as it is
        assert "Did you mean" not in told(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "place_of"),
    [
        (["ablate"], "experiments.ablation_matrix.ablation_matrix"),
        (["evaluate"], "evaluation.evaluate.evaluate"),
        (["suite", "--benchmark", "table=ROWS"], "experiments.evaluate_suite.evaluate_suite"),
        (["compare"], "experiments.comparison.compare_selectors"),
        (["compare-units"], "experiments.compare_units.compare_units"),
        (["find"], "find.find_each"),
    ],
)
def test_what_did_not_run_is_not_in_the_log(words, place_of, run, folder, place, monkeypatch):
    def refuse(*_, **__):
        raise InputError("it cannot run.")

    monkeypatch.setattr(f"culture_lens.{place_of}", refuse)
    rows = str(place / "rows.jsonl")
    words = [word.replace("ROWS", rows) for word in words]
    source = [] if words[0] == "suite" else ["--path", rows, "--benchmark", "table"]
    model = ["--model", str(place / "llama")]
    code, _, said = run(*words, *source, *model)
    assert code == 2 and "it cannot run" in said
    assert [step["command"] for step in folder.steps()] == ["find"]  # of the fixture


def test_figures_have_titles(tmp_path):
    figure = cl.plots.layer_heatmap(make_found())
    write_html(figure, tmp_path / "figure.html", "directory")  # plotly.js holds titles of its own
    page = (tmp_path / "figure.html").read_text(encoding="utf-8")
    assert page.count("<title>") == 1
    assert f"<title>{figure.layout.title.text}</title>" in page.split("</head>")[0]
    figure.update_layout(title_text="<b>A &amp; B</b> </title><script><br>below")
    assert title_of(figure) == "A &amp; B"
