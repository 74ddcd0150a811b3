"""Options of cloze prompts as they are run after their prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int

from culture_lens.prompts.prompt import Prompt


def option_passes(prompts: Sequence[Prompt]) -> list[list[tuple[int, int]]]:
    """Cut the options of a batch into passes of at most as many rows as the batch has.

    Options of like length run together, so that little padding is run. The first token of an
    option follows from the prompt's own pass, so that options of one token need no other.

    Returns:
        For each pass, the row and the number of each option.

    Example:
        ``option_passes(batch.prompts)[0]`` has the longest options.
    """
    lengths = {
        (row, option): len(tokens)
        for row, prompt in enumerate(prompts)
        for option, tokens in enumerate(prompt.continuations)
        if len(tokens) > 1
    }
    longest_first = sorted(lengths, key=lambda at: -lengths[at])
    size = len(prompts)
    return [longest_first[start : start + size] for start in range(0, len(longest_first), size)]


def padded_options(
    options: Sequence[Sequence[int]], pad_id: int
) -> tuple[Int[torch.Tensor, "option pos"], Int[torch.Tensor, "option pos"]]:
    """Pad options on the right, each without its last token, which predicts nothing asked for.

    Returns:
        Token ids, and the mask that is 1 on tokens and 0 on padding.

    Example:
        >>> padded_options([(5, 6, 7), (8, 9)], 0)[0].tolist()
        [[5, 6], [8, 0]]
    """
    width = max(len(tokens) for tokens in options) - 1
    ids = torch.full((len(options), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(options):
        ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        mask[row, : len(tokens) - 1] = 1
    return ids, mask
