"""Files of every kind that is written, read after single bits were flipped in them."""

import random
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from culture_lens.activations.summary import ActivationSummary
from culture_lens.attribution.sums import read_scores
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores
from culture_lens.organism.truth import load_truth
from culture_lens.storage.bundled import data_path
from culture_lens.storage.finished import finished, finished_frame, keyed, write_frame
from culture_lens.storage.runs import Run
from culture_lens.storage.work import begin_work, shard_facts
from tests.helpers.results import make_matrix


@dataclass(frozen=True)
class Kind:
    """A kind of file: how it is written, and how what it says is read."""

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    again: bool = False
    """Whether what is damaged is made again."""


def answers(rows: int = 60) -> pd.DataFrame:
    """Records of an evaluation with numbers, booleans, texts and lists."""
    draws = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"q{row}" for row in range(rows)],
            "culture": ["Japan", "Perú"] * (rows // 2),
            "correct": draws.random(rows) < 0.5,
            "p_gold": draws.random(rows),
            "scores": list(draws.random((rows, 4))),
        }
    )


def neuron_set() -> NeuronSet:
    neurons = Neurons(
        places={"act": torch.tensor([[0, 3], [1, 7]])},
        scores={"act": torch.tensor([0.5, 0.25], dtype=torch.float64)},
        means={"act": torch.tensor([0.1, 0.2], dtype=torch.float64)},
    )
    return NeuronSet({"Japan": neurons, "Peru": neurons.top(1)}, {"act": (2, 8)}, {"model": "m"})


def summary() -> ActivationSummary:
    counts = torch.arange(2 * 2 * 8, dtype=torch.int64).reshape(2, 2, 8)
    return ActivationSummary(
        ("Japan", "Peru"),
        torch.tensor([4, 5]),
        tokens=torch.tensor([40, 50]),
        counts={"act": counts},
        sums={"act": counts.double() / 3},
        squares={"act": counts.double() / 7},
        metadata={"model": "m"},
    )


def scores() -> NeuronScores:
    values = torch.arange(2 * 2 * 8, dtype=torch.float64).reshape(2, 2, 8) / 3
    return NeuronScores(("Japan", "Peru"), {"gate": values}, metadata={"model": "m"})


def tensors_of(result: Any) -> Any:
    """All that a result of tensors holds, as plain values."""
    if isinstance(result, torch.Tensor):
        return (str(result.dtype), tuple(result.shape), result.tolist())
    if isinstance(result, dict):
        return {name: tensors_of(value) for name, value in result.items()}
    if hasattr(result, "__dataclass_fields__"):
        return {name: tensors_of(getattr(result, name)) for name in result.__dataclass_fields__}
    return result


def frame_of(frame: pd.DataFrame) -> Any:
    """All that a table holds, as plain values."""
    return [(name, str(frame[name].dtype), list(map(plain, frame[name]))) for name in frame]


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def matrix_of(path: Path) -> Any:
    matrix = AblationMatrix.from_parquet(path)
    return frame_of(matrix.frame), matrix.metadata


def logged(path: Path) -> Path:
    run = Run(path.parent)
    path.unlink(missing_ok=True)
    run.log("find", {"share": 0.005, "k": 12, "model": "m", "culture": ["Perú", "日本"]})
    run.log("ablate", {"random_seeds": 5, "value": "zero"})
    return path


def copied_truth(path: Path) -> Path:
    path.write_bytes(data_path("organism", "truth.json").read_bytes())
    return path


def scored_shard(path: Path) -> Path:
    return replace(scores(), metadata=keyed(path, shard_facts(2.0, 2))).save(path)


def read_shard(path: Path) -> Any:
    found = finished(path, scores, load=read_scores, save=lambda *_: None)
    return tensors_of(found.scores)


def begun(path: Path) -> Path:
    path.unlink(missing_ok=True)
    begin_again(path)
    return path


def begin_again(path: Path) -> Any:
    inputs = {"model": "m", "weights": "ab12", "data": {"Perú": "0123abcd"}}
    run = Run(path.parent.parent)
    return begin_work(run, "answers", "k", shards=2, items=4, inputs=inputs).inputs


KINDS = (
    Kind("pieces/attribution-k/0.safetensors", scored_shard, read_shard, again=True),
    Kind("work/answers-k.json", begun, begin_again, again=True),
    Kind(
        "set.safetensors", lambda p: neuron_set().save(p), lambda p: tensors_of(NeuronSet.load(p))
    ),
    Kind(
        "scores.safetensors", lambda p: scores().save(p), lambda p: tensors_of(NeuronScores.load(p))
    ),
    Kind(
        "summary.safetensors",
        lambda p: summary().save(p),
        lambda p: tensors_of(ActivationSummary.load(p)),
    ),
    Kind("matrix.parquet", lambda p: make_matrix(items=6).to_parquet(p), matrix_of),
    Kind(
        "records-1a2b.parquet",
        lambda p: write_frame(p, answers()),
        lambda p: frame_of(finished_frame(p, answers)),
        again=True,
    ),
    Kind("run.json", logged, lambda p: Run(p.parent).steps()),
    Kind("truth.json", copied_truth, lambda p: load_truth(p.parent)),
)


def outcome(kind: Kind, path: Path, expected: Any) -> str:
    """Say what reading a damaged file does: refused, said, same, silent or traceback."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = kind.read(path)
        except InputError:
            return "refused"
        except Exception as error:
            return f"traceback ({type(error).__name__})"
    said = any(issubclass(warning.category, CultureLensWarning) for warning in caught)
    if found == expected:
        return "said, same content" if said else "same content"
    return "said, other content" if said else "SILENT"


def flip_bits(kind: Kind, folder: Path, flips: int, seed: int = 0) -> Counter[str]:
    """Flip one random bit at a time in a file and count what reading it does."""
    path = kind.write(folder / kind.name)
    whole, expected = path.read_bytes(), kind.read(path)
    found: Counter[str] = Counter()
    draws = random.Random(seed)
    for place in draws.sample(range(8 * len(whole)), flips):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        found[outcome(kind, path, expected)] += 1
    return found
