"""Strategies of fine-tuning: which modules or neurons are trained, by where culture lives.

========================  ======================================================================
strategy                  what is trained
========================  ======================================================================
top, bottom, random       modules with many or few of the culture's neurons, or random modules
all                       all parameters of the language model
lora                      LoRA on every projection
protected                 everything but the culture's neurons
only                      nothing but the culture's neurons
kept                      all parameters, with a penalty on changed activations of the neurons
========================  ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from culture_lens.finetune.modules import ModuleRanking, choose_modules
from culture_lens.neurons.neurons import Neurons


@dataclass(frozen=True)
class Known:
    """What a strategy chooses from.

    Attributes:
        ranking: Modules, ranked by the culture's neurons that they hold.
        neurons: The culture's neurons.
        parameter_share: The share of the parameters to train.
        lora_rank: The rank of LoRA.
    """

    ranking: ModuleRanking
    neurons: Neurons
    parameter_share: float
    lora_rank: int


Strategy = Callable[[Known, int], dict[str, Any]]
"""What a strategy chooses from, and a seed -> options of ``finetune``."""


def by_rank(which: str) -> Strategy:
    """Make a strategy that trains the modules at one end of the ranking, or random ones."""

    def choose(known: Known, seed: int) -> dict[str, Any]:
        share = known.parameter_share
        return {"modules": choose_modules(known.ranking, which, parameter_share=share, seed=seed)}

    return choose


STRATEGIES: Mapping[str, Strategy] = {
    "top": by_rank("top"),
    "bottom": by_rank("bottom"),
    "random": by_rank("random"),
    "all": lambda known, seed: {},
    "lora": lambda known, seed: {"lora_rank": known.lora_rank},
    "protected": lambda known, seed: {"protect": known.neurons},
    "only": lambda known, seed: {"only": known.neurons},
    "kept": lambda known, seed: {"keep": known.neurons},
}
"""Name -> strategy."""
DEFAULT_STRATEGIES = ("top", "bottom", "random", "all", "lora", "protected")
