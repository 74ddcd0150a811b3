"""Questions -> training examples: a prompt followed by its answer, the loss on the answer only.

The answer is what scoring reads: the token of the right option's label, or the tokens of the
option's text where options are not shown. The loss of a batch is

    - 1/N sum_i sum_t log P(a_{i,t} | prompt_i, a_{i,<t})

over the N answer tokens of its rows; prompts are not trained on (CULNIG, section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.benchmarks.table import questions_from_table
from culture_lens.errors import InputError, warn
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.models.encoder_decoder import decoder_inputs
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.prompts.reader import Reader
from culture_lens.questions.question import Question, check_questions
from culture_lens.questions.unseen import apart, looked_at

IGNORED = -100


@dataclass(frozen=True, eq=False)
class Example:
    """A prompt that ends before the last token of its answer, and the answer's tokens.

    Attributes:
        prompt: The prompt with all but the last token of the answer.
        answer: The answer's token ids.
    """

    prompt: Prompt
    answer: tuple[int, ...]


def as_questions(dataset: Any) -> list[Question]:
    """Give questions as they are, and read those of a table.

    A table needs a question, options and an answer in each row; without a column for the culture
    every row belongs to ``"task"``.

    Args:
        dataset: Questions, or what ``questions_from_table`` reads: a file, a DataFrame, a
            ``datasets.Dataset`` or dicts.

    Raises:
        InputError: Nothing in it, a question twice, or a row without an answer.

    Example:
        >>> rows = [{"question": "2 + 2?", "options": ["3", "4"], "answer": "4"}]
        >>> as_questions(rows)[0].culture
        'task'
    """
    if isinstance(dataset, (list, tuple)) and all(isinstance(q, Question) for q in dataset):
        questions = list(dataset)
    else:
        frame = as_frame(dataset)
        if "culture" not in frame:
            frame = frame.assign(culture="task")
        questions = questions_from_table(frame, benchmark="task")
    check_questions(questions, min_cultures=1)
    return questions


def make_examples(
    model: LensModel,
    questions: Sequence[Question],
    scoring: str | None = None,
    *,
    too_long: str = "error",
    progress: bool = True,
) -> list[Example]:
    """Turn questions into training examples.

    Args:
        model: The model that is to be trained.
        questions: What to ask.
        scoring: How answers are read, which decides what the answer is.
        too_long: What to do with prompts longer than the context; see ``build_prompts``.
        progress: Show a progress bar where pictures are read.

    Raises:
        InputError: Labels that are not single tokens, or prompts that are too long.

    Example:
        ``make_examples(model, questions, "letter")[0].answer``
    """
    style = get_scoring(scoring or model.scoring).style
    prompts = build_prompts(
        questions,
        model.processor,
        style=style,
        context=model.context,
        too_long=too_long,
        progress=progress,
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    return [make_example(prompt, model.processor) for prompt in prompts]


def make_example(prompt: Prompt, reader: Reader) -> Example:
    """Append the right answer to a prompt."""
    gold = prompt.question.answer
    if prompt.style == "choices":
        answer: tuple[int, ...] = (label_ids(prompt, reader)[gold],)
    else:
        answer = prompt.continuations[gold]
    begun = answer[:-1]
    if prompt.decoder_ids:
        return Example(replace(prompt, decoder_ids=prompt.decoder_ids + begun), answer)
    roles = prompt.roles + (int(Role.ANSWER_PREFIX),) * len(begun)
    return Example(replace(prompt, ids=prompt.ids + begun, roles=roles), answer)


def to_batch(examples: Sequence[Example], pad_id: int) -> dict[str, Any]:
    """Pad examples on the left into a batch; answers are aligned at the right.

    Returns:
        The batch, and ``answers``: token ids, ``row pos``, -100 where there is none.
    """
    width = max(len(example.answer) for example in examples)
    answers = torch.full((len(examples), width), IGNORED)
    for row, example in enumerate(examples):
        answers[row, width - len(example.answer) :] = torch.tensor(example.answer)
    return {"batch": collate([example.prompt for example in examples], pad_id), "answers": answers}


def last_logits(
    model: LensModel, plain: Any, batch: Batch, width: int
) -> Float[Tensor, "row pos vocab"]:
    """Run a batch through a plain model and give the logits at its last positions.

    Pictures go through the tower of the loaded model, which is not trained, so that each runs once.

    Args:
        model: The loaded model, which reads prompts and pictures.
        plain: The plain model that is trained.
        batch: The batch.
        width: How many positions from the end.
    """
    device = next(plain.parameters()).device
    ids, mask = batch.input_ids.to(device), batch.attention_mask.to(device)
    options: dict[str, Any] = {"attention_mask": mask, "use_cache": False}
    if plain.config.is_encoder_decoder:
        decoder_ids, decoder_mask = decoder_inputs(batch, model.pad_id)
        options["decoder_input_ids"] = decoder_ids.to(device)
        options["decoder_attention_mask"] = decoder_mask.to(device)
    else:
        options["logits_to_keep"] = width
        options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    options |= model.vision.arguments(batch)
    logits: Tensor = plain(input_ids=ids, **options).logits
    return logits[:, -width:]


def answer_loss(
    logits: Float[Tensor, "row pos vocab"], answers: Int[Tensor, "row pos"]
) -> Float[Tensor, ""]:
    """Average the cross-entropy over the answer tokens of a batch, in float32 at least.

    Example:
        >>> round(float(answer_loss(torch.zeros(1, 1, 4), torch.tensor([[2]]))), 3)
        1.386
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.nn.functional.cross_entropy(
        wide.flatten(0, 1), answers.to(logits.device).flatten(), ignore_index=IGNORED
    )


def untrained(
    *, trained: Sequence[Question], **asked: Sequence[Question]
) -> dict[str, list[Question]]:
    """Leave out of each set the questions that share a question group with one trained on.

    Raises:
        InputError: A set has no questions left.

    Warns:
        CultureLensWarning: How many are left out.
    """
    left = {name: apart(questions, looked_at(trained)) for name, questions in asked.items()}
    for name, questions in asked.items():
        lost = len(questions) - len(left[name])
        if not left[name]:
            raise InputError(
                f"no questions are left in {name}: all {len(questions)} share a question group "
                "with one that is trained on; give others."
            )
        if lost:
            warn(
                f"{lost} of {len(questions)} questions in {name} share a question group with one "
                "that is trained on and are not asked."
            )
    return left
