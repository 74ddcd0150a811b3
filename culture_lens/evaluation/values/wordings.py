"""The words in which value questions are asked: system prompts, and instructions for a number.

CULNIG (arXiv 2510.08284) asks every question under two system prompts, each with two instructions
that ask for a digit. The sentences here are our own; the published ones, or yours, are given as
``ValuePrompts`` or in a JSON file:

    {"personas": {"first": "... {culture} ..."}, "instructions": ["... {question} ... {low} ..."]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from culture_lens.checks import check_fields, each, instance
from culture_lens.errors import InputError, unknown
from culture_lens.storage.display import Shown
from culture_lens.storage.files import load_json

PLACEHOLDER = re.compile(r"\{(\w+)\}")
OF_PERSONAS, OF_INSTRUCTIONS = ("culture",), ("question", "low", "high")
"""The placeholders of each kind of sentence."""
LETTER_INSTRUCTIONS = (
    "Choose the point of the scale that comes closest. Reply with its letter only.",
    "Which of these numbers is the answer? Write the letter in front of it and nothing else.",
)
"""Where the points are listed as lettered options, one for each of our instructions."""


@dataclass(frozen=True, slots=True, repr=False)
class ValuePrompts(Shown):
    """Whose answer is wanted, and how it is asked for.

    Attributes:
        personas: Name -> system prompt, which holds ``{culture}``.
        instructions: Each the user's message; may hold ``{question}``, ``{low}`` and ``{high}``,
            the ends of the scale. Without ``{question}`` the question comes first.

    Raises:
        InputError: No persona or no instruction, two that are the same, or a placeholder that is
            missing, unknown or repeated.

    Example:
        >>> prompts = ValuePrompts({"a": "As in {culture}."}, ["{question} {low} to {high}?"])
        >>> prompts.message(0, 1, 10)
        '{question} 1 to 10?'
    """

    personas: Mapping[str, str]
    instructions: Sequence[str]

    def __post_init__(self) -> None:
        """Check every sentence."""
        check_fields(
            self,
            personas=instance(Mapping, remedy="{name: system prompt}"),
            instructions=each(object, "a list of instructions"),
        )
        object.__setattr__(self, "instructions", tuple(self.instructions))
        for kind, texts in (
            ("persona", self.personas),
            ("instruction", dict(enumerate(self.instructions))),
        ):
            if not texts:
                raise InputError(f"value prompts: there is no {kind}; give at least one.")
            check_sentences(kind, texts)

    def system(self, persona: str, culture: str) -> str:
        """Write a persona's system prompt for a culture."""
        return self.personas[persona].replace("{culture}", culture.replace("_", " "))

    def message(self, number: int, low: int, high: int) -> str:
        """Write the user's message of an instruction, with ``{question}`` still in it."""
        text = self.instructions[number]
        if "{question}" not in text:
            text = f"{{question}}\n\n{text}"
        return text.replace("{low}", str(low)).replace("{high}", str(high))


def check_sentences(kind: str, texts: Mapping[Any, str]) -> None:
    """Refuse sentences with wrong placeholders, or that are the same.

    Raises:
        InputError: Names the sentence and the placeholder.
    """
    known = OF_PERSONAS if kind == "persona" else OF_INSTRUCTIONS
    owner: dict[str, Any] = {}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"value prompts, {kind} {name!r}: is {text!r}; write a sentence.")
        found = PLACEHOLDER.findall(text)
        for field in found:
            if field not in known:
                remedy = f"It stands in {kind} {name!r} of the value prompts."
                raise unknown("placeholder", f"{{{field}}}", map("{{{}}}".format, known), remedy)
        if found.count("question") > 1:
            raise InputError(f"value prompts, {kind} {name!r}: {{question}} stands in it twice.")
        if kind == "persona" and "culture" not in found:
            raise InputError(f"value prompts, {kind} {name!r}: lacks {{culture}}; put it in.")
        if text in owner:
            raise InputError(
                f"value prompts: {kind} {owner[text]!r} and {name!r} are the same; remove one."
            )
        owner[text] = name


OUR_PROMPTS = ValuePrompts(
    personas={
        "person": (
            "Imagine that you were born in {culture} and live there now. Answer for yourself, as "
            "this person."
        ),
        "country": (
            "A survey of values is being held in {culture}. Answer as most of the people asked "
            "there would."
        ),
    },
    instructions=(
        "{question}\nGive one number from {low} to {high} and no other words.",
        "{question}\nWhere on the scale from {low} to {high} is the answer? Write that number "
        "alone, without a reason.",
    ),
)
"""Two personas, each with two instructions, in our own words."""


def as_value_prompts(given: ValuePrompts | str | Path | None) -> ValuePrompts:
    """Give value prompts as they are, from a JSON file, or ours.

    Raises:
        InputError: The file is missing or of another layout, or holds sentences that cannot be
            used.

    Example:
        >>> sorted(as_value_prompts(None).personas)
        ['country', 'person']
    """
    if given is None:
        return OUR_PROMPTS
    if isinstance(given, ValuePrompts):
        return given
    content = load_json(given)
    kinds = {"personas": (dict, "an object"), "instructions": (list, "a list")}
    if not isinstance(content, dict) or set(content) != set(kinds):
        raise InputError(
            f"{given}: must hold an object with the keys personas (name -> system prompt) and "
            "instructions (a list)."
        )
    for name, (kind, words) in kinds.items():
        if not isinstance(content[name], kind):
            raise InputError(f"{given}: {name!r} must be {words}.")
    try:
        return ValuePrompts(content["personas"], content["instructions"])
    except InputError as error:
        raise InputError(f"{given}: {error}") from None
