"""Progress: bars on a terminal, a line a minute in a log, nothing where nobody wants it."""

import io
import sys

import pytest

from culture_lens.storage import progress
from culture_lens.storage.progress import QUIET, moving, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def error(monkeypatch):
    """Put something else in the place of standard error."""

    def put(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
        return stream

    return put


def test_a_short_pass_leaves_nothing_in_a_log(error):
    log = error(io.StringIO())
    assert list(progress_bar(range(1000), desc="items")) == list(range(1000))
    assert log.getvalue() == ""


def test_a_long_pass_writes_whole_lines_into_a_log(error, monkeypatch):
    log = error(io.StringIO())
    now = iter(range(0, 10_000, 7))  # seven seconds a step
    with progress_bar(total=40, desc="items", unit="item") as bar:
        monkeypatch.setattr(bar, "_time", lambda: bar.start_t + next(now))
        for _ in range(40):
            bar.update()
    lines = log.getvalue().splitlines()
    assert 2 <= len(lines) <= 40 * 7 / progress.SECONDS + 1
    assert "\r" not in log.getvalue() and log.getvalue().endswith("\n")
    assert all(line.startswith("items: ") for line in lines)


def test_a_terminal_gets_a_bar(error):
    shown = error(Terminal())
    list(progress_bar(range(3), desc="items"))
    assert "\r" in shown.getvalue() and "items: 100%" in shown.getvalue()


def test_nothing_is_drawn_where_it_is_not_wanted(error):
    shown = error(Terminal())
    list(progress_bar(range(3), progress=False))
    held = QUIET.set(True)
    try:
        list(progress_bar(range(3)))
        assert not moving(True)
    finally:
        QUIET.reset(held)
    assert shown.getvalue() == "" and moving(True) and not moving(False)
