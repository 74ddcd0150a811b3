"""The user's message of a question, and which of its characters are question or options."""

from __future__ import annotations

import re
from collections.abc import Sequence

from culture_lens.prompts.prompt import Role, Style
from culture_lens.questions.question import Question

Span = tuple[int, int, Role]
"""Start, end and role of some characters of a prompt."""
FIELD = re.compile(r"\{(question|instruction|options)\}")


def fill_layout(question: Question, style: Style) -> tuple[str, list[Span]]:
    r"""Write the user's message and mark which characters are question or options.

    Args:
        question: What to ask.
        style: ``"choices"`` or ``"cloze"``.

    Returns:
        The message and spans ``(start, end, role)``; characters in no span are template. Space at
        either end goes, since fields may be empty; line breaks that end the layout stay.

    Example:
        >>> from culture_lens.questions.question import PromptFormat
        >>> q = Question(id="1", culture="Japan", text="Coin?", options=("yen", "won"), answer=0,
        ...              prompt=PromptFormat(layout="{question} {options}"))
        >>> fill_layout(q, "choices")[0]
        'Coin? A. yen\nB. won'
    """
    form = question.prompt
    layout = form.layout if style == "choices" else form.cloze
    instruction = form.instruction if style == "choices" else form.cloze_instruction
    message, spans, position = "", [], 0
    for found in FIELD.finditer(layout):
        message += layout[position : found.start()]
        position = found.end()
        if found[1] == "instruction":
            message += instruction
        elif found[1] == "question":
            spans.append((len(message), len(message) + len(question.text), Role.QUESTION))
            message += question.text
        else:
            for index, (label, option) in enumerate(
                zip(question.labels, question.options, strict=True)
            ):
                message += f"{label}. " if index == 0 else f"\n{label}. "
                spans.append((len(message), len(message) + len(option), Role.OPTIONS))
                message += option
    message += layout[position:]
    lead = len(message) - len(message.lstrip())
    spans = [(start - lead, end - lead, role) for start, end, role in spans]
    breaks = layout[len(layout.rstrip("\n")) :]
    return message.strip() + breaks, spans


def token_roles(text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[int]:
    """Give each token the role of its first character that is not a space.

    Example:
        >>> token_roles("ab cd", [(0, 2), (2, 5)], [(3, 5, Role.QUESTION)])
        [1, 3]
    """
    roles = []
    for start, end in offsets:
        if start == end:  # a BOS that the text does not show
            roles.append(int(Role.TEMPLATE))
            continue
        letters = text[start:end]
        first = start + len(letters) - len(letters.lstrip())
        first = min(first, max(end - 1, start))
        inside = [role for a, b, role in spans if a <= first < b]
        roles.append(int(inside[0] if inside else Role.TEMPLATE))
    return roles
