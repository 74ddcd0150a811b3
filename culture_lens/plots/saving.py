"""save: a figure as a picture, as a page without controls that send data out, or as its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape, unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, file_path
from culture_lens.errors import InputError
from culture_lens.plots.numbers import data
from culture_lens.plots.paper import FIGURE, INCH, SCREEN
from culture_lens.storage.files import write_whole

HTML_CONFIG: Mapping[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
}
"""Plotly's options of every page that is written: no control sends a figure to a server."""
PRINT_DPI = 300
PICTURES = (".png", ".svg", ".pdf")
SUFFIXES = (*PICTURES, ".html", ".csv")


@check_arguments(figure=FIGURE, path=file_path)
def save(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure as PNG (300 dots per inch), SVG, PDF, HTML or CSV, by the name of the file.

    Pictures need the extra ``plots`` and an installed Chrome or Chromium. The HTML page needs no
    network. CSV holds what ``data`` gives.

    Args:
        figure: A figure, such as ``paper(figure)`` gives.
        path: The file; an existing one is replaced.

    Returns:
        The path.

    Raises:
        InputError: No figure, another kind of file, or a picture without what it
            needs.

    Example:
        ``save(paper(ablation_heatmap(matrix)), "matrix.pdf")``
    """
    where = Path(path)
    suffix = where.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{where.name!r} is no figure's file: end it with {', '.join(SUFFIXES)}.")
    write: Callable[[Path], Any] = lambda part: write_picture(figure, part, suffix)  # noqa: E731
    if suffix == ".html":
        write = lambda part: write_html(figure, part)  # noqa: E731
    if suffix == ".csv":
        write = lambda part: data(figure).to_csv(part, index=False)  # noqa: E731
    return write_whole(where, write)


def write_html(figure: go.Figure, where: Path, plotlyjs: bool | str = True) -> None:
    """Write a figure as a page with a title, that no control sends out; plotly.js in or beside it.

    Example:
        ``write_html(figure, Path("figures/matrix.html"), "directory")``
    """
    figure.write_html(where, include_plotlyjs=plotlyjs, config=dict(HTML_CONFIG))
    page = where.read_text(encoding="utf-8")
    titled = page.replace("<head>", f"<head><title>{title_of(figure)}</title>", 1)
    where.write_text(titled, encoding="utf-8")


def title_of(figure: go.Figure) -> str:
    """Give the title of a figure as text that HTML can hold, without the lines below it.

    Example:
        >>> title_of(go.Figure(layout={"title": {"text": "<b>A & B</b><br>below"}}))
        'A &amp; B'
    """
    title = figure.layout.title.text or "culture_lens"
    words = re.sub(r"<[^>]*>", " ", re.split(r"<br\s*/?>", title)[0])
    return escape(" ".join(unescape(words).split()))


def write_picture(figure: go.Figure, where: Path, suffix: str) -> None:
    """Write a figure as a picture, of its own size or as wide as a screen.

    Raises:
        InputError: kaleido, or the browser that it draws with, is lacking.
    """
    if find_spec("kaleido") is None:
        raise InputError(
            f"{suffix} needs kaleido: pip install 'culture-lens[plots]', or save as .html."
        )
    width = figure.layout.width or SCREEN
    try:
        picture = figure.to_image(
            format=suffix[1:],
            width=width,
            height=figure.layout.height,
            scale=PRINT_DPI / INCH if suffix == ".png" else 1,
        )
    except RuntimeError as error:
        if "chrome" not in str(error).lower():
            raise
        raise InputError(
            f"{suffix} is drawn with Chrome or Chromium, and none was found: install one, or name "
            "it in the environment variable BROWSER_PATH."
        ) from error
    where.write_bytes(picture)


__all__ = ["HTML_CONFIG", "save", "write_html"]
