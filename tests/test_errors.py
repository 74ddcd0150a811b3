"""Errors name what was asked for and what is nearest."""

from culture_lens.errors import unknown


def test_unknown_names_the_nearest():
    error = unknown("site", "gat", ["gate", "act"], "Look it up.")
    assert str(error) == "unknown site 'gat': did you mean 'gate'? Known: act, gate. Look it up."
    assert "did you mean" not in str(unknown("site", "zzz", ["gate"]))
