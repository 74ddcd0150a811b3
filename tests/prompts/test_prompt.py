"""Prompts and batches as records."""

import torch

from culture_lens.prompts.prompt import CONTENT_ROLES, Batch, Role


def test_role_mask():
    roles = torch.tensor([[0, 1, 3, 4, 5], [1, 2, 3, 3, 1]])
    batch = Batch((), roles, roles, roles)
    assert batch.role_mask(CONTENT_ROLES).int().tolist() == [[0, 0, 1, 1, 0], [0, 1, 1, 1, 0]]
    assert batch.role_mask((Role.TEMPLATE,)).sum() == 3
    assert not batch.role_mask(()).any()
