"""How good an autoencoder is on a model and questions: what it keeps, and what the model loses.

Over the counted tokens t of all questions, for the activation y_t that the reconstruction y^_t
stands for:

    FVU         = sum |y_t - y^_t|^2 / sum |y_t - mean y|^2      fraction of variance unexplained
    active      = mean number of features above 0 on a token     (L0)
    dead        = features that are 0 on every counted token
    text loss   = mean over questions of the mean cross-entropy of their counted tokens
    answer loss = mean over questions of - log P(right letter)
    recovered   = (loss with y = mean y  -  loss with y = y^) / (loss with y = mean y  -  loss)

``recovered`` is 1 where the model does not notice, and 0 where the reconstruction is worth no more
than the mean; it means nothing where the mean itself costs the model nothing. Tokens that the
features leave out stay as they are, and are not counted. Intervals are clustered by question group:
those of means as everywhere, those of ratios by drawing groups. An edit of features keeps the
reconstruction error: even one of a bad autoencoder is exact, but says little about the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from culture_lens.checks import check_arguments, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.models.checks import MODEL, check_unhooked
from culture_lens.models.features import Features
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.batches import batches
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import COUNTED, Batch
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, TooLong
from culture_lens.questions.question import QUESTIONS, Question
from culture_lens.statistics.bootstrap import interval, value_and_draws
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("text", "answer")
ROWS = 4
"""Questions per forward where nothing else is said: logits of every token are held."""
WORST_FVU, LEAST_RECOVERED = 0.5, 0.8
"""Beyond these an autoencoder is warned of."""
LEAST_COST = 0.1
"""Nats that the mean must cost the model for what is recovered to mean something."""
Rows = dict[str, Tensor]
"""A number, or a vector, for each question of a batch."""


@dataclass(frozen=True, eq=False, repr=False)
class SaeReport(Shown):
    """Reconstruction, sparsity, dead features and the model's loss, layer by layer.

    Attributes:
        frame: A row per layer: ``layer``, ``features``, ``dead``, ``tokens``, and with their
            intervals ``fvu``, ``active``, and of ``text`` and ``answer`` each ``text_loss``,
            ``text_loss_sae``, ``text_loss_zero``, ``text_loss_mean`` and ``text_recovered``; see
            the module.
        metadata: The model, the site, and how many questions.

    Example:
        ``sae_report(model, questions).frame[["layer", "fvu", "answer_recovered"]]``
    """

    frame: pd.DataFrame
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        return f"SaeReport of site {self.metadata.get('site')!r}: {len(self.frame)} layers"

    def to_pandas(self) -> pd.DataFrame:
        """Give the frame."""
        return self.frame


@check_arguments(model=MODEL, questions=QUESTIONS, site=text)
def sae_report(
    model: LensModel,
    questions: Sequence[Question],
    *,
    site: str = "sae",
    batch_size: int | None = None,
    too_long: TooLong = "error",
    progress: bool = True,
) -> SaeReport:
    """Measure how well an autoencoder's features stand for a model's activations; see the module.

    Args:
        model: A model that ``with_features`` gives; decoder-only.
        questions: The questions; tokens of question and options count.
        site: The site of the features.
        batch_size: Questions per forward, 4 where nothing is said; halved where memory runs out.
        too_long: What to do with prompts longer than the context; see ``Running``.
        progress: Show progress bars.

    Raises:
        InputError: No features at the site, an encoder-decoder, or hooks that are attached.

    Example:
        ``sae_report(with_features(model, "path/to/sae"), questions)``
    """
    features = model.units.get(site)
    if not isinstance(features, Features):
        held = [name for name, units in model.units.items() if isinstance(units, Features)]
        raise unknown("site of features", site, held, "See with_features.")
    if hasattr(model.bridge, "encoder_blocks"):
        raise InputError("sae_report reads the loss of every token, which needs a decoder alone.")
    check_unhooked(model)
    how = Running(batch_size=batch_size, too_long=too_long, progress=progress)
    prompts = build_prompts(
        questions, model.processor, context=model.context, too_long=how.too_long,
        progress=how.progress,
    )  # fmt: skip
    tokens = model.unit_tokens([site])
    work = batches(prompts, how.rows(ROWS), model.pad_id, tokens=tokens)

    def over_all(step: Callable[[Batch], Rows], label: str) -> Rows:
        ran = run_batches(work, step, pad_id=model.pad_id, progress=how.progress, label=label)
        parts = [rows for _, rows in ran]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    plain = over_all(partial(plain_rows, model, features), "reconstructing")
    groups = [prompt.question.group for prompt in prompts]
    table = []
    for layer in features.layers:
        means = plain[f"{layer}.sum"].sum(0) / plain["tokens"].sum()
        changes: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "sae": lambda y, shown: shown,
            "zero": lambda y, shown: torch.zeros_like(y),
            "mean": lambda y, shown, held=means: held.to(y).expand_as(y),  # type: ignore[misc]
        }
        losses = {"": plain} | {
            f"_{name}": over_all(
                partial(edited_rows, model, features, layer, change), f"layer {layer}, {name}"
            )
            for name, change in changes.items()
        }
        table.append(row_of(features, layer, plain, losses, groups))
    report = SaeReport(
        framed(table), {"model": model.name, "site": site, "questions": len(prompts)}
    )
    warn_of(report)
    return report


def plain_rows(model: LensModel, features: Features, batch: Batch) -> Rows:
    """Run a batch as it is: each question's loss, and sums over its counted tokens."""
    counted = (counted_of(batch) & ~excluded_in(features, batch)).to(model.device)
    weights = counted.double()
    rows: Rows = {"tokens": weights.sum(1)}

    def see(layer: int, read: Tensor, y: Tensor) -> Tensor:
        units, own = features.dictionaries[layer], y.flatten(2).double()
        active = units.encode(read.flatten(2)) > 0
        error = (own - units.reconstruct(read.flatten(2)).double()).square().sum(2)
        rows[f"{layer}.error"] = (error * weights).sum(1)
        rows[f"{layer}.sum"] = (own * weights[..., None]).sum(1)
        rows[f"{layer}.squares"] = (own.square().sum(2) * weights).sum(1)
        rows[f"{layer}.active"] = (active.sum(2) * weights).sum(1)
        rows[f"{layer}.alive"] = (active & counted[..., None]).any(1)
        return y

    rows |= losses_of(model, batch, reconstruction_hooks(features, features.layers, see))
    return {name: values.cpu() for name, values in rows.items()}


