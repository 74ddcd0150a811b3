"""What a TransformerLens user calls on a model: handed on to its bridge, text by its own tokenizer.

Text that is given here is tokenised as the model's tokenizer does it, BOS included: one where the
model has one, none where not. Text that already holds a BOS, such as a chat template's, is given
with ``prepend_bos=False`` or as tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from culture_lens.models.units import HookList, Units, spliced


class TransformerLensMethods:
    """The methods of a ``TransformerBridge`` that a ``LensModel`` hands on.

    Each takes what TransformerLens documents for it. A batch of texts is padded on the tokenizer's
    side and its padding masked, so that no result depends on what else is in the batch.
    """

    bridge: Any
    units: Mapping[str, Units]

    @property
    def tokenizer(self) -> Any:
        """The model's own tokenizer."""
        raise NotImplementedError

    @property
    def cfg(self) -> Any:
        """TransformerLens' configuration: ``n_layers``, ``d_model``, ``n_heads``, ..."""
        return self.bridge.cfg

    def to_tokens(self, text: str | list[str], **options: Any) -> Tensor:
        """Turn text into token ids, ``batch pos``.

        Example:
            ``model.to_tokens("Which tea?")``
        """
        tokens: Tensor = self.bridge.to_tokens(text, **options)
        return tokens

    def to_string(self, tokens: Any) -> str | list[str]:
        """Turn token ids into text.

        Example:
            ``model.to_string(model.to_tokens("Which tea?")[0])``
        """
        text: str | list[str] = self.bridge.to_string(tokens)
        return text

    def to_str_tokens(self, text: Any, **options: Any) -> list[str] | list[list[str]]:
        """Turn text or token ids into the text of each token.

        Example:
            ``model.to_str_tokens("Which tea?")``
        """
        pieces: list[str] | list[list[str]] = self.bridge.to_str_tokens(text, **options)
        return pieces

    def __call__(self, text: Any, **options: Any) -> Any:
        """Run text or token ids; logits ``batch pos vocab`` where nothing else is asked for.

        Example:
            ``model("Which tea?", return_type="loss")``
        """
        given, options = self._inputs(text, options)
        return self.bridge(given, **options)

    def run_with_cache(self, text: Any, **options: Any) -> tuple[Any, Any]:
        """Run text or token ids; return the output and an ``ActivationCache``.

        Example:
            ``_, cache = model.run_with_cache("Which tea?")``
        """
        given, options = self._inputs(text, options)
        found: tuple[Any, Any] = self.bridge.run_with_cache(given, **options)
        return found

    def run_with_hooks(self, text: Any, **options: Any) -> Any:
        """Run text or token ids with hooks for this one run.

        Example:
            ``model.run_with_hooks("Which tea?", fwd_hooks=found["Japan"].hooks(model))``
        """
        given, options = self._inputs(text, options)
        options["fwd_hooks"] = spliced(self.units, options.get("fwd_hooks", ()))
        return self.bridge.run_with_hooks(given, **options)

    def generate(self, text: Any, max_new_tokens: int = 10, **options: Any) -> Any:
        """Continue text or token ids; hooks that are attached act at every token.

        Example:
            ``model.generate("Which tea?", 8, do_sample=False)``
        """
        return self.bridge.generate(text, max_new_tokens, **options)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Sequence[tuple[Any, Callable[..., Any]]] = (),
        bwd_hooks: Sequence[tuple[Any, Callable[..., Any]]] = (),
        **options: Any,
    ) -> Iterator[Any]:
        """Attach ``(name, function)`` hooks for the time of the block, exceptions included.

        A hook on the name that ``hook_name`` gives for a site of units is called with the units.

        Example:
            ``with model.hooks([(model.hook_name("act", 0), function)]): model("Which tea?")``
        """
        hooks = spliced(self.units, fwd_hooks)
        with self.bridge.hooks(fwd_hooks=hooks, bwd_hooks=list(bwd_hooks), **options):
            yield self

    def _inputs(self, text: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Tokenise a batch of texts with its mask; leave all else as it is."""
        if not isinstance(text, (list, tuple)) or not all(isinstance(one, str) for one in text):
            return text, options
        options = dict(options)
        side = options.pop("padding_side", None) or self.tokenizer.padding_side
        bos = options.pop("prepend_bos", None)
        rows = [self.to_tokens(one, prepend_bos=bos)[0] for one in text]
        width = max((len(row) for row in rows), default=0)
        ids = torch.full((len(rows), width), self.bridge.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            inside = slice(width - len(row), None) if side == "left" else slice(len(row))
            ids[at, inside], mask[at, inside] = row.cpu(), 1
        device = rows[0].device if rows else None
        options.setdefault("attention_mask", mask.to(device))
        return ids.to(device), options


__all__ = ["HookList", "TransformerLensMethods"]
