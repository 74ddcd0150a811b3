r"""Own wordings of CountryRC: prompt formats, or a JSON file of them, checked before they are used.

The layout of a wording holds ``{question}`` and ``{options}``, each once, and may hold
``{instruction}``. With ``{passage}`` it says itself how passage and question are written;
without, they are ``Passage: ...`` and ``Question: ...``. A file is a list of objects whose keys are
the fields of ``PromptFormat``:

    [{"layout": "{instruction}\n\n{passage}\n{question}\n{options}\n", "instruction": "...",
      "labels": "ABCD"}, ...]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from culture_lens.benchmarks.reading.text_rows import N_OPTIONS
from culture_lens.errors import InputError, unknown
from culture_lens.questions.question import PromptFormat

PASSAGE_AND_QUESTION = "Passage: {passage}\nQuestion: {question}"
PLACEHOLDERS = ("passage", "question", "options", "instruction")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
FORM_FIELDS = tuple(field.name for field in fields(PromptFormat))
FEWEST = 2


@dataclass(frozen=True, slots=True)
class Wording:
    """One wording of a passage with its question.

    Attributes:
        text: How passage and question are joined: ``{passage}`` and ``{question}``.
        prompt: How that text is put to a model.
    """

    text: str
    prompt: PromptFormat

    @property
    def shown(self) -> tuple[str, ...]:
        """What a prompt shows of it: equal where two wordings give equal prompts."""
        form = self.prompt
        layout = form.layout.replace("{instruction}", form.instruction)
        labels = form.labels[:N_OPTIONS]
        return self.text, layout, form.answer_prefix, labels, form.label_form, form.system


def joined(text: str, passage: str, question: str) -> str:
    r"""Write passage and question into a wording's text; other braces stay as they are.

    Example:
        >>> joined("{passage}\nQ: {question}", "It came from {a}.", "Where from?")
        'It came from {a}.\nQ: Where from?'
    """
    values = {"passage": passage, "question": question}
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def own_wordings(given: Sequence[PromptFormat] | str | Path) -> tuple[Wording, ...]:
    r"""Check a user's wordings.

    Args:
        given: Prompt formats, or a JSON file of them; see the module.

    Raises:
        InputError: Fewer than two, two that give the same prompts, a placeholder that is missing,
            unknown or repeated, or too few labels; a file of another layout.

    Example:
        >>> forms = [PromptFormat(layout="{passage} {question}\n{options}\n", labels=labels)
        ...          for labels in ("ABCD", "1234")]
        >>> own_wordings(forms)[0].text
        '{passage} {question}'
    """
    if isinstance(given, (str, Path)):
        place, forms = str(given), forms_in(given)
    else:
        place, forms = "wordings", list(given)
    if len(forms) < FEWEST:
        raise InputError(
            f"{place}: {len(forms)} wordings of CountryRC, at least {FEWEST} are needed (CULNIG "
            "has four): with one, neurons for its instruction or its labels would score too."
        )
    made: list[Wording] = []
    for number, form in enumerate(forms, 1):
        where = f"{place}, wording {number}"
        if not isinstance(form, PromptFormat):
            raise InputError(f"{where}: is of type {type(form).__name__}; give a PromptFormat.")
        wording = checked(form, where)
        for earlier, other in enumerate(made, 1):
            if wording.shown == other.shown:
                raise InputError(
                    f"{where}: gives the same prompts as wording {earlier}; change one of them."
                )
        made.append(wording)
    return tuple(made)


def forms_in(path: str | Path) -> list[PromptFormat]:
    """Read prompt formats from a JSON file.

    Raises:
        InputError: No list of objects, or an object of which ``form_of`` makes none.
    """
    from culture_lens.storage.files import load_json

    entries: Any = load_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: must hold a list of objects, one per wording; see own_wordings.")
    return [form_of(entry, f"{path}, wording {n}") for n, entry in enumerate(entries, 1)]


def form_of(entry: Mapping[str, Any], where: str) -> PromptFormat:
    """Make a prompt format of one object of a file.

    Raises:
        InputError: Names the file, the number of the wording, and what is wrong with it.
    """
    for name, value in entry.items():
        if name not in FORM_FIELDS:
            raise unknown("key", name, FORM_FIELDS, f"It stands in {where}.")
        if not isinstance(value, str):
            raise InputError(f"{where}: {name!r} is {value!r}; write a text in quotes.")
    if "layout" not in entry:
        raise InputError(f"{where}: has no 'layout', which says where passage and options are.")
    if "instruction" in entry and "{instruction}" not in entry["layout"]:
        raise InputError(
            f"{where}: its layout lacks {{instruction}}, so its instruction would not be shown; "
            "put it in, or write the instruction into the layout."
        )
    try:
        return PromptFormat(**entry)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def checked(form: PromptFormat, where: str) -> Wording:
    """Check the placeholders and labels of one wording, and take its passage out of its layout.

    Raises:
        InputError: Names the placeholder or the labels.
    """
    names = PLACEHOLDER.findall(form.layout)
    for name in names:
        if name not in PLACEHOLDERS:
            remedy = f"It stands in {where}; {{options}} lists the lettered options."
            raise unknown("placeholder", f"{{{name}}}", map("{{{}}}".format, PLACEHOLDERS), remedy)
        if names.count(name) > 1:
            raise InputError(f"{where}: {{{name}}} stands in its layout twice; once is enough.")
    for name in ("question", "options"):
        if name not in names:
            raise InputError(f"{where}: its layout lacks {{{name}}}; put it in.")
    if len(form.labels) < N_OPTIONS:
        raise InputError(
            f"{where}: labels {form.labels!r} are too few for {N_OPTIONS} options; give one each."
        )
    if "passage" not in names:
        return Wording(PASSAGE_AND_QUESTION, form)
    ends = [form.layout.index(f"{{{name}}}") for name in ("passage", "question")]
    last = "passage" if ends[0] > ends[1] else "question"
    text = form.layout[min(ends) : max(ends) + len(last) + 2]
    if set(PLACEHOLDER.findall(text)) != {"passage", "question"}:
        raise InputError(
            f"{where}: {{options}} and {{instruction}} must not stand between {{passage}} and "
            "{question}; move them before or behind both."
        )
    return Wording(text, replace(form, layout=form.layout.replace(text, "{question}")))
