"""The flags of every command, and the records that they are read into."""

from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from culture_lens.activations.record import Recording
from culture_lens.cli import app, options
from culture_lens.cli.fidelity import PredictionFlags
from culture_lens.cli.finetune import STRATEGY_NAMES, TrainingFlags
from culture_lens.cli.flags import flags, given
from culture_lens.errors import InputError
from culture_lens.experiments.predicted_effects import Prediction
from culture_lens.finetune.settings import Saving, Training
from culture_lens.finetune.strategies import STRATEGIES
from culture_lens.models.loading import Loading
from culture_lens.prompts.engine import Ray
from culture_lens.prompts.running import Running
from tests.helpers.cli import leaves

LOADING = "--model --dtype --device --revision --sae --exclude-special-tokens --heads"
SUBSET = "--culture --limit"
BENCHMARK = f"{SUBSET} --benchmark --path --benchmark-option"
ASKING = f"{BENCHMARK} --preset"
ENGINE = "--engine --workers --gpus-per-worker --address"
RUNNING = "--too-long --batch-size"
SPREAD = f"{RUNNING} {ENGINE}"
COUNTING = "--only-correct --roles --tokens --per-culture"
CULNIG = "--country --countryrc --countryrc-wordings"
ATTRIBUTING = (
    "--attribution-scoring --objective --attribution-path --points --baseline --aggregation "
    "--positions"
)
RANKING = "--method --whose --by --unit --part --parameter-share"
TABLE = {
    "plan": f"--model --dtype {BENCHMARK} --items --cultures --prompt-tokens --options "
    "--option-tokens --picture --per-picture --method --scoring --random-seeds --conditions "
    "--first-layer --identify-share --only-correct --attribution-path --points --new-tokens "
    "--device --flops-per-second --memory --gpus --gpus-per-worker --workers --price --batch-size "
    "--measure",
    "find": f"--run {LOADING} {ASKING} --method --share --k --option --fdr --site "
    f"--identify-share {COUNTING} --scoring --replicates --strata {CULNIG} {ATTRIBUTING} {SPREAD}",
    "ablate": "--run --method --random-seeds --value --seen --scoring --until "
    f"{LOADING} {ASKING} {SPREAD}",
    "dose": "--run --method --share --others --own-only --random-seeds --value --seen --scoring "
    f"{LOADING} {ASKING} {SPREAD}",
    "steer": "--run --method --alpha --directions --scale --unnamed --others --own-only "
    f"--random-seeds --seen --scoring {LOADING} {ASKING} {RUNNING}",
    "evaluate": f"--run --neurons --ablate --value --seen --scoring {LOADING} {ASKING} {SPREAD}",
    "suite": f"--benchmark --run --method --whose --union {SUBSET} {LOADING} --random-seeds "
    "--random-match --every-wording --scoring --value --seen --batch-size --correction "
    f"{ENGINE}",
    "values": "--path --answers --people --country --culture --question --persona --wording "
    "--prompts --least-answers --every-question --run --method --ablate --union --value --seen "
    f"--scoring {LOADING} {SPREAD}",
    "answers": "--path --culture --asked --wording --split --topics --language --run --method "
    f"--ablate --union --value --seen --stem --max-new-tokens {LOADING} {SPREAD}",
    "gap": f"--run --lead --stand-in --scoring {LOADING} {ASKING} {RUNNING}",
    "directions": "--layer --run --identify-share --site --contrast --position "
    f"{LOADING} {ASKING} {RUNNING}",
    "generation": "--path --run --culture --asked --wording --split --topics --method --ablate "
    "--union --value --seen --alpha --directions --direction --scale --stem --max-new-tokens "
    f"{LOADING} {RUNNING}",
    "compare": "--run --method --share --whose --identify-share --random-seeds --scoring "
    f"--attribution-scoring --gradient-batch-size {LOADING} {ASKING} {COUNTING} {CULNIG} {SPREAD}",
    "compare-units": "--run --unit --directions --k --equal --whose --identify-share "
    f"--random-seeds --scoring {LOADING} {ASKING} {SPREAD}",
    "card": "--run --method --whose --neuron --top --shown --measured --seen --scoring "
    f"{LOADING} {ASKING} {RUNNING}",
    "fidelity": f"--run --neurons {LOADING} {ASKING} --objective --attribution-scoring "
    f"--attribution-path --points {SPREAD}",
    "transfer": f"--benchmark --run --label {SUBSET} {LOADING} --method --random-seeds "
    f"--identify-share --scoring --batch-size --share --k --site {ENGINE}",
    "modules": f"--run --seed {RANKING} {LOADING}",
    "finetune": f"folder --strategy --run {RANKING} --lora-rank {BENCHMARK} --table {LOADING} "
    f"--scoring {RUNNING} --learning-rate --epochs --max-steps --accumulate --seed "
    "--mixed-precision --save-every --report-to",
    "plot": "--run --format --width --items",
    "report": "--run",
    "status": "run --check --workers",
    "demo": "--run --batch-size",
    "models": "",
    "benchmarks": "",
    "organism train": "--seed --folder --shuffled --no-shuffled --knowledge --style "
    "--style-strength --sparsity --layer --n-layers --dropout",
    "organism check": "--model --seed --pictures",
    "organism score": "models --selector --pictures --seed --run",
}
"""Command -> its flags and arguments."""


