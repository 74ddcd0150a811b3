"""finetune: train chosen modules, neurons or LoRA on a task and leave everything else alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.finetune.activation_penalty import Keeper
from culture_lens.finetune.examples import as_questions, make_examples, to_batch
from culture_lens.finetune.lora import add_lora, merge_lora
from culture_lens.finetune.masks import (
    Mask,
    all_parameters,
    apply_masks,
    combined,
    modules_masks,
    n_trainable,
    neurons_masks,
)
from culture_lens.finetune.modules import ModuleChoice, RankedModule
from culture_lens.finetune.projections import Projection, projections_of
from culture_lens.finetune.saving import CHECKPOINTS, last_checkpoint, open_folder, save_checkpoint
from culture_lens.finetune.settings import check_report_to, check_training, describe
from culture_lens.finetune.unwrap import plain_copy
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model, n_parameters
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.questions.question import benchmarks_of
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

Modules = ModuleChoice | Iterable[RankedModule] | str
LEARNING_RATE = 3e-5
ALL = "all"


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A model that was fine-tuned.

    Attributes:
        model: The model, loaded and ready for everything else in this package.
        folder: Where it was saved, or nothing.
        settings: What it was made with.
        result: ``trained`` and ``total`` parameters, ``steps``, first and last loss, the log.

    Example:
        ``finetune(model, load_benchmark("mrpc"), chosen).log()``
    """

    model: LensModel
    folder: Path | None
    settings: dict[str, Any] = field(repr=False)
    result: dict[str, Any] = field(repr=False)

    def log(self) -> pd.DataFrame:
        """Lay out loss, gradient norm and learning rate of every step."""
        import pandas as pd

        return pd.DataFrame(self.result["log"])


