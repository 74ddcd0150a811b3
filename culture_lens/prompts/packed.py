"""PackedPrompts: many prompts in little memory, each unpacked when it is asked for.

A prompt with a picture has thousands of token ids, at 50 bytes a token as Python objects, and a
pass holds the prompts of all its questions. Packed, a prompt takes about as much as its text.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from culture_lens.checks import each
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

FASTEST = 1
"""zlib's level: the higher ones take longer and save little."""
PACKED = [field.name for field in fields(Prompt) if field.name != "question"]


class PackedPrompts(Shown, Sequence[Prompt]):
    """A sequence of prompts that holds them packed; every access makes a new ``Prompt``.

    Args:
        prompts: The prompts, packed one by one as they come.

    Example:
        ``build_prompts(questions, model.processor)[0].ids``
    """

    def __init__(self, prompts: Iterable[Prompt] = ()) -> None:
        """Pack the prompts."""
        self._held = [(prompt.question, pack(prompt)) for prompt in prompts]

    def _headline(self) -> str:
        return f"PackedPrompts: {len(self)} prompts"

    def _facts(self) -> Mapping[str, Any]:
        return {"cultures": sorted({question.culture for question in self.questions})}

    def to_pandas(self) -> pd.DataFrame:
        """List the prompts: question, culture, tokens of the prompt, whether it has a picture."""
        import pandas as pd

        rows = [
            (p.question.id, p.question.culture, len(p.ids), p.question.image is not None)
            for p in self
        ]
        return pd.DataFrame(rows, columns=["id", "culture", "tokens", "picture"])

    def __len__(self) -> int:
        """Count the prompts."""
        return len(self._held)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Prompt: ...

    @overload
    def __getitem__(self, at: slice) -> PackedPrompts: ...

    def __getitem__(self, at: SupportsIndex | slice) -> Prompt | PackedPrompts:
        """Unpack one prompt; a slice stays packed."""
        if isinstance(at, slice):
            return self.pick(range(*at.indices(len(self))))
        return unpack(*self._held[at])

    def __iter__(self) -> Iterator[Prompt]:
        """Unpack the prompts one by one."""
        return (unpack(*held) for held in self._held)

    def pick(self, places: Iterable[int]) -> PackedPrompts:
        """Give some of the prompts, packed."""
        chosen = PackedPrompts()
        chosen._held = [self._held[place] for place in places]
        return chosen

    @property
    def questions(self) -> list[Question]:
        """The prompts' questions, for which nothing is unpacked."""
        return [question for question, _ in self._held]


def pack(prompt: Prompt) -> bytes:
    """Write all of a prompt but its question as compressed JSON."""
    return zlib.compress(json.dumps([getattr(prompt, name) for name in PACKED]).encode(), FASTEST)


def unpack(question: Question, packed: bytes) -> Prompt:
    """Read what ``pack`` wrote."""
    values = dict(zip(PACKED, json.loads(zlib.decompress(packed)), strict=True))
    given: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    given["continuations"] = tuple(map(tuple, given["continuations"]))
    return Prompt(question, **given)


def picked(prompts: Sequence[Prompt], places: Iterable[int]) -> Sequence[Prompt]:
    """Give some prompts of a sequence, as packed as they are there.

    Example:
        ``picked(prompts, [2, 0])``
    """
    if isinstance(prompts, PackedPrompts):
        return prompts.pick(places)
    return [prompts[place] for place in places]


def questions_of(prompts: Sequence[Prompt]) -> list[Question]:
    """Give the questions of some prompts."""
    if isinstance(prompts, PackedPrompts):
        return prompts.questions
    return [prompt.question for prompt in prompts]


def given_prompts(name: str, value: Any) -> Sequence[Prompt]:
    """Check an argument that takes prompts; packed ones are not unpacked for it."""
    if isinstance(value, PackedPrompts):
        return value
    listed: list[Prompt] = each(Prompt, "prompts of build_prompts")(name, value)
    return listed


__all__ = ["PackedPrompts", "given_prompts", "picked", "questions_of"]
