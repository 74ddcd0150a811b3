"""Values of every culture and neuron as a table with one row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


def long_table(
    cultures: Sequence[str], columns: Mapping[str, Mapping[str, Tensor]]
) -> pd.DataFrame:
    """List the values of every culture and neuron.

    Args:
        cultures: Labels of the first axis.
        columns: Column -> per site, ``culture layer neuron``; all of the same sites and shapes.

    Returns:
        The columns culture, site, layer, index, and those given.

    Example:
        >>> import torch
        >>> values = {"act": torch.tensor([[[0.5, 1.0]]])}
        >>> long_table(["Japan"], {"score": values}).to_dict("list")["score"]
        [0.5, 1.0]
    """
    import pandas as pd

    parts = []
    for site, first in next(iter(columns.values())).items():
        row, layer, index = (own.ravel() for own in np.indices(tuple(first.shape)))
        labels = pd.Categorical.from_codes(row, categories=list(cultures))
        held = {"culture": labels, "site": site, "layer": layer, "index": index}
        held |= {name: tables[site].numpy().ravel() for name, tables in columns.items()}
        parts.append(pd.DataFrame(held))
    return pd.concat(parts, ignore_index=True).astype({"culture": str})
