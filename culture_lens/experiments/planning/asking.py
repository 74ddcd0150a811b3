"""What is asked: prompts of a benchmark, with a model's tokenizer or with a stand-in for it.

A stand-in cuts the UTF-8 of a text into tokens of four bytes, which is about what the tokenizers of
recent models make of English; equal beginnings stay equal, so that what is shared is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from zlib import crc32

from culture_lens.checks import check_fields, optional, refused, whole
from culture_lens.errors import InputError
from culture_lens.experiments.planning.pictures import Settings, picture_count
from culture_lens.experiments.planning.shape import ModelShape
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.layout import fill_layout
from culture_lens.prompts.prompt import Prompt, Role, Style
from culture_lens.questions.images import LazyImage
from culture_lens.questions.question import PromptFormat, Question

BYTES_PER_TOKEN = 4
TEMPLATE_TOKENS = 20
"""What a stand-in takes a token to be, and a chat template to have."""
SAMPLE = 512
"""Questions of each pass that are looked at; what more there are counts in proportion."""


@dataclass(frozen=True)
class Counts:
    """A benchmark in numbers, where its questions are not at hand.

    Attributes:
        items: Questions that identify and that evaluate, together.
        cultures: Cultures that they ask about.
        tokens: Tokens of a prompt that shows its options, without the tokens of a picture.
        options: Options of a question.
        option_tokens: Tokens of an option.
        picture: Width and height of a picture in pixels; None without pictures.
        per_picture: Questions on one picture.

    Raises:
        InputError: A number below 1, or a prompt too short for its options.

    Example:
        >>> Counts(items=10_000, cultures=25, picture=(640, 480)).per_picture
        1
    """

    items: int
    cultures: int
    tokens: int = 100
    options: int = 4
    option_tokens: int = 4
    picture: tuple[int, int] | None = None
    per_picture: int = 1

    def __post_init__(self) -> None:
        """Refuse what no benchmark has."""
        numbers = ("items", "cultures", "tokens", "options", "option_tokens", "per_picture")
        check_fields(self, **dict.fromkeys(numbers, whole(1)), picture=optional(two_lengths))
        if self.question_tokens < 1:
            raise InputError(
                f"tokens={self.tokens}: a prompt with its template ({TEMPLATE_TOKENS} tokens) and "
                f"{self.options} options has at least "
                f"{self.tokens - self.question_tokens + 1}."
            )
        if self.cultures > self.items:
            raise InputError(f"cultures={self.cultures}: {self.items} items cannot ask of so many.")

    @property
    def question_tokens(self) -> int:
        """Tokens of a question without template and options."""
        return self.tokens - TEMPLATE_TOKENS - self.options * (self.option_tokens + 1)

    def questions(self) -> list[Question]:
        """Make questions of these lengths; up to ``SAMPLE`` of each half, in proportion."""
        made = min(self.items, 2 * SAMPLE)
        form = PromptFormat(instruction="", layout="{question}{options}")
        return [self._question(number, form) for number in range(made)]

    def _question(self, number: int, form: PromptFormat) -> Question:
        of = number // self.per_picture
        image = LazyImage("a plan", f"picture {of}", f"{of}".encode()) if self.picture else None
        words = words_of(f"q{number}", self.question_tokens)
        return Question(
            id=f"{number}",
            culture=f"culture {number % self.cultures}",
            text=words,
            options=tuple(
                words_of(f"o{number}-{option}", self.option_tokens)
                for option in range(self.options)
            ),
            answer=0,
            group=f"{of}",
            benchmark="counts",
            prompt=form,
            image=image,
        )


def two_lengths(name: str, value: object) -> tuple[int, int]:
    """Check for the width and height of a picture."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise refused(name, value, "the width and height of a picture, such as (640, 480)")
    return whole(1)(f"{name}[0]", value[0]), whole(1)(f"{name}[1]", value[1])


def words_of(seed: str, tokens: int) -> str:
    """Write words that a stand-in cuts into so many tokens.

    Example:
        >>> len(stand_in_ids(words_of("a", 7)))
        7
    """
    return "".join(f"{crc32(f'{seed} {at}'.encode()) % 1000:03d} " for at in range(tokens))[:-1]


def stand_in_ids(text: str) -> tuple[int, ...]:
    """Cut a text into tokens of four bytes."""
    data = text.encode()
    cuts = range(0, len(data), BYTES_PER_TOKEN)
    return tuple(crc32(data[at : at + BYTES_PER_TOKEN]) for at in cuts)


@dataclass(frozen=True, eq=False)
class Asking:
    """Makes the prompts of a plan.

    Attributes:
        shape: The model.
        reader: What it reads with; None for a stand-in.
        settings: Settings of its image processor, where they are known.
        picture: Width and height of all pictures, where they are not at hand.
    """

    shape: ModelShape
    reader: Any = None
    settings: Settings | None = None
    picture: tuple[int, int] | None = None

    def prompts(self, questions: Sequence[Question], style: Style) -> list[Prompt]:
        """Make prompts, with continuations or labels.

        Raises:
            InputError: What ``build_prompts`` refuses.
        """
        make = partial(self._stand_in, style=style)
        if self.reader is not None:
            make = partial(build_prompt, processor=self.reader, style=style)
        return [with_labels(make(question)) for question in questions]

    def _stand_in(self, question: Question, style: Style) -> Prompt:
        message, _ = fill_layout(question, style)
        ids = tuple(range(TEMPLATE_TOKENS))
        roles = [int(Role.TEMPLATE)] * len(ids)
        if question.image is not None:
            found = picture_count(self.shape, *self.size(question.image), self.settings)
            ids += (0,) * (found.tokens + found.marks)
            roles += [int(Role.IMAGE)] * found.tokens + [int(Role.TEMPLATE)] * found.marks
        text = stand_in_ids(message + question.prompt.answer_prefix)
        ids += text
        roles += [int(Role.QUESTION)] * len(text)
        prompt = Prompt(question, message, ids, tuple(roles), style)
        if self.shape.encoder is not None:
            prompt = replace(prompt, decoder_ids=(0,))
        if style == "choices":
            return prompt
        return replace(prompt, continuations=tuple(map(stand_in_ids, question.options)))

    def size(self, image: LazyImage) -> tuple[int, int]:
        """Give the width and height of a picture."""
        return self.picture or image.size


def with_labels(prompt: Prompt) -> Prompt:
    """Give a prompt a token for each option where options are read by letter: which, is alike."""
    if prompt.continuations:
        return prompt
    return replace(prompt, labels=tuple(range(len(prompt.question.options))))


def sampled(questions: Sequence[Question], most: int = SAMPLE) -> list[Question]:
    """Take questions evenly, the variants of a question together.

    Example:
        ``len(sampled(questions)) <= 512``
    """
    if len(questions) <= most:
        return list(questions)
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.group, []).append(question)
    step = math.ceil(len(questions) / most)
    return [question for name in list(groups)[::step] for question in groups[name]]


__all__ = ["Asking", "Counts", "sampled"]
