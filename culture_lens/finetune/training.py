"""finetune: train chosen modules, neurons or LoRA on a task and leave everything else as it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import Unpack

from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.finetune.activation_penalty import Keeper
from culture_lens.finetune.examples import Example, as_questions, make_examples, to_batch
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
from culture_lens.finetune.settings import (
    FinetuneOptions,
    Saving,
    Training,
    check_together,
    describe_inputs,
    say_if_coarse,
)
from culture_lens.finetune.unwrap import plain_copy
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model, n_parameters
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.running import TooLong, read_options
from culture_lens.questions.question import benchmarks_of
from culture_lens.storage.display import Shown
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

Modules = ModuleChoice | Iterable[RankedModule] | str
ALL_MODULES = "all"


@dataclass(frozen=True, eq=False, repr=False)
class FineTuned(Shown):
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

    def to_pandas(self) -> pd.DataFrame:
        """Give the log: one row per step."""
        return self.log()

    def log(self) -> pd.DataFrame:
        """Lay out loss, gradient norm and learning rate of every step."""
        import pandas as pd

        return pd.DataFrame(self.result["log"])


@dataclass(frozen=True, eq=False)
class Job:
    """What one training works on, checked.

    Attributes:
        lens: The loaded model, which stays as it is.
        examples: The task.
        reference: Examples on which the activations of kept neurons are compared; the task's own
            where there are none.
        chosen: The projections to train with the neurons of their modules; None for the whole
            model.
        neurons: The neurons given as ``protect``, ``only`` and ``keep``.
    """

    lens: LensModel
    examples: Sequence[Example]
    reference: Sequence[Example]
    chosen: list[tuple[Projection, int]] | None
    neurons: Mapping[str, Neurons | None]


def finetune(
    model: LensModel | str | Path,
    dataset: Any,
    modules: Modules = ALL_MODULES,
    *,
    protect: Neurons | None = None,
    only: Neurons | None = None,
    keep: Neurons | None = None,
    keep_on: Any = None,
    scoring: str | None = None,
    too_long: TooLong = "error",
    **options: Unpack[FinetuneOptions],
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
        keep_on: Questions or a table on which activations are to stay; the task's own if left out.
        scoring: How answers will be read, which decides what is trained: the label's token, or
            under ``option_likelihood`` the right option's text. The model's own by default.
        too_long: What to do with prompts longer than the context; see ``Running``.
        **options: Learning rate, epochs, steps, batch size, seed, precision, LoRA; see
            ``Training``. Folder, checkpoints, logging, progress; see ``Saving``.

    Returns:
        The trained model with what was done. Saved, it is named by its folder; else it keeps its
        name, so that neurons found before fit it, with a warning.

    Raises:
        InputError: No questions, labels that are not single tokens, modules or neurons that the
            model lacks, nothing to train, an option out of range or unknown, or a folder with
            something else.

    Example:
        ``finetune(model, load_benchmark("qnli"), choose_modules(ranking, "bottom"))``
    """
    training, saving = read_options(options, Training, Saving)
    neurons = {"protect": protect, "only": only, "keep": keep}
    check_together(training, neurons, keep_on)
    lens = model if isinstance(model, LensModel) else load_model(model)
    say_if_coarse(lens, training)
    questions = as_questions(dataset)
    building: dict[str, Any] = {"too_long": too_long, "progress": saving.progress}
    reference = [] if keep_on is None else as_questions(keep_on)
    job = Job(
        lens,
        make_examples(lens, questions, scoring, **building),
        make_examples(lens, reference, scoring, **building) if reference else [],
        chosen_modules(modules),
        neurons,
    )
    settings = {
        **describe_inputs(lens, job.examples, job.reference, neurons),
        "task": benchmarks_of(questions),
        "scoring": get_scoring(scoring or lens.scoring).name,
        **described_training(training, keep),
        "modules": [asdict(p) | {"neurons": n} for p, n in job.chosen or ()],
    }
    where, record = (None, {}) if saving.folder is None else open_folder(saving.folder, settings)
    if where is not None and "result" in record:
        found = load_model(str(where), dtype=lens.dtype, device=lens.device)
        return FineTuned(found, where, settings, record["result"])
    plain, result = train_copy(job, training, saving, where)
    if where is not None:
        save_checkpoint(where, plain, lens, {"settings": settings, "result": result})
    return FineTuned(wrapped(plain, lens, where), where, settings, result)


