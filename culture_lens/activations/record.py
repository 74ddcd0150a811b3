"""Run batches with hooks and hand each item's activation statistics to an accumulator.

The steps, per batch:
1. A mask m over tokens: those whose role counts.
2. At every site and layer a hook reduces the activation over tokens with matrix products:
   counts = m (a > 0), sums = m a, squares = m a^2, each ``item neuron``.
3. What rows of a batch begin with in common is run once; its sums are added to each of them.
4. When the whole forward has gone well, the rows go to ActivationStatistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.statistics import ActivationStatistics, ItemStatistics, check_finite
from culture_lens.models.lens_model import LensModel, check_logits
from culture_lens.models.sites import check_sites
from culture_lens.prompts.batches import batches, run_batches
from culture_lens.prompts.prompt import Batch, Prompt, roles_of


def reduce_tokens(
    activation: Tensor, mask: Float[Tensor, "item pos"], magnitudes: bool
) -> list[Float[Tensor, "item neuron"]]:
    """Count positives over an item's tokens and sum values; with magnitudes also squares.

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
    # Compared straight into numbers: by way of booleans it takes eight times as long.
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

    What rows begin with in common is run and reduced once, and added to each of them.
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
    """Reduce every site's activations during a forward to a row per item; its result beside it."""
    mask = model.counted(part, sites, roles).to(model.device)
    # Counts of up to 2^24 tokens are exact in float32.
    weights = mask.float()
    size = (3 if magnitudes else 2, len(part.prompts))
    # No number until its hook has fired. Room is made before the forward: small tensors that are
    # made between its large ones and kept would leave holes in memory.
    found = {
        site: torch.full((*size, *model.shape(site)), torch.nan, device=model.device)
        for site in sites
    }

    def take(activation: Tensor, hook: Any, *, site: str, layer: int) -> None:
        rows = reduce_tokens(activation, weights.to(activation.device), magnitudes)
        for total, row in zip(found[site], rows, strict=True):
            total[:, layer] = row.to(model.device)

    hooks = [
        (model.hook_name(site, layer), partial(take, site=site, layer=layer))
        for site in sites
        for layer in range(model.layers(site))
    ]
    with model.hooks(hooks):
        result = forward()

    for site, (_, sums, *_) in found.items():  # no count is right where a value is no number
        check_finite(sums, site, [prompt.question.culture for prompt in part.prompts])
    statistics = ItemStatistics(
        tokens=mask.sum(1),
        counts={site: parts[0].to(torch.int32) for site, parts in found.items()},
        sums={site: parts[1] for site, parts in found.items()} if magnitudes else {},
        squares={site: parts[2] for site, parts in found.items()} if magnitudes else {},
    )
    return statistics, result


def record_activations(
    model: LensModel,
    prompts: Sequence[Prompt],
    *,
    sites: str | Sequence[str] | None = None,
    roles: str | Sequence[int] = "content",
    magnitudes: bool = True,
    batch_size: int = 16,
    progress: bool = True,
    into: ActivationStatistics | None = None,
) -> ActivationStatistics:
    """Run prompts through the model once and count activations per culture (arXiv 2510.24942).

    Args:
        model: The model.
        prompts: What to run, at least one; each counts for its question's culture.
        sites: One site or several, recorded in the same pass; the model's default, ConAct's
            neuron, where not given. Of an encoder-decoder, sites over the encoder's tokens or
            sites over the decoder's, which count the last one, whatever the roles.
        roles: Tokens that count: ``"content"``, ``"text"``, ``"image"``, or roles; see
            ``COUNTED``.
        magnitudes: Record sums and squares too, which MAD and mean ablation need.
        batch_size: Prompts per forward; halved where memory runs out.
        progress: Show a progress bar.
        into: An accumulator to go on with. It is updated after every batch, so what an
            interrupted pass has counted stays in it.

    Returns:
        The accumulator.

    Raises:
        InputError: An unknown site, sites of an encoder-decoder that have no number of tokens in
            common, or activations that are NaN or infinite.

    Example:
        ``summary = record_activations(model, prompts).summary()``
    """
    statistics = into if into is not None else ActivationStatistics()
    chosen = check_sites(model.default_site if sites is None else sites, model.sites)
    model.check_together(chosen)
    step = partial(
        item_statistics,
        model,
        sites=chosen,
        roles=roles_of(roles),
        magnitudes=magnitudes,
    )
    work = batches(prompts, batch_size, model.pad_id, share_prefix=model.can_share_prefix(prompts))
    for batch, rows in run_batches(
        work, step, pad_id=model.pad_id, progress=progress, label="recording activations"
    ):
        asked = [prompt.question for prompt in batch.prompts]
        statistics.update(rows, [q.culture for q in asked], [q.id for q in asked])
    return statistics