def finetune(
    model: LensModel | str | Path,
    dataset: Any,
    modules: Modules = ALL,
    *,
    protect: Neurons | None = None,
    only: Neurons | None = None,
    keep: Neurons | None = None,
    keep_weight: float = 1.0,
    keep_on: Any = None,
    lora_rank: int | None = None,
    scoring: str | None = None,
    learning_rate: float = LEARNING_RATE,
    epochs: float = 1.0,
    max_steps: int | None = None,
    batch_size: int = 8,
    accumulate: int = 1,
    seed: int = 0,
    mixed_precision: bool = False,
    too_long: str = "error",
    folder: str | Path | None = None,
    save_every: int | None = None,
    report_to: str = "none",
    progress: bool = True,
    callbacks: Sequence[Any] = (),
) -> FineTuned:
    """Train some modules, or some neurons, on a task (CULNIG, section 6).

    AdamW without weight decay at a constant learning rate, the loss on answer tokens only. What is
    not chosen stays bit for bit as it was. The model given is not changed: a copy is trained, so
    that twice its memory is needed.

    Args:
        model: The model, or a name or path to load.
        dataset: The task: questions of any benchmark, or a table that ``questions_from_table``
            reads.
        modules: What ``choose_modules`` gave, some of its modules, or ``"all"`` for the whole
            language model; a vision tower is never trained.
        protect: Neurons whose weights stay as they are: their rows of the gate and up projections
            and their columns of the down projection, or their rows of q, k, v.
        only: Train the weights of these neurons only, as far as they are in ``modules``.
        keep: Neurons whose activations are to stay; the mean squared change is added to the loss.
        keep_weight: How much that counts.
        keep_on: Questions or a table on which activations are to stay; the task's own if left out.
        lora_rank: Train LoRA of this rank in the place of the weights, with alpha twice the
            rank, and merge it; on every projection where ``modules`` is ``"all"``. Needs peft.
        scoring: How answers will be read, which decides what is trained: the label's token, or
            under ``option_likelihood`` the right option's text. The model's own by default.
        learning_rate: CULNIG takes 3e-5.
        epochs: How often each question is seen.
        max_steps: Stop after so many steps, whatever ``epochs`` says.
        batch_size: Questions per forward.
        accumulate: Batches per step.
        seed: Order of the questions, dropout, LoRA's first weights.
        mixed_precision: Compute in bfloat16 while weights stay in float32.
        too_long: What to do with prompts longer than the context; see ``build_prompts``.
        folder: Where the model is saved as an ordinary Hugging Face checkpoint with a card. A
            finished training is found again there, an interrupted one goes on.
        save_every: Steps between checkpoints of the training; needs ``folder``.
        report_to: ``"none"``, ``"tensorboard"`` (into ``folder/runs``), ``"wandb"`` or whatever
            else Trainer knows.
        progress: Show progress bars.
        callbacks: More of Trainer's callbacks.

    Returns:
        The trained model with what was done. Saved, it is named by its folder; else it keeps its
        name, so that neurons found before fit it, with a warning.

    Raises:
        InputError: No questions, labels that are not single tokens, modules or neurons that the
            model lacks, nothing to train, a setting out of range, or a folder with something else.

    Example:
        ``finetune(model, load_benchmark("qnli"), choose_modules(ranking, "bottom"))``
    """
    # Here, for it brings transformers' Trainer, which choosing modules needs not.
    from culture_lens.finetune.trainer import kept_random_state, run_trainer

    lens = model if isinstance(model, LensModel) else load_model(model)
    if save_every is not None and (folder is None or save_every < 1):
        raise InputError("save_every= is a number of steps from 1 on, and needs folder=.")
    if keep_on is not None and keep is None:
        raise InputError("keep_on= says where to keep neurons: give them as keep=.")
    if lora_rank is not None and (protect is not None or only is not None):
        raise InputError("LoRA changes whole modules: give protect= or only= without lora_rank.")
    training = {
        "learning_rate": learning_rate,
        "epochs": epochs,
        "max_steps": max_steps or 0,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "seed": seed,
        "mixed_precision": mixed_precision,
        "keep_weight": keep_weight if keep is not None else 0.0,
        "lora_rank": lora_rank,
    }
    check_training(lens, training)
    check_report_to(report_to, folder)
    questions = as_questions(dataset)
    reading: dict[str, Any] = {"too_long": too_long, "progress": progress}
    examples = make_examples(lens, questions, scoring, **reading)
    held_on = [] if keep_on is None else as_questions(keep_on)
    reference = make_examples(lens, held_on, scoring, **reading) if held_on else []
    chosen = chosen_modules(modules)
    neurons = {"protect": protect, "only": only, "keep": keep}
    settings = {
        **describe(lens, examples, reference, neurons),
        "task": benchmarks_of(questions),
        "scoring": get_scoring(scoring or lens.scoring).name,
        **training,
        "modules": [] if chosen is None else [asdict(p) | {"neurons": n} for p, n in chosen],
    }
    where, record = (None, {}) if folder is None else open_folder(folder, settings)
    if where is not None and "result" in record:
        found = load_model(str(where), dtype=lens.dtype, device=lens.device)
        return FineTuned(found, where, settings, record["result"])
    plain = plain_copy(lens)
    places = projections_of(lens, plain)
    with kept_random_state(), tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(seed)
        if lora_rank is not None:
            wanted = list(places.values()) if chosen is None else [p for p, _ in chosen]
            tuner, masks = add_lora(plain, wanted, lora_rank)
        else:
            tuner, masks = None, masks_of(plain, places, chosen, protect, only)
        handles = apply_masks(plain, masks)
        log = run_trainer(
            lens,
            plain,
            examples,
            settings,
            folder=Path(scratch) if where is None else where / CHECKPOINTS,
            resume=None if where is None else last_checkpoint(where),
            save_every=save_every,
            keeper=None if keep is None else Keeper(lens, plain, places, keep),
            reference=[
                to_batch(reference[start : start + batch_size], lens.pad_id)
                for start in range(0, len(reference), batch_size)
            ],
            report_to=report_to,
            progress=progress,
            callbacks=callbacks,
        )
        for handle in handles:
            handle.remove()
        plain = plain if tuner is None else merge_lora(tuner)
    plain.zero_grad()
    total, trained = n_parameters(plain), n_trainable(masks)
    result = {
        "trained_parameters": trained,
        "total_parameters": total,
        "trained_share": trained / total,
        "steps": log[-1]["step"],
        "first_loss": log[0]["loss"],
        "last_loss": log[-1]["loss"],
        "log": log,
        "versions": versions(),
    }
    if where is not None:
        save_checkpoint(where, plain, lens, {"settings": settings, "result": result})
    return FineTuned(wrapped(plain, lens, where), where, settings, result)


def masks_of(
    plain: Any,
    places: dict[tuple[str, int], Projection],
    chosen: list[tuple[Projection, int]] | None,
    protect: Neurons | None,
    only: Neurons | None,
) -> dict[str, Mask]:
    """Say which entries of which parameters may change."""
    return combined(
        all_parameters(plain) if chosen is None else modules_masks(plain, [p for p, _ in chosen]),
        only=None if only is None else neurons_masks(plain, places, only),
        protect=None if protect is None else neurons_masks(plain, places, protect),
    )


def chosen_modules(modules: Modules) -> list[tuple[Projection, int]] | None:
    """List the projections to train with the neurons they hold; nothing for the whole model.

    Raises:
        InputError: No modules, or something else.
    """
    if isinstance(modules, str):
        if modules != ALL:
            raise InputError(f"modules={modules!r}: give what choose_modules gave, or 'all'.")
        return None
    given = modules.modules if isinstance(modules, ModuleChoice) else list(modules)
    if not given or not all(isinstance(module, RankedModule) for module in given):
        raise InputError("modules= needs at least one module: give what choose_modules gave.")
    return [(module.projection, module.neurons) for module in given]


def wrapped(plain: Any, lens: LensModel, where: Path | None) -> LensModel:
    """Load a plain model in the place of the one it was made of."""
    vision = lens.vision
    reader: dict[str, Any] = {"tokenizer": lens.tokenizer}
    if vision is not None:
        reader = {"processor": vision.processor.processor, "image_memory": vision.memory}
    name = lens.name if where is None else str(where)
    return load_model(name, hf_model=plain, attention=lens.attention, **reader)