def described_training(training: Training, keep: Neurons | None) -> dict[str, Any]:
    """Describe a training for the record; 0 stands for no limit of steps and for no penalty."""
    weight = 0.0 if keep is None else training.keep_weight
    return asdict(training) | {"max_steps": training.max_steps or 0, "keep_weight": weight}


def train_copy(
    job: Job, training: Training, saving: Saving, where: Path | None
) -> tuple[Any, dict[str, Any]]:
    """Train a plain copy of the model.

    Args:
        job: What is trained on what.
        training: How.
        saving: What is logged and shown.
        where: The folder of the training, or nothing.

    Returns:
        The trained plain model, and the result for the record.
    """
    # Imported lazily: pulls in transformers' Trainer.
    from culture_lens.finetune.trainer import kept_random_state, run_trainer

    lens = job.lens
    plain = plain_copy(lens)
    places = projections_of(lens, plain)
    keep = job.neurons["keep"]
    with kept_random_state(), tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(training.seed)
        tuner, masks = open_for_training(plain, places, job, training.lora_rank)
        handles = apply_masks(plain, masks)
        log = run_trainer(
            lens,
            plain,
            job.examples,
            training,
            saving,
            folder=Path(scratch) if where is None else where / CHECKPOINTS,
            resume=None if where is None else last_checkpoint(where),
            keeper=None if keep is None else Keeper(lens, plain, places, keep),
            reference=[
                to_batch(job.reference[start : start + training.batch_size], lens.pad_id)
                for start in range(0, len(job.reference), training.batch_size)
            ],
        )
        for handle in handles:
            handle.remove()
        plain = plain if tuner is None else merge_lora(tuner)
    plain.zero_grad()
    return plain, result_of(log, n_trainable(masks), n_parameters(plain))


def result_of(log: list[dict[str, Any]], trained: int, total: int) -> dict[str, Any]:
    """Lay out the result of a training: parameters, steps, losses, versions."""
    return {
        "trained_parameters": trained,
        "total_parameters": total,
        "trained_share": trained / total,
        "steps": log[-1]["step"],
        "first_loss": log[0]["loss"],
        "last_loss": log[-1]["loss"],
        "log": log,
        "versions": versions(),
    }


def open_for_training(
    plain: Any,
    places: dict[tuple[str, int], Projection],
    job: Job,
    lora_rank: int | None,
) -> tuple[Any, dict[str, Mask]]:
    """Choose which entries of which parameters may change, and add LoRA where it is asked for.

    Returns:
        What merges LoRA again, or None without it; the masks.
    """
    if lora_rank is not None:
        wanted = list(places.values()) if job.chosen is None else [p for p, _ in job.chosen]
        return add_lora(plain, wanted, lora_rank)
    only, protect = (
        None if neurons is None else neurons_masks(plain, places, neurons)
        for neurons in (job.neurons["only"], job.neurons["protect"])
    )
    if job.chosen is None:
        base = all_parameters(plain)
    else:
        base = modules_masks(plain, [projection for projection, _ in job.chosen])
    return None, combined(base, only=only, protect=protect)


def chosen_modules(modules: Modules) -> list[tuple[Projection, int]] | None:
    """List the projections to train with the neurons of their modules; None for the whole model.

    Raises:
        InputError: No modules, or something else.
    """
    if isinstance(modules, str):
        if modules != ALL_MODULES:
            raise InputError(f"modules={modules!r}: give what choose_modules gave, or 'all'.")
        return None
    given = modules.modules if isinstance(modules, ModuleChoice) else list(modules)
    if not given or not all(isinstance(module, RankedModule) for module in given):
        raise InputError("modules= needs at least one module: give what choose_modules gave.")
    return [(held, module.neurons) for module in given for held in module.projections]


def wrapped(plain: Any, lens: LensModel, where: Path | None) -> LensModel:
    """Load a trained plain model, with the tokenizer or processor of the one it was made from."""
    return load_model(
        lens.name if where is None else str(where),
        hf_model=plain,
        attention=lens.attention,
        image_memory=lens.vision.memory,
        **lens.processor.parts,
    )
