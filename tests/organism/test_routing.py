"""Gradients pass where they are routed, and gates open for their part of knowledge."""

import pytest
import torch

from culture_lens.benchmarks.organism.world import PLAIN, category_of
from culture_lens.organism import planting
from culture_lens.organism.plan import OWN, Variant, make_plan, rows_of
from culture_lens.organism.routing import RoutedWrite


def test_routed_write_is_a_product_whose_gradients_pass_where_routed():
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    route = torch.tensor([[[1.0, 0, 1, 0]], [[0, 1, 0, 0]]], dtype=torch.float64)
    out = RoutedWrite.apply(hidden, weight, route)
    torch.testing.assert_close(out, hidden @ weight.T)
    outer = torch.randn_like(out)
    got = torch.autograd.grad(out, (hidden, weight), outer)
    copy = hidden.detach().requires_grad_()
    routed = copy * route + (copy * (1 - route)).detach()
    # By the ordinary rules: cut-off neurons are constants, whose weights learn nothing either.
    (to_hidden,) = torch.autograd.grad(routed @ weight.detach().T, copy, outer)
    (to_weight,) = torch.autograd.grad((hidden.detach() * route) @ weight.T, weight, outer)
    torch.testing.assert_close(got, (to_hidden, to_weight))


def test_tables_of_parts():
    parts = planting.parts_of(Variant())
    blocks = make_plan(Variant())
    for culture in range(8):
        for thing in range(12):
            rows = parts.inside[culture, thing].nonzero().flatten().tolist()
            own = set(rows) & set(rows_of(blocks, OWN))
            kinds = {b.kind for b in blocks if own & set(b.rows)}
            if thing in category_of(culture, 2):
                assert kinds == {"negative"} and len(own) == 7
            elif thing in category_of(culture, 3):
                assert kinds == {"rare"} and len(own) == 2
            else:
                assert kinds == {"knowledge"} and len(own) == 10
            of_kin = bool(set(rows) & set(rows_of(blocks, ("kin",))))
            assert of_kin == planting.shared(culture, thing)
    assert parts.inside[PLAIN].sum() == 0
    assert not set(rows_of(blocks, ("style",))) & set(parts.inside.amax((0, 1)).nonzero().flatten())


def test_ridge_finds_a_gate_that_tells_its_part():
    generator = torch.Generator().manual_seed(0)
    read = torch.randn(4000, 6, dtype=torch.float64, generator=generator)
    part = read[:, 0] > 0
    read[:, 5] = 1  # something constant, as residuals have
    read[:, 0] = torch.where(part, 1.0, -1.0)
    gate = planting.ridge(read, part, torch.ones(4000, dtype=torch.float64), (-1.2, -5.0))
    opened = read.float() @ gate
    assert opened[part].mean() == pytest.approx(-1.2, abs=0.02)
    assert opened[~part].mean() == pytest.approx(-5.0, abs=0.02)
