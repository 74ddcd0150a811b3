"""token_activations: the activation of chosen neurons at every token, and the model's answers.

One forward of each batch gives both: the scoring reads the answers while hooks keep the columns of
the chosen neurons. Only the tokens of prompts are recorded, not those of options that run behind
them. All values are kept: 4 bytes for each neuron and token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.cards.places import Place, checked_places
from culture_lens.cards.texts import Written, written
from culture_lens.checks import check_arguments, optional, text
from culture_lens.errors import unknown
from culture_lens.evaluation.evaluate import prepare
from culture_lens.evaluation.evaluation import to_frame
from culture_lens.evaluation.scoring import Answer
from culture_lens.models.checks import MODEL, state_of, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.rows import options_running
from culture_lens.models.sites import on_encoder
from culture_lens.prompts.batches import Batches, batches
from culture_lens.prompts.prompt import Batch, Prompt, Role, roles_of
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName


@dataclass(frozen=True, eq=False, repr=False)
class ItemTokens(Shown):
    """The tokens of one item, with the activations of every recorded neuron.

    Attributes:
        question: The item.
        tokens: The text of each token, ``pos``.
        roles: The ``Role`` of each token.
        counted: Whether statistics count it.
        values: Activations, float32.
    """

    question: Question
    tokens: tuple[str, ...]
    roles: Int[np.ndarray, " pos"]
    counted: Bool[np.ndarray, " pos"]
    values: Float[np.ndarray, "neuron pos"]


@dataclass(frozen=True, eq=False, repr=False)
class TokenActivations(Shown):
    """Activations of some neurons at every token of some items, and the model's answers.

    Attributes:
        neurons: The neurons, ``(site, layer, index)``; the first axis of every item's values.
        items: The items, in the order of the questions.
        answers: One record per item, as in an ``Evaluation``.
        prompts: What was run, one per item.

    Example:
        ``token_activations(model, [("act", 3, 7)], questions).to_pandas(("act", 3, 7))``
    """

    neurons: tuple[Place, ...]
    items: tuple[ItemTokens, ...]
    answers: pd.DataFrame
    prompts: tuple[Prompt, ...]

    def row(self, neuron: Place) -> int:
        """Find a neuron on the first axis of values.

        Raises:
            InputError: It was not recorded.
        """
        place = tuple(neuron)
        if place not in self.neurons:
            raise unknown("neuron", place, map(str, self.neurons), "These were recorded.")
        return self.neurons.index(place)

    def to_pandas(self, neuron: Place | None = None) -> pd.DataFrame:
        """List every token of one neuron, or of all.

        Returns:
            Columns site, layer, index, id, culture, position, token, role, counted, value.
        """
        import pandas as pd

        names = ["site", "layer", "index", "id", "culture"]
        frames = []
        for place in self.neurons if neuron is None else (neuron,):
            row = self.row(place)
            for item in self.items:
                columns = {
                    "position": range(len(item.tokens)),
                    "token": item.tokens,
                    "role": [Role(int(role)).name.lower() for role in item.roles],
                    "counted": item.counted,
                    "value": item.values[row],
                }
                same = (*place, item.question.id, item.question.culture)
                frames.append(pd.DataFrame({**dict(zip(names, same, strict=True)), **columns}))
        return pd.concat(frames, ignore_index=True)

    def __repr__(self) -> str:
        """Count neurons, items and tokens."""
        tokens = sum(len(item.tokens) for item in self.items)
        return (
            f"TokenActivations: {len(self.neurons)} neurons, {len(self.items):,} items, "
            f"{tokens:,} tokens"
        )

    def _headline(self) -> str:
        return repr(self)

    def _facts(self) -> Mapping[str, Any]:
        return {}

    def _overview(self) -> pd.DataFrame:
        import pandas as pd

        values = np.concatenate([item.values[:, item.counted] for item in self.items], 1)
        return pd.DataFrame(self.neurons, columns=["site", "layer", "index"]).assign(
            positive=(values > 0).mean(1), mean=values.mean(1), highest=values.max(1)
        )


@check_arguments(model=MODEL, questions=QUESTIONS, scoring=optional(text))
def token_activations(
    model: LensModel,
    neurons: Any,
    questions: Sequence[Question],
    *,
    scoring: ScoringName | None = None,
    roles: str | Sequence[int] = "content",
    **running: Unpack[RunningOptions],
) -> TokenActivations:
    """Record the activation of some neurons at every token of every question, in one pass.

    Args:
        model: The model.
        neurons: ``(site, layer, index)``, a list of them, or ``Neurons``; of an encoder-decoder
            over the tokens of one side.
        questions: What to ask.
        scoring: How answers are read; the model's own by default.
        roles: Tokens that count; see ``record_activations``.
        **running: Batch size, progress, prompts that are too long; see ``Running``.

    Returns:
        Every token's activation, and the answers of the same forward.

    Raises:
        InputError: A neuron that the model lacks, no questions, or answers that are NaN.

    Example:
        ``token_activations(model, ("act", 3, 7), questions).items[0].values``
    """
    places, how = checked_places(model, neurons), Running.of(running)
    prompts, chosen = prepare(model, questions, scoring, how)
    share, tokens = model.can_share_prefix(prompts), model.unit_tokens()
    work = batches(prompts, how.rows(), model.pad_id, share_prefix=share, tokens=tokens)
    answer = partial(chosen.answers, model)
    return tokens_of(model, places, prompts, work, answer, roles, progress=how.progress)


def tokens_of(
    model: LensModel,
    places: Sequence[Place],
    prompts: Sequence[Prompt],
    work: Batches,
    answer: Callable[[Batch], list[Answer]],
    roles: str | Sequence[int],
    *,
    progress: bool,
) -> TokenActivations:
    """Answer batches of prompts in any way, and record the tokens that pass.

    Args:
        model: The model.
        places: The neurons.
        prompts: The prompts, in the order of the items.
        work: The same in batches.
        answer: Runs a batch and gives its answers.
        roles: Tokens that count.
        progress: Whether to show a progress bar.

    Raises:
        InputError: The model's answers are NaN.
    """
    counted = roles_of(roles)
    model.check_together(tuple(dict.fromkeys(site for site, _, _ in places)))
    found: dict[str, ItemTokens] = {}
    answers: dict[str, Answer] = {}
    with under(state_of(model)):
        for batch, (rows, own) in run_batches(
            work,
            partial(tokens_of_batch, model, answer, places, counted),
            pad_id=model.pad_id,
            progress=progress,
            label="recording tokens",
        ):
            ids = [prompt.question.id for prompt in batch.prompts]
            found.update(zip(ids, rows, strict=True))
            answers.update(zip(ids, own, strict=True))
    items = tuple(found[prompt.question.id] for prompt in prompts)
    return TokenActivations(tuple(places), items, to_frame(prompts, answers), tuple(prompts))


def tokens_of_batch(
    model: LensModel,
    answer: Callable[[Batch], list[Answer]],
    neurons: Sequence[Place],
    roles: Sequence[int],
    batch: Batch,
) -> tuple[list[ItemTokens], list[Answer]]:
    """Answer a batch, and cut every neuron's activations into the tokens of each row."""
    columns = columns_of(neurons)
    held: dict[tuple[str, int], list[Tensor]] = {place: [] for place in columns}

    def keep(activation: Tensor, hook: Any, *, place: tuple[str, int], at: list[int]) -> None:
        if options_running() is None:  # options that run behind their prompts are not recorded
            held[place].append(activation.detach().flatten(2)[..., at].float().cpu())

    hooks = [
        (model.hook_name(*place), partial(keep, place=place, at=[n for n, _ in wanted]))
        for place, wanted in columns.items()
    ]
    with model.hooks(hooks):
        answers = answer(batch)
    sites = [site for site, _, _ in neurons]
    mask = model.token_mask(batch, sites[0]).bool().cpu()
    counts = [model.counted(part, sites, roles).cpu() for part in parts_of(batch)]
    counted = whole(batch, counts)
    values = torch.empty(len(batch.prompts), len(neurons), mask.shape[1])
    for place, wanted in columns.items():
        for column, (_, row) in enumerate(wanted):
            values[:, row] = whole(batch, held[place])[..., column]
    write = partial(written, tokenizer=model.tokenizer, encoder=is_of_prompt(model, sites[0]))
    items = [
        item_of(prompt, values[row][:, inside], counted[row][inside], write)
        for row, (prompt, inside) in enumerate(zip(batch.prompts, mask, strict=True))
    ]
    return items, answers


