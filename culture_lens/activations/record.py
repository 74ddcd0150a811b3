"""Record activations: run batches with hooks, and accumulate each item's statistics.

The steps, per batch:
1. A mask m over tokens: those whose role counts.
2. At every site and layer a hook reduces the activation over tokens with matrix products:
   counts = m (a > 0), sums = m a, squares = m a^2, each ``item neuron``.
3. A prefix that rows of a batch share is run once; its sums are added to each of these rows.
4. After the whole forward, the rows are added to ActivationStatistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.activations.statistics import ActivationStatistics, ItemStatistics, check_finite
from culture_lens.checks import (
    check_arguments,
    check_fields,
    flag,
    instance,
    names,
    optional,
    whole,
)
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL, check_logits, state_of, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.prompts.batches import batches
from culture_lens.prompts.packed import given_prompts
from culture_lens.prompts.prompt import Batch, Prompt, roles_of
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import BATCH_SIZE, read_options
from culture_lens.prompts.speed import Speed


class RecordingOptions(TypedDict, total=False):
    """The fields of ``Recording`` as keyword arguments."""

    sites: str | Sequence[str] | None
    roles: str | Sequence[int]
    magnitudes: bool


@dataclass(frozen=True)
class Recording:
    """What is recorded of each prompt.

    Attributes:
        sites: One site or several, recorded in the same pass; by default the model's default site,
            ConAct's neuron. In an encoder-decoder either sites over the encoder's tokens or sites
            over the decoder's, of which only the last token counts, whatever the roles.
        roles: Tokens that count: ``"content"`` (question, options and picture), ``"text"``
            (without the picture), ``"image"`` (the picture only), or roles; see ``COUNTED``.
        magnitudes: Whether sums and squares are recorded too, which MAD and mean ablation need.

    Example:
        >>> Recording(roles="image").counted
        (2,)
    """

    sites: str | Sequence[str] | None = None
    roles: str | Sequence[int] = "content"
    magnitudes: bool = True

    def __post_init__(self) -> None:
        """Check what can be checked without a model."""
        check_fields(self, sites=optional(names), magnitudes=flag)
        roles_of(self.roles)

    @property
    def counted(self) -> tuple[int, ...]:
        """The roles that count, as numbers."""
        return roles_of(self.roles)

    def chosen(self, model: LensModel) -> tuple[str, ...]:
        """Give the sites of a model that are recorded, checked.

        Raises:
            InputError: An unknown site, or sites that cannot be recorded in one pass.
        """
        sites = check_sites(model.default_site if self.sites is None else self.sites, model.sites)
        model.check_together(sites)
        return tuple(sites)


def reduce_tokens(
    activation: Tensor, mask: Float[Tensor, "item pos"], magnitudes: bool
) -> list[Float[Tensor, "item neuron"]]:
    """Count positive values over an item's tokens and sum the values; with magnitudes also squares.

    Args:
        activation: ``item pos neuron`` or ``item pos head d_head``.
        mask: 1 on tokens that count.
        magnitudes: Whether to give squares too.

    Example:
        >>> a = torch.tensor([[[1.0, -1.0], [2.0, 3.0]]])
        >>> [x.tolist() for x in reduce_tokens(a, torch.ones(1, 2), True)]
        [[[2.0, 1.0]], [[3.0, 2.0]], [[5.0, 10.0]]]
    """
    values = activation.flatten(2).to(mask.dtype)
    rows, space = mask[:, None, :], torch.empty_like(values)
    # Compared straight into floats: via booleans it takes eight times as long.
    found = [torch.bmm(rows, torch.gt(values, 0, out=space)), torch.bmm(rows, values)]
    if magnitudes:
        found.append(torch.bmm(rows, torch.mul(values, values, out=space)))
    return [row[:, 0] for row in found]


def item_statistics(
    model: LensModel,
    batch: Batch,
    sites: Sequence[str],
    roles: Sequence[int],
    magnitudes: bool,
) -> ItemStatistics:
    """Run one batch and reduce every site's activations to one row per item.

    A prefix that rows share is run and reduced once, and added to each of these rows.
    """
    own = partial(part_statistics, model, sites=sites, roles=roles, magnitudes=magnitudes)
    if batch.prefixes is None:
        found, logits = own(batch, partial(model.logits, batch))
    else:
        shared, cache = own(batch.prefixes, partial(model.run_prefix, batch))
        rest, logits = own(batch, partial(model.logits, batch, cache))
        found = rest.plus(shared, torch.tensor(batch.prefix_of_row, device=model.device))
    check_logits(logits, batch)
    return found


def part_statistics(
    model: LensModel,
    part: Batch,
    forward: Callable[[], Any],
    sites: Sequence[str],
    roles: Sequence[int],
    magnitudes: bool,
) -> tuple[ItemStatistics, Any]:
    """Reduce every site's activations in a forward to one row per item; also return its result."""
    mask = model.counted(part, sites, roles).to(model.device)
    # Counts of up to 2^24 tokens are exact in float32.
    weights = mask.float()
    size = (3 if magnitudes else 2, len(part.prompts))
    # NaN until the hook has fired, 0 at layers without units. Allocated before the forward: small
    # tensors that are allocated between its large ones and kept would fragment the memory.
    found = {site: torch.zeros((*size, *model.shape(site)), device=model.device) for site in sites}
    for site, layer in model.places(sites):
        found[site][:, :, layer] = torch.nan

    def take(activation: Tensor, hook: Any, *, site: str, layer: int) -> None:
        rows = reduce_tokens(activation, weights.to(activation.device), magnitudes)
        for total, row in zip(found[site], rows, strict=True):
            total[:, layer] = row.to(model.device)

    hooks = [
        (model.hook_name(site, layer), partial(take, site=site, layer=layer))
        for site, layer in model.places(sites)
    ]
    with model.hooks(hooks):
        result = forward()

    statistics = ItemStatistics(
        tokens=mask.sum(1),
        counts={site: parts[0].to(torch.int32) for site, parts in found.items()},
        sums={site: parts[1] for site, parts in found.items()},
        squares={site: parts[2] for site, parts in found.items()} if magnitudes else {},
    )
    asked = [prompt.question for prompt in part.prompts]  # a count over NaN would be wrong
    check_finite(statistics, [q.culture for q in asked], [f"question {q.id!r}" for q in asked])
    return statistics if magnitudes else replace(statistics, sums={}), result


