"""Commands that take records of options, whose fields typer shows as flags.

Options that travel together are the fields of one frozen dataclass, each an
``Annotated[..., typer.Option(...)]`` with the default None: not given. An option that is not given
is not passed on, so that every default is the one written in Python. The help shows the fields of
a record as one group, named by its ``panel``, with these defaults.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

from typer.models import OptionInfo

from culture_lens.cli.defaults import default_of


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
    name = command.__name__.replace("_", "-")
    shown = [with_default(one, name) for one in shown]

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
    """Give the fields of a dataclass as keyword parameters, in the group that it names."""
    types = get_type_hints(record, include_extras=True)
    panel = getattr(record, "panel", None)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=changed(types[field.name], rich_help_panel=panel),
            default=field.default,
        )
        for field in fields(record)
    ]


def with_default(parameter: inspect.Parameter, command: str) -> inspect.Parameter:
    """Let the help say what an option is where it is not given."""
    told = default_of(command, parameter.name)
    if parameter.default is not None or not told:
        return parameter
    return parameter.replace(annotation=changed(parameter.annotation, show_default=told))


def changed(annotation: Any, **settings: Any) -> Any:
    """Change settings of the option in an annotation; records share their options."""
    kind, *held = get_args(annotation)
    made = []
    for one in held:
        option = copy(one)
        if isinstance(option, OptionInfo):
            vars(option).update(settings)
        made.append(option)
    form: Any = Annotated
    parts = (kind, *made)
    return form[parts]


def given(*records: Any, **options: Any) -> dict[str, Any]:
    """Keep the options that were given, of records and of single flags.

    Example:
        >>> given(share=0.01, k=None, culture=[])
        {'share': 0.01}
    """
    every = {name: value for record in records for name, value in vars(record).items()}
    every |= options
    return {name: value for name, value in every.items() if value not in (None, [], ())}
