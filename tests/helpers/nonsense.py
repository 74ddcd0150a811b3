"""The names that the lines of ``tests/nonsense/*.txt`` use, and what becomes of a line."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import culture_lens as cl
from culture_lens.evaluation.short_answers.questions import HumanAnswer, ShortQuestion
from culture_lens.prompts.build import build_prompts
from tests.helpers.comparison import compared_by_hand
from tests.helpers.confirmed import candidates, drawn_questions
from tests.helpers.forgetting import study_by_hand
from tests.helpers.known import known
from tests.helpers.lm import lens
from tests.helpers.neurons import found_set
from tests.helpers.places import ROOT
from tests.helpers.questions import toy_questions
from tests.helpers.results import make_matrix
from tests.helpers.sae import random_sae
from tests.helpers.summaries import summary_of_counts

ROW = {"culture": "Japan", "question": "Which coin?", "options": ["yen", "won"], "answer": "A"}


def lines(name: str) -> list[str]:
    """The lines of one file, without comments."""
    text = (ROOT / "tests" / "nonsense" / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def question(**changes: Any) -> cl.Question:
    """A question that can be asked, but for what is changed."""
    given = {"id": "1", "culture": "Japan", "text": "Coin?", "options": ("yen", "won"), "answer": 0}
    return cl.Question(**{**given, **changes})


def enter(context: Any) -> None:
    """Go into a context and out again."""
    with context:
        pass


def scored(shape: tuple[int, int] = (3, 48)) -> cl.NeuronScores:
    """Scores of the tiny Llama's neurons, in order."""
    layers, width = shape
    values = torch.arange(float(layers * width)).view(1, layers, width).double()
    table = torch.cat([values, -values])
    return cl.NeuronScores(("Japan", "Mexico"), {"act": table}, metadata={"model": "tiny-llama"})


@functools.cache
def fixed() -> dict[str, Any]:
    """What no line changes."""
    model, found, matrix = lens("llama"), found_set(), make_matrix(["Ethiopia", "France", "Japan"])
    asked = toy_questions()
    held = scored().top(k=5)["Japan"]
    drink = HumanAnswer(("tea",), 3, ("tea",))
    return {
        **{"cl": cl, "np": np, "pd": pd, "torch": torch},
        **{"nan": float("nan"), "inf": float("inf"), "question": question, "enter": enter},
        **{"model": model, "qs": asked, "other": [cl.control_twin(q) for q in asked][:0]},
        **{"found": found, "neurons": found["Japan"], "scored": held, "scores": scored()},
        **{"summary": summary_of_counts(), "matrix": matrix, "comparison": compared_by_hand()},
        "other": [question(id=f"other {number}", text=f"{number}?") for number in range(4)],
        "prompts": build_prompts(asked, model.processor),
        "short": [ShortQuestion("q1/UK", "UK", "Drink?", "English", (drink,), "q1")],
        "rows": [ROW],
        "relations": cl.related_cultures(matrix),
        "direction": cl.Direction("Japan", "resid", 1, torch.ones(32)),
        "directions": cl.Directions({"Japan": cl.Direction("Japan", "resid", 1, torch.ones(32))}),
        "ranking": cl.rank_modules(found, model),
        "study": study_by_hand(),
        "truth": cl.load_truth(),
        "sae": random_sae("blocks.1.hook_resid_post"),
        **{"known": known(), "ranked": candidates(), "many": drawn_questions()},
    }


def outcome(line: str, folder: Path) -> str:
    """Run a line: ``"refused"``, ``"accepted"``, or the error that came up instead."""
    try:
        eval(line, {**fixed(), "tmp": folder})
    except cl.InputError:
        return "refused"
    except BaseException as error:  # an AssertionError says that the model was run
        return f"{type(error).__name__}: {error}"
    return "accepted"
