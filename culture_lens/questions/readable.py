"""Leave out questions whose image cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.checks import check_arguments, flag
from culture_lens.errors import InputError, warn
from culture_lens.questions.images import as_image
from culture_lens.questions.question import QUESTIONS, Question


@check_arguments(questions=QUESTIONS, progress=flag)
def readable(questions: Sequence[Question], *, progress: bool = True) -> list[Question]:
    """Decode every image, and leave out the questions whose image cannot be read.

    Args:
        questions: Questions with or without images; those without stay.
        progress: Show a progress bar.

    Warns:
        CultureLensWarning: How many images cannot be read, with the reason of the first; or that
            images have more than one frame.

    Example:
        ``questions = readable(load_benchmark("cvqa"))``
    """
    from culture_lens.storage.progress import progress_bar

    kept: list[Question] = []
    problems: list[str] = []
    several = 0
    for question in progress_bar(questions, desc="reading images", unit="image", progress=progress):
        if question.image is not None:
            try:
                image = as_image(question.image, where=f"question {question.id!r}")
                image.open()
                several += image.frames > 1
            except InputError as error:
                problems.append(str(error))
                continue
        kept.append(question)
    pictured = len(problems) + sum(question.image is not None for question in kept)
    if problems:
        warn(
            f"left out {len(problems)} of {pictured} questions with images, which cannot be read; "
            f"the first: {problems[0]}"
        )
    if several:
        warn(f"{several} of {pictured} images have more than one frame; the first is used.")
    return kept
