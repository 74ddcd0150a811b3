"""Commands that take records of options, whose fields typer shows as flags.

Options that travel together are the fields of one frozen dataclass, each an
``Annotated[..., typer.Option(...)]`` with the default None: not given. An option that is not given
is not passed on, so that every default is the one written in Python.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


def flags(command: Callable[..., None]) -> Callable[..., None]:
    """Show the fields of a command's option records as flags.

    In the signature that typer reads, each parameter annotated with a dataclass is replaced by the
    fields of that dataclass. Called by typer, the command gets the records, filled.

    Args:
        command: A command; its parameters are option records and ordinary flags.

    Example:
        ``app.command()(flags(evaluate))``
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    records: dict[str, Any] = {
        one.name: one.annotation for one in own if is_dataclass(one.annotation)
    }
    shown: list[inspect.Parameter] = []
    for one in own:
        if one.name in records:
            shown += fields_as_parameters(one.annotation)
        else:
            shown.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**values: Any) -> None:
        filled = {
            name: record(**{field.name: values.pop(field.name) for field in fields(record)})
            for name, record in records.items()
        }
        command(**filled, **values)

    call.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return call


def fields_as_parameters(record: Any) -> list[inspect.Parameter]:
    """Give the fields of a dataclass as keyword parameters."""
    types = get_type_hints(record, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=types[field.name],
            default=field.default,
        )
        for field in fields(record)
    ]


def given(*records: Any, **options: Any) -> dict[str, Any]:
    """Keep the options that were given, of records and of single flags.

    Example:
        >>> given(share=0.01, k=None, culture=[])
        {'share': 0.01}
    """
    every = {name: value for record in records for name, value in vars(record).items()}
    every |= options
    return {name: value for name, value in every.items() if value not in (None, [], ())}
