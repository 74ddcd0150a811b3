"""Docstrings as griffe reads them.

An example is a section ``Examples``, and what stands under ``Returns`` is a description only: a
colon in its first line does not begin one, for the type is in the signature.
"""

import re
from typing import Any

import griffe


class PlainSections(griffe.Extension):
    """Rewrite two section headings before docstrings are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class or function."""
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(
                r"^(Returns|Yields):\n    (?=\S)", r"\1:\n    : ", text, flags=re.MULTILINE
            )