def edited_rows(
    model: LensModel,
    features: Features,
    layer: int,
    change: Callable[[Tensor, Tensor], Tensor],
    batch: Batch,
) -> Rows:
    """Run a batch with another activation in the place of one layer's."""
    excluded = excluded_in(features, batch)

    def put(layer: int, read: Tensor, y: Tensor) -> Tensor:
        shown = features.dictionaries[layer].reconstruct(read.flatten(2)).to(y.dtype)
        kept = excluded.to(y.device)[..., None]
        flat = change(y, shown.reshape(y.shape).to(y.device)).flatten(2)
        return torch.where(kept, y.flatten(2), flat).reshape(y.shape)

    found = losses_of(model, batch, reconstruction_hooks(features, [layer], put))
    return {name: values.cpu() for name, values in found.items()}


def reconstruction_hooks(
    features: Features, layers: Sequence[int], run: Callable[[int, Tensor, Tensor], Tensor]
) -> list[tuple[str, Callable[..., Tensor]]]:
    """Make hooks that hand over what is encoded and what is reconstructed, layer by layer."""
    held: dict[int, Tensor] = {}

    def read(activation: Tensor, hook: Any, *, layer: int) -> Tensor:
        held[layer] = activation
        return activation

    def write(activation: Tensor, hook: Any, *, layer: int) -> Tensor:
        return run(layer, held.pop(layer), activation)

    return [
        (name.format(layer=layer), partial(function, layer=layer))
        for layer in layers
        for name, function in ((features.read, read), (features.write, write))
    ]


