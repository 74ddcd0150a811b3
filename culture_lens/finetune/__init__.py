"""Fine-tuning without forgetting a culture: modules and neurons chosen by where culture lives.

``rank_modules`` and ``choose_modules`` say what to train, ``finetune`` trains it and nothing else,
``forgetting`` holds before against after, ``compare_strategies`` does all of it for several ways
to choose and several seeds.
"""

from __future__ import annotations

from culture_lens.finetune.changes import Forgetting, forgetting
from culture_lens.finetune.modules import (
    ModuleChoice,
    ModuleRanking,
    RankedModule,
    choose_modules,
    rank_modules,
)
from culture_lens.finetune.organism_study import organism_study
from culture_lens.finetune.study import STRATEGIES, ForgettingStudy, compare_strategies
from culture_lens.finetune.training import FineTuned, finetune
from culture_lens.finetune.unwrap import plain_copy

__all__ = [
    "STRATEGIES",
    "FineTuned",
    "Forgetting",
    "ForgettingStudy",
    "ModuleChoice",
    "ModuleRanking",
    "RankedModule",
    "choose_modules",
    "compare_strategies",
    "finetune",
    "forgetting",
    "organism_study",
    "plain_copy",
    "rank_modules",
]
