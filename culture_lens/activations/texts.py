"""Summaries of plain texts: corpora per culture or language, as LAPE's and CAPE's papers use.

Every token of a text counts but a BOS and an end-of-sequence token that the tokenizer puts there.
Texts are read in small groups, so that a corpus may be longer than memory: give an iterator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.activations.record import Recording, RecordingOptions, record_activations
from culture_lens.activations.resampling import design_of
from culture_lens.activations.statistics import ActivationStatistics
from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import SEED, check_arguments, flag, whole
from culture_lens.errors import InputError, warn
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.running import BATCH_SIZE, Running, TooLong, read_options
from culture_lens.prompts.tokens import encode
from culture_lens.questions.question import Question
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    Texts = Mapping[str, Iterable[str]]
else:
    Texts = Any  # a wrong kind reaches the check that says the right one

NEVER_SHOWN = ("-", "+")
"""Options that every Question must have; a text has none."""
BATCHES_AT_ONCE = 16
"""Batches whose texts are held and sorted by length together."""


@check_arguments(model=MODEL, replicates=whole(0), seed=SEED, progress=flag)
def summarise_texts(
    model: LensModel,
    texts: Texts,
    *,
    replicates: int = 0,
    seed: int = 0,
    too_long: TooLong = "error",
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
    **recording: Unpack[RecordingOptions],
) -> ActivationSummary:
    """Run plain texts through the model once and summarise activations per culture.

    Args:
        model: The model; of an encoder-decoder, texts are what its encoder reads.
        texts: The texts of each culture: ``{"Japan": [...], "Italy": [...]}``. Each text is one
            item; no chat template is used.
        replicates: Number of permutations of the labels among texts, and of bootstrap samples of
            texts, for ``infer`` and ``selection_frequency``. Texts must then be lists, and must not
            depend on each other: give the pieces of one document as one text.
        seed: Draws the replicates.
        too_long: What to do with texts longer than the model's context: ``"error"``, ``"skip"`` or
            ``"truncate"``, which drops their end.
        batch_size: Texts per forward; halved where memory runs out. It changes no result.
        progress: Show progress bars.
        **recording: ``sites`` and ``magnitudes`` of ``Recording``.

    Raises:
        InputError: Fewer than two cultures, a culture without a text, a text that is empty or holds
            the placeholder of a picture, one that is too long, or activations that are NaN.

    Example:
        ``select(summarise_texts(model, {"Japan": texts_ja, "Italy": texts_it}), "lape")``
    """
    check_texts(texts)
    if "roles" in recording:
        raise InputError("roles= is for questions: of a plain text all tokens count.")
    sites = read_options(recording, Recording)[0].chosen(model)
    Running(batch_size=batch_size, too_long=too_long)  # refuses what no pass can run with
    design = None
    if replicates:
        design = design_of(stand_ins(texts), replicates, None, seed)
    statistics = ActivationStatistics(design)
    read = prompts_of(model, texts, too_long)
    counted = 0
    while some := list(islice(read, BATCHES_AT_ONCE * batch_size)):
        counted += len(some)
        record_activations(
            model, some, into=statistics, batch_size=batch_size, progress=progress, **recording
        )
    summary = statistics.summary(
        {
            "model": model.name,
            "revision": model.revision,
            "weights": model.fingerprint,
            **model.units_facts(sites),
            "dtype": str(model.dtype),
            "benchmark": "texts",
            "style": "text",
            "roles": [int(Role.QUESTION)],
            "only_correct": False,
            "strata": [],
            "replicates": replicates,
            "items": counted,
            "groups": [],
            "versions": versions(),
        }
    )
    if lacking := sorted(set(texts) - set(summary.cultures)):
        raise InputError(f"no text of {', '.join(lacking)} was counted: give some that fit.")
    return summary


def check_texts(texts: Texts) -> None:
    """Refuse what is not texts of several cultures, before anything runs.

    Raises:
        InputError: Names what is wrong.
    """
    if not isinstance(texts, Mapping) or not all(texts):
        raise InputError('give texts by culture: {"Japan": [...], "Italy": [...]}.')
    if len(texts) < 2:
        raise InputError(
            f"{len(texts)} cultures have texts: at least 2 are needed, because a culture's neurons "
            "are found by comparison."
        )
    for culture, own in texts.items():
        if isinstance(own, (str, bytes)) or not isinstance(own, Iterable):
            raise InputError(f"texts of {culture!r}: give a list of texts, not one text.")
        if isinstance(own, Sequence) and not own:
            raise InputError(f"texts of {culture!r}: the list is empty.")


def stand_ins(texts: Texts) -> list[Question]:
    """Name the items that labels are exchanged among: each text, a group of its own.

    Raises:
        InputError: An iterator, whose texts cannot be counted beforehand.
    """
    found = []
    for culture, own in texts.items():
        if not isinstance(own, Sequence):
            raise InputError(
                f"texts of {culture!r}: replicates need lists, since labels are exchanged among "
                "texts that must be counted first."
            )
        found += [stand_in(culture, number) for number in range(len(own))]
    return found


def stand_in(culture: str, number: int) -> Question:
    """Make the Question that stands for a text in records."""
    return Question(f"{culture}/{number}", culture, "", NEVER_SHOWN, 0, benchmark="texts")


def prompts_of(model: LensModel, texts: Texts, too_long: str) -> Iterator[Prompt]:
    """Tokenise texts one after the other, those of a culture together.

    Yields:
        A prompt whose every token counts but BOS and end-of-sequence token.

    Raises:
        InputError: A text that cannot be read, or is too long.
    """
    left = dict.fromkeys(texts, 0)
    for culture, own in texts.items():
        for number, text in enumerate(own):
            prompt = as_prompt(model, text, stand_in(culture, number))
            excess = len(prompt.ids) - model.context
            if excess > 0 and too_long == "error":
                raise InputError(
                    f"text {number} of {culture!r} has {len(prompt.ids)} tokens, more than the "
                    f"context of {model.context}: cut it, or pass too_long='skip' or 'truncate'."
                )
            if excess > 0:
                left[culture] += 1
                if too_long == "skip":
                    continue
                prompt = cut(prompt, model.context)
            yield prompt
    if any(left.values()):
        verb = "left out" if too_long == "skip" else "cut at their end"
        said = ", ".join(f"{count} of {culture}" for culture, count in left.items() if count)
        warn(f"texts longer than the context of {model.context} tokens were {verb}: {said}.")


def cut(prompt: Prompt, length: int) -> Prompt:
    """Drop the end of a text, but not an end-of-sequence token behind it."""
    ends = int(prompt.roles[-1] == Role.TEMPLATE)
    kept = [*range(length - ends), *range(len(prompt.ids) - ends, len(prompt.ids))]
    return replace(
        prompt,
        ids=tuple(prompt.ids[i] for i in kept),
        roles=tuple(prompt.roles[i] for i in kept),
    )


def as_prompt(model: LensModel, text: Any, question: Question) -> Prompt:
    """Make the prompt of a plain text.

    Raises:
        InputError: The text is not text, is empty, or holds the placeholder of a picture.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"text {question.id!r} is {text!r}: give texts that are not empty.")
    ids, offsets = encode(text, model.tokenizer)
    if getattr(model.processor, "image_token_id", None) in ids:
        raise InputError(
            f"text {question.id!r} holds the model's image token: take it out of the text."
        )
    written = [end > start for start, end in offsets]
    roles = [int(Role.QUESTION if own else Role.TEMPLATE) for own in written]
    return model.processor.finish(Prompt(question, text, tuple(ids), tuple(roles), "choices"))


__all__ = ["summarise_texts"]
