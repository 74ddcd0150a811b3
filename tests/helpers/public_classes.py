"""The classes that users hold: the public ones, and those that public calls give them."""

import importlib
import inspect
import pkgutil
import re
from enum import Enum

import culture_lens as cl


def package_classes():
    """Every class of the package, by name."""
    found = {}
    for module in pkgutil.walk_packages(cl.__path__, "culture_lens."):
        if not module.name.startswith("culture_lens.cli"):
            held = importlib.import_module(module.name)
            own = inspect.getmembers(held, inspect.isclass)
            found |= {name: one for name, one in own if one.__module__ == module.name}
    del found["Path"]  # a type of attribution; annotations mean that of pathlib
    return found


def held_by_users():
    """The public classes, and those that public functions, methods and fields give."""
    classes, found = package_classes(), {}

    def words(annotation):
        for word in re.findall(r"\w+", str(annotation)):
            if word in classes:
                visit(classes[word])

    def visit(one):
        aside = issubclass(one, (BaseException, Enum)) or getattr(one, "_is_protocol", False)
        if one.__name__ in found or aside:
            return
        found[one.__name__] = one
        for name, member in inspect.getmembers_static(one):
            function = getattr(member, "fget", None) or getattr(member, "func", None) or member
            if not name.startswith("_"):
                words(getattr(function, "__annotations__", {}).get("return", ""))
        for base in one.__mro__:
            for name, annotation in vars(base).get("__annotations__", {}).items():
                words("" if name.startswith("_") else annotation)

    for name in cl.__all__:
        public = getattr(cl, name)
        if inspect.isclass(public):
            visit(public)
        else:
            words(getattr(public, "__annotations__", {}).get("return", ""))
    return found
