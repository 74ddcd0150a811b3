"""What the help says an option is where it is not given; the tests hold it against Python."""

from __future__ import annotations

DEFAULTS = {
    "dtype": "the checkpoint's",
    "device": "cuda where there is one, else cpu",
    "culture": "all",
    "cultures": "all",
    "regions": "all",
    "limit": "all",
    "scoring": "the model's own",
    "value": "zero",
    "too_long": "error",
    "batch_size": "16, with gradients 8",
    "gradient_batch_size": "16",
    "roles": "content",
    "workers": "2",
    "gpus_per_worker": "0",
    "per_culture": "all",
    "identify_share": "0.5",
    "sites": "those of the selector",
    "whose": "all",
    "correction": "holm",
    "random_match": "layer",
    "by": "number",
    "unit": "block",
    "part": "all",
    "parameter_share": "0.1",
    "max_new_tokens": "32",
    "least_answers": "10",
    "country": "B_COUNTRY",
    "countries": "those of the questions",
}
"""Field of a record -> its default, in all commands but those below."""
OF_COMMAND = {
    "find": {
        "model": "smollm2-135m",
        "benchmark": "everyday",
        "method": "conact",
        "replicates": "0, with --fdr 20",
        "share": "that of the selector",
        "objective": "probability, of knowledge logit_difference",
        "attribution_path": "none, of knowledge integrated",
        "points": "6",
        "baseline": "zero",
        "aggregation": "maximum",
        "positions": "all",
    },
    "plan": {
        "model": "smollm2-135m",
        "benchmark": "everyday",
        "method": "conact",
        "random_seeds": "5",
        "points": "6",
        "device": "cpu",
        "gpus": "1",
        "gpus_per_worker": "1",
        "new_tokens": "32",
        "first_layer": "0",
        "tokens": "100",
        "options": "4",
        "option_tokens": "4",
        "per_picture": "1",
    },
    "ablate": {"random_seeds": "5", "method": "all of the run folder"},
    "suite": {"random_seeds": "10", "method": "all of the run folder"},
    "compare": {
        "random_seeds": "3",
        "selectors": "lap, lape, mad, conact, culnig_specific, random",
        "shares": "0.001, 0.003, 0.01",
    },
    "compare-units": {
        "random_seeds": "3",
        "units": "act:conact",
        "k": "20",
        "equal": "number",
    },
    "fidelity": {
        "neurons": "30",
        "objective": "probability",
        "attribution_scoring": "letter",
        "attribution_path": "none",
        "points": "6",
    },
    "transfer": {"random_seeds": "5", "method": "conact", "model": "smollm2-135m"},
    "modules": {"seed": "0"},
    "finetune": {
        "batch_size": "8",
        "lora_rank": "8",
        "learning_rate": "3e-05",
        "epochs": "1.0",
        "accumulate": "1",
        "seed": "0",
        "report_to": "none",
    },
}
"""Command -> field -> its default there."""
REMEMBERED = {
    "model": "that of find, else smollm2-135m",
    "benchmark": "that of find, else everyday",
}
"""Options that a run folder remembers, of the commands that go on in one."""


def default_of(command: str, field: str) -> str:
    """Give what the help says of an option that is not given; empty where nothing is to be said.

    Example:
        >>> default_of("ablate", "random_seeds"), default_of("suite", "random_seeds")
        ('5', '10')
    """
    own = OF_COMMAND.get(command, {})
    return own.get(field) or DEFAULTS.get(field) or REMEMBERED.get(field, "")