def test_every_command_has_the_flags_of_the_table():
    shown = {
        name: sorted(flag for one in command.params for flag in (*one.opts, *one.secondary_opts))
        for name, command in leaves(get_command(app))
    }
    assert shown == {name: sorted(words.split()) for name, words in TABLE.items()}


def names_of(record):
    return {field.name for field in fields(record)}


def test_fields_are_named_as_in_the_records_that_they_fill():
    assert names_of(options.RunningFlags) <= names_of(Running)
    assert names_of(options.EngineFlags) - {"engine"} <= names_of(Ray)
    assert {"roles"} == names_of(options.CountingFlags) & names_of(Recording)
    sites = {"sae", "exclude_special_tokens", "heads"}
    assert names_of(options.LoadingFlags) - {"model", *sites} <= names_of(Loading)
    own = names_of(Training) | names_of(Saving) | {"scoring", "too_long"}
    assert names_of(TrainingFlags) <= own
    predicted = {name.removeprefix("attribution_") for name in names_of(PredictionFlags)}
    assert predicted == names_of(Prediction)


@pytest.mark.parametrize(
    "record", [one for one in vars(options).values() if is_dataclass(one)], ids=lambda r: r.__name__
)
def test_nothing_is_given_by_default(record):
    """Every default is the one written in Python."""
    assert given(record()) == {}


def test_strategies_are_those_of_python():
    assert STRATEGY_NAMES == tuple(STRATEGIES)


# ------------------------------------------------------------------ records as flags


@dataclass(frozen=True)
class Colours:
    """Two flags, one under a name of its own."""

    colour: Annotated[str | None, typer.Option(help="A colour.")] = None
    shades: Annotated[list[int] | None, typer.Option("--shade")] = None


@pytest.fixture
def called():
    """A command with a record, and the arguments of its calls."""
    calls, app = [], typer.Typer()

    @app.command()
    @flags
    def paint(
        wall: Annotated[str, typer.Argument()],
        colours: Colours,
        twice: Annotated[bool, typer.Option("--twice")] = False,
    ) -> None:
        """Paint a wall."""
        calls.append((wall, colours, twice))

    def call(*words):
        return CliRunner().invoke(app, list(words)), calls

    return call


def test_a_command_gets_its_record_filled(called):
    done, calls = called("north", "--shade", "3", "--shade", "5", "--twice")
    assert done.exit_code == 0, done.output
    assert calls == [("north", Colours(None, [3, 5]), True)]
    assert given(calls[0][1]) == {"shades": [3, 5]}


def test_help_shows_the_fields(called):
    done, calls = called("--help")
    assert done.exit_code == 0 and not calls
    for word in ("Paint a wall.", "--colour", "A colour.", "--shade", "--twice"):
        assert word in done.output
    assert "--colours" not in done.output


def test_roles_and_tokens_are_one_flag():
    app = typer.Typer()
    seen = []

    @app.command()
    @flags
    def count(counting: options.CountingFlags) -> None:
        seen.append(counting.roles)

    for flag in ("--roles", "--tokens"):
        assert CliRunner().invoke(app, [flag, "text"]).exit_code == 0
    assert seen == ["text", "text"]


def test_a_strategy_that_does_not_exist_is_refused(tmp_path):
    words = ["finetune", str(tmp_path / "m"), "--strategy", "best", "--benchmark", "mrpc"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, InputError) and "bottom" in str(done.exception)
