"""Groups that are linked through any chain are one."""

from culture_lens.benchmarks.reading.linked_groups import linked_groups


def test_linked_groups_against_a_search_by_hand():
    ids = [str(n) for n in range(12)]
    a = ["p", "q", "", "r", "p", "s", "t", "", "u", "q", "v", "v"]
    b = ["q", "1", "2", "3", "4", "1", "4", "", "5", "6", "5", ""]
    near = {
        n: {m for m in range(12) if (a[n] and a[n] == a[m]) or (b[n] and b[n] == b[m])}
        for n in range(12)
    }
    expected = []
    for n in range(12):
        reached, todo = {n}, [n]
        while todo:
            new = near[todo.pop()] - reached
            reached |= new
            todo += new
        expected.append(str(min(reached)))
    assert linked_groups(ids, a, b) == expected
    assert len(set(expected)) == 6  # "q" in one column and "q" in the other are two texts
    assert linked_groups(["x", "y"], ["", ""]) == ["x", "y"]