@torch.inference_mode()
def losses_of(model: LensModel, batch: Batch, hooks: Sequence[Any]) -> Rows:
    """Give each question's mean cross-entropy of its counted tokens, and of its answer, float64."""
    ids = batch.input_ids.to(model.device)
    mask = batch.attention_mask.to(model.device)
    with model.hooks(hooks):
        logits = model.bridge(ids, attention_mask=mask, **model.vision.arguments(batch))
    counted = counted_of(batch).to(model.device)[:, 1:]
    chosen = logits[:, :-1][counted].float().log_softmax(-1)
    gained = chosen.gather(1, ids[:, 1:][counted][:, None])[:, 0].double()
    rows = counted.nonzero()[:, 0]
    sums = torch.zeros(len(ids), dtype=torch.float64, device=model.device)
    right = [label_ids(prompt, model.processor)[prompt.question.answer] for prompt in batch.prompts]
    told = logits[:, -1].float().log_softmax(-1)
    answer = told.gather(1, torch.tensor(right, device=told.device)[:, None])[:, 0].double()
    return {"text": -sums.index_add_(0, rows, gained) / counted.sum(1), "answer": -answer}


def counted_of(batch: Batch) -> Bool[Tensor, "item pos"]:
    """Mark the tokens of question and options."""
    return batch.role_mask(COUNTED["text"]).bool()


def excluded_in(features: Features, batch: Batch) -> Bool[Tensor, "item pos"]:
    """Mark the tokens that the features leave out."""
    return torch.isin(batch.input_ids, torch.tensor(features.excluded, dtype=torch.long))


def row_of(
    features: Features,
    layer: int,
    plain: Rows,
    losses: Mapping[str, Rows],
    groups: Sequence[str],
) -> dict[str, Any]:
    """Make the row of a layer of what was summed."""
    names, at = np.unique(np.asarray(groups), return_inverse=True)
    draws = value_and_draws(len(names))

    def grouped(values: Tensor) -> np.ndarray:
        sums: np.ndarray = np.bincount(at, weights=values.numpy(), minlength=len(names))
        return sums

    def ratio(above: Tensor, below: Tensor) -> Estimate:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (draws @ grouped(above)) / (draws @ grouped(below))
        return interval(float(found[0]), found[1:], len(names))

    tokens, total = plain["tokens"], plain[f"{layer}.sum"]
    centre = total.sum(0) / tokens.sum()
    spread = plain[f"{layer}.squares"] - 2 * total @ centre + tokens * centre.square().sum()
    alive = plain[f"{layer}.alive"].any(0)
    row: dict[str, Any] = {
        "layer": layer,
        "features": features.width,
        "dead": int((~alive).sum()),
        "tokens": int(tokens.sum()),
        "fvu": ratio(plain[f"{layer}.error"], spread),
        "active": ratio(plain[f"{layer}.active"], tokens),
    }
    for kind in LOSSES:
        own = {name: rows[kind] for name, rows in losses.items()}
        for name, values in own.items():
            row[f"{kind}_loss{name}"] = mean_estimate(values.tolist(), groups, name=f"{kind} loss")
        kept = own["_mean"] - own["_sae"]
        row[f"{kind}_recovered"] = ratio(kept, own["_mean"] - own[""])
    return row


def framed(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Write estimates as three columns each."""
    import pandas as pd

    def cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in row.items():
            if isinstance(value, Estimate):
                yield from ((name, value.value), (f"{name}_low", value.low))
                yield f"{name}_high", value.high
            else:
                yield name, value

    return pd.DataFrame([dict(cells(row)) for row in rows])


def warn_of(report: SaeReport) -> None:
    """Warn of layers whose features say little about the model."""
    for row in report.frame.to_dict("records"):
        cost = {kind: row[f"{kind}_loss_mean"] - row[f"{kind}_loss"] for kind in LOSSES}
        told = [kind for kind in LOSSES if cost[kind] >= LEAST_COST]
        kept = {kind: row[f"{kind}_recovered"] for kind in told}
        bad = [kind for kind in told if kept[kind] < LEAST_RECOVERED]
        if bad or row["fvu"] > WORST_FVU or math.isnan(row["fvu"]):
            losses = "".join(f", and recovers {kept[kind]:.0%} of the {kind} loss" for kind in told)
            warn(
                f"the autoencoder of layer {row['layer']} fits poorly here: it leaves out "
                f"{row['fvu']:.0%} of the variance{losses}. What is found of its features says "
                "little about the model."
            )


__all__ = ["SaeReport", "sae_report"]
