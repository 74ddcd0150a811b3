"""Speed: how a pass saves time; each saving is exact and can be switched off."""

from __future__ import annotations

from dataclasses import dataclass

from culture_lens.checks import check_fields, flag, optional, whole


@dataclass(frozen=True)
class Speed:
    """How a pass saves time, most of it where several conditions are answered; no answer changes.

    A saving is left out where it would not be exact: with hooks of your own around the call, of
    architectures whose attention takes no mask of its own, of quantised weights.

    Attributes:
        trees: Run every token that prompts and their options share once; see ``prompts.trees``.
        fold: Ablate to zero in the weights, for the time of the condition, instead of by hooks.
        skip: Run the layers below the first ablated neuron once for all conditions.
        together: Conditions per forward, as rows of one batch: by default 1 on a CPU, and on an
            accelerator as many as fill it where there are few questions.
        tokens: Tokens per forward where no ``batch_size`` is given: by default 2,048 on a CPU;
            on a GPU it grows to what memory holds.
        kept_bytes: Bytes of residual streams that ``skip`` keeps.
        picture_threads: Threads that prepare the next pictures while the model runs; 0 for none.

    Raises:
        InputError: A number below 1.

    Example:
        >>> Speed(fold=False).trees
        True
    """

    trees: bool = True
    fold: bool = True
    skip: bool = True
    together: int | None = None
    tokens: int | None = None
    kept_bytes: int = 2**30
    picture_threads: int = 2

    def __post_init__(self) -> None:
        """Refuse what no pass can run with."""
        check_fields(
            self,
            trees=flag,
            fold=flag,
            skip=flag,
            together=optional(whole(1)),
            tokens=optional(whole(1)),
            kept_bytes=whole(0),
            picture_threads=whole(0),
        )


__all__ = ["Speed"]
