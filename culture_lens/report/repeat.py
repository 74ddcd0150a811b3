"""How to repeat a run: its commands, and the Python that does the same."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Mapping
from typing import Any

from culture_lens.selectors.registry import (
    GRADIENT_SELECTORS,
    HEAD_SELECTORS,
    KNOWLEDGE_SELECTORS,
    SELECTORS,
    get_selector,
    key_of,
    reads,
)
from culture_lens.storage.runs import Run

LOADING = ("dtype", "device", "revision")
RUNNING = ("batch_size", "too_long")
ASKING = {"path": "path", "culture": "cultures", "limit": "limit"}
CHOOSING = ("share", "k", "fdr", "identify_share", "sites")
COUNTING = ("only_correct", "roles", "per_culture", "scoring", "replicates", "strata")
CULNIG = ("countries", "countryrc", "countryrc_wordings", "per_culture")
ATTRIBUTION = (
    "attribution_scoring",
    "objective",
    "attribution_path",
    "points",
    "baseline",
    "aggregation",
    "positions",
)
MEASURING = ("random_seeds", "value", "seen", "scoring")


def steps_of(run: Run) -> list[dict[str, Any]]:
    """Give what was done in a run folder, as text: line, date, device, duration, options.

    Example:
        ``steps_of(Run.open("runs/first"))[0]["line"]``
    """
    return [
        {
            "command": str(step.get("command", "")),
            "line": shlex.join(map(str, step["words"])) if step.get("words") else "",
            "date": str(step.get("date", "")),
            "device": str(step.get("device") or "not recorded"),
            "duration": duration(step.get("seconds")),
            "options": [(name, str(value)) for name, value in step["options"].items()],
        }
        for step in run.steps()
    ]


def duration(seconds: Any) -> str:
    """Write how long a step took.

    Example:
        >>> duration(7.26), duration(754), duration(7300), duration(None)
        ('7.3 s', '12 min 34 s', '2 h 1 min', 'not recorded')
    """
    if not isinstance(seconds, (int, float)):
        return "not recorded"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def python_of(run: Run) -> str:
    """Write the Python that finds and ablates as the commands of a run folder did.

    The latest ``find`` and ``ablate`` count; other commands have their lines only. Empty where
    neurons were not found by the command, or by a selector that is not known here.

    Example:
        ``print(python_of(Run.open("runs/first")))``
    """
    steps = {step.get("command"): step["options"] for step in run.steps()}
    if "find" not in steps:
        return ""
    finding, measuring = steps["find"], steps.get("ablate", {})
    methods = names_of(finding.get("method") or "conact")
    known = {*SELECTORS, *GRADIENT_SELECTORS, *KNOWLEDGE_SELECTORS, *HEAD_SELECTORS}
    if not set(map(key_of, methods)) <= known:
        return ""  # a selector of another version, or a file made by hand
    lines = [
        "import culture_lens as cl",
        "",
        *loaded(finding),
        f"questions = cl.load_benchmark({asked(finding)})",
    ]
    if finding.get("preset"):
        lines.append("questions = cl.with_format(questions, cl.preset(model.name).prompt)")
    further = keywords(kept(measuring, (*MEASURING, *RUNNING)))
    for method in methods:
        options = keywords(finding_options(method, finding))
        given = ", ".join(["model", "questions", f"method={written(method)}", *options])
        lines += [
            "",
            f"found = cl.find_culture_neurons({given})",
            f"found.save({written(f'{method}.safetensors')})",
        ]
        if method in names_of(measuring.get("method") or []):
            given = ", ".join(["model", "found", "questions", *further])
            lines += [
                f"matrix = cl.ablation_matrix({given})",
                f"matrix.to_parquet({written(f'{method}.parquet')})",
            ]
    return "\n".join(lines)


def loaded(options: Mapping[str, Any]) -> list[str]:
    """Write the lines that load the model, and give it heads and features as sites.

    Example:
        >>> loaded({"model": "gpt2", "heads": True})
        ['model = cl.load_model("gpt2")', 'model = cl.with_heads(model)']
    """
    lines = [f"model = cl.load_model({arguments(options.get('model'), **kept(options, LOADING))})"]
    if options.get("heads"):
        lines.append("model = cl.with_heads(model)")
    if options.get("sae"):
        given = arguments(options["sae"], **kept(options, ("exclude_special_tokens",)))
        lines.append(f"model = cl.with_features(model, {given})")
    return lines


def names_of(value: Any) -> list[str]:
    """Give a name, or several, as a list.

    Example:
        >>> names_of("conact"), names_of(["lap", "lape"])
        (['conact'], ['lap', 'lape'])
    """
    return [value] if isinstance(value, str) else list(map(str, value))


def finding_options(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of ``find_culture_neurons`` for one selector."""
    if reads(key_of(method)) == "activations":
        reading = kept(options, COUNTING)
    else:
        reading = kept(options, CULNIG) | {
            name.removeprefix("attribution_"): options[name]
            for name in ATTRIBUTION
            if options.get(name) is not None
        }
    own = inspect.signature(get_selector(method)).parameters
    given = named_values(options.get("option") or [])
    return {
        **kept(options, CHOOSING),
        **({"summary_options": reading} if reading else {}),
        **kept(options, RUNNING),
        **{name: value for name, value in given.items() if name in own},
    }


def asked(options: Mapping[str, Any]) -> str:
    """Write the arguments of ``load_benchmark``."""
    given = {ASKING[name]: value for name, value in kept(options, tuple(ASKING)).items()}
    given |= named_values(options.get("benchmark_option") or [])
    return arguments(options.get("benchmark", "everyday"), **given)


def kept(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Keep some of the options, where they were given."""
    return {name: options[name] for name in names if options.get(name) not in (None, [], ())}


def named_values(texts: Any) -> dict[str, Any]:
    """Read options written as ``name=value``, as the command line does.

    Example:
        >>> named_values(["z=1.5", "language=native"])
        {'z': 1.5, 'language': 'native'}
    """
    values: dict[str, Any] = {}
    for word in texts:
        name, _, value = str(word).partition("=")
        try:
            values[name.strip()] = json.loads(value)
        except ValueError:  # no JSON: a text
            values[name.strip()] = value
    return values


def keywords(options: Mapping[str, Any]) -> list[str]:
    """Write options as keyword arguments.

    Example:
        >>> keywords({"share": 0.005, "sites": ["act"]})
        ['share=0.005', 'sites=["act"]']
    """
    return [f"{name}={written(value)}" for name, value in options.items()]


def arguments(first: Any, **options: Any) -> str:
    """Write a first argument and keyword arguments."""
    return ", ".join([*([] if first is None else [written(first)]), *keywords(options)])


def written(value: Any) -> str:
    r"""Write a value as Python, texts in double quotes.

    Example:
        >>> written(["it's"]), written(None), written({"a": True})
        ('["it\'s"]', 'None', '{"a": True}')
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    return repr(value)