def parts_of(batch: Batch) -> list[Batch]:
    """List what is run for a batch: its shared prefixes, where it has some, and its rests."""
    return [batch] if batch.prefixes is None else [batch.prefixes, batch]


def whole(batch: Batch, parts: Sequence[Tensor]) -> Tensor:
    """Put shared prefixes before the rests of their rows, ``batch pos ...``."""
    if batch.prefixes is None:
        return parts[0]
    return torch.cat([parts[0][list(batch.prefix_of_row)], parts[1]], 1)


def columns_of(neurons: Iterable[Place]) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """List, for each (site, layer), the indices that are recorded and the row of each.

    Example:
        >>> columns_of([("act", 1, 7), ("act", 0, 2), ("act", 1, 3)])
        {('act', 1): [(7, 0), (3, 2)], ('act', 0): [(2, 1)]}
    """
    columns: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for row, (site, layer, index) in enumerate(neurons):
        columns.setdefault((site, layer), []).append((index, row))
    return columns


def is_of_prompt(model: LensModel, site: str) -> bool:
    """Say whether a site lies over the prompt's tokens, and not over a decoder's."""
    return on_encoder(site) or "." not in site


def item_of(
    prompt: Prompt, values: Tensor, counted: Tensor, write: Callable[[Prompt], Written]
) -> ItemTokens:
    """Put the tokens of one row together."""
    tokens, roles = write(prompt)
    return ItemTokens(
        prompt.question, tokens, np.array(roles), counted.numpy().copy(), values.numpy().copy()
    )


__all__ = ["ItemTokens", "TokenActivations", "token_activations"]
