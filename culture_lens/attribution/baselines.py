"""Where a path begins: the mean activation of each neuron over the items of other cultures.

    b[c,n] = sum over t of n_t / number of t      t: the tokens of all items but those of culture c

t runs over all tokens of the prompts but padding, in a recording pass of its own: an item's tokens
are summed in float32, items in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.record import Recording
from culture_lens.activations.record_shards import record_in_shards
from culture_lens.attribution.settings import Attribution
from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.prompts.running import Running

EVERY_ROLE = tuple(int(role) for role in Role if role is not Role.PADDING)


@dataclass(frozen=True, eq=False)
class StartMeans:
    """The beginnings of the paths of each culture's items.

    Attributes:
        cultures: Labels.
        means: Per site, over all other cultures, ``culture layer neuron``.
    """

    cultures: tuple[str, ...]
    means: Mapping[str, Float[Tensor, "culture layer neuron"]]

    def rows(self, batch: Batch) -> dict[str, Float[Tensor, "item layer neuron"]]:
        """Give the beginning of each item of a batch."""
        at = [self.cultures.index(prompt.question.culture) for prompt in batch.prompts]
        return {site: means[at] for site, means in self.means.items()}


def start_means(
    model: LensModel,
    prompts: Sequence[Prompt],
    sites: Sequence[str],
    attribution: Attribution,
    how: Running,
) -> StartMeans | None:
    """Record the mean activations that paths begin at; None where they begin at 0.

    Raises:
        InputError: Fewer than two cultures, or sites that cannot be recorded in one pass.
    """
    if attribution.baseline != "others":
        return None
    cultures = sorted({prompt.question.culture for prompt in prompts})
    if len(cultures) < 2:
        raise InputError(
            f"baseline='others' is the mean of other cultures, and there is only {cultures[0]}: "
            "give questions of two cultures or more, or baseline='zero'."
        )
    recording = Recording(sites=list(sites), roles=EVERY_ROLE)
    recording.chosen(model)
    summary = record_in_shards(model, prompts, recording, None, how).summary({})
    tokens = summary.tokens.double()
    others = (tokens.sum() - tokens)[:, None, None]
    means = {site: (sums.sum(0) - sums) / others for site, sums in summary.sums.items()}
    return StartMeans(tuple(summary.cultures), {s: m.to(torch.float32) for s, m in means.items()})
