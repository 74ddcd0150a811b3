"""A penalty on changed activations of some neurons.

With a the activations of the model in training and b those of the model before training, at the
same tokens,

    penalty = 1/(N T) sum_n sum_t (a[n,t] - b[n,t])^2

over the N neurons and the T tokens of a batch that are not padding. Neurons at ``act`` are read
behind the activation function, those at a projection before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.finetune.projections import Projection, projection_of
from culture_lens.models.lens_model import LensModel, Place
from culture_lens.models.sites import part_of
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Batch

KEPT_SITES = ("act", "gate", "up", "q", "k", "v")
ACTIVATIONS = ("act_fn", "activation_fn", "act")


class Keeper:
    """Measures how far the activations of some neurons have moved.

    Args:
        model: The loaded model, which is not trained; it gives the activations before.
        plain: The plain model in training.
        places: Its projections; see ``projections_of``.
        neurons: The neurons to keep.

    Raises:
        InputError: Neurons at a site that is not the output of a projection.

    Example:
        ``Keeper(model, plain, projections_of(model, plain), found["Japan"])``
    """

    def __init__(
        self,
        model: LensModel,
        plain: Any,
        places: dict[tuple[str, int], Projection],
        neurons: Neurons,
    ) -> None:
        """Look up the module and the output of each neuron."""
        self.model = model
        self.indices: dict[Place, Tensor] = {}
        self.read: dict[Place, tuple[Any, Tensor, Any]] = {}
        for site, where in neurons.places.items():
            if part_of(site) not in KEPT_SITES:
                raise InputError(
                    f"the activations of site {site!r} cannot be kept: give neurons at "
                    f"{', '.join(KEPT_SITES)}."
                )
            for layer in sorted(set(where[:, 0].tolist())):
                own = where[where[:, 0] == layer, 1]
                projection = places[projection_of(site), layer]
                module = plain.get_submodule(projection.path)
                then = None
                if part_of(site) == "act":
                    parent = plain.get_submodule(projection.path.rpartition(".")[0])
                    then = next(getattr(parent, n) for n in ACTIVATIONS if hasattr(parent, n))
                self.indices[site, layer] = own
                self.read[site, layer] = (module, own + projection.start, then)
        self.seen: dict[Place, Tensor] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record the activations of the model in training, with their gradients."""
        self.seen.clear()
        handles = []
        for place, (module, outputs, then) in self.read.items():
            handles.append(module.register_forward_hook(self._note(place, outputs, then)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, place: Place, outputs: Tensor, then: Any) -> Any:
        def note(_module: Any, _inputs: Any, output: Tensor) -> None:
            chosen = output[..., outputs.to(output.device)]
            self.seen[place] = chosen if then is None else then(chosen)

        return note

    def before(self, batch: Batch) -> dict[Place, Tensor]:
        """Give the activations before training."""
        found: dict[Place, Tensor] = {}

        def keeper(place: Place) -> Any:
            def keep(activation: Tensor, hook: Any) -> None:
                found[place] = activation.flatten(2)[..., self.indices[place].to(activation.device)]

            return keep

        hooks = [(self.model.hook_name(*place), keeper(place)) for place in self.read]
        with self.model.hooks(hooks):
            self.model.logits(batch)
        return {place: tensor.clone() for place, tensor in found.items()}

    def penalty(self, batch: Batch) -> Float[Tensor, ""]:
        """Give the mean squared change over neurons and tokens of the batch just recorded."""
        total, count = torch.zeros(()), 0
        for place, was in self.before(batch).items():
            now = self.seen[place]
            tokens = self.model.token_mask(batch, place[0]).to(now.device).bool()
            moved = (now - was.to(now.device))[tokens].float()
            total = total.to(now.device) + moved.square().sum()
            count += moved.numel()
        return total / max(count, 1)