@check_arguments(
    model=MODEL,
    prompts=given_prompts,
    into=optional(instance(ActivationStatistics)),
    progress=flag,
    picture_threads=whole(0),
)
def record_activations(
    model: LensModel,
    prompts: Sequence[Prompt],
    *,
    into: ActivationStatistics | None = None,
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
    picture_threads: int = Speed.picture_threads,
    **recording: Unpack[RecordingOptions],
) -> ActivationStatistics:
    """Run prompts through the model once and count activations per culture (arXiv 2510.24942).

    Args:
        model: The model.
        prompts: The prompts, at least one; each counts for its question's culture.
        into: An accumulator to add to. It is updated after every batch, so an interrupted pass
            leaves in it what was counted so far.
        batch_size: Prompts per forward; halved where memory runs out.
        progress: Show a progress bar.
        picture_threads: Threads that prepare the next pictures; see ``Speed``.
        **recording: Sites, roles of tokens that count, magnitudes; see ``Recording``.

    Returns:
        The accumulator.

    Raises:
        InputError: An unknown site or option, sites of both an encoder and a decoder, or
            activations that are NaN or infinite.

    Example:
        ``summary = record_activations(model, prompts).summary()``
    """
    (what,) = read_options(recording, Recording)
    statistics = into if into is not None else ActivationStatistics()
    step = partial(
        item_statistics,
        model,
        sites=what.chosen(model),
        roles=what.counted,
        magnitudes=what.magnitudes,
    )
    if not prompts:
        raise InputError("there are no prompts to record: make them with build_prompts.")
    share, tokens = model.can_share_prefix(prompts), model.unit_tokens(what.chosen(model))
    work = batches(prompts, batch_size, model.pad_id, share_prefix=share, tokens=tokens)
    with under(state_of(model)), model.vision.ahead(work.images(), picture_threads):
        for batch, rows in run_batches(
            work, step, pad_id=model.pad_id, progress=progress, label="recording activations"
        ):
            asked = [prompt.question for prompt in batch.prompts]
            statistics.update(rows, [q.culture for q in asked], [q.id for q in asked])
    return statistics
