"""transformers' Trainer with this package's batches, loss and checkpoints.

A checkpoint holds the parameters in training as safetensors, beside the optimiser, schedule and
random state that Trainer writes, so that a resumed training ends in the same weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainingArguments

from culture_lens.errors import InputError
from culture_lens.finetune.activation_penalty import Keeper
from culture_lens.finetune.examples import Example, answer_loss, last_logits, to_batch
from culture_lens.finetune.settings import Saving, Training
from culture_lens.models.lens_model import LensModel
from culture_lens.storage.files import load_tensors, save_tensors
from culture_lens.storage.progress import moving

WEIGHTS, KIND = "trainable.safetensors", "parameters in training"


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """Trainer with the loss on answers and the penalty on kept activations.

    Args:
        lens: The loaded model, which reads prompts and pictures.
        keeper: Measures how far the kept activations have moved, or None.
        keep_weight: Weight of that penalty.
        reference: Batches to measure it on; the training batch where there are none.
        **options: Options of ``Trainer``.
    """

    loss_is_scaled_for_ga = False  # a mean per batch

    def __init__(
        self,
        lens: LensModel,
        keeper: Keeper | None,
        keep_weight: float,
        reference: Sequence[dict[str, Any]],
        **options: Any,
    ) -> None:
        """Hand everything else to Trainer."""
        self.lens, self.keeper, self.keep_weight = lens, keeper, keep_weight
        self.reference = reference
        super().__init__(data_collator=partial(to_batch, pad_id=lens.pad_id), **options)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Give the loss on the answers plus the penalty on kept activations."""
        if self.keeper is None:
            return self.loss_on(model, inputs)
        with self.keeper.watching():
            loss = self.loss_on(model, inputs)
            watched = inputs
            if self.reference:
                watched = self.reference[self.state.global_step % len(self.reference)]
                self.loss_on(model, watched)
            return loss + self.keep_weight * self.keeper.penalty(watched["batch"]).to(loss.device)

    def loss_on(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Run a batch and give the loss on its answers."""
        answers = inputs["answers"]
        return answer_loss(
            last_logits(self.lens, model, inputs["batch"], answers.shape[1]), answers
        )

    def floating_point_ops(self, inputs: Any) -> int:
        """Give 0: Trainer's estimate needs inputs that these batches do not have."""
        return 0

    def trained(self) -> dict[str, Tensor]:
        """Give the parameters in training."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        held = {name: p.detach() for name, p in self.trained().items()}
        save_tensors(folder / WEIGHTS, KIND, held, {})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        own = self.trained()
        held, _ = load_tensors(Path(resume_from_checkpoint) / WEIGHTS, KIND)
        if held.keys() != own.keys():
            raise InputError(
                f"{resume_from_checkpoint} is of a training of other parameters: delete it."
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(held[name])


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the global random states, which Trainer seeds."""
    python, numpy_state, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def run_trainer(
    lens: LensModel,
    plain: Any,
    examples: Sequence[Example],
    training: Training,
    saving: Saving,
    *,
    folder: Path,
    resume: str | None,
    keeper: Keeper | None,
    reference: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Train a plain model in place.

    Args:
        lens: The loaded model, which reads prompts and pictures.
        plain: The plain model, whose trainable parameters take gradients.
        examples: The task.
        training: How it is trained.
        saving: Checkpoints, logging, progress.
        folder: Where Trainer writes.
        resume: The checkpoint to go on from, or None.
        keeper: Measures how far the kept activations have moved, or None.
        reference: Batches to measure it on.

    Returns:
        Step, epoch, loss, gradient norm and learning rate of every step.
    """
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.accumulate,
        learning_rate=training.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,  # decay would move what no gradient moves
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        seed=training.seed,
        optim="adamw_torch",
        bf16=training.mixed_precision,
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="steps" if saving.save_every else "no",
        save_steps=saving.save_every or 500,
        save_total_limit=2,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=saving.report_to,
        disable_tqdm=not moving(saving.progress),
        use_cpu=lens.device.type == "cpu",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process, one device
    plain.train()
    trainer = AnswerTrainer(
        lens,
        keeper,
        training.keep_weight,
        reference,
        model=plain,
        args=arguments,
        train_dataset=list(examples),
        callbacks=list(saving.callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=resume)
    plain.eval()
    return [entry for entry in trainer.state.log_history if "loss" in entry]
