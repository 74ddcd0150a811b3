"""Question groups of rows that share texts."""

from __future__ import annotations

from collections.abc import Sequence


def linked_groups(ids: Sequence[str], *columns: Sequence[str]) -> list[str]:
    """Group rows that share a text, directly or through other rows.

    A sentence on which two questions are asked links them, so that splits and intervals keep them
    together. A group is a connected component of the graph of rows and texts.

    Args:
        ids: One per row.
        columns: Texts, one per row in each column; the same text in two columns does not link, nor
            does an empty one.

    Returns:
        Each row's group, named by the id of its first row.

    Example:
        >>> linked_groups(["1", "2", "3", "4"], ["a", "a", "b", ""], ["x", "y", "y", ""])
        ['1', '1', '1', '4']
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    node: dict[tuple[int, str], int] = {}
    edges = [
        (row, node.setdefault((place, text), len(ids) + len(node)))
        for place, texts in enumerate(columns)
        for row, text in enumerate(texts)
        if text
    ]
    size = len(ids) + len(node)
    ends = ([row for row, _ in edges], [text for _, text in edges])
    graph = coo_array(([1] * len(edges), ends), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    return [first.setdefault(int(part), name) for part, name in zip(component, ids, strict=False)]
