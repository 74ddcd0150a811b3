"""Memory: weights, what a pass holds beside them, and what a stage accumulates.

With b bytes a number, T tokens, P pairs and R read positions of the largest forward:

    weights      parameters x b
    forward      b T (4 d_model + 3 d_mlp + attention) + keys and values + masks b P + logits 8 R V
    recording    two copies of a layer's activations in float32 more
    gradients    every layer keeps b T (6 d_model + 6 d_mlp + 3 attention)
    statistics   what ``stages`` says each keeps, twice while a part of them is saved

The numbers of terms were counted in the models' code, and held against measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from culture_lens.experiments.planning.shape import ModelShape
from culture_lens.experiments.planning.stages import Stage

PROCESS = 500 * 2**20
"""Bytes of Python, torch and transformers once a model is loaded on a CPU."""
CONTEXT = 500 * 2**20
"""Bytes of a CUDA context with its libraries."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a stage.

    Attributes:
        weights: Of the model.
        activations: Of the largest pass.
        kept: Of what is accumulated.
        process: Of the process itself.
    """

    weights: int
    activations: int
    kept: int
    process: int

    @property
    def peak(self) -> int:
        """All together."""
        return self.weights + self.activations + self.kept + self.process


def memory_of(shape: ModelShape, stage: Stage, bytes_each: int, on_gpu: bool) -> Memory:
    """Estimate the memory of a stage.

    Args:
        shape: The model.
        stage: The stage.
        bytes_each: Bytes of a number of the model's dtype.
        on_gpu: Whether it runs on a GPU; statistics stay on the CPU then.
    """
    counted, stack = stage.counted, shape.decoder
    tokens = counted.most_tokens
    forward = bytes_each * tokens * (4 * stack.d_model + 3 * stack.d_mlp + stack.attention)
    forward += bytes_each * tokens * stack.keys * stack.layers
    forward += bytes_each * counted.most_pairs + 8 * counted.most_read * shape.vocabulary
    if stage.name == "record":
        forward += 8 * tokens * stack.d_mlp
    if stage.backward:
        layer = 6 * stack.d_model + 6 * stack.d_mlp + 3 * stack.attention
        forward += bytes_each * tokens * layer * stack.layers
    kept = 0 if on_gpu else 2 * stage.kept
    process = CONTEXT if on_gpu else PROCESS
    return Memory(shape.parameters * bytes_each, int(forward), kept, process)


__all__ = ["Memory", "memory_of"]
