"""Fine-tuning without forgetting a culture: modules and neurons chosen by where culture lives.

``rank_modules`` and ``choose_modules`` choose what to train, ``finetune`` trains it and nothing
else, ``forgetting`` compares answers before and after, and ``compare_strategies`` does all of it
for several strategies and seeds.
"""

from __future__ import annotations

from culture_lens.finetune.changes import Forgetting, forgetting
from culture_lens.finetune.comparison import compare_strategies
from culture_lens.finetune.modules import (
    ModuleChoice,
    ModuleRanking,
    RankedModule,
    choose_modules,
)
from culture_lens.finetune.organism_study import organism_study
from culture_lens.finetune.ranking import rank_modules
from culture_lens.finetune.strategies import STRATEGIES
from culture_lens.finetune.study import ForgettingStudy
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
