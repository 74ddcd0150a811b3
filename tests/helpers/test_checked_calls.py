"""Inner functions are checked where they write shapes, all others always."""

from __future__ import annotations

from collections.abc import Mapping

import jaxtyping
import pytest
import torch
from beartype import beartype
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.passes import unit_of
from tests.helpers.checked_calls import checked

check = checked(typechecker=beartype)
Row = Float[Tensor, "width"]
Rows = Mapping[str, Float[Tensor, "row width"]]


@check
def outer(number: int) -> int:
    return number


def inner(annotation):
    def function(given):
        return given

    function.__annotations__ = {"given": annotation}
    return check(function)


def same_code():
    """An inner function whose two arguments must be of one length."""

    @check
    def both(one: Row, other: Row) -> None:
        pass

    return both


def test_a_function_of_a_module_is_checked():
    with pytest.raises(Exception, match="number"):
        outer("one")


@pytest.mark.parametrize("annotation", ["Row", "Rows", "tuple[Row, Row]"])
def test_an_inner_function_with_shapes_is_checked(annotation):
    with pytest.raises(Exception, match="given"):
        inner(annotation)(1)


@pytest.mark.parametrize("annotation", ["int", "Tensor", "Mapping[str, Tensor]"])
def test_an_inner_function_without_shapes_is_left_as_it_is(annotation):
    assert inner(annotation)("anything") == "anything"


def test_lengths_are_compared_at_every_call():
    for _ in range(2):
        same_code()(torch.ones(2), torch.ones(2))
        with pytest.raises(Exception, match="width"):
            same_code()(torch.ones(2), torch.ones(3))


def test_the_package_is_decorated_so(pytestconfig):
    assert jaxtyping.jaxtyped is checked
    if pytestconfig.getoption("--jaxtyping-packages"):
        with pytest.raises(jaxtyping.TypeCheckError, match="size"):
            unit_of(torch.ones(2, 3))
