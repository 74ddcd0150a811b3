"""The straightforward loop over conditions, and the rate of a machine's matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Prompt

Mask = tuple[str, Neurons | None]


def down_projections(hf_model: Any) -> list[torch.nn.Module]:
    """The output projections of all layers."""
    held = [m for n, m in hf_model.named_modules() if n.endswith("mlp.down_proj")]
    return [module for module in held if isinstance(module, torch.nn.Linear)]


def ablating_hooks(hf_model: Any, neurons: Neurons | None) -> list[Any]:
    """Attach a hook to every output projection whose inputs are to be zero."""
    handles = []
    places = neurons.places["act"] if neurons is not None else torch.empty(0, 2, dtype=torch.long)
    for layer, module in enumerate(down_projections(hf_model)):
        index = places[places[:, 0] == layer, 1].to(module.weight.device)

        def zero(_: Any, inputs: tuple[Any, ...], index: Any = index) -> tuple[Any, ...]:
            edited = inputs[0].clone()
            edited[..., index] = 0
            return (edited,)

        if len(index):
            handles.append(module.register_forward_pre_hook(zero))
    return handles


@torch.inference_mode()
def loop(
    hf_model: Any,
    prompts: Sequence[Prompt],
    masks: Sequence[Mask],
    pad_id: int,
    pixels: Mapping[str, Any],
    items: int,
) -> list[list[int]]:
    """Answer every prompt under every mask in the straightforward way; the options chosen."""
    chosen = []
    for _, neurons in masks:
        handles = ablating_hooks(hf_model, neurons)
        try:
            chosen.append(
                [
                    best
                    for start in range(0, len(prompts), items)
                    for best in loop_batch(hf_model, prompts[start : start + items], pad_id, pixels)
                ]
            )
        finally:
            for handle in handles:
                handle.remove()
    return chosen


def loop_batch(
    hf_model: Any, prompts: Sequence[Prompt], pad_id: int, pixels: Mapping[str, Any]
) -> list[int]:
    """Answer a batch: one sequence per option, or one per prompt where letters are read."""
    letters = not prompts[0].continuations
    rows = [
        (prompt, list(prompt.ids) + list(option))
        for prompt in prompts
        for option in ([()] if letters else prompt.continuations)
    ]
    width = max(len(ids) for _, ids in rows)
    ids = torch.tensor([held + [pad_id] * (width - len(held)) for _, held in rows])
    mask = torch.tensor([[1] * len(held) + [0] * (width - len(held)) for _, held in rows])
    device = hf_model.device
    more: dict[str, Any] = {}
    if pixels:
        of_rows = [pixels[str(prompt.question.image.key)] for prompt, _ in rows]
        more = {"pixel_values": torch.cat(of_rows).to(device, hf_model.dtype)}
    logits = hf_model(
        ids.to(device), attention_mask=mask.to(device), use_cache=False, **more
    ).logits
    if letters:
        ends = [logits[row, len(held) - 1] for row, (_, held) in enumerate(rows)]
        return [int(end[list(p.labels)].argmax()) for end, p in zip(ends, prompts, strict=True)]
    scores = []
    for row, (prompt, held) in enumerate(rows):
        start = len(prompt.ids)
        logs = logits[row, start - 1 : len(held) - 1].float().log_softmax(-1)
        scores.append(float(logs[range(len(held) - start), held[start:]].mean()))
    best, at = [], 0
    for prompt in prompts:
        own = scores[at : at + len(prompt.continuations)]
        best.append(own.index(max(own)))
        at += len(own)
    return best


def matmul_rate(hf_model: Any, dtype: torch.dtype, device: str, tokens: int = 2048) -> float:
    """Operations a second of the model's own matrix products, the median of five passes."""
    weights = [m.weight for m in hf_model.modules() if isinstance(m, torch.nn.Linear)]
    biggest = max(w.numel() for w in weights)
    weights = [w for w in weights if w.numel() < biggest][-14:]
    inputs = {
        w.shape[1]: torch.randn(tokens, w.shape[1], dtype=dtype, device=device) for w in weights
    }
    rates = []
    with torch.inference_mode():
        for _ in range(6):
            settle(device)
            start = clock(device)()
            for weight in weights:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)
            settle(device)
            rates.append(sum(2 * tokens * w.numel() for w in weights) / (clock(device)() - start))
    return statistics.median(rates[1:])


def clock(device: str) -> Any:
    """Seconds of this process, or of the wall where a GPU does the work."""
    return time.process_time if device == "cpu" else time.perf_counter


def settle(device: str) -> None:
    """Wait until the device is idle."""
    if device == "cuda":
        torch.cuda.synchronize()
